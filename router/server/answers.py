"""How answers leave: headers of ours added, hop-by-hop ones left out, errors in the shape of the wire format."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any

from router.core.decision import Decision
from router.core.errors import BackendError, RequestError, RouterError
from router.core.policy import Level
from router.core.ports import Wire
from router.engine.pipeline import Reply
from router.wire import status_of

Send = Callable[[dict[str, Any]], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

OURS = frozenset({"content-length", "transfer-encoding", "connection", "x-request-id", "request-id"})
"""Headers that are ours to write, whatever the backend said."""

STREAM_HEADERS: RawHeaders = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
"""Keep proxies in front of us from collecting a stream before they pass it on."""


FEEDBACK_HEADER = b"x-router-feedback"
"""Carries the token with which feedback on an answer can be sent."""


def reply_headers(reply: Reply, tell: bool, id_header: bytes = b"x-request-id", token: bytes = b"") -> RawHeaders:
    """Return the headers of a reply. `tell` adds what was decided, `id_header` carries the request's id.

    A `token` for feedback goes with it where there is one.
    """
    headers = encoded(reply.headers)
    headers.append((id_header, reply.id.encode()))
    if reply.chunks is not None:
        headers += STREAM_HEADERS
    if tell and reply.decision is not None:
        headers += decision_headers(reply.decision, reply.id)
        if token:
            headers.append((FEEDBACK_HEADER, token))
    return headers


def decision_headers(decision: Decision, decision_id: str) -> RawHeaders:
    """Return the headers that tell an app what was decided."""
    told = _told(decision.task, decision.level, decision.revision, decision.outcome)
    return [(b"x-router-decision", decision_id.encode()), *told]


@lru_cache(4096)
def _told(task: str, level: Level, revision: str, outcome: str) -> RawHeaders:
    return [
        (b"x-router-task", task.encode()),
        (b"x-router-level", level.word.encode()),
        (b"x-router-revision", revision.encode()),
        (b"x-router-outcome", outcome.encode()),
    ]


def encoded(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Return headers as ASGI wants them, without those that we write ourselves."""
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers if name not in OURS]


async def send_whole(status: int, headers: RawHeaders, body: bytes, send: Send) -> None:
    """Send a whole answer."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def error_answer(
    error: RouterError, wire: Wire, request_id: str, send: Send, id_header: bytes = b"x-request-id"
) -> None:
    """Send an error in the wire format's own shape."""
    headers: RawHeaders = [(b"content-type", b"application/json"), (id_header, request_id.encode())]
    if isinstance(error, RequestError | BackendError):
        given = error.headers.items() if isinstance(error, RequestError) else error.headers
        headers += [header for header in encoded(given) if header[0] != b"content-type"]
    await send_whole(status_of(error), headers, wire.error_body(error), send)
