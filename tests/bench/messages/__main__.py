"""What is sent for messages as people write them: `make bench-messages`, or `python -m tests.bench.messages [PART...]`.

Parts: styles, languages, retrieved, frames (these on the shipped pack), sets (CLINC150 and Banking77), drift (Schema-
Guided Dialogue), time. The data sets lie in BENCH_DATA (by default `../shared/data`); without them, name the parts that
need none. The messages are in two halves: the unseen one was looked at for final figures only, so whoever works on
recognition asks for `--half seen`. Everything is printed as Markdown and, with --out FILE, written there too. Five to ten
minutes on one core; with --quick, from one draw and fewer messages, two. --cache keeps the fitted pack.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from threadpoolctl import threadpool_limits

from router import Router
from tests.bench.gateways import SHIPPED_PACK
from tests.bench.machine import cores
from tests.bench.messages import grid, pack, sets, texts
from tests.bench.recognition_dialogues import drift_table
from tests.bench.recognition_sets import data_folder, why_missing
from tests.bench.report import Both, print_conditions

DRAWS, MESSAGES, SECONDS = 5, 1_000, 5.0
HALVES = {"both": (texts.SEEN, texts.UNSEEN), **{half: (half,) for half in (texts.SEEN, texts.UNSEEN, texts.ALL)}}


@dataclass(frozen=True)
class Run:
    """How a run was asked for. A `sample` is so many rows of each text file, for tests."""

    halves: tuple[str, ...]
    quick: bool
    cache: Path
    folder: Path = SHIPPED_PACK
    sample: int | None = None

    @cached_property
    def router(self) -> Router:
        """The pack, fitted when it is first asked."""
        return Router.load(self.folder, cache=self.cache)

    def messages(self, language: str) -> list[texts.Message]:
        """Return a language's messages of the halves."""
        return self._some(texts.messages(language))

    def frames(self) -> list[texts.Frame]:
        """Return the framed turns of the halves."""
        return self._some(texts.frames())

    def _some(self, rows: Sequence[texts.Halved]) -> list[texts.Halved]:
        return [row for half in self.halves for row in texts.of_half(rows, half)[: self.sample]]


def drift(run: Run) -> None:
    """Print what is sent for a service that the pack does not have."""
    print("\n## Drift to a service that the pack does not have (Schema-Guided Dialogue; wanted: drifted ≤ 5 %)\n")
    drift_table(data_folder(), 1 if run.quick else DRAWS)


PARTS: Mapping[str, Callable[[Run], None]] = {
    "styles": lambda run: pack.styles_table(run.router, run.messages(texts.LANGUAGES[0]), run.halves),
    "languages": lambda run: pack.languages_table(
        run.router, {language: run.messages(language) for language in texts.LANGUAGES}, run.halves
    ),
    "retrieved": lambda run: pack.retrieved_table(run.router, list(grid.cells())[:: 7 if run.sample else 1]),
    "frames": lambda run: pack.frames_table(run.router, run.frames(), run.halves),
    "sets": lambda run: sets.sets_table(data_folder(), 1 if run.quick else DRAWS, 300 if run.quick else MESSAGES),
    "drift": drift,
    "time": lambda run: sets.times_table(run.folder, run.cache, 1 if run.quick else SECONDS),
}
NEED_DATA = ("sets", "drift")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the named parts, or all."""
    parser = argparse.ArgumentParser(description="What is sent for messages as people write them.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--half", choices=HALVES, default="both", help="both side by side, one, or all as one")
    parser.add_argument("--quick", action="store_true", help="fewer draws and messages: minutes")
    parser.add_argument("--out", type=Path, help="a file for what is printed")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the fitted pack")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)} (known: {', '.join(PARTS)})")
    parts = arguments.parts or list(PARTS)
    missing = why_missing(data_folder()) if set(parts) & set(NEED_DATA) else ""
    if missing:
        sys.exit(missing)
    halves = HALVES[arguments.half]
    cores().take_tested()
    with ExitStack() as stack:
        if arguments.out:
            file = stack.enter_context(arguments.out.open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(Both(sys.stdout, file)))
        cache = arguments.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stack.enter_context(threadpool_limits(1))
        print_conditions(
            "Messages as people write them",
            pack=SHIPPED_PACK.name,
            halves=" / ".join(halves),
            threads=1,
            run="quick" if arguments.quick else "full",
        )
        run = Run(halves, arguments.quick, cache)
        for part in parts:
            PARTS[part](run)


if __name__ == "__main__":
    main()
