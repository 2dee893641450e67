"""The request guard: what is refused before anything looks at a request.

`RequestGuard` stands in front of all routing and looks at the head alone:

    more than `in_flight` requests    503, retry-after; health and metrics are always answered
    headers too large                 431
    no Host, or two                   400    (RFC 9112, 3.2)
    a Host or Origin not allowed      400, 403; health is answered under any name
    two lengths, or a length and a
    transfer encoding                 400    (RFC 9112, 6.3: the way in for request smuggling)
    a content encoding                415    (a small body could unpack to a huge one)
    a length over the limit           413, before any of it is read

It costs a fast request one walk over the headers. How a body is read within bounds is `router.server.request_body`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from router.core.errors import RequestError
from router.server.request_body import too_large
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
REMEMBERED_HOSTS = 256
_WATCHED = frozenset({b"host", b"origin", b"content-length", b"transfer-encoding", b"content-encoding"})
_NO_RETRY = {"x-should-retry": "false"}


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
        self._body_bytes = int(limits.body_bytes)
        self._upload_bytes = int(limits.upload_bytes)
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
        try:
            self._check(scope)
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
        self._telemetry.in_flight += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._telemetry.in_flight -= 1

    def _check(self, scope: Scope) -> None:
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
            raise RequestError(
                "The router is serving as many requests as it can. Try again.",
                status=503,
                code="overloaded",
                kind="server_error",
                headers={"retry-after": str(RETRY_AFTER_S)},
            )
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
        if length is not None and (announced := _length(length)) > self._body_bytes:
            most = self._upload_bytes if UPLOADS.search(scope["path"]) else self._body_bytes
            if announced > most:
                raise too_large(most)

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
