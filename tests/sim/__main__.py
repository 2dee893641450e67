"""The learning of levels held against known truth: `make simulate`, or `python -m tests.sim [--long] [--row V4 ...]`.

Prints a table: what each row must show, what it shows, and what the usual method shows on the same draws. Seeds are
fixed. Ends with status 1 if a row misses its target. The short tier takes a minute on two cores, the long one
(thousands of runs) eight.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

# A row is one process; its linear algebra is of four by four numbers. Set before numpy is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.bench.report import print_conditions
from tests.sim.finding import TierName
from tests.sim.table import ROWS, run, show


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for; return the status to end with."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only this one; may be given several times")
    parser.add_argument("--long", action="store_true", help="thousands of runs instead of hundreds")
    parser.add_argument("--markdown", action="store_true", help="print the table alone")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="rows at a time")
    arguments = parser.parse_args(argv)
    tier: TierName = "long" if arguments.long else "short"
    rows = arguments.row or list(ROWS)
    began = time.perf_counter()
    if not arguments.markdown:
        print_conditions("Learning levels: simulation with known truth", tier=tier, processes=arguments.processes)
    found = run(rows, tier, arguments.processes)
    show(found, markdown=arguments.markdown)
    missed = [finding.row for finding, _ in found if not finding.met]
    if not arguments.markdown:
        print(f"\n{len(found)} rows in {time.perf_counter() - began:.0f} s; missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
