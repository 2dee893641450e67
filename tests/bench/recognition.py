"""What recognition is worth: `make bench-recognition`, or `python -m tests.bench.recognition [--quick] [PART...]`.

Parts: table (accuracy, calibration, out of scope, time and memory, next to scikit-learn and semantic-router),
dialogues, certificate, robustness, growth. The data sets lie in BENCH_DATA (by default `../shared/data`), semantic-router
in BENCH_PEERS (see install_recognition_peers). Each part runs in a process of its own on one core; a summary against
what was aimed at comes last. Everything is printed as Markdown and, with --out FILE, written there too. About forty
minutes on one core; with --quick about five, from one draw and fewer messages.

With --results FOLDER the figures stay there as JSON, and parts may be run one at a time: the summary reads what is there,
and the table measures only what is missing. Empty the folder when the code has changed.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TextIO

from tests.bench.recognition_parts import ONE_THREAD, load_figures
from tests.bench.recognition_sets import data_folder, why_missing
from tests.bench.recognition_summary import print_summary
from tests.support.serving import ROOT

PARTS = ("table", "dialogues", "robustness", "growth", "certificate")


def run(part: str, quick: bool, results: Path, out: TextIO | None) -> None:
    """Run one part, printing and keeping what it prints."""
    command = [sys.executable, "-m", f"tests.bench.recognition_{part}", "--results", str(results)]
    environment = {**os.environ, **dict.fromkeys(ONE_THREAD, "1")}
    asked = [*command, "--quick"] if quick else command
    with subprocess.Popen(asked, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if out:
                out.write(line)
    if process.returncode:
        print(f"{part}: ended with status {process.returncode}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the named parts, or all."""
    parser = argparse.ArgumentParser(description="What recognition is worth.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="fewer draws and messages: minutes")
    parser.add_argument("--out", type=Path, help="a file for what is printed")
    parser.add_argument("--results", type=Path, help="a folder for the figures as JSON")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.parts) - set(PARTS))
    if unknown:
        sys.exit(f"no such part: {', '.join(unknown)} (known: {', '.join(PARTS)})")
    missing = why_missing(data_folder())
    if missing:
        sys.exit(missing)
    with ExitStack() as stack:
        out = stack.enter_context(arguments.out.open("w", encoding="utf-8")) if arguments.out else None
        if arguments.results:
            results = arguments.results.resolve()
            results.mkdir(parents=True, exist_ok=True)
        else:
            results = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        for part in arguments.parts or PARTS:
            run(part, arguments.quick, results, out)
        summary = io.StringIO()
        with redirect_stdout(summary):
            print_summary(load_figures(results))
        print(summary.getvalue(), end="", flush=True)
        if out:
            out.write(summary.getvalue())


if __name__ == "__main__":
    main()
