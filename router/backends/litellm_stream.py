"""A stream of litellm's as server-sent events of the OpenAI format, with an end that can be trusted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from router.backends.sse import DONE, event
from router.backends.transport import Timeouts, failed
from router.core.errors import BackendError

Payload = dict[str, Any]


def plain(answer: Any) -> Payload:
    """Return a pydantic answer of litellm's as JSON-ready data, without its many empty fields.

    Those that readers look for even when they are empty are kept: `content` and `finish_reason`.
    """
    payload: Payload = answer.model_dump(mode="json", exclude_none=True)
    for choice in payload.get("choices", ()):
        choice.setdefault("finish_reason", None)
        if "message" in choice:
            choice["message"].setdefault("content", None)
    return payload


def as_text(payload: Payload) -> Payload:
    """Return a chunk of a chat as a chunk of a text completion."""
    choices = [
        {
            "index": choice.get("index", 0),
            "text": choice.get("delta", {}).get("content") or "",
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in payload.get("choices", ())
    ]
    return payload | {"object": "text_completion", "choices": choices}


class LiteLLMStream:
    """An async iterator of events over litellm's CustomStreamWrapper.

    litellm sends a reason to finish even where the provider sent none. It keeps what it has received apart from what it
    makes up, in `received_finish_reason` and `intermittent_finish_reason`; a finish without either is `truncated`.
    """

    def __init__(
        self,
        source: Any,
        *,
        failure: Callable[[Exception], BackendError],
        errors: tuple[type[Exception], ...],
        timeouts: Timeouts,
        ends: float,
        usage: bool,
        shape: Callable[[Payload], Payload] | None = None,
    ) -> None:
        self._source = source
        self._failure = failure
        self._errors = errors
        self._timeouts = timeouts
        self._ends = ends
        self._usage = usage
        self._shape = shape
        self._first: bytes | None = None
        self._finished = False
        self._over = False

    async def start(self) -> None:
        """Wait for the first event: some providers are called only when it is asked for. Raises BackendError."""
        self._first = await self._event(self._timeouts.first_byte_s, "timeout_first_byte")

    def __aiter__(self) -> LiteLLMStream:
        return self

    async def __anext__(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._over:
            raise StopAsyncIteration
        return await self._event(self._timeouts.idle_s, "timeout_idle")

    async def aclose(self) -> None:
        """Stop the provider: only closing litellm's stream does, leaving it does not. Safe to call twice."""
        self._over = True
        self._first = None
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _event(self, patience_s: float, code: str) -> bytes:
        try:
            while True:
                payload = await self._payload(patience_s, code)
                if payload is None:
                    self._over = True
                    return DONE
                if self._keep(payload):
                    return event(self._shape(payload) if self._shape else payload)
        except (BackendError, asyncio.CancelledError):
            await self.aclose()
            raise

    async def _payload(self, patience_s: float, code: str) -> Payload | None:
        """Return the next chunk, or None at a proper end."""
        left_s = self._ends - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(patience_s, left_s)):
                chunk = await anext(self._source, None)
        except TimeoutError:
            if left_s < patience_s:
                raise failed("timeout_total", f"the answer took longer than {self._timeouts.total_s:g} s") from None
            raise failed(code, f"the provider sent nothing for {patience_s:g} s") from None
        except self._errors as error:
            raise self._failure(error) from error
        if chunk is not None:
            return plain(chunk)
        if not self._finished:
            raise failed("truncated", "the provider's stream ended without a reason")
        return None

    def _keep(self, payload: Payload) -> bool:
        """Take note of a chunk, put its usage where it belongs, and return whether it is to be sent."""
        if any(choice["finish_reason"] for choice in payload.get("choices", ())):
            received = getattr(self._source, "received_finish_reason", None)
            if not received and not getattr(self._source, "intermittent_finish_reason", None):
                raise failed("truncated", "the provider's stream ended without a reason")
            self._finished = True
        elif self._finished and "usage" in payload:
            payload["choices"] = []
            return self._usage
        if not self._usage:
            payload.pop("usage", None)
        return True
