"""The backend that plays: a server of plain sockets which says what it was told to, to the byte, and then ends as told.

Who asks names the play by the header `x-client-request-id`, which goes through the router as it came.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.support.serving import LOOPBACK

ID = "x-client-request-id"
Framing = Literal["length", "chunked", "close"]
Ending = Literal["whole", "broken", "reset", "silence"]


@dataclass(frozen=True)
class Play:
    """What to say: a head, the body in pieces, and how it ends.

    `broken` closes before the framing says so, `reset` does it rudely, `silence` leaves the connection open. Before
    every piece a turn of `gate` is taken, if there is one.
    """

    pieces: tuple[bytes, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    framing: Framing = "length"
    ending: Ending = "whole"
    gate: threading.Semaphore | None = None

    def head(self) -> bytes:
        """Return status line and headers."""
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in self.headers.items())]
        if self.framing == "length":
            missing = self.ending != "whole"
            lines.append(f"content-length: {sum(map(len, self.pieces)) + missing}")
        elif self.framing == "chunked":
            lines.append("transfer-encoding: chunked")
        else:
            lines.append("connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def framed(self, piece: bytes) -> bytes:
        """Return a piece of the body as it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.framing == "chunked" else piece


@dataclass(frozen=True)
class Taken:
    """A request as it came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Player:
    """Plays `plays`, by their names, and keeps what came for each in `taken`."""

    def __init__(self) -> None:
        self.plays: dict[str, Play] = {}
        self.taken: dict[str, Taken] = {}
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve(reader, writer):
                pass
        self._open.discard(task)
        writer.close()

    async def leave(self) -> None:
        """End every connection that is still open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Play once, and say whether the connection goes on."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:-2])]
        told = dict(headers)
        body = await reader.readexactly(int(told.get("content-length", 0)))
        play = self.plays.get(told.get(ID, ""), _NOTHING)
        self.taken[told.get(ID, "")] = Taken(method, target, tuple(headers), body)
        writer.write(play.head())
        for piece in play.pieces:
            if play.gate is not None:
                await asyncio.to_thread(play.gate.acquire)
            writer.write(play.framed(piece))
            await writer.drain()
            await asyncio.sleep(0)
        return await self._end(play, reader, writer) and told.get("connection") != "close"

    async def _end(self, play: Play, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if play.ending == "silence":
            await reader.read()  # until the other side has had enough
        elif play.ending == "reset":
            at_once = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            writer.transport.abort()
        elif play.ending == "whole" and play.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        return play.ending == "whole" and play.framing != "close"


_NOTHING = Play((b'{"error":{"message":"there is no such play"}}',), status=404)


@contextmanager
def playing() -> Iterator[Player]:
    """Run a player on a port of its own, in a thread of its own, until the block ends."""
    player = Player()
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = await asyncio.start_server(player, LOOPBACK, 0, backlog=1024)
        player.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await done.wait()
        server.close()
        await player.leave()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="player")
    thread.start()
    try:
        if not ready.wait(20):
            raise TimeoutError("the player did not start")
        yield player
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()
