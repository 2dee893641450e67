"""What a request waits longer because we stand in between: one client, one request at a time.

    python -m tests.bench.latency [--requests 3000] [--streams 500] [--only router,nginx]

Each request goes to the upstream directly and then through the gateway, in turn, so that whatever else the machine does
meets both. Two figures: the time to a whole answer, against an nginx that answers at once; and the time to the first
token of a streamed answer, against a server that sends the first token at once and another every few milliseconds.
The gateway has one core to itself; upstream and client share the other, so that each request through a gateway wakes
two sleeping cores where a direct one wakes none: nginx as plain reverse proxy shows what that alone costs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tests.bench.client import Connection, chat_body, messages, post
from tests.bench.gateways import Absent, Gateway, nginx_program
from tests.bench.machine import Cores, cores
from tests.bench.proxy import installed
from tests.bench.report import milliseconds, print_conditions, print_table, quantiles_ms
from tests.bench.upstream import fixed_upstream, paced_upstream
from tests.support.serving import Server, StartError

WARM_UP = 200
WORDS, PAUSE_S = 3, 0.002


def paired(gateway: Gateway, through: str, upstream: str, count: int, stream: bool) -> Iterator[tuple[float, float]]:
    """Yield the times of each request, directly and through the gateway, in seconds."""
    texts = messages()
    direct_line, through_line = Connection(upstream), Connection(through)
    try:
        for number in range(WARM_UP + count):
            body = chat_body(next(texts), stream, gateway.model)
            first = direct_line.ask(post(upstream, body))
            second = through_line.ask(post(through, body, gateway.path, gateway.headers(upstream)))
            if number >= WARM_UP:
                yield (first[0], second[0]) if stream else (first[1], second[1])
    finally:
        direct_line.close()
        through_line.close()


def row(gateway: Gateway, upstream: Server, count: int, stream: bool, where: Cores) -> list[str]:
    """Return a gateway's line of the table."""
    with gateway.start(upstream.url, where.pin_tested()) as server:
        times = np.array(list(paired(gateway, server.url, upstream.url, count, stream)))
    direct, through = np.quantile(times, [0.5, 0.99], axis=0).T
    return [
        f"{gateway.name} {gateway.version}",
        *quantiles_ms(times[:, 0], 0.5, 0.99),
        *quantiles_ms(times[:, 1], 0.5, 0.99),
        *(milliseconds(float(longer)) for longer in through - direct),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Added latency at one client.")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--only", default="router,nginx")
    arguments = parser.parse_args(argv)
    where = cores()
    where.take_rest()
    pin = where.pin_rest()
    head = ["gateway", "direct p50 ms", "direct p99", "through p50", "through p99", "added p50", "added p99"]
    with tempfile.TemporaryDirectory(prefix="bench-") as data:
        gateways = installed(arguments.only.split(","), Path(data))
        for stream, count in ((False, arguments.requests), (True, arguments.streams)):
            print_conditions(
                "Time to the first token" if stream else "Time to the whole answer",
                cores_used=where,
                requests=f"{count} each way, in turn, one client",
            )
            with ExitStack() as stack:
                try:
                    server = (
                        paced_upstream(WORDS, PAUSE_S, pin) if stream else fixed_upstream(nginx_program(), False, pin)
                    )
                    upstream = stack.enter_context(server)
                except Absent as absence:
                    print(f"skipped: {absence}")
                    continue
                rows = []
                for gateway in gateways:
                    try:
                        rows.append(row(gateway, upstream, count, stream, where))
                    except (StartError, ConnectionError, TimeoutError) as failure:
                        print(f"failed: {gateway.name}: {failure}")
                print_table(head, rows)


if __name__ == "__main__":
    main()
