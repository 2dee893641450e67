"""The server as a process: clients that leave, and SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.bench.upstream import paced_upstream
from tests.support.serving import Server, serving_router

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
PACK = "name: desk\nbrief: Be polite.\n"


class Upstream:
    """A backend that takes a request, may send the head of a stream, and then says nothing more."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b'"stream": true' in body or b'"stream":true' in body:
            chunk = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            await writer.drain()
        self.asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.left.set()
        writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, str]]:
    waiting = Upstream()
    server = await asyncio.start_server(waiting, "127.0.0.1", 0)
    async with server:
        yield waiting, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text(PACK)
    return file


@pytest.mark.parametrize("stream", [False, True])
async def test_when_the_client_leaves_the_backend_is_stopped_within_a_second(
    upstream: tuple[Upstream, str], pack: Path, stream: bool
) -> None:
    waiting, address = upstream
    with serving_router("--pack", str(pack), "--backend", address) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            asking = asyncio.create_task(client.post("/v1/chat/completions", json={**BODY, "stream": stream}))
            await asyncio.wait_for(waiting.asked.wait(), 20)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(waiting.left.wait(), 1.5)  # one second is the promise, the rest the machine's
        assert (httpx.get(f"{server.url}/health/live")).status_code == 200


@pytest.fixture
def slow(pack: Path) -> Iterator[Server]:
    with (
        paced_upstream(40, 0.02, ()) as upstream,
        serving_router("--pack", str(pack), "--backend", f"{upstream.url}/v1") as server,
    ):
        yield server


async def test_a_running_stream_is_finished_after_sigterm_and_the_process_ends_well(slow: Server) -> None:
    body = {**BODY, "stream": True}
    async with (
        httpx.AsyncClient(base_url=slow.url, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        lines = answer.aiter_lines()
        first = await anext(lines)
        slow.process.send_signal(signal.SIGTERM)
        rest = [line async for line in lines if line]
    assert json.loads(first.removeprefix("data: "))["object"] == "chat.completion.chunk"
    assert rest[-1] == "data: [DONE]"
    # uvicorn ends by the signal that asked it to, once everything is done.
    assert await asyncio.to_thread(slow.process.wait, 20) in (0, -signal.SIGTERM)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{slow.url}/health/live")
