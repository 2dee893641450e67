"""The shape of the whole application in one process, as the fixture `start` gives it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from router.server.composition import Components

Start = Callable[..., Awaitable["Running"]]


class Running:
    """An application that runs, a client for it, and its parts."""

    def __init__(self, parts: Components, client: httpx.AsyncClient, stop: Callable[[], Awaitable[None]]) -> None:
        self.parts = parts
        self.client = client
        self.stop = stop

    async def ask(self, text: str, **more: Any) -> httpx.Response:
        """Send one user message."""
        body = {"model": "echo", "messages": [{"role": "user", "content": text}], **more}
        return await self.client.post("/v1/chat/completions", json=body)
