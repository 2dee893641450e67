"""How many requests a backend takes at once: as many as may be under way, or as its setting says; the rest at once no."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.application import Start

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Yes."}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
)


class Holding:
    """A server that answers only when told to; `asked` counts what came."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        self.asked.release()
        await self.go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def holding() -> AsyncIterator[tuple[Holding, str]]:
    upstream = Holding()
    async with await asyncio.start_server(upstream, "127.0.0.1", 0) as server:
        yield upstream, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


CONFIG = """
limits: {{in_flight: 3}}
backends:
  main: {{type: openai, base_url: "{url}", {more}}}
  echo: {{type: echo}}
models: {{m: {{backend: main, fallback: [{fallback}]}}, spare: {{backend: echo, model: echo}}}}
"""


@pytest.mark.parametrize(
    ("more", "places", "fallback", "status", "code"),
    [
        ("", 3, "", 503, "overloaded"),
        ("connections: 2", 2, "", 503, "saturated"),
        ("connections: 2", 2, "spare", 200, None),
    ],
    ids=["in_flight", "connections", "fallback"],
)
async def test_more_than_fit_are_told_so_while_the_others_are_served(
    more: str, places: int, fallback: str, status: int, code: str | None, start: Start
) -> None:
    async with asyncio.timeout(250), holding() as (upstream, url):
        running = await start(CONFIG.format(url=url, more=more, fallback=fallback))
        inside = [asyncio.create_task(running.ask("I want a refund", model="m")) for _ in range(places)]
        for _ in range(places):
            await upstream.asked.acquire()
        surplus = await running.ask("I want a refund", model="m")  # comes back although nothing is answered yet
        assert surplus.status_code == status, surplus.text
        if code:
            setting = {"overloaded": "limits.in_flight", "saturated": "connections"}[code]
            assert surplus.json()["error"]["code"] == code and setting in surplus.text
            assert surplus.headers["retry-after"] == "1"
        upstream.go_on.set()
        assert [(await task).status_code for task in inside] == [200] * places
