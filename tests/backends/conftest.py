"""An origin that writes exactly the bytes it is told to, and both event loops that the product runs on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import pytest
import trustme
import uvloop

from router.backends.http.limits import Limits, Timeouts
from router.backends.http.pool import ConnectionPool
from router.core.errors import BackendError
from router.core.ports import BackendRequest

Script = Callable[["Peer"], Awaitable[None]]

PATIENT = Timeouts(connect_s=10, first_byte_s=10, idle_s=10, total_s=10)

ON_BOTH_LOOPS = ("test_proxy.py", "test_transport.py", "test_transport_faults.py", "test_pool.py", "test_tls.py")


def pytest_asyncio_loop_factories(config: Any, item: Any) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run what touches sockets under uvloop as well; the rest would only be repeated."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return loops if item.path.name in ON_BOTH_LOOPS else {"asyncio": asyncio.new_event_loop}


class Peer:
    """The origin's side of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin: Origin) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.origin = origin

    async def request(self) -> bytes:
        """Read one request, note it, and return its body. Raises IncompleteReadError when the client hangs up."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        body = await self.reader.readexactly(length)
        self.origin.requests.append((head, body))
        return body

    async def say(self, *pieces: bytes) -> None:
        """Write each piece on its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.origin.left.set()

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        self.writer.transport.abort()


class Origin:
    """A server on loopback. Every connection plays `script`; a client that hangs up ends it quietly."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections = 0
        self.left = asyncio.Event()
        self.url = ""
        self.failures: list[BaseException] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> str:
        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            self.connections += 1
            try:
                await script(Peer(self.connections, reader, writer, self))
            except (asyncio.IncompleteReadError, ConnectionError):
                self.left.set()
            except asyncio.CancelledError:
                pass
            except BaseException as error:
                if "handler is closed" in str(error):  # uvloop's word for writing to a client that has left
                    self.left.set()
                else:
                    self.failures.append(error)
            finally:
                self._tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(play, host, 0, ssl=tls)
        self._servers.append(server)
        port = server.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{port}/v1"
        return self.url

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # the sockets close in the loop's next rounds
        assert not self.failures


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    it = Origin()
    yield it
    await it.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., ConnectionPool]]:
    """Make transports that are closed at the end of the test."""
    made: list[ConnectionPool] = []

    def make(url: str, *, timeouts: Timeouts = PATIENT, limits: Limits | None = None, **more: Any) -> ConnectionPool:
        made.append(ConnectionPool(url, timeouts=timeouts, limits=limits, **more))
        return made[-1]

    yield make
    for transport in made:
        await transport.aclose()


@pytest.fixture
def answering() -> Callable[..., Script]:
    """Make a script that gives each request of a connection the next answer, then waits for the client to leave."""

    def make(*answers: bytes, then_close: bool = False) -> Script:
        async def script(peer: Peer) -> None:
            for answer in answers:
                await peer.request()
                await peer.say(answer)
            if not then_close:
                await peer.gone()

        return script

    return make


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> Iterator[ssl.SSLContext]:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    yield context


class Chunks(httpx.AsyncByteStream):
    def __init__(self, chunks):
        self.chunks = chunks

    async def __aiter__(self):
        async for chunk in self.chunks:
            yield chunk


class Direct(httpx.AsyncBaseTransport):
    """Takes the SDK's requests straight to the backend."""

    def __init__(self, backend):
        self.backend = backend

    async def handle_async_request(self, request):
        body = await request.aread()
        path = request.url.raw_path.decode().removeprefix("/v1")
        try:
            answer = await self.backend.send(BackendRequest(path, body, method=request.method))
        except BackendError as error:
            return httpx.Response(error.status, headers=list(error.headers), content=error.body)
        if answer.chunks is not None:
            return httpx.Response(answer.status, headers=list(answer.headers), stream=Chunks(answer.chunks))
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)


@pytest.fixture(scope="session")
def direct() -> Callable[[Any], Direct]:
    """Make a transport for an SDK that needs no server."""
    return Direct
