"""What the parts of the recognition benchmark share: their arguments, and the figures they leave for the summary."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.machine import cores
from tests.bench.recognition_sets import data_folder, why_missing
from tests.bench.report import print_conditions

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""A figure must not depend on how many cores stand idle; set before numpy is imported, by the program that starts parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """How a part was asked to run. `quick` takes minutes instead of the better part of an hour, and says so."""

    quick: bool
    data: Path
    results: Path | None

    def keep(self, name: str, figures: Any) -> None:
        """Leave figures for the summary."""
        if self.results is not None:
            (self.results / f"{name}.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")

    def earlier(self, name: str) -> Any:
        """Return the figures that an earlier run left; None where there are none."""
        path = self.results / f"{name}.json" if self.results is not None else None
        return json.loads(path.read_text(encoding="utf-8")) if path is not None and path.is_file() else None


def begin(title: str, argv: Sequence[str] | None = None, **conditions: object) -> Part:
    """Read a part's arguments, pin the process, print the conditions. Ends the program when there is no data."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--quick", action="store_true", help="fewer draws and messages")
    parser.add_argument("--results", type=Path, help="an existing folder for the figures as JSON")
    arguments = parser.parse_args(argv)
    data = data_folder()
    missing = why_missing(data)
    if missing:
        sys.exit(missing)
    where = cores()
    where.take_tested()
    pinned = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    print_conditions(
        title,
        on_core=", ".join(map(str, pinned)) or "not pinned",
        threads=", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in ONE_THREAD[:1]),
        run="quick" if arguments.quick else "full",
        **conditions,
    )
    return Part(arguments.quick, data, arguments.results)


def load_figures(results: Path) -> Mapping[str, Any]:
    """Return what the parts left, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}


def say(words: str) -> None:
    """Report progress where it does not mix with the tables."""
    print(words, file=sys.stderr, flush=True)
