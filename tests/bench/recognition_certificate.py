"""Whether the certified promises are kept, on real messages, and how many messages they reach.

    python -m tests.bench.recognition_certificate [--quick]

Three promises hold at once (`router.core.evidence.Tolerance`): of the messages that some task answers, few get text of
a wrong task or a shortlist without the right one (error), fewer still get wrong text plainly (unconditional); of the
messages that no task answers, few get any task's text (exposure). Errors are counted among messages in scope alone.

1. A model is fitted to a pack; the official test messages are scored once and are the population: there every true rate
   is known exactly. A resample draws n messages in scope and a third as many out of scope, with replacement;
   `thresholds_for` chooses by them. The promise is broken when a true rate is above the accepted one, which may happen
   in a share of 0.05 of the resamples for errors and of 0.05 for exposure, so of 0.10 for any. naive: broken by the laxest thresholds at which the drawn messages
   themselves keep to the rates. told: messages in scope that get something, of those at the laxest thresholds that keep
   the promise in truth (the oracle's).
2. Chosen as a fit does it, by out-of-fold rows of the examples, resampled, and judged by the official test messages:
   whether what examples promise holds for messages that other people wrote. Out of scope, one half of the official test
   messages are the pack's `unrelated`, and the other half judges.
3. Fits at their own thresholds over independent draws of examples, by the decisions themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from router.classify.belief import Tree
from router.classify.fit.certify import DELTA, cautious, thresholds_for
from router.classify.fit.turning import HeldOutRows, Turning, sure_at, turning
from router.core.decision import breach
from router.core.evidence import Thresholds, Tolerance
from router.core.policy import ROOT, lineage
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_metrics import NAN, percent, share
from tests.bench.recognition_parts import Part, begin, say
from tests.bench.recognition_sets import SETS, Messages, draw
from tests.bench.report import print_table

RESAMPLES = 1_000
SIZES = (200, 300, 500, 1_000, 2_000, 3_000)
PACKS = (("CLINC150", 5), ("CLINC150", 10), ("CLINC150", 20), ("Banking77", 5), ("Banking77", 10), ("Banking77", 20))
FEW, USUAL = (2, 3, 4), (5, 10, 20)
FITS = 5
ACCEPTED = Tolerance()
LONGEST = 3

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """Messages in scope and out of scope, as they turn while thresholds fall, and what is accepted of them."""

    name: str
    inside: Turning
    outside: Turning
    accepted: Tolerance = ACCEPTED

    def rates(self, thresholds: Thresholds) -> tuple[float, float, float]:
        """Return the true rates at some thresholds: error, unconditional, exposure (0 with nothing outside)."""
        inside, outside = self.inside, self.outside
        error, plainly = (_share(turned, inside, thresholds) for turned in (inside.wrong, inside.plainly))
        return error, plainly, _share(outside.acted, outside, thresholds)

    def broken(self, thresholds: Thresholds) -> tuple[bool, bool, bool]:
        """Say which promises are broken there."""
        error, plainly, exposed = self.rates(thresholds)
        accepted = self.accepted
        return error > accepted.error, plainly > accepted.unconditional, exposed > accepted.exposure

    def told(self, thresholds: Thresholds) -> float:
        """Return the share of messages in scope that get something."""
        return _share(self.inside.acted, self.inside, thresholds)

    def drawn(self, dice: np.random.Generator, n: int) -> Population:
        """Return a resample: n messages in scope, a third as many out of scope."""
        inside = dice.integers(0, len(self.inside.wrong), n)
        outside = dice.integers(0, len(self.outside.wrong), n // 3) if len(self.outside.wrong) else np.zeros(0, int)
        return Population(self.name, self.inside.some(inside), self.outside.some(outside), self.accepted)

    def laxest(self) -> Thresholds:
        """Return the lowest thresholds at which these messages themselves keep to the rates."""
        accepted = self.accepted
        shortlist = max(
            lowest(self.inside.wrong, accepted.error), lowest(self.inside.plainly, accepted.unconditional), 1e-9
        )
        told = np.where(self.outside.acted >= shortlist, self.outside.known, 0.0)
        return Thresholds(sure_at(shortlist), shortlist, known=lowest(told, accepted.exposure))


def _share(turned: Doubles, rows: Turning, thresholds: Thresholds) -> float:
    flags = (turned >= thresholds.shortlist) & (rows.known >= thresholds.known)
    return float(flags.mean()) if len(flags) else 0.0


def lowest(turned: Doubles, alpha: float) -> float:
    """Return the lowest threshold at which no more than alpha of these rows have turned."""
    if not len(turned):
        return 0.0
    worst_first = np.sort(turned)[::-1]
    too_many = int(np.floor(alpha * len(turned) + 1e-9))
    if too_many >= len(turned) or worst_first[too_many] <= 0.0:
        return 0.0
    return float(np.nextafter(worst_first[too_many], 2.0))


@dataclass(frozen=True, slots=True)
class Kept:
    """How resamples of one size fared: shares of resamples in which promises were broken, and shares of messages."""

    population: str
    n: int
    certified: float
    broken: float
    broken_error: float
    broken_unconditional: float
    broken_exposure: float
    broken_naive: float
    told: float
    of_oracle: float


def keeps(chosen_by: Population, judged_by: Population, n: int, resamples: int, seed: int = 0) -> Kept:
    """Choose thresholds by resamples of one population and see how often another breaks the promises at them."""
    dice = np.random.default_rng(seed)
    broken = np.zeros(4)
    naive = certified = 0
    told = []
    for _ in range(resamples):
        drawn = chosen_by.drawn(dice, n)
        found = thresholds_for(drawn.inside, drawn.outside, drawn.accepted)
        naive += any(judged_by.broken(drawn.laxest()))
        if found is None:
            continue
        each = judged_by.broken(found[0])
        certified += 1
        broken += (any(each), *each)
        told.append(judged_by.told(found[0]))
    oracle = judged_by.told(judged_by.laxest())
    mean = float(np.mean(told)) if told else NAN
    return Kept(
        chosen_by.name,
        n,
        certified / resamples,
        *(broken / max(1, certified)).tolist(),
        naive / resamples,
        mean,
        mean / oracle if oracle else NAN,
    )


def population(name: str, tree: Tree, probabilities: NDArray[np.float64], truths: Sequence[str]) -> Population:
    """Return messages as a population; those with the truth `/` are out of scope."""
    turned = turning(HeldOutRows(probabilities, tuple(truths)), tree, LONGEST)
    inside = np.array([truth != ROOT for truth in truths], bool)
    return Population(name, turned.some(inside), turned.some(~inside))


def probabilities_of(router: OurRouter, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the calibrated probability of each class for each message."""
    classes = router.study.artefact.classes
    scores = [router.recogniser.scores(text) for text in texts]
    return np.array([[one.get(path, 0.0) for path in classes] for one in scores]).reshape(len(texts), len(classes))


def judge_pack(part: Part, data_set: str, shots: int) -> tuple[list[Kept], Kept]:
    """Return what resamples of test messages and of out-of-fold rows came to."""
    messages = SETS[data_set](part.data)
    router = OurRouter()
    router.fit(draw(messages.train, shots, 0), messages.outside[::2])
    artefact = router.study.artefact
    tree = Tree(artefact.paths, artefact.classes)
    name = f"{data_set}, {shots} examples"
    foreign = messages.outside[1::2]
    texts = [*(row.text for row in messages.test), *foreign]
    truths = [*(row.path for row in messages.test), *[ROOT] * len(foreign)]
    tests = population(name, tree, probabilities_of(router, texts), truths)
    resamples = 200 if part.quick else RESAMPLES
    kept = [keeps(tests, tests, n, resamples) for n in ((500,) if part.quick else SIZES)]
    rows = np.flatnonzero(router.study.certified)
    truths = [router.study.truths[at] for at in rows.tolist()]
    found = replace(population(name, tree, router.study.probabilities[rows], truths), accepted=cautious(ACCEPTED))
    say(f"certificate: {name}")
    return kept, keeps(found, tests, len(found.inside.wrong), resamples)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit's own thresholds did to the test messages; shares of those in scope, `exposed` of those out of it."""

    general: float
    sure: float
    reach: float
    error: float
    unconditional: float
    exposed: float


def fitted(messages: Messages, shots: int, seed: int) -> Fitted:
    """Fit to one draw of examples, as a pack that names no unrelated texts, and judge every decision."""
    router = OurRouter()
    router.fit(draw(messages.train, shots, 100 + seed))
    general, sure, reach, plainly, wrong = ([] for _ in range(5))
    for row in messages.test:
        found = router.told(row.text)
        settled, listed = [path for path, _, _ in found.paths], [path for path, _ in found.shortlist]
        said = {above for path in (*settled, *listed) for above in lineage(path)}
        general.append(settled == [ROOT] and not listed)
        sure.append(any(path != ROOT and not router.policy.tasks[path].children for path in settled))
        reach.append(row.path in said)
        broken = breach(settled, listed, (row.path,))
        plainly.append(broken.plainly)
        wrong.append(broken.wrong)
    outside = [router.told(text) for text in messages.outside]
    return Fitted(
        share(general),
        share(sure),
        share(reach),
        share(wrong),
        share(plainly),
        share([bool(found.shortlist) or found.paths[0].path != ROOT for found in outside]),
    )


def fits_of(part: Part, data_set: str) -> Iterator[dict[str, float | int | str]]:
    """Yield the fits of a data set, over examples a task and draws."""
    for shots in (10,) if part.quick else (*FEW, *USUAL):
        for seed in range(2 if part.quick else FITS):
            found = fitted(SETS[data_set](part.data), shots, seed)
            yield {"data": data_set, "shots": shots, "seed": seed, **asdict(found)}
        say(f"certificate: fits of {data_set} at {shots} examples a task")


HEAD = (
    "population",
    "n",
    "certified %",
    "broken %",
    "error",
    "unconditional",
    "exposure",
    "naive %",
    "told %",
    "of oracle %",
)


def _row(one: Kept) -> list[str]:
    shares = (one.broken, one.broken_error, one.broken_unconditional, one.broken_exposure, one.broken_naive)
    return [
        one.population,
        f"{one.n:,}",
        percent(one.certified, 0),
        *map(percent, shares),
        percent(one.told),
        percent(one.of_oracle),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    part = begin(
        "Certificates",
        argv,
        resamples=f"{RESAMPLES:,}; quick: 200",
        accepted=f"error {ACCEPTED.error:g}, unconditional {ACCEPTED.unconditional:g}, exposure {ACCEPTED.exposure:g}, "
        f"with delta {DELTA:g} for errors and as much for exposure; lists of up to {LONGEST}",
        unrelated="in the first two tables one half of CLINC150's official out-of-scope test messages (500) are the "
        "pack's `unrelated`, the others judge; in the last no pack has any",
    )
    found = [judge_pack(part, *pack) for pack in (PACKS[1::3] if part.quick else PACKS)]
    kept = [one for resampled, _ in found for one in resampled]
    carried = [over for _, over in found]
    print_table(HEAD, [_row(one) for one in kept])
    print("\n## Chosen by out-of-fold rows, judged by the official test messages\n")
    print_table(HEAD, [_row(one) for one in carried])
    fits = [one for data_set in SETS for one in fits_of(part, data_set)]
    print("\n## At the thresholds of the fit: medians over draws, test messages; worst draw in brackets\n")
    rows = []
    for data_set, shots in dict.fromkeys((one["data"], one["shots"]) for one in fits):
        same = [one for one in fits if (one["data"], one["shots"]) == (data_set, shots)]

        def middle(field: str, same: list[dict[str, float | int | str]] = same) -> str:
            return percent(float(median(float(one[field]) for one in same)))

        def worst(field: str, same: list[dict[str, float | int | str]] = same) -> str:
            return f"{middle(field, same)} ({percent(max(float(one[field]) for one in same))})"

        rows.append(
            [
                str(data_set),
                str(shots),
                str(len(same)),
                *map(middle, ("general", "sure", "reach")),
                worst("error"),
                worst("unconditional"),
                worst("exposed"),
            ]
        )
    print_table(
        (
            "data",
            "examples",
            "draws",
            "general text only %",
            "sure %",
            "reach %",
            "error %",
            "unconditional %",
            "exposed %",
        ),
        rows,
    )
    part.keep(
        "certificate",
        {"resampled": [asdict(one) for one in kept], "carried": [asdict(one) for one in carried], "fits": fits},
    )


if __name__ == "__main__":
    main()
