"""The rows of the table, how they are run side by side, and how they are printed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.bench.report import print_table
from tests.sim.adaptive import adaptive
from tests.sim.certificates import backing_off
from tests.sim.cheaper import saying_less
from tests.sim.controller import regret
from tests.sim.coverage import miscoverage
from tests.sim.finding import TIERS, Experiment, Finding, TierName
from tests.sim.misrouted import misrouting
from tests.sim.peeking import equal_arms
from tests.sim.policies import off_policy
from tests.sim.replay import replays
from tests.sim.speed import harm, time_to_certify
from tests.sim.votes import thumbs

ROWS: dict[str, Experiment] = {
    "V1": backing_off,
    "V2": equal_arms,
    "V3": adaptive,
    "V4": time_to_certify,
    "V5": harm,
    "V6": miscoverage,
    "V7": off_policy,
    "V8": regret,
    "V9": saying_less,
    "V10": thumbs,
    "V11": misrouting,
    "V12": replays,
}

SLOWEST_FIRST = ("V8", "V7", "V6", "V1", "V12", "V3", "V9", "V4", "V2", "V11", "V10", "V5")


def run_row(row: str, tier: TierName) -> tuple[Finding, float]:
    """Run one experiment; return what it found and the seconds it took."""
    began = time.perf_counter()
    return ROWS[row](TIERS[tier]), time.perf_counter() - began


def run(rows: Sequence[str], tier: TierName, processes: int) -> list[tuple[Finding, float]]:
    """Run experiments side by side, and return what they found in the order of the table."""
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
    with pool:
        waiting = {row: pool.submit(run_row, row, tier) for row in sorted(rows, key=SLOWEST_FIRST.index)}
        return [waiting[row].result() for row in ROWS if row in waiting]


def show(found: Sequence[tuple[Finding, float]], *, markdown: bool) -> None:
    """Print the table, and under it how each row came about."""
    head = ["row", "experiment", "must show", "ours", "reference", "met"]
    print_table(head, [[f.row, f.what, f.target, f.ours, f.reference, "yes" if f.met else "**no**"] for f, _ in found])
    if markdown:
        return
    print()
    for finding, seconds in found:
        note = f". Note: {finding.note}" if finding.note else ""
        print(f"- {finding.row} ({seconds:.0f} s): {finding.conditions}{note}")
