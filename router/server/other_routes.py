"""The other routes of the same base URL: audio, images, files, batches, conversations and what else is asked there.

They are passed through both ways as they come: nothing is recognised, woven or recorded. A request goes to the backend
of the model that it names (in JSON, in a form, in the query, or in Azure's path), else to the one that answers to any
name. A form (multipart, RFC 7578) is not waited for: it is read up to its `model`, and the rest flows while it is sent
on; so a file may be as large as `upload_bytes`. What names no model, or flows, is sent once, without fallback.

An answer that breaks off is never ended as a whole one: the connection is closed, or a stream of events ends with an
error. Where several tenants have keys, they share the provider's account: then only ids of a key's `provider_ids` are
passed on, and no list, which would show what is another tenant's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote

import msgspec
from starlette.types import Receive, Scope, Send

from router.assembly import WIRES
from router.core.errors import BackendError, RequestError, RouterError
from router.core.ports import Backend, BackendAnswer, BackendRequest, Upload, Wire
from router.engine.send import BackendResult, BackendSender, BackendTarget
from router.engine.threads import Ownership
from router.server.keys import Keyring
from router.server.request_body import ClientGone, read_body, too_large, watch_disconnect
from router.server.request_guard import OTHER_WORDS
from router.server.routes import (
    STREAM_HEADERS,
    RawHeaders,
    encoded,
    error_answer,
    forwarded,
    read_headers,
    send_whole,
    with_model,
)
from router.server.settings import LimitSettings
from router.wire.faults import error_event
from router.wire.strict_json import check, decode

OTHER_PATH = re.compile(rf"/v1(/(?:{'|'.join(sorted(OTHER_WORDS))}|messages/batches)(?:/[^/]+)*)")

_METHODS = ("GET", "POST", "DELETE")
_KEPT = re.compile(r"/(?:batches|conversations|files|messages/batches|uploads|vector_stores|videos)((?:/[^/]+)*)")
"""Routes behind which a provider keeps things under ids."""

_FORMS_WITH_MODEL = ("/audio/", "/images/", "/videos")
_IDS = frozenset({"file_id", "file_ids", "input_file_id", "vector_store_id", "vector_store_ids", "container_id"})
_PATH_CHARS = "/-._~!$&'()*+,;=:@"


@dataclass(frozen=True)
class OtherRoutes:
    """All these routes as one application. `default` is the backend of what names no model, `opened` the switch."""

    keyring: Keyring
    limits: LimitSettings
    new_id: Callable[[], str]
    ownership: Ownership
    sender: BackendSender
    resolve: Callable[[str], tuple[BackendTarget, ...]]
    backends: Mapping[str, Backend]
    default: str
    opened: bool = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error leaves in the shape of the client's format."""
        request_id = self.new_id()
        matched = OTHER_PATH.fullmatch(scope["path"])
        assert matched is not None
        path: str = matched.group(1)
        wire = WIRES["messages" if path.startswith("/messages/") else "chat"]
        id_header = b"request-id" if path.startswith("/messages/") else b"x-request-id"
        try:
            if not self.opened:
                message = f"{scope['path']} is closed here: `other_routes` is false in router.yaml."
                raise RequestError(message, status=404, code="not_found", kind="not_found_error")
            if scope["method"] not in _METHODS:
                raise RequestError(
                    f"Use {', '.join(_METHODS)} here.",
                    status=405,
                    code="method_not_allowed",
                    headers={"allow": ", ".join(_METHODS)},
                )
            headers = read_headers(scope["headers"])
            caller = self.keyring.admit(headers, "infer")
            with self.keyring.slot(caller):
                await self._require_own(caller.tenant, path, scope["method"])
                incoming = _Incoming(receive, self.limits)
                outgoing, targets = await self._read(scope, headers, path, caller.tenant, incoming)
                with watch_disconnect(incoming.afterwards, asyncio.current_task()):
                    sent = await self._send(outgoing, targets)
                    await self._answer(sent, wire, [(id_header, request_id.encode())], send)
        except RouterError as error:
            await error_answer(error, wire, request_id, send, id_header)

    async def _require_own(self, tenant: str, path: str, method: str) -> None:
        """Raise RequestError where the path names what is not shown to be the tenant's."""
        kept = _KEPT.fullmatch(path)
        if kept is None:
            return
        named = kept.group(1).split("/")[1::2]
        if not named and method != "POST" and len(self.keyring.tenants) > 1:
            raise RequestError(
                "Several tenants share the provider's account, so nothing there is listed.",
                status=403,
                code="not_allowed",
                kind="permission_error",
                headers={"x-should-retry": "false"},
            )
        await self.ownership.require(tenant, [("id", name) for name in named])

    async def _read(
        self, scope: Scope, headers: Mapping[str, str], path: str, tenant: str, incoming: _Incoming
    ) -> tuple[BackendRequest, tuple[BackendTarget, ...]]:
        """Return what is to be sent, and to whom. Raises RequestError."""
        query: str = scope["query_string"].decode("latin-1")
        if "router.model" in scope:
            query = re.sub(r"(?:^|&)api-version=[^&]*", "", query).lstrip("&")  # Azure's, and no provider's else
        target = quote(path, safe=_PATH_CHARS) + (f"?{query}" if query else "")
        content_type = headers.get("content-type", "")
        outgoing = BackendRequest(
            target, b"", forwarded(scope), stream=scope["method"] != "DELETE", method=scope["method"]
        )
        named = scope.get("router.model") or next(iter(parse_qs(query).get("model", ())), "")
        if content_type.lower().startswith("multipart/"):
            if headers.get("content-encoding", "identity") != "identity":
                raise RequestError("A form is taken as it is, not encoded.", status=415, code="unsupported_encoding")
            return await self._read_form(outgoing, headers, named, incoming)
        body = await incoming.whole()
        if body.lstrip().startswith(b"{"):
            check(body)
            fields = decode(body, _OBJECT)
            stored = list(_ids_in(fields))
            if stored and _KEPT.match(path):
                await self.ownership.require(tenant, stored)
            asked = fields.get("model")
            named = named or (asked if isinstance(asked, str) else "")
        kind = content_type or "application/json"
        return replace(outgoing, body=body, model=named, content_type=kind), self._targets(named)

    async def _read_form(
        self, outgoing: BackendRequest, headers: Mapping[str, str], named: str, incoming: _Incoming
    ) -> tuple[BackendRequest, tuple[BackendTarget, ...]]:
        content_type = headers["content-type"]
        boundary = _boundary(content_type)
        form = b""
        field: _Field | None = None
        if boundary and outgoing.path.startswith(_FORMS_WITH_MODEL):
            search = _FieldSearch(boundary)
            async for piece in incoming.pieces():
                search.feed(piece)
                if search.found is not None or search.size > self.limits.body_bytes:
                    break
            form, field = search.form, search.found
        name = named or (field.value if field else "")
        targets = self._targets(name)
        upstream = targets[0].model or name
        more = 0
        if name and (field is None or upstream != field.value) and boundary:
            part = upstream.encode()
            if field is None:
                start = end = 0
                part = b'--%b\r\ncontent-disposition: form-data; name="model"\r\n\r\n%b\r\n' % (boundary, part)
            else:
                start, end = field.start, field.end
            form = form[:start] + part + form[end:]
            more = len(part) - (end - start)
        length = headers.get("content-length")
        upload = Upload(incoming.pieces(form), int(length) + more if length else None)
        return replace(outgoing, model=name, content_type=content_type, upload=upload), targets

    def _targets(self, model: str) -> tuple[BackendTarget, ...]:
        return self.resolve(model) if model else (BackendTarget(self.backends[self.default]),)

    async def _send(self, outgoing: BackendRequest, targets: tuple[BackendTarget, ...]) -> BackendResult:
        """Send; what is held whole and names a model as often, and to as many models, as a conversation."""

        def named(target: BackendTarget) -> BackendRequest:
            if not target.model or target.model == outgoing.model:
                return outgoing
            renamed = outgoing.body if outgoing.upload else with_model(outgoing.body, target.model)
            return replace(outgoing, body=renamed, model=target.model)

        if outgoing.model and outgoing.body:
            return await self.sender.send(targets, named)
        answer = await targets[0].backend.send(named(targets[0]))
        return BackendResult(answer, targets[0], 1)

    async def _answer(self, sent: BackendResult, wire: Wire, own: RawHeaders, send: Send) -> None:
        answer = sent.answer
        headers = [*encoded(answer.headers), *own]
        if answer.chunks is None:
            await send_whole(answer.status, headers, answer.body, send)
            return
        events = dict(answer.headers).get("content-type", "").startswith("text/event-stream")
        start = {"type": "http.response.start", "status": answer.status}
        await send(start | {"headers": headers + STREAM_HEADERS if events else headers})
        try:
            async with aclosing(_chunks(answer, sent.first)) as chunks:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except BackendError as error:
            if not events:
                return  # without an end, so that the server closes the connection and nobody takes it for whole
            tail = b"\n\n" + (wire.guard().error_event(error) if wire.name == "messages" else error_event(error))
            await send({"type": "http.response.body", "body": tail, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _chunks(answer: BackendAnswer, first: bytes) -> AsyncGenerator[bytes, None]:
    assert answer.chunks is not None
    try:
        if first:
            yield first
        async for chunk in answer.chunks:
            yield chunk
    finally:
        await answer.aclose()


class _Incoming:
    """A body that may be passed on while it comes, within bounds: `upload_bytes` in all, and never too slowly."""

    def __init__(self, receive: Receive, limits: LimitSettings) -> None:
        self._receive = receive
        self._limits = limits
        self._ended = asyncio.Event()
        self._more = True
        self._size = 0
        self._waited_s = 0.0

    async def whole(self) -> bytes:
        """Return a body that is small enough to be held. Raises RequestError."""
        body = await read_body(self._receive, self._limits)
        self._end()
        return body

    async def pieces(self, begun: bytes = b"") -> AsyncIterator[bytes]:
        """Yield `begun`, then what comes. Raises RequestError: 413, 408, ClientGone."""
        if begun:
            yield begun
        while self._more:
            piece = await self._next()
            if piece:
                yield piece

    async def afterwards(self) -> Any:
        """Receive what comes behind the body: the client's leaving."""
        await self._ended.wait()
        return await self._receive()

    async def _next(self) -> bytes:
        limits, loop = self._limits, asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(limits.body_deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise _late(limits) from None
        self._waited_s += loop.time() - began
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece: bytes = message.get("body", b"")
        self._size += len(piece)
        if self._size > limits.upload_bytes:
            raise too_large(int(limits.upload_bytes), "upload_bytes")
        if self._waited_s > limits.body_deadline_s and self._size < limits.body_bytes_per_s * self._waited_s:
            raise _late(limits)
        if not message.get("more_body"):
            self._end()
        return piece

    def _end(self) -> None:
        self._more = False
        self._ended.set()


def _late(limits: LimitSettings) -> RequestError:
    return RequestError(
        f"The body came too slowly: less than {limits.body_bytes_per_s} bytes/s.",
        status=408,
        code="request_timeout",
        kind="timeout_error",
    )


# ------------------------------------------------------------------------------------------------------------- forms


class _Field(NamedTuple):
    """Where the value of a form's field stands, and what it is."""

    start: int
    end: int
    value: str


_NAME_OF_MODEL = re.compile(rb'\r\ncontent-disposition:[^\r\n]*;[ \t]*name="?model"?[ \t]*(?:;|\r\n)', re.IGNORECASE)
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)


def _boundary(content_type: str) -> bytes:
    found = _BOUNDARY.search(content_type)
    return found.group(1).strip().encode("latin-1") if found else b""


class _FieldSearch:
    """Looks for the field `model` in a form while it comes; what a file holds is never taken for one.

    Each byte is looked at about once: the search goes on at the last delimiter that was not passed.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._form = bytearray()
        self._at = 0
        self._seen = 0  # nothing to be found before here
        self.found: _Field | None = None

    @property
    def size(self) -> int:
        """How much has come."""
        return len(self._form)

    @property
    def form(self) -> bytes:
        """What has come."""
        return bytes(self._form)

    def feed(self, piece: bytes) -> None:
        """Take what comes next."""
        self._form += piece
        while self.found is None:
            at = self._form.find(self._delimiter, max(self._at, self._seen))
            if at < 0:
                self._seen = max(self._at, len(self._form) - len(self._delimiter))
                return
            head = self._form.find(b"\r\n\r\n", at)
            if head < 0:
                self._at = at
                return
            if _NAME_OF_MODEL.search(self._form, at + len(self._delimiter), head + 2):
                end = self._form.find(b"\r\n" + self._delimiter, head + 4)
                if end < 0:
                    self._at = at
                    return
                value = bytes(self._form[head + 4 : end]).decode("utf-8", "replace").strip()
                self.found = _Field(head + 4, end, value)
            self._at = head + 2
            self._seen = 0


# ------------------------------------------------------------------------------------------------------------- JSON


_OBJECT = msgspec.json.Decoder(dict[str, Any])


def _ids_in(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield place and id of what a body asks for that the provider keeps."""
    if isinstance(value, dict):
        if value.get("type") == "item_reference":
            yield f"{place}id", str(value.get("id"))
        for name, inner in value.items():
            if name in _IDS:
                yield from ((f"{place}{name}", str(each)) for each in (inner if isinstance(inner, list) else [inner]))
            else:
                yield from _ids_in(inner, f"{place}{name}.")
    elif isinstance(value, list):
        for inner in value:
            yield from _ids_in(inner, place)
