"""Slow, endless and broken requests over real sockets, with deadlines of fractions of a second.

The application under test: `/ok` reads and answers, `/refuse` answers without reading, `/large` answers with 32 MB,
`/flood` streams until the client is gone, `/wait` reads and `/late` answers only when told to.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from router.server.protocol import protocol_for
from router.server.settings import LimitSettings

PATIENT = LimitSettings(body_bytes=100_000, header_bytes=4096)
STRICT = PATIENT.model_copy(update={"header_deadline_s": 1.0, "body_deadline_s": 0.3, "slow_reader_s": 0.3})
PATIENCE_S = 20
CHUNKED = b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW_HEAD = b"POST /ok HTTP/1.1\r\nHost: a\r\nX-Slow: "


class Server(uvicorn.Server):
    """A server in its own thread and loop, as in production."""

    def __init__(self, limits: LimitSettings, keep_alive_s: int) -> None:
        self.ready = threading.Event()
        self.gone: queue.Queue[bytes] = queue.Queue()  # the names of requests whose client the application saw go
        self.go_on = threading.Event()
        super().__init__(
            uvicorn.Config(
                self._app,
                interface="asgi3",
                port=0,
                http=protocol_for(limits),
                loop="uvloop",
                ws="none",
                lifespan="off",
                log_config=None,
                timeout_keep_alive=keep_alive_s,
            )
        )

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.port = self.servers[0].sockets[0].getsockname()[1]
        self.ready.set()

    async def _app(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["path"] in ("/wait", "/late"):
            await asyncio.to_thread(self.go_on.wait, PATIENCE_S)
        if scope["path"] in ("/ok", "/wait"):
            size, more = 0, True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.gone.put(scope["query_string"])
                    return
                size += len(message["body"])
                more = message["more_body"]
            trailers = [value for name, value in scope["headers"] if name == b"x-late"]
            await _say(send, 200, b"read %d" % size + b"".join(trailers))
        elif scope["path"] == "/late":
            await _say(send, 200, b"late")
            self.gone.put(scope["query_string"])
        elif scope["path"] == "/refuse":
            await _say(send, 413, b"too large")
        elif scope["path"] == "/large":
            await _say(send, 200, b"x" * (32 << 20))
        else:
            await _flood(receive, send)
            self.gone.put(scope["query_string"])

    async def see_gone(self, name: bytes) -> None:
        """Wait until the application has seen the client of this request go."""
        while await asyncio.to_thread(self.gone.get, timeout=PATIENCE_S) != name:
            pass


async def _flood(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    gone = asyncio.ensure_future(_until_gone(receive))
    while not gone.done():
        await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
        await asyncio.sleep(0)


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def serving(limits: LimitSettings, keep_alive_s: int) -> Iterator[Server]:
    running = Server(limits, keep_alive_s)
    thread = threading.Thread(target=running.run)
    thread.start()
    assert running.ready.wait(PATIENCE_S)
    yield running
    running.should_exit = True
    thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server whose deadlines no test lives to see."""
    with serving(PATIENT, 60) as running:
        yield running


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server whose deadlines are short."""
    with serving(STRICT, 1) as running:
        yield running


class Client:
    """One connection, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, bytes]:
        """Read one answer that has a content-length."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), await self._reader.readexactly(length)

    async def rest(self) -> bytes:
        """Read until the server closes."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionResetError, BrokenPipeError):
                await writer.wait_closed()


def post(path: str, body: bytes, *headers: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % (path.encode(), len(body))
    return head + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def error_code(body: bytes) -> str:
    return json.loads(body)["error"]["code"]


async def test_two_hundred_slow_heads_are_all_closed_and_others_are_served(strict: Server) -> None:
    begun: list[None] = []

    async def attack() -> bytes:
        async with connected(strict) as client:
            with suppress(ConnectionResetError, BrokenPipeError):
                await client.send(SLOW_HEAD)
            begun.append(None)
            return await client.rest()

    async with asyncio.TaskGroup() as group:
        attacks = [group.create_task(attack()) for _ in range(200)]
        while len(begun) < 200:
            await asyncio.sleep(0)
        assert await served(strict)
    answers = [task.result() for task in attacks]
    # On a busy machine some heads begin after the deadline: those are closed without an answer.
    assert {answer.partition(b"\r\n")[0] for answer in answers} <= {b"HTTP/1.1 408 Request Timeout", b""}
    assert any(answers)


async def served(server: Server) -> bool:
    """Ask until there is an answer: a busy machine may be too slow for a strict server."""
    while True:
        async with connected(server) as client:
            with suppress(asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
                await client.send(post("/ok", b"hello"))
                return await client.answer() == (200, b"read 5")


async def test_a_connection_that_says_nothing_is_closed_in_silence(strict: Server) -> None:
    async with connected(strict) as client:
        assert await client.rest() == b""


async def test_a_head_in_many_pieces_is_served_when_it_is_in_time(server: Server) -> None:
    async with connected(server) as client:
        for byte in post("/ok", b"hello"):
            await client.send(bytes([byte]))
        assert await client.answer() == (200, b"read 5")


async def test_the_second_request_of_a_connection_has_the_deadline_too(strict: Server) -> None:
    async with connected(strict) as client:
        await client.send(post("/ok", b""))
        assert (await client.answer())[0] == 200
        await client.send(SLOW_HEAD)
        assert (await client.answer())[0] == 408
        assert await client.rest() == b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * 5000 + b"\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 500 + b"\r\n",
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Endless: " + b"x" * 300_000,
    ],
    ids=["one header", "many headers", "path", "endless"],
)
async def test_a_large_head_is_refused(server: Server, head: bytes) -> None:
    async with connected(server) as client:
        await client.send(head)
        status, body = await client.answer()
        assert (status, error_code(body)) == (431, "headers_too_large")
        assert await client.rest() == b""


async def test_a_large_body_behind_a_small_head_is_no_large_head(server: Server) -> None:
    async with connected(server) as client:
        for _ in range(3):
            await client.send(post("/ok", b"x" * 50_000))
            assert await client.answer() == (200, b"read 50000")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /ok HTTP/1.1\r\nHost: a\r\nBad Header: 1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"rubbish\r\n\r\n",
    ],
    ids=[
        "cl te",
        "te cl",
        "two lengths",
        "negative",
        "bad chunk",
        "bad name",
        "connect",
        "not ascii",
        "tls",
        "rubbish",
    ],
)
async def test_broken_requests_are_refused_in_shape(server: Server, request_bytes: bytes) -> None:
    async with connected(server) as client:
        await client.send(request_bytes)
        status, body = await client.answer()
        assert (status, error_code(body)) == (400, "bad_request")
        assert await client.rest() == b""


async def test_the_application_hears_that_a_broken_request_is_over(server: Server) -> None:
    async with connected(server) as client:
        await client.send(CHUNKED.replace(b"/ok", b"/ok?broken") + b"5\r\nhello\r\n")
        await client.send(b"nonsense\r\n")
        assert (await client.answer())[0] == 400
        await server.see_gone(b"broken")


async def test_an_answer_that_comes_after_a_refusal_is_not_sent(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.go_on.clear()
    async with connected(server) as client:
        await client.send(CHUNKED.replace(b"/ok", b"/late?broken") + b"nonsense\r\n")
        assert (await client.answer())[0] == 400
        server.go_on.set()
        await server.see_gone(b"broken")
        assert await client.rest() == b""
    assert not caplog.records


async def test_trailers_do_not_become_headers(server: Server) -> None:
    async with connected(server) as client:
        await client.send(CHUNKED)
        await client.send(b"5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n")
        assert await client.answer() == (200, b"read 5")


async def test_the_smallest_chunks_are_served(server: Server) -> None:
    async with connected(server) as client:
        await client.send(CHUNKED + b"1\r\nx\r\n" * 99_000 + b"0\r\n\r\n")
        assert await client.answer() == (200, b"read 99000")


@pytest.mark.parametrize(
    "start", [b"1;", b"0\r\nX-Late: ", b"0\r\n" + b"X-Late: 1\r\n" * 100_000], ids=["extension", "trailer", "trailers"]
)
async def test_endless_frames_of_chunks_are_refused(server: Server, start: bytes) -> None:
    async with connected(server) as client:
        await client.send(CHUNKED + start)
        with suppress(ConnectionResetError, BrokenPipeError):
            await client.send(b"x" * 1_000_000)
        status, body = await client.answer()
        assert (status, error_code(body)) == (413, "body_too_large")


async def test_who_goes_on_sending_after_a_refusal_can_read_it_and_ask_again(server: Server) -> None:
    async with connected(server) as client:
        await client.send(b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            await client.send(b"x" * 100_000)
        assert await client.answer() == (413, b"too large")
        await client.send(post("/ok", b"hello"))
        assert await client.answer() == (200, b"read 5")


LAST_WORDS = {
    "close": b"POST /refuse HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000000\r\n\r\n",
    "http 1.0": b"POST /refuse HTTP/1.0\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n",
    "frames": CHUNKED.replace(b"Host", b"Connection: close\r\nHost") + b"1;",
}
"""Requests whose connection closes behind the answer, which comes long before the body has."""


@pytest.mark.parametrize("head", LAST_WORDS.values(), ids=LAST_WORDS)
async def test_a_refusal_arrives_though_the_connection_closes_behind_it(server: Server, head: bytes) -> None:
    async with connected(server) as client:
        await client.send(head)
        for _ in range(100):
            await client.send(b"x" * 1_000_000)
        assert (await client.answer())[0] == 413
        assert await client.rest() == b""


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"], ids=["keep-alive", "close"])
async def test_who_sends_a_refused_body_for_ever_is_cut(strict: Server, header: bytes) -> None:
    async with connected(strict) as client:
        await client.send(b"POST /refuse HTTP/1.1\r\nHost: a\r\n" + header + b"Content-Length: 5000000\r\n\r\n")
        assert await client.answer() == (413, b"too large")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.01)  # slow on purpose: the connection is never idle


async def test_a_refusal_is_read_by_who_has_much_left_to_send(server: Server) -> None:
    async with connected(server) as client:
        await client.send(b"GET /ok HTTP/1.1\r\nHost: a\r\nX-Endless: ")
        await client.send(b"x" * 8_000_000)
        assert (await client.answer())[0] == 431


@pytest.mark.parametrize("noise", [b"", b"\r\n"], ids=["nothing", "empty lines"])
@pytest.mark.parametrize("path", ["/ok", "/refuse"])
async def test_a_connection_is_idle_again_after_an_answer(strict: Server, path: str, noise: bytes) -> None:
    async with connected(strict) as client:
        await client.send(post(path, b"x" * 50_000)[:-1])
        if path == "/refuse":
            assert (await client.answer())[0] == 413
        await client.send(b"x")
        if path == "/ok":
            assert (await client.answer())[0] == 200
        with suppress(ConnectionResetError, BrokenPipeError):
            await client.send(noise)
        assert await client.rest() == b""


async def test_a_stream_that_is_not_read_is_cut(strict: Server) -> None:
    async with connected(strict) as client:
        client.writer.transport.pause_reading()
        await client.send(b"GET /flood?unread HTTP/1.1\r\nHost: a\r\n\r\n")
        await strict.see_gone(b"unread")


@pytest.mark.parametrize("header", [b"Connection: close", b"Connection: keep-alive"])
async def test_an_answer_that_is_not_read_is_cut(strict: Server, header: bytes) -> None:
    before = set(strict.server_state.connections)
    async with connected(strict) as client:
        client.writer.transport.pause_reading()
        await client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n\r\n")
        while not strict.server_state.connections - before:
            await asyncio.sleep(0.01)
        while strict.server_state.connections - before:
            await asyncio.sleep(0.01)


async def test_an_answer_that_is_read_in_time_is_whole(server: Server) -> None:
    async with connected(server) as client:
        await client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        status, body = await client.answer()
        assert (status, len(body)) == (200, 32 << 20)


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
async def test_an_offered_upgrade_is_ignored(server: Server, upgrade: bytes) -> None:
    async with connected(server) as client:
        for _ in range(2):
            await client.send(post("/ok", b"hello", b"Connection: Upgrade", b"Upgrade: " + upgrade))
            assert await client.answer() == (200, b"read 5")


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    async with connected(server) as client:
        await client.send(post("/ok", b"1") + post("/refuse", b"") + post("/ok", b"333"))
        assert [await client.answer() for _ in range(3)] == [(200, b"read 1"), (413, b"too large"), (200, b"read 3")]


async def test_half_a_head_behind_a_running_answer_does_not_cut_the_answer(strict: Server) -> None:
    strict.go_on.clear()
    async with connected(strict) as client, connected(strict) as clock:
        await client.send(post("/wait", b"hello") + SLOW_HEAD)
        assert await clock.rest() == b""  # a silent connection is closed after the deadline of both
        strict.go_on.set()
        assert await client.answer() == (200, b"read 5")
        assert (await client.answer())[0] == 408


class StuckTransport(asyncio.Transport):
    """A transport that takes everything and whose last bytes never leave."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.aborted = asyncio.Event()

    def get_write_buffer_size(self) -> int:
        return 10

    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted.set()


@pytest.mark.parametrize("header", [b"Connection: close", b"Connection: keep-alive"])
async def test_the_last_bytes_of_an_answer_are_not_waited_for_for_ever(header: bytes) -> None:
    async def app(scope: dict, receive: Any, send: Any) -> None:
        await _say(send, 200, b"hello")

    config = uvicorn.Config(
        app, interface="asgi3", lifespan="off", ws="none", log_config=None, timeout_keep_alive=0, proxy_headers=False
    )
    config.load()
    protocol = protocol_for(STRICT)(config, ServerState(), {}, asyncio.get_running_loop())
    transport = StuckTransport()
    protocol.connection_made(transport)
    protocol.data_received(post("/ok", b"", header))
    async with asyncio.timeout(PATIENCE_S):
        await transport.aborted.wait()
    protocol.connection_lost(None)
