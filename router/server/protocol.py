"""What uvicorn's HTTP/1.1 protocol leaves open, closed: clients that send or read too slowly, and heads without end.

    a head that does not get complete    408 after header_deadline_s; a connection on which none begins is closed
    a head over header_bytes             431, before it is complete
    chunk extensions or trailers         413
    without end
    a body that is sent on after the     thrown away for body_deadline_s, so that the client can finish sending and read
    request was refused                  the refusal; then the connection is cut
    an answer that is not read           cut when the write buffer has not drained for slow_reader_s
    anything llhttp refuses (two         400 in the shape that clients of this API expect
    lengths, a length and a transfer
    encoding, broken syntax)

The deadline of a body that is being read is `read_body`'s, that of an idle connection uvicorn's (timeout_keep_alive).
Only a connection that is behind has a timer, so one that keeps up pays a few attribute look-ups.

An answer behind which a connection closes while its request is still coming (a refusal, for HTTP/1.0 and
`Connection: close`, as nginx speaks to us by default) is followed by a half-close, and what still comes is thrown away
for a while: closing at once would make the kernel reset the connection and could take the answer with it (RFC 9112,
9.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from router.core.errors import RequestError
from router.server.request_body import too_large
from router.server.request_guard import UPLOADS, headers_too_large
from router.server.settings import LimitSettings
from router.wire.faults import error_body

LINGER_S = 2.0
"""How long a client whose head was refused may take to read the refusal; nginx gives 5 s between two reads
(lingering_timeout)."""


def protocol_for(limits: LimitSettings) -> type[_GuardedProtocol]:
    """Return the protocol class with these limits, for `uvicorn.Config(http=...)`."""
    return type("LimitedProtocol", (_GuardedProtocol,), {"limits": limits})


CHUNK_COST = 6
"""A body of chunks of one byte is sent as six times its size; what takes more is extensions and trailers."""

_OFFER = frozenset({b"connection", b"upgrade", b"http2-settings"})


class _Refused(Exception):
    """Ends llhttp's parsing from inside a callback."""


class _AnswerTransport:
    """The transport as an answer sees it: writing goes straight through, closing is the protocol's affair."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class _GuardedProtocol(HttpToolsProtocol):
    """One connection. `protocol_for` fills in the limits.

    An Upgrade is ignored, as a server may (RFC 9110, 7.8): Java's HttpClient offers HTTP/2 that way with every first
    request. There are no WebSockets.
    """

    limits: ClassVar[LimitSettings] = LimitSettings()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True  # between two requests counts as head: no body is under way
        self._begun = False  # some bytes of a head have come, not all
        self._head_bytes = 0  # an upper bound: whatever was fed while in a head
        self._body_bytes = 0  # as sent, with the frames of chunks
        self._most_body_bytes = CHUNK_COST * int(self.limits.body_bytes) + int(self.limits.header_bytes)
        self._too_large = False
        self._deaf = False  # whatever still comes is thrown away
        self._deadline: asyncio.TimerHandle | None = None  # of the state the connection is in
        self._drain: asyncio.TimerHandle | None = None  # of an answer that is not read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._answers = _AnswerTransport(transport, self._close)
        self._set_deadline(self.limits.header_deadline_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadlines."""
        self._clear_deadline()
        self._clear_drain()
        super().connection_lost(exc)

    # ------------------------------------------------------------------------------------------------------- requests

    def data_received(self, data: bytes) -> None:
        """Parse, then see whether the connection is behind."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._body_bytes += len(data)
        try:
            self._parse(memoryview(data))
        except httptools.HttpParserError:
            self.send_400_response("")
            return
        if self._begun:
            self._wait_for_head()
        elif self.cycle is not None and self.cycle.response_complete:
            if self._in_head:
                self._wait_for_request()
        elif self._body_bytes > self._most_body_bytes and not self._may_upload():
            self._refuse(too_large(int(self.limits.body_bytes)))

    def _may_upload(self) -> bool:
        most = int(self.limits.upload_bytes)
        return self._body_bytes <= most + most // 8 and UPLOADS.search(self.url.decode("latin-1")) is not None

    def _parse(self, data: memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as offer:
                # llhttp takes what follows for another protocol, body and all. We speak no other: say the head again
                # without the offer, and go on behind it.
                head = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
                head += [name + b": " + value for name, value in self.headers if name not in _OFFER]
                self.parser.feed_data(b"\r\n".join(head) + b"\r\n\r\n")
                data = data[offer.args[0] :]

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._begun = True

    def on_headers_complete(self) -> None:
        """Start the application, unless the head is too large or will come again without its offer."""
        most = self.limits.header_bytes
        if self._head_bytes > most and self._exact_head_bytes() > most:
            self._too_large = True
            raise _Refused
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused
            return
        self._in_head = self._begun = False
        self._clear_deadline()
        super().on_headers_complete()
        self.cycle.transport = self._answers  # type: ignore[assignment]  # all of a transport that it uses
        self.headers = []  # for trailers, which must not become headers of a request that is under way

    def on_message_complete(self) -> None:
        """Note that the request is whole."""
        if self._begun:
            return
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = self._body_bytes = 0
        self._clear_deadline()

    def on_response_complete(self) -> None:
        """Give what is still coming of the body, or still waiting to be read, its deadline."""
        if self._deaf:
            return
        super().on_response_complete()
        if self.transport.is_closing():
            self._wait_for_reader()
        elif not self._in_head and self.cycle.response_complete:
            self._set_deadline(self.limits.body_deadline_s, self.transport.abort)

    def _wait_for_head(self) -> None:
        if self._head_bytes > self.limits.header_bytes:
            self._too_large = True
            self.send_400_response("")
        elif self._deadline is None:
            self._set_deadline(self.limits.header_deadline_s, self._head_is_late)

    def _wait_for_request(self) -> None:
        """Be idle again: what came was no request, or the rest of a refused one."""
        self._head_bytes = 0
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _head_is_late(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            # A pipelined head waits behind an answer that is still being written.
            self._set_deadline(self.limits.header_deadline_s, self._head_is_late)
        elif self._begun:
            seconds = self.limits.header_deadline_s
            self._refuse(
                RequestError(
                    f"The headers did not come within {seconds:g} s (limits.header_deadline_s).",
                    status=408,
                    code="request_timeout",
                    kind="timeout_error",
                )
            )
        else:
            self.transport.close()

    def _exact_head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)  # ": " and CRLF

    # ------------------------------------------------------------------------------------------------------- refusals

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed. uvicorn calls this for every fault in a request's syntax."""
        if self._too_large:
            self._refuse(
                RequestError(headers_too_large(int(self.limits.header_bytes)), status=431, code="headers_too_large")
            )
        else:
            self._refuse(RequestError("This is not a valid HTTP request.", code="bad_request"))

    def _refuse(self, error: RequestError) -> None:
        self._deaf = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # whatever the application still says about this request is not sent
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.abort()  # the middle of an answer is no place for another
                return
        body = error_body(error)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self._hang_up(LINGER_S if self._in_head else self.limits.body_deadline_s)

    def _close(self) -> None:
        """Close behind an answer, at once if its request has come whole."""
        if self._in_head:
            self.transport.close()
        elif not self._deaf:
            self._deaf = True
            self._hang_up(self.limits.body_deadline_s)

    def _hang_up(self, linger_s: float) -> None:
        """Say no more, and throw away what still comes for so long."""
        if not self.transport.can_write_eof():
            self.transport.close()
            self._wait_for_reader()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set_deadline(linger_s, self.transport.abort)

    # -------------------------------------------------------------------------------------------------------- answers

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """The client has read."""
        super().resume_writing()
        self._clear_drain()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose answer has not been read yet is not idle."""
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_reader(self) -> None:
        if self._drain is None and self.transport.get_write_buffer_size():
            self._drain = self.loop.call_later(self.limits.slow_reader_s, self._reader_is_late)

    def _reader_is_late(self) -> None:
        self._drain = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # --------------------------------------------------------------------------------------------------------- timers

    def _set_deadline(self, after_s: float, then: Callable[[], None]) -> None:
        self._clear_deadline()
        self._deadline = self.loop.call_later(after_s, then)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _clear_drain(self) -> None:
        if self._drain is not None:
            self._drain.cancel()
            self._drain = None
