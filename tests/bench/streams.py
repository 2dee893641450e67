"""Many answers open at once: are all of them whole, do they keep their pace, and what do they hold in memory?

    python -m tests.bench.streams [--streams 200] [--words 60] [--pause 0.05] [--only router]

All clients ask at the same moment; the upstream says a word every 50 ms. A stream is whole when every word and the end
mark have come. Pace: how much longer than at the upstream itself the whole takes.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.client import chat_body, messages, post
from tests.bench.gateways import Gateway
from tests.bench.machine import Cores, cores, memory_mib
from tests.bench.proxy import installed
from tests.bench.report import print_conditions, print_table, quantiles_ms
from tests.bench.upstream import paced_upstream
from tests.support.serving import StartError

SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Stream:
    """One streamed answer: whether it was whole, and the seconds to its first word and to its end."""

    whole: bool
    first_s: float
    total_s: float


async def one_stream(url: str, request: bytes, words: int) -> Stream:
    """Ask once on a connection of its own, and read to the end."""
    address = urlsplit(url)
    began = time.perf_counter()
    received, first_s = b"", 0.0
    try:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request)
        while not received.endswith(b"0\r\n\r\n"):
            part = await asyncio.wait_for(reader.read(1 << 16), 60)
            if not part:
                break
            received += part
            if not first_s and b" word0" in received:
                first_s = time.perf_counter() - began
        writer.close()
    except (OSError, TimeoutError):
        pass  # counted as broken, by what has come so far
    whole = received.count(b" word") == words and received.count(b"data: [DONE]") == 1
    return Stream(whole, first_s, time.perf_counter() - began)


async def all_streams(url: str, requests: Sequence[bytes], words: int, pid: int = 0) -> tuple[list[Stream], float]:
    """Open all streams at once; return them and the highest memory that process `pid` held meanwhile, in MiB."""
    running = asyncio.gather(*(one_stream(url, request, words) for request in requests))
    highest = 0.0
    while not running.done():
        highest = max(highest, memory_mib(pid) if pid else 0)
        await asyncio.wait([running], timeout=SAMPLE_S)
    return await running, highest


def requests_to(gateway: Gateway, url: str, upstream: str, count: int) -> list[bytes]:
    """Return `count` different requests for streams."""
    headers, texts = gateway.headers(upstream), messages()
    return [post(url, chat_body(next(texts), True, gateway.model), gateway.path, headers) for _ in range(count)]


def through(gateway: Gateway, upstream: str, arguments: argparse.Namespace, where: Cores) -> list[str]:
    """Return a gateway's line of the table. Raises StartError."""
    with gateway.start(upstream, where.pin_tested()) as server:
        pid = server.process.pid
        before = memory_mib(pid)
        requests = requests_to(gateway, server.url, upstream, arguments.streams)
        done, highest = asyncio.run(all_streams(server.url, requests, arguments.words, pid))
        return row(
            f"{gateway.name} {gateway.version}", done, [f"{mib:.0f}" for mib in (before, highest, memory_mib(pid))]
        )


def row(name: str, streams: Sequence[Stream], memory: Sequence[str]) -> list[str]:
    """Return a line of the table."""
    whole = [stream for stream in streams if stream.whole]
    return [
        name,
        f"{len(whole)} of {len(streams)}",
        *(quantiles_ms([stream.first_s for stream in whole], 0.5, 0.99) if whole else ["", ""]),
        *(quantiles_ms([stream.total_s for stream in whole], 0.5, 0.99) if whole else ["", ""]),
        *memory,
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Many streamed answers at once.")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--words", type=int, default=60)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two words")
    parser.add_argument("--only", default="router")
    arguments = parser.parse_args(argv)
    where = cores()
    where.take_rest()
    print_conditions(
        f"{arguments.streams} open streams",
        cores_used=where,
        upstream=f"{arguments.words} words, one every {arguments.pause * 1000:.0f} ms",
    )
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as data,
        paced_upstream(arguments.words, arguments.pause, where.pin_rest()) as upstream,
    ):
        texts = messages()
        requests = [post(upstream.url, chat_body(next(texts), True)) for _ in range(arguments.streams)]
        direct, _ = asyncio.run(all_streams(upstream.url, requests, arguments.words))
        rows.append(row("the upstream itself", direct, ["", "", ""]))
        for gateway in installed(arguments.only.split(","), Path(data)):
            try:
                rows.append(through(gateway, upstream.url, arguments, where))
            except StartError as failure:
                print(f"failed: {gateway.name}: {failure}")
    head = ["gateway", "whole", "first word p50 ms", "p99", "end p50 ms", "p99", "MiB before", "highest", "after"]
    print_table(head, rows)


if __name__ == "__main__":
    main()
