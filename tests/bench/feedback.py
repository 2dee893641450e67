"""How much feedback is taken in a second, and whether all that was acknowledged is in the database afterwards.

    python -m tests.bench.feedback [--seconds 8] [--clients 64] [--only sqlite,postgresql]

The server has one core, the clients the other; PostgreSQL goes where the system puts it. Many clients send one piece of
feedback each and wait for its answer, then send the next; or batches of 100. Each piece has an id of its own and is
about one of 20,000 decisions of as many users, and every id that the server acknowledged is looked for in the database
when the server has been killed (SIGKILL): an acknowledgement is a promise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from sqlalchemy import select

from router.core.decision import nothing
from router.core.evidence import Evidence
from router.core.trace import Trace
from router.stores import SqlTraceStore, open_database
from router.stores.schema import feedback
from tests.bench.client import post
from tests.bench.machine import Cores, cores
from tests.bench.report import print_conditions, print_table, quantiles_ms
from tests.support.postgres import PostgresServer, programs
from tests.support.serving import ROOT, serving_router

POLICY = "customer-support"
DECISIONS = 20_000
BATCH = 100
WARM_UP_S = 1.0
STORES = ("sqlite", "postgresql")

_STATUS = re.compile(rb'"id":"([^"]+)","status":"recorded"')


@dataclass(slots=True)
class Run:
    """What clients saw: the ids acknowledged, answers other than 200, and seconds of each request."""

    acknowledged: set[str] = field(default_factory=set)
    refused: int = 0
    times_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    lost: int = 0


def decided(number: int) -> str:
    """Return the id of a decision of the database that is measured with."""
    return f"dec_bench{number:08d}"


def fill(url: str) -> None:
    """Write decisions of as many users."""
    database = open_database(url)
    try:
        store, now_ms, nobody = SqlTraceStore(database), time.time_ns() // 1_000_000, Evidence(None)
        what = nothing("bench", "unclassified")
        for start in range(0, DECISIONS, 500):
            store.write(
                [
                    Trace(
                        id=decided(number),
                        at_ms=now_ms,
                        policy=POLICY,
                        tenant="local",
                        conversation=f"{number:024x}",
                        unit=f"{number:024x}",
                        turn=0,
                        wire="chat",
                        model="bench",
                        backend="echo",
                        stream=False,
                        decision=what,
                        evidence=nobody,
                        cues={},
                        status=200,
                    )
                    for number in range(start, start + 500)
                ]
            )
    finally:
        database.close()


def requests(url: str, batch: int) -> Iterator[bytes]:
    """Yield requests without end, no id ever twice."""
    for number in count():
        rows = [
            {"id": f"{batch}-{n}", "decision": decided(n % DECISIONS), "metric": "csat", "value": 1 + n % 5}
            for n in range(number * batch, (number + 1) * batch)
        ]
        yield post(url, json.dumps(rows[0] if batch == 1 else rows).encode(), "/v1/feedback")


class Line(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._answer = bytearray()
        self._whole: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    async def ask(self, request: bytes) -> bytes:
        """Return the whole answer, head and body."""
        self._whole = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._whole

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if end and length and len(body) >= int(length[1]) and self._whole is not None:
            whole, self._answer = bytes(self._answer), bytearray()
            self._whole.set_result(whole)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(ConnectionError("the server closed the connection"))


async def load(url: str, bodies: Iterator[bytes], clients: int, seconds: float) -> Run:
    """Keep so many connections busy for so long."""
    address, loop, run = urlsplit(url), asyncio.get_running_loop(), Run()

    async def client() -> None:
        _, line = await loop.create_connection(Line, address.hostname, address.port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            answer = await line.ask(next(bodies))
            run.times_s.append(time.perf_counter() - began)
            run.refused += not answer.startswith(b"HTTP/1.1 200")
            run.acknowledged.update(id_.decode() for id_ in _STATUS.findall(answer))
        line.transport.close()

    began = time.perf_counter()
    end = began + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    run.seconds = time.perf_counter() - began
    return run


def measure(url: str, batch: int, clients: int, seconds: float, where: Cores) -> Run:
    """Start the router over a database, load it, kill it, and look for what it acknowledged."""
    arguments = ["--backend", "echo", "--pack", str(ROOT / "policies" / "customer_support")]
    with serving_router(*arguments, env={"ROUTER_DATABASE": url}, prefix=where.pin_tested()) as server:
        bodies = requests(server.url, batch)
        warm = uvloop.run(load(server.url, bodies, clients, WARM_UP_S))
        run = uvloop.run(load(server.url, bodies, clients, seconds))
        server.process.kill()
        server.process.wait()
    database = open_database(url)
    try:
        stored = set(database.read(lambda c: c.scalars(select(feedback.c.id)).all(), "bench", "the rows"))
    finally:
        database.close()
    run.lost = len((warm.acknowledged | run.acknowledged) - stored)
    return run


def row(name: str, batch: int, run: Run) -> list[str]:
    """Return a line of the table."""
    return [
        f"{name}, {'one by one' if batch == 1 else f'batches of {batch}'}",
        f"{len(run.acknowledged) / run.seconds:,.0f}",
        f"{len(run.times_s) / run.seconds:,.0f}",
        *quantiles_ms(run.times_s, 0.5, 0.99),
        f"{run.refused:,}",
        f"{len(run.acknowledged):,}",
        f"{run.lost:,}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Feedback taken in a second, and what is left of it.")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--only", default=",".join(STORES), help=f"some of {','.join(STORES)}")
    arguments = parser.parse_args(argv)
    where = cores()
    print_conditions(
        "Feedback, durable when acknowledged",
        cores_used=where,
        load=f"{arguments.clients} connections, {arguments.seconds:g} s, after {WARM_UP_S:g} s of warming up",
        durability="SQLite: write-ahead log, synchronous=FULL; PostgreSQL: as installed (fsync, synchronous_commit on)",
    )
    where.take_rest()
    rows = []
    for name in arguments.only.split(","):
        for batch in (1, BATCH):
            with ExitStack() as stack:
                if name == "postgresql":
                    if programs() is None:
                        print("skipped: PostgreSQL is not installed (Debian: apt-get install postgresql)")
                        break
                    server = PostgresServer.start()
                    stack.callback(server.remove)
                    url = server.database()
                else:
                    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-feedback-"))
                    url = f"sqlite:///{Path(folder) / 'router.db'}"
                fill(url)
                rows.append(row(name, batch, measure(url, batch, arguments.clients, arguments.seconds, where)))
    head = ["store", "rows/s", "requests/s", "p50 ms", "p99 ms", "refused", "acknowledged", "of these lost"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
