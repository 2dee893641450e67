"""V1: whether a back-off certificate keeps its promise, where the truth is known: made up, and on real messages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from router.core.policy import ROOT
from tests.bench.recognition_certificate import (
    ALPHA_TASK,
    DELTA,
    Kept,
    Population,
    keeps,
    populations,
    probabilities_of,
)
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_sets import SETS, data_folder, draw, why_missing
from tests.sim.finding import Finding, Tier, at_most, spread

SIZES = (200, 300, 500, 1_000, 2_000, 3_000)
OF_ORACLE, AT_SIZE = 0.8, 500
MADE_UP = 100_000


def made_up() -> Population:
    """Return messages of which three in five are mostly sure, and right as often as they are sure."""
    dice = np.random.default_rng(1)
    sure = np.where(dice.random(MADE_UP) < 0.6, dice.beta(30, 1, MADE_UP), dice.beta(2, 2, MADE_UP))
    wrong = dice.random(MADE_UP) < 1 - sure
    mass = np.round(sure, 4)
    return Population("made up", ALPHA_TASK, DELTA, mass, np.where(wrong, mass, 0.0))


def real(tier: Tier) -> Iterator[Population]:
    """Yield the official test messages of CLINC150, with those out of scope, and Banking77, as a fit scores them."""
    for name in tier.pick((), ("CLINC150", "Banking77"), ("CLINC150", "Banking77")):
        messages = SETS[name](data_folder())
        router = OurRouter()
        router.fit(draw(messages.train, 10, 0), messages.outside_train)
        classes = router.study.artefact.classes
        texts = [*(row.text for row in messages.test), *messages.outside]
        truths = [*(row.path for row in messages.test), *[ROOT] * len(messages.outside)]
        yield from populations(name, classes, probabilities_of(router, texts), truths)


def backing_off(tier: Tier) -> Finding:
    """V1: thresholds chosen by resampled rows, judged by the population that they were drawn from."""
    runs = tier.pick(300, 1_000, 5_000)
    missing = "" if tier.name == "tiny" else why_missing(data_folder())
    found = [made_up(), *([] if missing else real(tier))]
    kept = [keeps(population, size, runs, seed=1) for population in found for size in SIZES]
    # Below so many rows nothing can be certified at the domains' rate: there the *expected* rate is bounded instead.
    promised = [one for one in kept if one.certified == 1.0]
    middle = {one.population: one for one in promised if one.n == AT_SIZE}
    tasks = [one.of_oracle for one in middle.values() if one.alpha == ALPHA_TASK]
    domains = [one.of_oracle for one in middle.values() if one.alpha != ALPHA_TASK]
    also = f"; domains at {_alpha(middle)} {spread(domains, 0)}" if domains else ""
    return Finding(
        row="V1",
        what="back-off certificate: promise broken; messages acted on at n = 500, of the oracle's",
        target="<= 10 %; >= 80 %",
        ours=f"{spread([one.broken for one in promised])}; {spread(tasks, 0)}{also}",
        reference=f"lowest threshold that fits the rows: broken {spread([one.broken_naive for one in kept], 0)}",
        met=all(at_most(round(one.broken * runs), runs, one.delta) for one in promised)
        and all(share >= OF_ORACLE for share in tasks),
        conditions=f"{runs:,} resamples, n = {SIZES[0]} to {SIZES[-1]:,}, {len(found)} populations"
        f" ({', '.join(population.name for population in found)}), delta .10 in all; seed 1",
        note=missing or ("of 500 rows the oracle lets 5 be wrong at 1 %, a proof 1" if domains else ""),
    )


def _alpha(middle: dict[str, Kept]) -> str:
    return f"{min(one.alpha for one in middle.values()):g}"
