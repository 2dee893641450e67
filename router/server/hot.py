"""The hot routes, as plain ASGI: read, hand to the line, write back. Nothing here knows what a policy says.

A request pays only for what it uses: no framework object is built for it, and the client's going away is listened for
only when the backend takes its time (`watch_disconnect`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from router.backends import FORWARDED_HEADERS
from router.core.errors import RequestError, RouterError
from router.core.ports import Wire
from router.engine.identity import HeaderView
from router.engine.pipeline import Reply
from router.engine.prepare import Call
from router.server.answers import error_answer, reply_headers, send_whole
from router.server.edge import read_body, watch_disconnect
from router.server.keys import Caller, Keyring
from router.server.settings import LimitSettings

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Scope = dict[str, Any]
Serve = Callable[[Call], Awaitable[Reply]]

FORWARDED = frozenset(name.encode() for name in FORWARDED_HEADERS)


@dataclass(frozen=True)
class HotRoute:
    """One wire format's route. `serve` is `Pipeline.run`, or `Pipeline.pass_on` for what is no conversation.

    `tell` says whether answers carry what was decided. `id_header` is where clients of the format look for the id of
    their request. `sign` makes the token of a decision of a tenant with which a web page may send feedback on it.
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
            headers = HeaderView(scope["headers"])
            caller = self.keyring.admit(headers, "infer")
            with self.keyring.slot(caller):
                body = await read_body(receive, scope["headers"], self.limits)
                call = self._call(scope, headers, caller, body, request_id)
                with watch_disconnect(receive, asyncio.current_task()):
                    reply = await self.serve(call)
                    told = self.tell and reply.decision is not None
                    token = self.sign(request_id, caller.tenant) if told and self.sign is not None else b""
                    await send_reply(reply, send, self.tell, self.id_header, token)
        except RouterError as error:
            await error_answer(error, self.wire, request_id, send, self.id_header)

    def _call(self, scope: Scope, headers: HeaderView, caller: Caller, body: bytes, request_id: str) -> Call:
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


def forwarded(scope: Scope) -> tuple[tuple[str, str], ...]:
    """Return the client's headers that may go to a backend."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name in FORWARDED
    )


async def send_reply(
    reply: Reply, send: Send, tell: bool = True, id_header: bytes = b"x-request-id", token: bytes = b""
) -> None:
    """Send a reply, whole or as a stream that is closed come what may."""
    headers = reply_headers(reply, tell, id_header, token)
    if reply.chunks is None:
        await send_whole(reply.status, headers, reply.body, send)
        return
    async with aclosing(reply.chunks) as chunks:
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
