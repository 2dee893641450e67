"""One connection to an origin, speaking HTTP/1.1 (RFC 9112) for one exchange at a time.

httptools (llhttp) finds the parts of a message; this file decides what they mean:

- An answer is whole when its framing says so: Content-Length reached, last chunk and trailers seen, or, with neither,
  the peer closing in an orderly way. Whatever else ends it is `truncated`, or `reset` before its first byte.
- A connection serves again only after a whole request and a whole answer, with nothing behind it and nobody wanting to
  close. Bytes that nobody asked for close it.
- Time is one number, `deadline`, moved forward as things happen and looked at by the pool's sweep: no timer is made
  for a request.
- An answer that comes packed, although we ask for none, is unpacked as it comes, in pieces and within the same bounds;
  it is whole only if what was packed is whole.
- A reader that is slow stops us from reading (`buffer_bytes`); a backend that is slow stops us from writing.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import httptools

from router.backends.http.exchange import Exchange
from router.backends.http.limits import Limits, Timeouts, failed
from router.core.codings import Unpack, unpacker
from router.core.errors import BackendError
from router.core.ports import Upload

NEVER = math.inf

ONE_WRITE = 64 * 1024
"""Up to this many bytes, head and body leave in one write; it is asyncio's own high-water mark."""

SLICE = 256 * 1024
"""Larger bodies leave in slices of this size, each after the peer has taken the one before."""

UNPACKED_AT_ONCE = 8 << 20
"""A packed stream whose next bytes unpack to more than this is no stream of events."""

STALE_S = 1.0
"""A peer that had closed an idle connection is heard of within a round trip of our writing to it. A connection that is
lost later was lost while the request was being served, and the request is not sent again behind the caller's back."""

_FRAMING = frozenset({b"content-type", b"content-length", b"transfer-encoding", b"content-encoding"})


class _Pool(Protocol):
    """Who keeps the connections."""

    def released(self, connection: Connection) -> None:
        """Take back a connection that may serve again."""
        ...

    def lost(self, connection: Connection) -> None:
        """Forget a connection. Called once for each."""
        ...


@dataclass(slots=True, eq=False)
class Connection(asyncio.Protocol):
    """Parses what comes, and hands it to the exchange under way, if there is one."""

    _loop: asyncio.AbstractEventLoop
    _pool: _Pool
    _limits: Limits
    _timeouts: Timeouts
    closed: bool = False
    served: int = 0
    deadline: float = NEVER
    _parser: Any = None
    _transport: Any = None
    _exchange: Exchange | None = None
    _unpack: Unpack | None = None  # of an answer that comes packed
    _fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    _head_bytes: int = 0  # since the last byte of a body
    _began: float = 0.0
    _total: float = 0.0
    _big_read: bool = False
    _answering: bool = False  # the first byte of the answer has come
    _ended: bool = False  # and the last
    _keep: bool = False
    _spoilt: bool = False
    _unsent: bool = False
    _write_paused: bool = False

    def __post_init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    # ------------------------------------------------------------------------------------------------ one exchange

    @property
    def usable(self) -> bool:
        """Whether a request can be written."""
        return not self.closed and not self._transport.is_closing()

    def begin(self, *, streaming: bool) -> Exchange:
        """Return the exchange that whatever comes next belongs to."""
        now = self._loop.time()
        self._began = now
        self._total = now + self._timeouts.total_s
        self.deadline = min(now + self._timeouts.first_byte_s, self._total)
        self._fields = []
        self._unpack = None
        self._head_bytes = 0
        self._answering = self._ended = False
        exchange = self._exchange = Exchange(self._loop, self, streaming)
        return exchange

    async def submit(self, exchange: Exchange, head: bytes, body: bytes, upload: Upload | None = None) -> None:
        """Send a request and wait until its answer has started. Raises BackendError, and what reading `upload` does."""
        if upload is not None:
            await self._pass_on(exchange, head, upload)
        elif len(body) <= ONE_WRITE:
            self._transport.write(head + body)
        else:
            await self._upload(exchange, head, body)
        await exchange.started()

    async def _upload(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        self._unsent = True
        self._transport.write(head)
        view = memoryview(body)
        for at in range(0, len(body), SLICE):
            while self._write_paused and not exchange.over:
                await exchange.wait()
            if exchange.over:
                return  # an answer such as 413 came before the end of the body, and so will the end of the connection
            self._transport.write(view[at : at + SLICE])
        self._unsent = False

    async def _pass_on(self, exchange: Exchange, head: bytes, upload: Upload) -> None:
        """Send a body as it comes, no faster than the peer takes it."""
        self._unsent = True
        self._transport.write(head)
        try:
            async for piece in upload.chunks:
                while self._write_paused and not exchange.over:
                    await exchange.wait()
                if exchange.over:
                    return
                self._transport.write(piece if upload.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                self.deadline = min(self._loop.time() + self._timeouts.first_byte_s, self._total)
        except BaseException:  # who sent it went away, or sends too slowly or too much: the backend must not wait
            await exchange.aclose()
            raise
        if upload.length is None:
            self._transport.write(b"0\r\n\r\n")
        self._unsent = False

    def abort(self) -> None:
        """Close at once, dropping whatever is under way."""
        if self.closed:
            return
        self.closed = True
        self.deadline = NEVER
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()
        self._pool.lost(self)

    def resume_reading(self) -> None:
        """Read on: the reader has caught up."""
        if not self.closed:
            self.deadline = min(self._loop.time() + self._timeouts.idle_s, self._total)
            self._transport.resume_reading()

    def expire(self, now: float) -> None:
        """The deadline has passed: give up what is under way, or close an idle connection."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
        elif now >= self._total:
            self.fail(failed("timeout_total", f"the answer took longer than {self._timeouts.total_s:g} s"))
        elif exchange.received:
            self.fail(failed("timeout_idle", f"the backend fell silent for {self._timeouts.idle_s:g} s"))
        else:
            message = f"the backend sent nothing within {self._timeouts.first_byte_s:g} s"
            self.fail(failed("timeout_first_byte", message))

    def fail(self, error: BackendError) -> None:
        """Close at once; an exchange under way fails with `error`."""
        exchange = self._exchange
        self.abort()
        if exchange is not None:
            exchange.fail(error)

    # --------------------------------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes, cut anywhere (asyncio.Protocol)."""
        exchange = self._exchange
        if exchange is None:
            self.abort()  # nobody asked: a 408 before closing, or the rest of something
            return
        self._answering = True
        received = exchange.received
        self._big_read = len(data) > self._limits.head_bytes  # only then could a head be too long unnoticed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._ended:
                # A refusal raised in one of the callbacks below arrives as the context of the parser's own error.
                cause = error.__context__
                refusal = cause if isinstance(cause, BackendError) else None
                self.fail(refusal or failed("protocol_error", f"the backend does not speak HTTP/1.1: {error}"))
                return
            self._spoilt = True
        if self._ended:
            self._finish(exchange)
        elif exchange.received != received:
            self._head_bytes = 0
            self._after_body(exchange)
        else:
            self._count_head(len(data))

    def eof_received(self) -> bool:
        """Take the peer's word that it sends no more (asyncio.Protocol)."""
        self._hang_up(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone (asyncio.Protocol)."""
        self._hang_up(exc)
        self._parser = None  # it holds our methods: a cycle that would wait for the collector

    def pause_writing(self) -> None:
        """Stop writing: the peer is slow (asyncio.Protocol)."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Write on (asyncio.Protocol)."""
        self._write_paused = False
        if self._exchange is not None:
            self._exchange.wake()

    def _hang_up(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()
        elif exchange.until_close and exc is None:
            self._keep = False
            try:
                self._see_whole(exchange)
            except BackendError as error:
                self.fail(error)
            else:
                self._finish(exchange)
        elif self._answering:
            self.fail(failed("truncated", "the backend closed the connection in the middle of its answer"))
        else:
            exchange.stale = self.served > 0 and self._loop.time() - self._began < STALE_S
            self.fail(failed("reset", "the backend closed the connection without an answer"))

    def _after_body(self, exchange: Exchange) -> None:
        if exchange.streaming and exchange.held > self._limits.buffer_bytes:
            if not exchange.paused:
                exchange.paused = True
                self._transport.pause_reading()
            self.deadline = self._total
        else:
            self.deadline = min(self._loop.time() + self._timeouts.idle_s, self._total)

    def _count_head(self, count: int) -> None:
        """Count bytes that brought no body: a header, chunk extension or trailer without an end would fill memory."""
        self._head_bytes += count
        if self._head_bytes > self._limits.head_bytes:
            self.fail(self._too_much_head())

    def _too_much_head(self) -> BackendError:
        return failed("too_large", f"the headers of the answer exceed {self._limits.head_bytes} bytes")

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        self.deadline = NEVER
        self.served += 1
        if exchange.paused:
            exchange.paused = False
            self._transport.resume_reading()
        if self._keep and not self._spoilt and not self._unsent and not self._transport.is_closing():
            self._pool.released(self)
        else:
            self.abort()
        exchange.finish()

    # ------------------------------------------------------------------------------------------- httptools' callbacks

    def on_message_begin(self) -> None:
        """See a message begin; one behind the end of the answer spoils the connection."""
        if self._ended:
            self._spoilt = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or a trailer."""
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the head; refuse what could not be relayed as it is."""
        exchange = self._exchange
        if self._ended or exchange is None:
            return
        status: int = self._parser.get_status_code()
        if 100 <= status < 200:  # interim (RFC 9110, 15.2): the real head follows
            if status == 101:
                raise failed("protocol_error", "the backend changed the protocol though it was not asked to")
            return
        fields = self._fields
        if self._big_read and sum(len(name) + len(value) for name, value in fields) > self._limits.head_bytes:
            raise self._too_much_head()
        framing: dict[bytes, bytes] = {}
        for name, value in fields:
            if name in _FRAMING:
                framing[name] = framing[name] + b", " + value if name in framing else value
        if b"content-encoding" in framing:
            self._unpack = _unpacker(framing[b"content-encoding"].strip().lower().decode("latin-1"))
        until_close = self._framed_by_close(status, framing)
        self._fields = []  # trailers are no headers: they go nowhere
        exchange.take_head(status, fields, framing.get(b"content-type", b""), until_close=until_close)
        if not exchange.streaming and int(framing.get(b"content-length", 0)) > self._limits.body_bytes:
            raise self._too_much_body()

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        exchange = self._exchange
        if self._ended or exchange is None:
            return
        if self._unpack is None:
            exchange.take(piece)
        else:
            self._take_unpacked(exchange, self._unpack, piece)
        if not exchange.streaming and exchange.held > self._limits.body_bytes:
            raise self._too_much_body()

    def on_message_complete(self) -> None:
        """See the end of a message: of the answer, or of an interim one before it."""
        exchange = self._exchange
        if exchange is None or not exchange.status:
            self._fields = []
        elif not self._ended:
            self._see_whole(exchange)
            self._ended = True
            self._keep = self._parser.should_keep_alive()

    def _take_unpacked(self, exchange: Exchange, unpack: Unpack, packed: bytes) -> None:
        exchange.received += len(packed)  # it came, even if nothing can be made of it yet
        size = 0
        try:
            for piece in unpack(packed):
                exchange.take(piece)
                size += len(piece)
                if exchange.held > self._limits.body_bytes or (exchange.streaming and size > UNPACKED_AT_ONCE):
                    raise self._too_much_body()
        except ValueError as fault:
            raise failed("protocol_error", f"the answer of the backend cannot be unpacked: {fault}") from None

    def _see_whole(self, exchange: Exchange) -> None:
        """Raise BackendError where what came packed is not whole, although the message is."""
        if self._unpack is not None and exchange.received:
            try:
                list(self._unpack(b""))
            except ValueError as fault:
                raise failed("truncated", f"the answer of the backend cannot be unpacked: {fault}") from None

    def _too_much_body(self) -> BackendError:
        return failed("too_large", f"the answer exceeds {self._limits.body_bytes} bytes")

    def _framed_by_close(self, status: int, framing: dict[bytes, bytes]) -> bool:
        """Return whether only the end of the connection ends the body (RFC 9112, 6.3). Raises BackendError."""
        if b"transfer-encoding" in framing:
            if framing[b"transfer-encoding"].lower() != b"chunked":
                raise failed("protocol_error", "the backend sent a transfer coding other than chunked")
            return False
        if not self._parser.get_http_version().startswith("1."):
            raise failed("protocol_error", "the backend answered in another version of HTTP than 1.1")
        return b"content-length" not in framing and status not in (204, 304)


def _unpacker(coding: str) -> Unpack | None:
    if coding in ("", "identity"):
        return None
    unpack = unpacker(coding)
    if unpack is None:
        raise failed(
            "protocol_error", f'the backend sent an answer in a content coding that is not known: "{coding[:64]}"'
        )
    return unpack
