"""What routing is worth on public runs of real models: `make evidence SOPBENCH=FOLDER`.

FOLDER is a clone of SOPBench (https://github.com/Leezekun/SOPBench, arXiv 2503.08669): a git directory, a work tree or a
plain folder. Its licence is not stated, so nothing of it is here, and nothing of it is kept. No model is asked: models'
runs are in the clone. Everything is printed as Markdown and, with --out FILE, written there too. A minute on two cores.

With --all, files of 4 MiB and more are taken too. The published figures rest on the others, and the counts of these are
compared with what was found.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from tests.bench.evidence import routed, tables
from tests.bench.evidence.clone import LARGE, Unreadable, open_clone
from tests.bench.evidence.runs import Found, load
from tests.bench.report import Both, print_conditions

DRAWS = 10
REVISION = "8cd43276845fb25a760a6fcd1090e5aae3a36273"
PUBLISHED = {
    "goals": 103,
    "requests": 892,
    "pairs": 2838,
    "pairs in bank": 765,
    "pairs in dmv": 691,
    "pairs in healthcare": 650,
    "pairs in library": 468,
    "pairs in university": 264,
    "pairs called by text": 518,
    "models": 9,
    "runs under pressure": 160,
    "files left out": 151,
    "files that cannot be read": 0,
}
"""What the published figures rest on."""

HOW = "git clone --bare --filter=blob:limit=4m https://github.com/Leezekun/SOPBench"


def differences(found: Mapping[str, int]) -> list[str]:
    """Return the counts that are not those of the published figures, in words."""
    names = [*PUBLISHED, *(name for name in found if name not in PUBLISHED)]
    return [
        f"{name}: {found.get(name, 0):,} here, {PUBLISHED.get(name, 0):,} published"
        for name in names
        if found.get(name, 0) != PUBLISHED.get(name, 0)
    ]


def tell_counts(found: Found, every: bool) -> None:
    """Print what the figures rest on, and where that differs from what the published ones rest on."""
    print("Counts: " + ", ".join(f"{name} {count:,}" for name, count in found.counts().items()) + ".\n")
    other = differences(found.counts())
    if every:
        print("Large files are taken too: these figures are not the published ones.")
    elif other:
        print("**These are not the published figures.** What they rest on differs:\n")
        print("\n".join(f"- {line}" for line in other))
    else:
        print("All counts are those that the published figures rest on.")
    for name in found.spoilt:
        print(f"\nCannot be read, and is left out: {name}")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables for a clone; say what is missing where there is none."""
    parser = argparse.ArgumentParser(description="What routing is worth on SOPBench's public runs.")
    parser.add_argument("folder", nargs="?", type=Path, help="a clone of SOPBench")
    parser.add_argument("--all", action="store_true", help="take files of 4 MiB and more too")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws of examples (published: %(default)s)")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, help="a file for what is printed")
    given = parser.parse_args(argv)
    folder = given.folder.expanduser() if given.folder else None
    if folder is None or not folder.is_dir():
        print(f"Skipped: {folder or 'SOPBENCH'} is no folder. Name a clone: make evidence SOPBENCH=FOLDER\n    {HOW}")
        return
    try:
        clone = open_clone(folder, math.inf if given.all else LARGE)
        found = load(clone)
    except Unreadable as error:
        sys.exit(str(error))
    with ExitStack() as stack:
        if given.out:
            file = stack.enter_context(given.out.open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(Both(sys.stdout, file)))
        at = clone.revision or "unknown: no git repository"
        print_conditions(
            "Routing on public runs of real models",
            SOPBench=at if at == REVISION else f"{at} (published: {REVISION})",
            files="all" if given.all else "below 4 MiB",
            draws=given.draws,
            processes=given.workers,
        )
        tell_counts(found, given.all)
        tables.pairs_table(found)
        tables.pressed_table(found.pressed)
        requests = {pair.prompt for pair in found.called()}
        drawn = routed.draws(given.draws, found.goals, requests, found.pressure, given.workers)
        tables.routed_tables(found, drawn, routed.arms(found.pressure))
        print(tables.CAVEATS.rstrip())


if __name__ == "__main__":
    main()
