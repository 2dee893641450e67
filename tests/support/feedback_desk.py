"""The whole application with a pack of metrics, taking feedback into a database, and a client that sends it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from router.core.learning import Feedback
from router.server.app import build_app
from router.server.background import running
from router.server.composition import compose
from router.server.settings_source import load_settings
from router.stores.rows import loaded_feedback
from router.stores.schema import feedback
from tests.support.application import Running
from tests.support.echo.double import double_composed

KEYS = {"full": "pr-a-key-that-may-do-all", "ask": "pr-a-key-that-may-ask-only", "acme": "pr-a-key-of-another-tenant"}
PACK = """
name: desk
brief: Be polite.
metrics:
  resolved: {type: boolean, primary: true}
  csat: {type: rating, range: [1, 5]}
  minutes: {type: number, range: [0, 60]}
  checks: {type: checks}
settings: {thresholds: {sure: 0.4}}
tasks:
  refund: {examples: [refund please, I want my money back, give me a refund, can I return it], brief: Help.}
  parcel: {examples: [where is my parcel, track my parcel, my delivery is late, has it shipped], brief: PreparedRequest.}
"""


def config(**more: Any) -> str:
    def key(name: str, scopes: list[str], **extra: Any) -> dict[str, Any]:
        return {"name": name, "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), "scopes": scopes, **extra}

    keys = [
        key("full", ["infer", "feedback", "read"]),
        key("ask", ["infer"], tenant="full"),
        key("acme", ["infer", "feedback", "read"]),
    ]
    return json.dumps({"keys": keys, **more})


class Desk:
    """An application that takes feedback, and a client for it."""

    def __init__(self, running_: Running) -> None:
        self.client, self.parts, self.feedback = running_.client, running_.parts, running_.parts.feedback
        self.stop = running_.stop

    async def ask(self, key: str = "full", **more: Any) -> httpx.Response:
        """Send a request that is decided; return the answer."""
        body = {"model": "echo", "messages": [{"role": "user", "content": "refund please"}], **more}
        answer = await self.client.post("/v1/chat/completions", json=body, headers=bearer(key))
        assert answer.status_code == 200
        return answer

    async def decide(self, key: str = "full", **more: Any) -> str:
        """Return the id of a new decision."""
        return str((await self.ask(key, **more)).headers["x-router-decision"])

    async def send(self, body: Any, key: str | None = "full", **more: Any) -> httpx.Response:
        """Send feedback; None for no key."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = bearer(key) | more.pop("headers", {})
        return await self.client.post("/v1/feedback", content=content, headers=headers, **more)

    async def refused(self, body: Any, key: str | None = "full", **more: Any) -> tuple[int, str, str | None]:
        """Send feedback that is refused; return status, code and param."""
        before = self.stored()
        answer = await self.send(body, key, **more)
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["message"] and error["type"]
        assert self.stored() == before
        return answer.status_code, error["code"], error["param"]

    def stored(self) -> list[Feedback]:
        """Return all that is in the database, in the order of receipt."""
        query = select(feedback).order_by(feedback.c.number)
        return self.parts.database.read(
            lambda connection: [loaded_feedback(row) for row in connection.execute(query).mappings()], "test", "test"
        )

    async def shown(self, decision: str, key: str = "full") -> dict[str, Any]:
        """Return a decision as it is shown."""
        return dict((await self.client.get(f"/v1/router/decisions/{decision}", headers=bearer(key))).json())


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {KEYS.get(key, key)}"}


Begin = Callable[..., Awaitable[Desk]]


def desks(stack: AsyncExitStack, tmp_path: Path, recognisers: Path) -> Begin:
    """Return what starts an application over the pack above; `written` is the text of a router.yaml."""

    async def start(written: str = "", pack: str = PACK) -> Desk:
        data = tmp_path / "data"
        data.mkdir(exist_ok=True)
        if not (data / "recognisers").exists():
            (data / "recognisers").symlink_to(recognisers, target_is_directory=True)
        (tmp_path / "router.yaml").write_text(written or config())
        (tmp_path / "desk.yaml").write_text(pack)
        settings = load_settings(tmp_path / "router.yaml", {}, {"packs": [tmp_path / "desk.yaml"], "data": data})
        with double_composed():
            parts = compose(settings)
        alive = await stack.enter_async_context(AsyncExitStack())
        await alive.enter_async_context(running(parts))
        transport = httpx.ASGITransport(build_app(parts), raise_app_exceptions=True)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        return Desk(Running(parts, await alive.enter_async_context(client), alive.aclose))

    return start
