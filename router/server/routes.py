"""The routes that are asked all the time, as plain ASGI: read, hand to the pipeline, write back.

Nothing here knows what a policy says. A request pays only for what it uses: no framework object is built for it, and
the client's going away is listened for only when the backend takes its time (`watch_disconnect`). Answers leave with
headers of ours added and hop-by-hop ones left out, errors in the shape of the wire format.

Stored responses, which a backend keeps, are asked for, listed, cancelled and deleted by their id, on the backend that
gave them. Such a request names no model. Which backend gave an answer stands in its trace, and so does whose it is
(`router.engine.threads`). Of answers from before the router, or from before its oldest trace, nothing is known; where
there is one tenant only, they are asked of the backend that answers to any name.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from starlette.types import Receive, Scope, Send

from router.backends import FORWARDED_HEADERS
from router.core.decision import Decision
from router.core.errors import BackendError, RequestError, RouterError
from router.core.policy import Level
from router.core.ports import Backend, BackendRequest, Wire
from router.engine.pipeline import Reply, reply_to
from router.engine.prepare import Call
from router.engine.send import BackendSender, BackendTarget
from router.engine.threads import Ownership
from router.server.keep_alive import KeepAlive
from router.server.keys import Caller, Keyring
from router.server.request_body import read_body, watch_disconnect
from router.server.settings import LimitSettings
from router.wire import status_of

RawHeaders = list[tuple[bytes, bytes]]

OURS = frozenset({"content-length", "transfer-encoding", "connection", "x-request-id", "request-id"})
"""Headers that are ours to write, whatever the backend said."""

STREAM_HEADERS: RawHeaders = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
"""Keep proxies in front of us from collecting a stream before they pass it on."""


FEEDBACK_HEADER = b"x-router-feedback"
"""Carries the token with which feedback on an answer can be sent."""

UNNAMED = (b"x-router-conversation", b"unnamed")
"""Tells an app that its request did not say which conversation it belongs to."""


def new_decision_id() -> str:
    """Return an id that nobody can guess (64 random bits), in the order of time, so that an index grows at its end."""
    return f"dec_{time.time_ns() // 1_000_000:011x}{os.urandom(8).hex()}"


def read_headers(raw: RawHeaders) -> dict[str, str]:
    """Return a request's headers by name, which ASGI gives in lower case; the first of a name wins."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}


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
        if reply.unnamed:
            headers.append(UNNAMED)
        if token:
            headers.append((FEEDBACK_HEADER, token))
    return headers


def decision_headers(decision: Decision, decision_id: str) -> RawHeaders:
    """Return the headers that tell an app what was decided, the main task first; a shortlist where there is one."""
    told = _told(decision.tasks, decision.level, decision.revision, decision.outcome)
    if decision.shortlist:
        told = [*told, (b"x-router-shortlist", ", ".join(decision.listed).encode())]
    return [(b"x-router-decision", decision_id.encode()), *told]


@lru_cache(4096)
def _told(tasks: tuple[str, ...], level: Level, revision: str, outcome: str) -> RawHeaders:
    return [
        (b"x-router-task", ", ".join(tasks).encode()),
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


Serve = Callable[[Call], Awaitable[Reply]]

FORWARDED = frozenset(name.encode() for name in FORWARDED_HEADERS)


@dataclass(frozen=True)
class InferenceRoute:
    """One wire format's route: a request is posted, and the model's answer comes back.

    `serve` is `Pipeline.run`, or `Pipeline.pass_on` for what is no conversation. `tell` says whether answers carry what
    was decided. `id_header` is where clients of the format look for the id of their request. `sign` makes the token
    of a decision of a tenant with which a web page may send feedback on it.
    """

    wire: Wire
    serve: Serve
    keyring: Keyring
    limits: LimitSettings
    new_id: Callable[[], str]
    tell: bool = True
    id_header: bytes = b"x-request-id"
    sign: Callable[[str, str], bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error leaves in the shape of the wire format."""
        request_id = self.new_id()
        try:
            if scope["method"] != "POST":
                raise RequestError("Use POST here.", status=405, code="method_not_allowed", headers={"allow": "POST"})
            headers = read_headers(scope["headers"])
            caller = self.keyring.admit(headers, "infer")
            with self.keyring.slot(caller):
                body = await read_body(receive, self.limits)
                if "router.model" in scope:
                    body = with_model(body, scope["router.model"])
                call = self._call(scope, headers, caller, body, request_id)
                with watch_disconnect(receive, asyncio.current_task()):
                    reply = await self.serve(call)
                    told = self.tell and reply.decision is not None
                    token = self.sign(request_id, caller.tenant) if told and self.sign is not None else b""
                    await send_reply(reply, send, self.limits.stream_comment_s, self.tell, self.id_header, token)
        except RouterError as error:
            await error_answer(error, self.wire, request_id, send, self.id_header)

    def _call(self, scope: Scope, headers: Mapping[str, str], caller: Caller, body: bytes, request_id: str) -> Call:
        policy = caller.policy_for(scope.get("router.policy") or headers.get("x-router-policy"))
        off = headers.get("x-router") == "off"
        if off and not caller.may_turn_off:
            raise RequestError(
                "This key may not switch the router off.",
                status=403,
                code="not_allowed",
                param="x-router",
                kind="permission_error",
                headers={"x-should-retry": "false"},
            )
        user = next(filter(None, map(headers.get, caller.trusted_headers)), "")
        return Call(
            self.wire, body, headers, caller.tenant, policy, off, forward=forwarded(scope), user=user, id=request_id
        )


def with_model(body: bytes, model: str) -> bytes:
    """Return a JSON body that names this model; what is no JSON object as it came, for others to refuse."""
    try:
        fields = _FIELDS.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body
    return msgspec.json.encode(fields | {"model": model})


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def forwarded(scope: Scope) -> tuple[tuple[str, str], ...]:
    """Return the client's headers that may go to a backend."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name in FORWARDED
    )


async def send_reply(
    reply: Reply,
    send: Send,
    comment_s: float,
    tell: bool = True,
    id_header: bytes = b"x-request-id",
    token: bytes = b"",
) -> None:
    """Send a reply, whole or as a stream that is closed come what may.

    A stream of events gets a comment whenever it was silent for `comment_s`, if that is not 0.
    """
    headers = reply_headers(reply, tell, id_header, token)
    if reply.chunks is None:
        await send_whole(reply.status, headers, reply.body, send)
        return
    async with aclosing(reply.chunks) as chunks:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        with closing(KeepAlive(send, comment_s if _are_events(reply) else 0)) as keep_alive:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                keep_alive.sent(chunk)
    await send({"type": "http.response.body", "body": b""})


def _are_events(reply: Reply) -> bool:
    return any(
        name == "content-type" and value.lower().startswith("text/event-stream") for name, value in reply.headers
    )


STORED_PATH = re.compile(r"/v1(/responses/([A-Za-z0-9_-]{1,200})(?:/(input_items|cancel))?)")

_METHODS = {None: ("GET", "DELETE"), "input_items": ("GET",), "cancel": ("POST",)}


@dataclass(frozen=True)
class StoredResponseRoute:
    """The routes of stored responses. `default` is the backend that is asked for answers of which nothing is known."""

    wire: Wire
    keyring: Keyring
    limits: LimitSettings
    new_id: Callable[[], str]
    ownership: Ownership
    sender: BackendSender
    backends: Mapping[str, Backend]
    default: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error leaves in the shape of the wire format."""
        request_id = self.new_id()
        try:
            headers = read_headers(scope["headers"])
            caller = self.keyring.admit(headers, "infer")
            with self.keyring.slot(caller):
                body = await read_body(receive, self.limits)
                with watch_disconnect(receive, asyncio.current_task()):
                    reply = await self._ask(scope, caller.tenant, body, request_id)
                    await send_reply(reply, send, self.limits.stream_comment_s)
        except RouterError as error:
            await error_answer(error, self.wire, request_id, send)

    async def _ask(self, scope: Scope, tenant: str, body: bytes, request_id: str) -> Reply:
        matched = STORED_PATH.fullmatch(scope["path"])
        assert matched is not None
        path, answer_id, part = matched.groups()
        method = scope["method"]
        if method not in _METHODS[part]:
            allowed = ", ".join(_METHODS[part])
            raise RequestError(
                f"Use {allowed} here.", status=405, code="method_not_allowed", headers={"allow": allowed}
            )
        query = scope["query_string"].decode("latin-1")
        backend = self.backends.get(await self.ownership.backend_of(tenant, answer_id)) or self.backends[self.default]
        outgoing = BackendRequest(
            f"{path}?{query}" if query else path,
            body,
            forwarded(scope),
            stream="stream=true" in query.split("&"),
            method=method,
        )
        sent = await self.sender.send((BackendTarget(backend),), lambda _: outgoing)
        return reply_to(sent, self.wire, request_id, outgoing.stream)
