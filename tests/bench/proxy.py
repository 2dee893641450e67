"""Throughput: how many requests a second each gateway passes on one core, side by side.

    python -m tests.bench.proxy [--seconds 8] [--rounds 3] [--clients 32] [--stream] [--only router,nginx]

A trivial nginx answers every chat completion with the same bytes. It and the load generator wrk share one core; each
gateway has the other to itself, one after another, with one worker. wrk keeps 32 connections busy with 2,000 different
sentences, each with a new order number (see load.lua). Rounds go over all gateways in turn, so that a slow minute of
the machine meets them all; figures are medians over the rounds. The router recognises, weaves and records each request;
none of the others does anything of the kind, and none of them records (LiteLLM without database, TensorZero without
ClickHouse).
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.gateways import GATEWAYS, Absent, Gateway, nginx_program, router, wrk_program
from tests.bench.machine import Cores, cores, cpu_seconds, memory_mib
from tests.bench.report import milliseconds, print_conditions, print_table
from tests.bench.upstream import fixed_upstream
from tests.support.serving import StartError

LOAD = Path(__file__).with_name("load.lua")
WARM_UP_S = 3  # LiteLLM imports half of itself at its first request


@dataclass(frozen=True, slots=True)
class Run:
    """One run of wrk: requests a second, latencies in seconds, answers that were refusals or did not come.

    Of the gateway: memory after it, and processor time per request, which depends least on what else the machine does.
    """

    rate: float
    p50_s: float
    p99_s: float
    failed: int
    requests: int
    mib: float = 0.0
    used_us: float = 0.0


def load(
    gateway: Gateway, url: str, upstream: str, seconds: int, clients: int, stream: bool, pin: Sequence[str]
) -> Run:
    """Run wrk once and return what it measured. Raises CalledProcessError."""
    command = [*pin, wrk_program(), "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "20s", "-s", str(LOAD)]
    command += [url + gateway.path, "--", gateway.model, "stream" if stream else "whole", *gateway.headers(upstream)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    line = said.rpartition("RESULT ")[2]
    figures = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}
    answered = figures["requests"] - figures["refused"]
    return Run(
        rate=answered / (figures["duration_us"] / 1e6),
        p50_s=figures["p50_us"] / 1e6,
        p99_s=figures["p99_us"] / 1e6,
        failed=figures["refused"] + figures["broken"],
        requests=figures["requests"],
    )


def measure(gateway: Gateway, arguments: argparse.Namespace, where: Cores) -> Run:
    """Start a gateway, warm it up, load it once, stop it. Raises StartError."""
    pin = where.pin_rest()
    with (
        fixed_upstream(nginx_program(), arguments.stream, pin) as upstream,
        gateway.start(upstream.url, where.pin_tested()) as server,
    ):
        load(gateway, server.url, upstream.url, WARM_UP_S, arguments.clients, arguments.stream, pin)
        pid = server.process.pid
        before_s = cpu_seconds(pid)
        run = load(gateway, server.url, upstream.url, arguments.seconds, arguments.clients, arguments.stream, pin)
        used_us = 1e6 * (cpu_seconds(pid) - before_s) / max(1, run.requests)
        note = gateway.note(server)
        if note:
            print(f"{gateway.name}: {note}")
        return replace(run, mib=memory_mib(pid), used_us=used_us)


def installed(names: Sequence[str], data: Path) -> list[Gateway]:
    """Return the gateways that are here, and print a line for each that is not."""
    gateways = []
    for name in names:
        try:
            gateways.append(router(data=data) if name == "router" else GATEWAYS[name]())
        except Absent as absence:
            print(f"skipped: {absence}")
    return gateways


def rows(runs: dict[str, list[Run]], gateways: Sequence[Gateway]) -> list[list[str]]:
    """Return the table: medians over the rounds, and the router's rate over each gateway's."""
    rates = {name: median(run.rate for run in done) for name, done in runs.items() if done}
    ours = rates.get("router")
    table = []
    for gateway in gateways:
        done = runs[gateway.name]
        if not done:
            continue
        rate = rates[gateway.name]
        table.append(
            [
                f"{gateway.name} {gateway.version}",
                f"{rate:,.0f}",
                f"{min(run.rate for run in done):,.0f} .. {max(run.rate for run in done):,.0f}",
                f"{ours / rate:.2f}" if ours and rate else "",
                milliseconds(median(run.p50_s for run in done)),
                milliseconds(median(run.p99_s for run in done)),
                f"{median(run.used_us for run in done):,.0f}",
                f"{median(run.mib for run in done):.0f}",
                f"{sum(run.failed for run in done):,}",
            ]
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Throughput of gateways on one core, side by side.")
    parser.add_argument("--seconds", type=int, default=8, help="length of one run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--stream", action="store_true", help="streamed answers of 24 events")
    parser.add_argument("--only", default=",".join(GATEWAYS), help=f"some of {','.join(GATEWAYS)}")
    arguments = parser.parse_args(argv)
    where = cores()
    print_conditions(
        f"Throughput, {'streamed' if arguments.stream else 'whole'} answers",
        cores_used=where,
        load=f"{arguments.clients} connections, {arguments.rounds} rounds of {arguments.seconds} s, medians",
    )
    try:
        nginx_program(), wrk_program()
    except Absent as absence:
        print(f"skipped: {absence}")
        return
    with TemporaryDirectory(prefix="bench-") as data:
        gateways = installed(arguments.only.split(","), Path(data))
        runs: dict[str, list[Run]] = {gateway.name: [] for gateway in gateways}
        for _ in range(arguments.rounds):
            for gateway in gateways:
                try:
                    runs[gateway.name].append(measure(gateway, arguments, where))
                except (StartError, subprocess.SubprocessError) as failure:
                    print(f"failed: {gateway.name}: {failure}")
    head = [
        "gateway",
        "requests/s",
        "lowest .. highest",
        "router / this",
        "p50 ms",
        "p99 ms",
        "CPU µs",
        "MiB",
        "failed",
    ]
    print_table(head, rows(runs, gateways))


if __name__ == "__main__":
    main()
