"""One request and its answer: where the connection, which hears, meets the reader, who waits.

The connection calls `take_head`, `take`, `finish` or `fail`; the reader calls `started`, `read`, iterates, or leaves
with `aclose`. Neither waits for the other longer than it must: what has come is given at once, in one piece, and only a
reader that is slower than the backend makes the connection stop reading.

A reader that goes away, by `aclose` or by being cancelled, closes the connection at once, so that the backend stops.
An answer that is not whole never ends in silence: reading it raises BackendError.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from router.backends.http.limits import failed
from router.core.errors import BackendError


class _Socket(Protocol):
    """What a reader may do to the connection under its answer."""

    def abort(self) -> None:
        """Close at once, dropping whatever is under way."""
        ...

    def resume_reading(self) -> None:
        """Read on: the reader has caught up."""
        ...


@dataclass(slots=True, eq=False)
class Exchange:
    """A request under way and its answer. Iterating gives the body as it comes, `read` the whole. One reader at a time.

    `status` stays 0 until the head is there; names in `headers` are lower case, in the order in which they came.
    `stale` says that the request went out on a kept connection which the peer had closed already, so that it was not
    served and may be sent again.
    """

    _loop: asyncio.AbstractEventLoop
    _socket: _Socket
    streaming: bool
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes = b""
    until_close: bool = False
    complete: bool = False
    error: BackendError | None = None
    stale: bool = False
    paused: bool = False
    held: int = 0
    received: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _waiter: asyncio.Future[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.complete or self.error is not None

    # ------------------------------------------------------------------------------------------ the connection's side

    def take_head(
        self, status: int, headers: list[tuple[bytes, bytes]], content_type: bytes, *, until_close: bool
    ) -> None:
        """Take the head of the answer."""
        self.status = status
        self.headers = headers
        self.content_type = content_type
        self.until_close = until_close
        self.streaming = self.streaming or content_type.startswith(b"text/event-stream")
        if self.streaming:
            self.wake()

    def take(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._pieces.append(piece)
        self.held += len(piece)
        self.received += len(piece)
        if self.streaming:
            self.wake()

    def finish(self) -> None:
        """The answer is whole."""
        self.complete = True
        self.wake()

    def fail(self, error: BackendError) -> None:
        """The answer will not become whole. What has come of a stream is still read before the error."""
        self.error = error
        self.wake()

    def wake(self) -> None:
        """Let the one who waits look again."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---------------------------------------------------------------------------------------------- the reader's side

    async def wait(self) -> None:
        """Wait for the next thing to happen. Being cancelled here closes the connection."""
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self._leave()
            raise
        finally:
            self._waiter = None

    async def started(self) -> None:
        """Wait until a stream has its head, or another answer is whole. Raises BackendError."""
        while not self.complete and not (self.status and self.streaming):
            if self.error is not None:
                raise self.error
            await self.wait()

    async def read(self) -> bytes:
        """Return the rest of the body. Raises BackendError."""
        self.streaming = False
        self._read_on()
        while not self.complete:
            if self.error is not None:
                raise self.error
            await self.wait()
        return self._taken()

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.error is not None:
                raise self.error
            if self.complete:
                raise StopAsyncIteration
            await self.wait()
        chunk = self._taken()
        self._read_on()
        return chunk

    async def aclose(self) -> None:
        """Close the connection at once unless the answer is complete. Safe to call twice."""
        self._leave()

    def _taken(self) -> bytes:
        pieces = self._pieces
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.held = 0
        return chunk

    def _read_on(self) -> None:
        if self.paused:
            self.paused = False
            self._socket.resume_reading()

    def _leave(self) -> None:
        self._pieces.clear()
        if not self.over:
            self._socket.abort()
            self.fail(failed("closed", "the answer was given up before it was whole"))
