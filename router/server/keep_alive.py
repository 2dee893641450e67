"""Comments in a stream that is silent: a model may think for minutes, and whatever lies between takes that for the end.

A comment is no event: every reader of server-sent events passes over it, in all three formats. One timer a stream looks
after it, and only looks: a stream that talks pays for reading the clock.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Any

from starlette.types import Send

COMMENT = b": keep-alive\n\n"
"""With a blank line, for readers that cut a stream at those."""

_LONE_COMMENT = b": keep-alive\n"
_ID = re.compile(rb"^id:", re.MULTILINE)
"""Once an event had an id, openai-python (2.54) takes every blank line for an event, and fails on its empty data."""


class KeepAlive:
    """Sends a comment whenever nothing was sent for `every_s` (0: never). Whoever sends says so by `sent`."""

    def __init__(self, send: Send, every_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._send = send
        self._comment = b""
        self._every_s = every_s
        self._last = self._loop.time()
        self._task: asyncio.Task[Any] | None = None
        self._timer = self._loop.call_later(every_s, self._look) if every_s else None

    def sent(self, events: bytes) -> None:
        """Note that something was sent."""
        if not self._comment:  # who gives ids gives them to the first events
            self._comment = _LONE_COMMENT if _ID.search(events) else COMMENT
        self._last = self._loop.time()

    def close(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        if now >= self._last + self._every_s:
            self._last = now
            if self._task is None or self._task.done():  # else the client does not read: it has enough to read
                self._task = self._loop.create_task(self._say())
        self._timer = self._loop.call_at(self._last + self._every_s, self._look)

    async def _say(self) -> None:
        with suppress(OSError):  # the client has left, of which the stream hears itself
            await self._send({"type": "http.response.body", "body": self._comment or COMMENT, "more_body": True})
