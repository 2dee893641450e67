"""The edge: what is refused before anything looks at a request, and how a body is read within bounds.

`EdgeGuard` stands in front of all routing and looks at the head alone:

    more than `in_flight` requests    503, retry-after; health and metrics are always answered
    headers too large                 431
    no Host, or two                   400    (RFC 9112, 3.2)
    a Host or Origin not allowed      400, 403; health is answered under any name
    two lengths, or a length and a
    transfer encoding                 400    (RFC 9112, 6.3: the way in for request smuggling)
    a content encoding                415    (a small body could unpack to a huge one)
    a length over the limit           413, before any of it is read

`read_body` reads within the size, the deadline and the least rate: 413 or 408. A refused body is not waited for; the
connection's end is the protocol's affair (`router.server.protocol`). `watch_disconnect` notices that a client is gone.

All of it costs a fast request some microseconds: one walk over the headers, one timer for the body, one for the watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from router.core.errors import RequestError
from router.server.settings import LimitSettings

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]
Shape: TypeAlias = Callable[[RequestError, str], bytes]

HEALTH = frozenset({"/health/live", "/health/ready"})
"""Paths that are answered under any name: probes call us by address."""

ALWAYS_ANSWERED = HEALTH | {"/metrics"}
"""Paths that are answered under any load: whoever watches us must see that we are alive."""

RETRY_AFTER_S = 1
GRACE_SHARE = 0.1
"""The share of the body deadline after which the least rate must be kept; before, a connection may warm up."""

WATCH_AFTER_S = 0.1
"""A client is watched only from here on: a faster answer is not worth stopping."""

REMEMBERED_HOSTS = 256
_WATCHED = frozenset({b"host", b"origin", b"content-length", b"transfer-encoding", b"content-encoding"})
_NO_RETRY = {"x-should-retry": "false"}


class ClientGone(RequestError):
    """The client closed the connection. Nobody reads the answer; 499 is nginx's word for it in logs."""

    def __init__(self) -> None:
        super().__init__("The client closed the connection.", status=499, code="client_gone")


class EdgeGuard:
    """An ASGI application in front of another. `hosts` are the names that are answered, None for all.

    `shape` makes the body of an error at a path. Anything that is not HTTP passes: serve without a WebSocket protocol.
    """

    def __init__(self, app: AsgiApp, limits: LimitSettings, hosts: Iterable[str] | None, shape: Shape) -> None:
        self._app = app
        self._body_bytes = int(limits.body_bytes)
        self._header_bytes = int(limits.header_bytes)
        self._in_flight_most = limits.in_flight
        self._hosts = None if hosts is None else HostList(hosts)
        self._shape = shape
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        return self._in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except RequestError as error:
            await _refuse(error, self._shape(error, scope["path"]), send)
            return
        self._in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._in_flight -= 1

    def _check(self, scope: Scope) -> None:
        if self._in_flight >= self._in_flight_most and scope["path"] not in ALWAYS_ANSWERED:
            raise RequestError(
                "The router is serving as many requests as it can. Try again.",
                status=503,
                code="overloaded",
                kind="server_error",
                headers={"retry-after": str(RETRY_AFTER_S)},
            )
        size = 0
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4  # ": " and CRLF
            if name in _WATCHED:
                if name in found:
                    raise _bad(f"There is more than one {name.decode()} header.")
                found[name] = value
        if size > self._header_bytes:
            raise RequestError(
                f"The headers are larger than {self._header_bytes} bytes.",
                status=431,
                code="headers_too_large",
                headers=_NO_RETRY,
            )
        self._check_hosts(found, scope)
        if b"transfer-encoding" in found and b"content-length" in found:
            raise _bad("There is both a content-length and a transfer-encoding.")
        _check_encoding(found.get(b"content-encoding"))
        length = found.get(b"content-length")
        if length is not None and _length(length) > self._body_bytes:
            raise too_large(self._body_bytes)

    def _check_hosts(self, found: Mapping[bytes, bytes], scope: Scope) -> None:
        host = found.get(b"host")
        if host is None:
            if scope.get("http_version") == "1.1":
                raise _bad("There is no Host header.")
            return
        hosts = self._hosts
        if hosts is None or scope["path"] in HEALTH:
            return
        if not hosts.has(host):
            raise RequestError(
                f'This server does not answer for the host "{_shown(host)}". Its operator can allow it under `hosts:`'
                " in router.yaml.",
                code="host_not_allowed",
                headers=_NO_RETRY,
            )
        origin = found.get(b"origin")
        if origin is not None and not hosts.has(origin.partition(b"://")[2]):
            raise RequestError(
                f'Web pages of "{_shown(origin)}" may not use this server. Its operator can allow their host under'
                " `hosts:` in router.yaml.",
                status=403,
                code="origin_not_allowed",
                kind="permission_error",
                headers=_NO_RETRY,
            )


class HostList:
    """Names of hosts, without ports: `example.com`, `*.example.com` for all below it, `::1`."""

    def __init__(self, names: Iterable[str]) -> None:
        lowered = [name.lower().strip("[]") for name in names]
        self._exact = frozenset(name for name in lowered if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in lowered if name.startswith("*."))
        self._answers: dict[bytes, bool] = {}

    def has(self, host: bytes) -> bool:
        """Say whether the list has the host of a Host header or of an origin; a port does not matter."""
        answer = self._answers.get(host)
        if answer is None:
            name = _host_name(host.decode("latin-1").lower())
            answer = bool(name) and (name in self._exact or name.endswith(self._suffixes))
            if len(self._answers) >= REMEMBERED_HOSTS:
                self._answers.clear()
            self._answers[host] = answer
        return answer


def _host_name(host: str) -> str:
    """Return a host without its port, and an IPv6 address without its brackets.

    >>> _host_name("[::1]:8080"), _host_name("example.com:80")
    ('::1', 'example.com')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def read_body(receive: Receive, headers: RawHeaders, limits: LimitSettings) -> bytes:
    """Return the whole body of a request that EdgeGuard let pass.

    Raises RequestError: 413 when more comes than `body_bytes`, 408 when it is not there in time or comes too slowly;
    ClientGone when the client gives up.
    """
    alarm = _BodyAlarm(limits)
    try:
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await _rest(receive, body, alarm, int(limits.body_bytes))
        elif message["type"] == "http.disconnect":
            raise ClientGone
    except asyncio.CancelledError:
        alarm.explain()
        raise
    finally:
        alarm.stop()
    if len(body) > limits.body_bytes:
        raise too_large(int(limits.body_bytes))
    return body


async def _rest(receive: Receive, first: bytes, alarm: _BodyAlarm, most: int) -> bytes:
    parts = [first]
    alarm.received = len(first)
    more = True
    while more:
        if alarm.received > most:
            raise too_large(most)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        parts.append(part)
        alarm.received += len(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def bounded_receive(receive: Receive, headers: RawHeaders, limits: LimitSettings) -> Receive:
    """Return a `receive` whose body is read by `read_body`, whole, when it is first asked for.

    For applications that read a request themselves. RequestError comes out of the receive that asked.
    """
    begun = False

    async def bounded() -> Message:
        nonlocal begun
        if begun:
            return await receive()
        begun = True
        try:
            return {"type": "http.request", "body": await read_body(receive, headers, limits), "more_body": False}
        except ClientGone:
            return {"type": "http.disconnect"}

    return bounded


class _BodyAlarm:
    """Cancels the task that reads a body when the deadline has passed or the rate is too low.

    One timer, set when reading begins; while bytes come fast enough it only moves on. asyncio.timeout does the same for
    the deadline alone, at five times the price (4 microseconds against 0.8).
    """

    __slots__ = ("_began", "_deadline_s", "_grace_s", "_loop", "_rate", "_task", "_timer", "rang", "received")

    def __init__(self, limits: LimitSettings) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._deadline_s = limits.body_deadline_s
        self._grace_s = limits.body_deadline_s * GRACE_SHARE
        self._rate = limits.body_bytes_per_s
        self._began = self._loop.time()
        self.received = 0
        self.rang = False
        self._timer = self._loop.call_later(self._grace_s, self._ring)

    def _ring(self) -> None:
        passed_s = self._loop.time() - self._began
        allowed_s = min(self._deadline_s, self._grace_s + self.received / self._rate)
        if passed_s < allowed_s:
            self._timer = self._loop.call_later(allowed_s - passed_s, self._ring)
        elif self._task is not None:
            self.rang = True
            self._task.cancel()

    def stop(self) -> None:
        self._timer.cancel()

    def explain(self) -> None:
        """Raise the 408 if it was this alarm that cancelled the task, and nobody else did."""
        if self.rang and self._task is not None and self._task.uncancel() <= 0:
            raise RequestError(
                f"The body did not come in time: within {self._deadline_s:g} s, at {self._rate} bytes/s or more.",
                status=408,
                code="request_timeout",
                kind="timeout_error",
            ) from None


class DisconnectWatch:
    """A context in which a task is cancelled when the client goes away; leaving it then raises ClientGone.

    Only listens after WATCH_AFTER_S. The body must have been read: what is received is thrown away.
    """

    __slots__ = ("_gone", "_listener", "_receive", "_task", "_timer")

    def __init__(self, receive: Receive, task: asyncio.Task[Any] | None, after_s: float) -> None:
        self._receive = receive
        self._task = task
        self._gone = False
        self._listener: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(after_s, self._listen)

    def __enter__(self) -> DisconnectWatch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
        if self._gone and kind is asyncio.CancelledError and self._task is not None and self._task.uncancel() <= 0:
            raise ClientGone from None

    def _listen(self) -> None:
        self._listener = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._task is not None:
            self._gone = True
            self._task.cancel()


def watch_disconnect(
    receive: Receive, task: asyncio.Task[Any] | None, after_s: float = WATCH_AFTER_S
) -> DisconnectWatch:
    """Return the context in which `task`, the one that enters it, ends with ClientGone when the client goes away.

    uvicorn's `send` returns silently after a disconnect, so this is the only way to learn of it.
    """
    return DisconnectWatch(receive, task, after_s)


def too_large(most: int) -> RequestError:
    """Return the error for a body of more than `most` bytes."""
    return RequestError(f"The body is larger than {most} bytes.", status=413, code="body_too_large", headers=_NO_RETRY)


def _check_encoding(encoding: bytes | None) -> None:
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise RequestError(
            f'Content-encoding "{_shown(encoding)}" is not accepted; send the body as it is.',
            status=415,
            code="unsupported_encoding",
            headers={"accept-encoding": "identity", **_NO_RETRY},
        )


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise _bad(f'The content-length "{_shown(value)}" is no number of bytes.')
    return int(value)


def _bad(message: str) -> RequestError:
    return RequestError(message, code="bad_request", headers=_NO_RETRY)


def _shown(value: bytes) -> str:
    return value[:100].decode("latin-1")


async def _refuse(error: RequestError, body: bytes, send: Send) -> None:
    headers = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
