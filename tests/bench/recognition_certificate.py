"""Whether the certified thresholds keep their promise, on real messages: 1,000 resamples for each size of pack.

    python -m tests.bench.recognition_certificate [--quick]

A model is fitted to a pack; the official test messages (CLINC150's with its out-of-scope ones, whose truth is `/`) are
scored once and are the population: there the true rate of wrong action at a threshold is known exactly. A resample
draws n messages from it, with replacement; `certify` chooses a threshold by them. The promise is broken when the true
rate is above alpha, which may happen in a share delta of the resamples (0.05 a depth in a tree of two, 0.10 in one).

- split: the same where calibration and test messages are the two parts of one random split, by the rate of the second;
- naive: broken by the lowest threshold at which the calibration messages themselves keep to alpha;
- coverage: messages acted on, over those at the lowest threshold that keeps the promise in truth (the oracle's).

Below: thresholds chosen as a fit does it, by out-of-fold rows of the examples, resampled, against the official test
messages in scope: whether what examples promise holds for messages that other people wrote. Last, the thresholds that
fits themselves chose, over independent draws of examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from router.classify.fit.certify import certify
from router.core.policy import ROOT
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_metrics import NAN, leads_to, percent, share
from tests.bench.recognition_parts import Part, begin, say
from tests.bench.recognition_sets import SETS, domain_of, draw
from tests.bench.report import print_table

RESAMPLES = 1_000
SIZES = (200, 300, 500, 1_000, 2_000, 3_000)
PACKS = (("CLINC150", 10), ("CLINC150", 50), ("Banking77", 10), ("Banking77", 50))
ALPHA_DOMAIN, ALPHA_TASK, DELTA = 0.01, 0.03, 0.10
FITS = 10

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """Messages at one depth: the mass that each would be acted on with, and the same where that is wrong, else 0."""

    name: str
    alpha: float
    delta: float
    settled: Doubles
    wrong: Doubles

    def rate(self, threshold: float) -> float:
        """Return the true rate of wrong action."""
        return float(((self.wrong >= threshold) & (self.wrong > 0.0)).mean())

    def coverage(self, threshold: float) -> float:
        """Return the share acted on."""
        return float((self.settled >= threshold).mean())

    def some(self, rows: NDArray[np.int64]) -> Population:
        """Return these rows alone."""
        return Population(self.name, self.alpha, self.delta, self.settled[rows], self.wrong[rows])


@dataclass(frozen=True, slots=True)
class Kept:
    """How resamples of one size fared; shares of resamples, except for the coverages."""

    population: str
    n: int
    alpha: float
    delta: float
    certified: float
    broken: float
    broken_split: float
    broken_naive: float
    coverage: float
    of_oracle: float


def populations(
    name: str, classes: Sequence[str], probabilities: Doubles, truths: Sequence[str]
) -> Iterator[Population]:
    """Yield a population for each depth of the tree: down from the heaviest domain, as settling goes."""
    branches = [domain_of(path) for path in classes]
    domains = list(dict.fromkeys(branches))
    deep = any(path.count("/") > 1 for path in classes)
    below = np.array([[branch == domain for domain in domains] for branch in branches])
    masses = probabilities @ below.astype(float)
    first = masses.argmax(axis=1)
    domain_mass = masses.max(axis=1)
    off = np.array([not leads_to(domains[at], truth) for at, truth in zip(first.tolist(), truths, strict=True)])
    if not deep:
        yield Population(f"{name}, task", ALPHA_TASK, DELTA, domain_mass, np.where(off, domain_mass, 0.0))
        return
    yield Population(f"{name}, domain", ALPHA_DOMAIN, DELTA / 2, domain_mass, np.where(off, domain_mass, 0.0))
    within = np.where(below[:, first].T, probabilities, -1.0)
    task_mass = within.max(axis=1)
    found = within.argmax(axis=1).tolist()
    off = np.array([not leads_to(classes[at], truth) for at, truth in zip(found, truths, strict=True)])
    yield Population(f"{name}, task", ALPHA_TASK, DELTA / 2, task_mass, np.where(off, task_mass, 0.0))


def lowest(wrong: Doubles, alpha: float) -> float:
    """Return the lowest threshold at which these rows keep to alpha."""
    worst_first = np.sort(wrong)[::-1]
    too_many = int(np.floor(alpha * len(wrong) + 1e-9))
    if too_many >= len(wrong) or worst_first[too_many] <= 0.0:
        return 0.0
    return float(np.nextafter(worst_first[too_many], 2.0))


def keeps(population: Population, n: int, resamples: int, seed: int = 0) -> Kept:
    """Resample calibration rows and see how often the promise breaks."""
    dice = np.random.default_rng(seed)
    size = len(population.wrong)
    certified = broken = broken_naive = split = splits = 0
    coverages = []
    for _ in range(resamples):
        drawn = dice.integers(0, size, n)
        threshold, basis = certify(population.wrong[drawn], population.alpha, population.delta)
        certified += basis == "certified"
        broken += population.rate(threshold) > population.alpha
        broken_naive += population.rate(lowest(population.wrong[drawn], population.alpha)) > population.alpha
        coverages.append(population.coverage(threshold))
        if n <= size // 2:
            order = dice.permutation(size)
            threshold, _ = certify(population.wrong[order[:n]], population.alpha, population.delta)
            split += population.some(order[n:]).rate(threshold) > population.alpha
            splits += 1
    oracle = population.coverage(lowest(population.wrong, population.alpha))
    return Kept(
        population.name,
        n,
        population.alpha,
        population.delta,
        certified / resamples,
        broken / resamples,
        split / splits if splits else NAN,
        broken_naive / resamples,
        float(np.mean(coverages)),
        float(np.mean(coverages)) / oracle if oracle else NAN,
    )


def carries_over(found: Population, test: Population, resamples: int, seed: int = 0) -> Kept:
    """Choose by resampled out-of-fold rows, and judge by the test messages."""
    dice = np.random.default_rng(seed)
    n = len(found.wrong)
    certified = broken = naive = 0
    coverages = []
    for _ in range(resamples):
        drawn = found.wrong[dice.integers(0, n, n)]
        threshold, basis = certify(drawn, found.alpha, found.delta)
        certified += basis == "certified"
        broken += test.rate(threshold) > test.alpha
        naive += test.rate(lowest(drawn, found.alpha)) > test.alpha
        coverages.append(test.coverage(threshold))
    oracle = test.coverage(lowest(test.wrong, test.alpha))
    mean = float(np.mean(coverages))
    shares = (certified / resamples, broken / resamples, NAN, naive / resamples)
    return Kept(found.name, n, found.alpha, found.delta, *shares, mean, mean / oracle if oracle else NAN)


def probabilities_of(router: OurRouter, texts: Sequence[str]) -> Doubles:
    """Return the calibrated probability of each class for each message."""
    classes = router.study.artefact.classes
    scores = [router.recogniser.scores(text) for text in texts]
    return np.array([[one.get(path, 0.0) for path in classes] for one in scores])


def judge_pack(part: Part, data_set: str, shots: int) -> tuple[list[Kept], list[Kept]]:
    """Return what resamples of test messages and of out-of-fold rows came to."""
    messages = SETS[data_set](part.data)
    router = OurRouter()
    router.fit(draw(messages.train, shots, 0), messages.outside_train)
    classes = router.study.artefact.classes
    name = f"{data_set}, {shots} examples"
    inside = probabilities_of(router, [row.text for row in messages.test])
    outside = probabilities_of(router, messages.outside) if messages.outside else np.zeros((0, len(classes)))
    truths = [row.path for row in messages.test]
    everything = [*truths, *[ROOT] * len(messages.outside)]
    resamples = 200 if part.quick else RESAMPLES
    kept = [
        keeps(population, n, resamples)
        for population in populations(name, classes, np.vstack([inside, outside]), everything)
        for n in ((500,) if part.quick else SIZES)
    ]
    study = router.study
    # The shipped texts that no task answers are easy, and no messages of the pack's: they would flatter the rate.
    own = np.flatnonzero(study.own)
    own_truths = [study.truths[at] for at in own.tolist()]
    judged_by = populations(name, classes, study.probabilities[own][:, : len(classes)], own_truths)
    tests = populations(name, classes, inside, truths)
    carried = [carries_over(found, test, resamples) for found, test in zip(judged_by, tests, strict=True)]
    say(f"certificate: {name}")
    return kept, carried


def fitted(part: Part, data_set: str) -> dict[str, list[float]]:
    """Return, over draws of examples, the rates of wrong action and of action at the thresholds of the fit."""
    messages = SETS[data_set](part.data)
    found: dict[str, list[float]] = {"wrong_domain": [], "wrong_task": [], "acted_task": []}
    for seed in range(2 if part.quick else FITS):
        router = OurRouter()
        router.fit(draw(messages.train, 10, 100 + seed))
        paths = [router.settled(row.text) for row in messages.test]
        pairs = [(path, row.path) for path, row in zip(paths, messages.test, strict=True) if path != ROOT]
        total = len(paths)
        depth = 2 if messages.deep else 1
        task = [(path, truth) for path, truth in pairs if path.count("/") == depth]
        found["wrong_domain"].append(sum(domain_of(path) != domain_of(truth) for path, truth in pairs) / total)
        found["wrong_task"].append(sum(path != truth for path, truth in task) / total)
        found["acted_task"].append(len(task) / total)
    say(f"certificate: fits of {data_set}")
    return found


def _rows(kept: Sequence[Kept]) -> list[list[str]]:
    return [
        [
            one.population,
            f"{one.n:,}",
            f"{one.alpha:g} / {one.delta:g}",
            percent(one.certified, 0),
            percent(one.broken),
            percent(one.broken_split),
            percent(one.broken_naive),
            percent(one.coverage),
            percent(one.of_oracle),
        ]
        for one in kept
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    part = begin(
        "Certificates",
        argv,
        resamples=f"{RESAMPLES:,}; quick: 200",
        unrelated="CLINC150's official out-of-scope rows of train and validation (200) are the pack's `unrelated`",
    )
    packs = PACKS[::2] if part.quick else PACKS
    found = [judge_pack(part, *pack) for pack in packs]
    kept = [one for resampled, _ in found for one in resampled]
    carried = [one for _, over in found for one in over]
    head = [
        "population",
        "n",
        "alpha / delta",
        "certified %",
        "broken %",
        "split %",
        "naive %",
        "covered %",
        "of oracle %",
    ]
    print_table(head, _rows(kept))
    print("\n## Chosen by out-of-fold rows, judged by the official test messages in scope\n")
    print_table(head, _rows(carried))
    print(
        f"\n## At the thresholds of the fit, 10 examples a task, {2 if part.quick else FITS} draws, test messages in scope\n"
    )
    fits = {data_set: fitted(part, data_set) for data_set in SETS}
    rows = []
    for data_set, rates in fits.items():
        deep = data_set == "CLINC150"
        rows.append(
            [
                data_set,
                percent(float(np.mean(rates["acted_task"]))),
                percent(float(np.mean(rates["wrong_task"]))),
                percent(share([rate > ALPHA_TASK for rate in rates["wrong_task"]]), 0),
                percent(float(np.mean(rates["wrong_domain"]))) if deep else "-",
                percent(share([rate > ALPHA_DOMAIN for rate in rates["wrong_domain"]]), 0) if deep else "-",
            ]
        )
    print_table(
        ["data", "task acted on %", "task wrong %", "draws above 3 %", "domain wrong %", "draws above 1 %"], rows
    )
    part.keep(
        "certificate",
        {"resampled": [asdict(one) for one in kept], "carried": [asdict(one) for one in carried], "fits": fits},
    )


if __name__ == "__main__":
    main()
