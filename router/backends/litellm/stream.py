"""Streams of litellm's, with an end that can be trusted, as server-sent events of the client's format.

`LiteLLMChunks` is the seam: it waits, names each failure, and knows whether the provider really finished. What makes
events of it, whether here for chat completions or litellm's own translators for the other formats, never sees an end
that was made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

from router.backends.http.limits import Timeouts, failed
from router.backends.sse import DONE, event
from router.core.errors import BackendError

_LAYERS = ("completion_stream", "streaming_response", "http_response", "response", "stream_iterator")
"""What litellm's streams call the stream beneath them; `completion_stream` comes first."""

Payload = dict[str, Any]
Failure = Callable[[Exception], BackendError]


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


class LiteLLMChunks:
    """An async iterator over the chunks of litellm's CustomStreamWrapper, which ends only where the provider did.

    litellm sends a reason to finish even where the provider sent none. It keeps what it has received apart from what it
    makes up, in `received_finish_reason` and `intermittent_finish_reason`; a finish without either is `truncated`.
    `failure` is what went wrong; `named` gives the failure for one of litellm's `errors`.
    """

    def __init__(
        self,
        source: Any,
        *,
        named: Failure,
        errors: tuple[type[Exception], ...],
        timeouts: Timeouts,
        ends: float,
    ) -> None:
        self.failure: BackendError | None = None
        self.finished = False
        self.logging_obj = getattr(source, "logging_obj", None)  # litellm's translator of Responses asks for it
        self._source = source
        self.named = named
        self.errors = errors
        self._timeouts = timeouts
        self._ends = ends
        self._first: Any = None
        self._over = False

    async def start(self) -> None:
        """Wait for the first chunk: some providers are called only when it is asked for. Raises BackendError."""
        self._first = await self._next(self._timeouts.first_byte_s, "timeout_first_byte")

    def __aiter__(self) -> LiteLLMChunks:
        return self

    async def __anext__(self) -> Any:
        chunk, self._first = self._first, None
        if chunk is None and not self._over:
            chunk = await self._next(self._timeouts.idle_s, "timeout_idle")
        if chunk is None:
            self._over = True
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        """Stop the provider, which leaving its stream does not. Safe to call twice."""
        self._over = True
        self._first = None
        # For some providers litellm closes its own stream and leaves the answer beneath it open.
        for each in [self._source, *_beneath(self._source)]:
            close = getattr(each, "aclose", None)
            if close is not None:
                with suppress(RuntimeError):  # a generator that is just being read closes with its reader
                    await close()

    async def _next(self, patience_s: float, code: str) -> Any:
        """Return the next chunk, or None at a proper end."""
        try:
            chunk = await self._waited(patience_s, code)
            self._judge(chunk)
        except BackendError as error:
            self.failure = error
            await self.aclose()
            raise
        except asyncio.CancelledError:
            await self.aclose()
            raise
        return chunk

    async def _waited(self, patience_s: float, code: str) -> Any:
        left_s = self._ends - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(min(patience_s, left_s)):
                return await anext(self._source, None)
        except TimeoutError:
            if left_s < patience_s:
                raise failed("timeout_total", f"the answer took longer than {self._timeouts.total_s:g} s") from None
            raise failed(code, f"the provider sent nothing for {patience_s:g} s") from None
        except self.errors as error:
            raise self.named(error) from error

    def _judge(self, chunk: Any) -> None:
        """Take note of a finish; raise BackendError for one that was made up, and for an end without any."""
        if chunk is not None and not any(choice.finish_reason for choice in chunk.choices):
            return
        if chunk is not None:
            given = ("received_finish_reason", "intermittent_finish_reason")
            self.finished = any(getattr(self._source, name, None) for name in given)
        if not self.finished:
            raise failed("truncated", "the provider's stream ended without a reason")


def _beneath(source: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the streams that a stream of litellm's is made of, down to the answer of the HTTP client."""
    for name in _LAYERS:
        layer = getattr(source, name, None)
        if layer is not None and depth < len(_LAYERS):
            yield layer
            yield from _beneath(layer, depth + 1)


class EventStream:
    """An async iterator of the server-sent events that are made of `chunks`, with each failure named."""

    def __init__(self, chunks: LiteLLMChunks, events: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._events = events
        self._over = False

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> bytes:
        made = None
        if not self._over:
            try:
                made = await anext(self._events, None)
            except self._chunks.errors as error:
                await self.aclose()
                raise self._chunks.failure or self._chunks.named(error) from error
            if self._chunks.failure is not None:
                raise self._chunks.failure  # whoever makes the events may not pass on what was raised
        if made is None or self._over:
            self._over = True
            raise StopAsyncIteration
        return made

    async def aclose(self) -> None:
        """Stop the provider. Safe to call twice."""
        self._over = True
        await self._chunks.aclose()


async def chat_events(
    chunks: LiteLLMChunks, *, usage: bool, shape: Callable[[Payload], Payload] | None = None
) -> AsyncIterator[bytes]:
    """Yield the events of chat completions, or of text completions by `shape`.

    `usage` says whether the client asked for it; it then comes once, in an event of its own.
    """
    async for chunk in chunks:
        payload = plain(chunk)
        ending = any(choice["finish_reason"] for choice in payload.get("choices", ()))
        if chunks.finished and not ending and "usage" in payload:
            payload["choices"] = []
            if not usage:
                continue
        elif not usage:
            payload.pop("usage", None)
        yield event(shape(payload) if shape else payload)
    yield DONE
