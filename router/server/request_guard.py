"""The request guard: what is refused before anything looks at a request.

`RequestGuard` stands in front of all routing and looks at the head alone:

    more than `in_flight` requests,
    or more bytes of their bodies
    than `body_bytes_in_flight`       503, retry-after; health and metrics are always answered
    headers too large                 431
    no Host, or two                   400    (RFC 9112, 3.2)
    a Host or Origin not allowed      400, 403; health is answered under any name
    two lengths, or a length and a
    transfer encoding                 400    (RFC 9112, 6.3: the way in for request smuggling)
    a content encoding that is none
    of CODINGS                        415
    a length over the limit           413, before any of it is read

It costs a fast request one walk over the headers. How a body is read within bounds is `router.server.request_body`'s;
what comes packed is unpacked there on its way in, so that whatever stands behind the guard reads it plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from router.core.codings import CODINGS, Unpack, unpacker
from router.core.errors import RequestError
from router.server.request_body import counted, too_large, unpacked
from router.server.settings import LimitSettings
from router.server.telemetry import Telemetry
from router.server.web_pages import WebPages

Shape: TypeAlias = Callable[[RequestError, str], bytes]

HEALTH = frozenset({"/health/live", "/health/ready"})
"""Paths that are answered under any name: probes call us by address."""

ALWAYS_ANSWERED = HEALTH | {"/metrics"}
"""Paths that are answered under any load: whoever watches us must see that we are alive."""

OTHER_WORDS = frozenset(
    {"audio", "batches", "conversations", "files", "images", "rerank", "score", "uploads", "vector_stores", "videos"}
)
"""First words of routes that are passed on as they are, with bodies of up to `upload_bytes`."""

UPLOADS = re.compile(rf"/(?:{'|'.join(sorted(OTHER_WORDS))})(?:[/?]|$)")

RETRY_AFTER_S = 1

SMALL = 64 * 1024
"""A body that says that it is no larger is counted before it has come; larger ones, and those of which nobody knows, as
they come: who promises much and sends nothing must not keep others out."""

REMEMBERED_HOSTS = 256
_WATCHED = frozenset({b"host", b"origin", b"content-length", b"transfer-encoding", b"content-encoding"})
_NO_RETRY = {"x-should-retry": "false"}
_PLAIN = (b"", b"identity")
_PACKED = frozenset({b"content-encoding", b"content-length"})  # what no longer holds of a body that was unpacked


class RequestGuard:
    """An ASGI application in front of another. `hosts` are the names that are answered, None for all.

    `shape` makes the body of an error at a path, `telemetry` has the number of requests under way. `origins` and
    `feedback_origins` are the settings'. Anything that is not HTTP passes: serve without a WebSocket protocol.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: LimitSettings,
        hosts: Iterable[str] | None,
        shape: Shape,
        telemetry: Telemetry | None = None,
        origins: Iterable[str] | None = None,
        feedback_origins: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._limits = limits
        self._body_bytes = int(limits.body_bytes)
        self._upload_bytes = int(limits.upload_bytes)
        self._held_most = max(int(limits.body_bytes_in_flight), self._body_bytes)
        self._header_bytes = int(limits.header_bytes)
        self._in_flight_most = limits.in_flight
        self._hosts = None if hosts is None else HostList(hosts)
        self._pages = WebPages(origins, self._hosts.has if self._hosts else None, feedback_origins)
        self._shape = shape
        self._telemetry = telemetry or Telemetry()

    @property
    def in_flight(self) -> int:
        """How many requests are being served."""
        return self._telemetry.in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        telemetry = self._telemetry
        try:
            length, unpack = self._check(scope)
        except RequestError as error:
            if "router.origin" in scope:
                send = self._pages.telling(scope["router.origin"], send)
            await _refuse(error, self._shape(error, scope["path"]), send)
            return
        if "router.origin" in scope:
            origin = scope["router.origin"]
            if self._pages.may_call(origin) and self._pages.answers(scope):
                await self._pages.answer_preflight(scope, origin, send)
                return
            send = self._pages.telling(origin, send)
        telemetry.in_flight += 1
        if unpack is None and 0 <= length <= SMALL:
            telemetry.body_bytes += length
            try:
                await self._app(scope, receive, send)
            finally:
                telemetry.body_bytes -= length
                telemetry.in_flight -= 1
            return
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            held += size
            telemetry.body_bytes += size
            if telemetry.body_bytes > self._held_most:
                raise self._too_much_held()

        try:
            if unpack is not None:
                receive = unpacked(receive, unpack, self._limits)
                scope = {**scope, "headers": [header for header in scope["headers"] if header[0] not in _PACKED]}
            await self._app(scope, counted(receive, hold), send)
        finally:
            telemetry.body_bytes -= held
            telemetry.in_flight -= 1

    def _check(self, scope: Scope) -> tuple[int, Unpack | None]:
        """Return the length of the body, -1 where it does not say, and what unpacks it. Raises RequestError."""
        size = 0
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            size += len(name) + len(value) + 4  # ": " and CRLF
            if name in _WATCHED:
                if name in found:
                    raise _bad(f"There is more than one {name.decode()} header.")
                found[name] = value
        if b"origin" in found:
            scope["router.origin"] = found[b"origin"]  # from here on a page may read why it is refused
        if self._telemetry.in_flight >= self._in_flight_most and scope["path"] not in ALWAYS_ANSWERED:
            raise _overloaded(f"serving {self._in_flight_most} requests, as many as limits.in_flight allows")
        if size > self._header_bytes:
            raise RequestError(
                headers_too_large(self._header_bytes), status=431, code="headers_too_large", headers=_NO_RETRY
            )
        self._check_hosts(found, scope)
        if b"transfer-encoding" in found and b"content-length" in found:
            raise _bad("There is both a content-length and a transfer-encoding.")
        unpack = None
        encoding = found.get(b"content-encoding")
        if encoding is not None and encoding.strip().lower() not in _PLAIN:
            unpack = _unpacker(encoding)
        length = -1 if b"transfer-encoding" in found else _length(found.get(b"content-length", b"0"))
        if unpack is None and _flows(scope):
            if length > self._upload_bytes:
                raise too_large(self._upload_bytes, "upload_bytes")
            return 0, None
        if length > self._body_bytes:
            raise too_large(self._body_bytes)
        if length and self._telemetry.body_bytes + max(length, 0) > self._held_most:
            raise self._too_much_held()
        return length, unpack

    def _too_much_held(self) -> RequestError:
        return _overloaded(f"holding {self._held_most} bytes of bodies, as many as limits.body_bytes_in_flight allows")

    def _check_hosts(self, found: Mapping[bytes, bytes], scope: Scope) -> None:
        host = found.get(b"host")
        if host is None:
            if scope.get("http_version") == "1.1":
                raise _bad("There is no Host header.")
            return
        if scope["path"] in HEALTH:
            return
        if self._hosts is not None and not self._hosts.has(host):
            raise RequestError(
                f'This server does not answer for the host "{_shown(host)}". Its operator can allow it under `hosts:`'
                " in router.yaml.",
                code="host_not_allowed",
                headers=_NO_RETRY,
            )
        origin = found.get(b"origin")
        if origin is not None:
            self._pages.check(origin, scope)


def _flows(scope: Scope) -> bool:
    """Say whether a body is a form that is passed on while it comes: it is never held as a whole."""
    if not UPLOADS.search(scope["path"]):
        return False
    kinds = (value for name, value in scope["headers"] if name == b"content-type")
    return next(kinds, b"").lower().startswith(b"multipart/")


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


def _unpacker(encoding: bytes) -> Unpack:
    unpack = unpacker(encoding.strip().lower().decode("latin-1"))
    if unpack is None:
        raise RequestError(
            f'Content-encoding "{_shown(encoding)}" is not accepted; send the body as it is, or in one of'
            f" {', '.join(CODINGS)}.",
            status=415,
            code="unsupported_encoding",
            headers={"accept-encoding": ", ".join((*CODINGS, "identity")), **_NO_RETRY},
        )
    return unpack


def headers_too_large(most: int) -> str:
    """Return what is said of headers of more than `most` bytes."""
    return f"The headers are larger than {most} bytes; the operator sets this limit as limits.header_bytes."


def _overloaded(doing: str) -> RequestError:
    return RequestError(
        f"The router is {doing}. Try again.",
        status=503,
        code="overloaded",
        kind="server_error",
        headers={"retry-after": str(RETRY_AFTER_S)},
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
