"""How deciding and fitting grow: leaves 10, 150, 1,000; messages of 15 and 500 tokens; examples 10 and 100 a task.

    python -m tests.bench.recognition_growth [--quick]

Deciding is whole here: detected cues, recognition, settling and composing, for messages that were never seen before
(`python -m tests.bench.decide` measures the steps one by one, and the library call around them). Three rounds, medians
over rounds. Fits are of CLINC150, in this process. Times are of the processor, so that what else ran on the machine does
not count; beside them stands the time that passed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.assembly import snapshot_of
from router.core.decide import decide
from router.core.evidence import Evidence
from router.engine.guarding import FaultHandler
from router.engine.snapshot import Snapshot
from router.packs import load_pack
from tests.bench.decide import FORMS, messages
from tests.bench.packs import SIZES, synthetic_pack, write_pack
from tests.bench.recognition_contenders import OurRouter
from tests.bench.recognition_metrics import p50_p99
from tests.bench.recognition_parts import begin, say
from tests.bench.recognition_sets import SETS, draw
from tests.bench.report import milliseconds, print_table

LENGTHS = ("15", "15, two sentences", "500")
ROUNDS = 3
WARM_UP = 50


def whole(snapshot: Snapshot, texts: Iterator[str], count: int) -> NDArray[np.float64]:
    """Return what deciding takes for each of some messages: row 0 seconds of the processor, row 1 that passed."""
    recogniser, policy, cues = snapshot.recogniser, snapshot.policy, snapshot.cues
    assert recogniser is not None
    taken = np.zeros((2, count))
    for at in range(count):
        text = next(texts)
        began, used = time.perf_counter(), time.process_time()
        known = cues.detect(text, 0)
        _, belief = recogniser.step(None, text)
        decide(policy, Evidence(belief, known, recogniser.thresholds))
        taken[:, at] = time.process_time() - used, time.perf_counter() - began
    return taken


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    part = begin("Growth of deciding and fitting", argv, packs="synthetic, 12 examples a leaf (tests/bench/packs.py)")
    count = 300 if part.quick else 2_000
    decided: dict[str, dict[str, tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for leaves in SIZES:
            pack = write_pack(folder, synthetic_pack(leaves))
            began, used = time.perf_counter(), time.process_time()
            snapshot = snapshot_of(load_pack(pack), None, FaultHandler(print))
            say(
                f"growth: {leaves} leaves, {time.perf_counter() - began:.1f} s, {time.process_time() - used:.1f} s of processor"
            )
            decided[str(leaves)] = {}
            for form in LENGTHS:
                texts = messages(*FORMS[form])
                whole(snapshot, texts, WARM_UP)
                rounds = [whole(snapshot, texts, count) for _ in range(ROUNDS)]
                used_s, passed_s = (p50_p99([taken[clock] for taken in rounds]) for clock in (0, 1))
                decided[str(leaves)][form] = (*used_s, *passed_s)
    print_table(
        ["leaves", "tokens", "p50 ms", "p99", "passed: p50", "p99"],
        [
            [f"{int(leaves):,}", form, *map(milliseconds, times)]
            for leaves, forms in decided.items()
            for form, times in forms.items()
        ],
    )
    fits: dict[str, tuple[float, float]] = {}
    train = SETS["CLINC150"](part.data).train
    for shots in (10, 100):
        began, used = time.perf_counter(), time.process_time()
        OurRouter().fit(draw(train, shots, 0))
        fits[str(shots)] = (time.process_time() - used, time.perf_counter() - began)
    print("\n## Fitting 150 tasks\n")
    rows = [[shots, *(f"{seconds:.1f}" for seconds in taken)] for shots, taken in fits.items()]
    print_table(["examples a task", "s", "passed"], rows)
    part.keep("growth", {"decide": decided, "fit": fits})


if __name__ == "__main__":
    main()
