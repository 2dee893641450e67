"""Answers that a backend keeps: asked for, listed, cancelled and deleted by their id, on the backend that gave them.

A request names no model here. Which backend gave an answer stands in its trace, and so does whose it is
(`router.engine.ownership`). Of answers from before the router, or from before its oldest trace, nothing is known; where
there is one tenant only, they are asked of the backend that answers to any name.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from router.core.errors import RequestError, RouterError
from router.core.ports import Outgoing, Wire
from router.engine.identity import HeaderView
from router.engine.pipeline import Reply, reply_to
from router.engine.send import Target
from router.server.answers import error_answer
from router.server.composition import Parts
from router.server.edge import read_body, watch_disconnect
from router.server.hot import Receive, Scope, Send, forwarded, send_reply

PATH = re.compile(r"/v1(/responses/([A-Za-z0-9_-]{1,200})(?:/(input_items|cancel))?)")

_METHODS = {None: ("GET", "DELETE"), "input_items": ("GET",), "cancel": ("POST",)}


@dataclass(frozen=True)
class KeptRoute:
    """The routes of kept answers."""

    parts: Parts
    wire: Wire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every error leaves in the shape of the wire format."""
        request_id = self.parts.new_id()
        try:
            headers = HeaderView(scope["headers"])
            caller = self.parts.keyring.admit(headers, "infer")
            with self.parts.keyring.slot(caller):
                body = await read_body(receive, scope["headers"], self.parts.settings.limits)
                with watch_disconnect(receive, asyncio.current_task()):
                    await send_reply(await self._ask(scope, caller.tenant, body, request_id), send)
        except RouterError as error:
            await error_answer(error, self.wire, request_id, send)

    async def _ask(self, scope: Scope, tenant: str, body: bytes, request_id: str) -> Reply:
        matched = PATH.fullmatch(scope["path"])
        assert matched is not None
        path, answer_id, part = matched.groups()
        method = scope["method"]
        if method not in _METHODS[part]:
            allowed = ", ".join(_METHODS[part])
            raise RequestError(
                f"Use {allowed} here.", status=405, code="method_not_allowed", headers={"allow": allowed}
            )
        query = scope["query_string"].decode("latin-1")
        backend = self.parts.backends[await self._backend_of(answer_id, tenant)]
        outgoing = Outgoing(
            f"{path}?{query}" if query else path,
            body,
            forwarded(scope),
            stream="stream=true" in query.split("&"),
            method=method,
        )
        sent = await self.parts.line.sender.send((Target(backend),), lambda _: outgoing)
        return reply_to(sent, self.wire, request_id)

    async def _backend_of(self, answer_id: str, tenant: str) -> str:
        """Return the name of the backend that gave an answer. Raises RequestError (404) unless it is the tenant's."""
        backend = await self.parts.ownership.backend_of(tenant, answer_id)
        if backend in self.parts.backends:
            return backend
        models = self.parts.settings.models
        return (models.get("*") or next(iter(models.values()))).backend
