"""A backend that keeps the last body that it was sent, and answers anything with a short answer of chat completions."""

from __future__ import annotations

import json
from typing import Any

from router.core.ports import BackendAnswer, BackendRequest
from tests.support.application import Running

ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Yes."}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}'
)


class Recording:
    """Implements `core.ports.Backend`."""

    name = "echo"

    def __init__(self) -> None:
        self.raw = b""

    @classmethod
    def instead(cls, running: Running) -> Recording:
        """Put one in the place of the echo."""
        backend = running.parts.backends["echo"] = cls()  # type: ignore[index]
        return backend

    @property
    def body(self) -> dict[str, Any]:
        """The last body."""
        found: dict[str, Any] = json.loads(self.raw)
        return found

    @property
    def text(self) -> str:
        """The last body as text, its characters as they are."""
        return json.dumps(self.body, ensure_ascii=False)

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        self.raw = outgoing.body
        return BackendAnswer(200, (("content-type", "application/json"),), ANSWER)

    async def aclose(self) -> None:
        pass
