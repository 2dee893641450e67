"""How long until it is ready, what it holds then, and what an import costs.

    python -m tests.bench.startup [--rounds 5]

Start-up is from the start of the process to the first good answer of /health/ready: with an empty data folder (the
recogniser of the shipped pack must be fitted) and with a filled one. On a busy machine the processor time until then is
the better figure. Imports are timed as whole interpreter runs, with
and without the import, in turn.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from tests.bench.client import Connection, chat_body, messages, post
from tests.bench.gateways import SHIPPED_PACK, check_recognising
from tests.bench.machine import Cores, cores, cpu_seconds, memory_mib
from tests.bench.report import milliseconds, print_conditions, print_table
from tests.support.serving import StartError, clean_environment, serving_router

REQUESTS = 2000
IMPORTS = ("import router", "from router import Router")


def start(data: Path, where: Cores) -> tuple[float, float, float, float]:
    """Start the proxy with the echo backend.

    Return seconds to ready, seconds of processor time until then, MiB at ready and MiB after some requests.
    """
    arguments = ("--pack", str(SHIPPED_PACK), "--backend", "echo", "--data", str(data))
    with serving_router(*arguments, prefix=where.pin_tested()) as server:
        pid = server.process.pid
        used_s, at_ready = cpu_seconds(pid), memory_mib(pid)
        check_recognising(server)
        connection, texts = Connection(server.url), messages()
        for _ in range(REQUESTS):
            connection.ask(post(server.url, chat_body(next(texts))))
        connection.close()
        return server.ready_s, used_s, at_ready, memory_mib(pid)


def import_seconds(statement: str, where: Cores) -> float:
    """Return how long an interpreter runs that executes one statement."""
    began = time.perf_counter()
    subprocess.run([*where.pin_tested(), sys.executable, "-c", statement], check=True, env=clean_environment())
    return time.perf_counter() - began


def starts(rounds: int, where: Cores) -> list[list[str]]:
    """Return the lines about starting: fitted anew each time, then with what is cached."""
    runs: dict[str, list[tuple[float, float, float, float]]] = {"fits its recogniser": [], "recogniser cached": []}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as data:
            for done in runs.values():
                done.append(start(Path(data), where))
    return [
        [name, *(f"{median(run[at] for run in done):.{2 if at < 2 else 0}f}" for at in range(4))]
        for name, done in runs.items()
    ]


def imports(rounds: int, where: Cores) -> list[list[str]]:
    """Return the lines about importing."""
    bare: list[float] = []
    times: dict[str, list[float]] = {statement: [] for statement in IMPORTS}
    for _ in range(rounds):
        bare.append(import_seconds("pass", where))
        for statement, taken in times.items():
            taken.append(import_seconds(statement, where))
    return [
        [statement, milliseconds(median(taken)), milliseconds(median(taken) - median(bare))]
        for statement, taken in times.items()
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Start-up time, memory, import time.")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args(argv)
    where = cores()
    print_conditions("Start-up", cores_used=where, rounds=f"{arguments.rounds}, medians", pack=SHIPPED_PACK.name)
    try:
        head = ["router serve", "ready after s", "processor s", "MiB at ready", f"MiB after {REQUESTS:,} requests"]
        print_table(head, starts(arguments.rounds, where))
    except (StartError, ConnectionError) as failure:
        print(f"failed: {failure}")
    print()
    print_table(["import", "interpreter ms", "import alone ms"], imports(2 * arguments.rounds, where))


if __name__ == "__main__":
    main()
