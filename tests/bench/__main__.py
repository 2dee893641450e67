"""All benchmarks, one after another: `make bench`, or `python -m tests.bench [NAME...]`.

Figures are printed with their conditions and never fail a run; a benchmark that cannot run says why, and the next one
follows. BENCH_PEERS names the folder of the programs to compare with (see install_peers), BENCH_DATA one with texts
(CLINC150, Schema-Guided Dialogue and others) for the benchmarks that take them.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.serving import ROOT

TEXTS = ["--data", os.environ["BENCH_DATA"]] if os.environ.get("BENCH_DATA") else []
RUNS = {
    "tokens": [["tests.bench.tokens", *TEXTS]],
    "decide": [["tests.bench.decide", *TEXTS]],
    "startup": [["tests.bench.startup"]],
    "latency": [["tests.bench.latency"]],
    "streams": [["tests.bench.streams"]],
    "proxy": [["tests.bench.proxy"], ["tests.bench.proxy", "--stream"]],
    "cache": [["tests.bench.cache"]],
    "feedback": [["tests.bench.feedback"]],
    "learning": [["tests.bench.learning"]],
}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    unknown = sorted(set(names) - set(RUNS))
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(unknown)} (known: {', '.join(RUNS)})")
    for name in names or RUNS:
        for module, *arguments in RUNS[name]:
            # A process each: one that pins itself, or fills its memory, must not change the figures of the next.
            ended = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=False)
            if ended.returncode:
                print(f"{name}: ended with status {ended.returncode}")


if __name__ == "__main__":
    main(sys.argv[1:])
