"""V1: whether the promises of a certificate are kept, where the truth is known: made up, and on real messages."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from router.classify.belief import Tree
from router.classify.fit.certify import DELTA
from router.classify.fit.turning import Turning
from router.core.policy import ROOT
from tests.bench.recognition_certificate import Kept, Population, keeps, population, probabilities_of
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
    wrong = np.where(dice.random(MADE_UP) < (1 - sure) / 2, np.round(sure, 4), 0.0)
    plainly = np.where(dice.random(MADE_UP) < 0.4, wrong, 0.0)
    foreign = np.round(dice.beta(2, 3, MADE_UP // 3), 4)
    inside = Turning(np.round(sure, 4), plainly, wrong, np.ones(MADE_UP))
    return Population("made up", inside, Turning(*[foreign] * 4))


def real(tier: Tier) -> Iterator[Population]:
    """Yield the official test messages of CLINC150, with those out of scope, and Banking77, as a fit scores them."""
    for name in tier.pick((), ("CLINC150", "Banking77"), ("CLINC150", "Banking77")):
        messages = SETS[name](data_folder())
        router = OurRouter()
        router.fit(draw(messages.train, 10, 0), messages.outside_train)
        artefact = router.study.artefact
        texts = [*(row.text for row in messages.test), *messages.outside]
        truths = [*(row.path for row in messages.test), *[ROOT] * len(messages.outside)]
        tree = Tree(artefact.paths, artefact.classes)
        yield population(name, tree, probabilities_of(router, texts), truths)


def _each(kept: Kept) -> tuple[float, ...]:
    """Return in which shares of resamples each of the two tests failed: that of errors, and that of exposure."""
    return max(kept.broken_error, kept.broken_unconditional), kept.broken_exposure


def backing_off(tier: Tier) -> Finding:
    """V1: thresholds chosen by resampled rows, judged by the population that they were drawn from."""
    runs = tier.pick(300, 1_000, 5_000)
    missing = "" if tier.name == "tiny" else why_missing(data_folder())
    found = [made_up(), *([] if missing else real(tier))]
    kept = [keeps(one, one, size, runs, seed=1) for one in found for size in SIZES]
    middle = [one.of_oracle for one in kept if one.n == AT_SIZE]
    return Finding(
        row="V1",
        what="certificate: any promise broken, each by itself; messages told something at n = 500, of the oracle's",
        target="<= 10 %, <= 5 %; >= 80 %",
        ours=f"{spread([one.broken for one in kept])}, {spread([each for one in kept for each in _each(one)])};"
        f" {spread(middle, 0)}",
        reference=f"laxest thresholds that fit the rows: broken {spread([one.broken_naive for one in kept], 0)}",
        met=all(at_most(round(one.broken * runs), runs, 2 * DELTA) for one in kept)
        and all(at_most(round(each * runs), runs, DELTA) for one in kept for each in _each(one))
        and all(share >= OF_ORACLE for share in middle),
        conditions=f"{runs:,} resamples, n = {SIZES[0]} to {SIZES[-1]:,}, {len(found)} populations"
        f" ({', '.join(one.name for one in found)}), delta .10 for all promises at once; seed 1",
        note=missing,
    )
