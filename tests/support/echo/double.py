"""The echo with everything that a provider can do and that can go wrong with one: the double of the tests.

Beside what the shipped echo serves: text completions, embeddings (small vectors, equal for equal texts), moderations
and models; answers to /responses are kept for a while (`kept`), to be read, continued by `previous_response_id`, or
deleted. A forced tool call gets arguments, and a demanded JSON Schema an object, that fit simple schemas (`demands`).

The model's name steers what goes wrong; steps may be chained, as in `echo-stall-50ms-cut-3`:

| model            | what happens                                                          |
|------------------|-----------------------------------------------------------------------|
| echo             | nothing; so with every name that does not begin with `echo-`          |
| echo-fail-503    | an error with that status (400 to 599)                                |
| echo-stall-2s    | waits before the first byte (s or ms, up to 600 s)                    |
| echo-slow-50ms   | waits before every chunk of a stream                                  |
| echo-cut-3       | ends after 3 chunks, without a finish; a whole answer fails as cut    |
| echo-garbage     | answers with bytes that are neither JSON nor events                   |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from router.backends import EchoBackend
from router.backends.echo.backend import COUNTED, decoded, json_answer, stream_answer
from router.backends.echo.formats import (
    FORMATS,
    Body,
    EchoFormat,
    EchoReply,
    Payload,
    chat_stream,
    chat_usage,
    choices_of,
    pieces,
    refusal,
)
from router.backends.http.limits import failed
from router.core.ports import BackendAnswer, BackendRequest
from tests.support.echo.demands import calling, calling_events, demanded_call, demanded_json, response_stream
from tests.support.echo.faults import Faults, faults_of
from tests.support.echo.kept import KeptResponses
from tests.support.echo.lists import embeddings, models, moderations

GARBAGE = b"\x1f\x8b\x00 this is not an answer \xff\xfe"


class EchoDouble(EchoBackend):
    """The shipped echo, and the rest of a provider."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._kept = KeptResponses()

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Answer. Raises BackendError for what the API would refuse, and for what the model's name asks."""
        path = outgoing.path
        if path.startswith("/responses/") and path not in COUNTED:
            found = self._kept.serve(outgoing.method, path)
            return json_answer(found) if isinstance(found, dict) else stream_answer(found)
        if outgoing.method == "GET":
            return json_answer(models(path))
        body = decoded(outgoing.body)
        faults = faults_of(body.get("model"))
        if faults.stall_s:
            await asyncio.sleep(faults.stall_s)
        if faults.fail:
            raise refusal(faults.fail, "the model's name asked for this failure", code="echo_fail")
        answer = await self._answer(outgoing, body, faults)
        return self._damaged(answer, faults) if faults.any else answer

    async def _answer(self, outgoing: BackendRequest, body: dict[str, Any], faults: Faults) -> BackendAnswer:
        path = outgoing.path
        if path == "/embeddings":
            return json_answer(embeddings(body, self._tokens))
        if path == "/moderations":
            return json_answer(moderations(body, self._number()))
        if path == "/completions":
            reply = self._reply(TEXT, body, TEXT.blocks(body))
            return (
                stream_answer(TEXT.events(reply, body)) if body.get("stream") else json_answer(TEXT.whole(reply, body))
            )
        form = FORMATS.get(path)
        if form is None:
            return await super().send(outgoing)
        before = self._kept.before(body) if path == "/responses" else ()
        call = demanded_call(path, body)
        reply = self._reply(form, body, _with_before(form.blocks(body), before, body))
        if call is not None:
            reply = replace(reply, content="", completion_tokens=self._tokens(call.arguments))
        elif (shaped := demanded_json(path, body, reply.content)) is not None:
            reply = replace(reply, content=shaped, completion_tokens=self._tokens(shaped))
        whole = form.whole(reply, body)
        if call is not None:
            whole = calling(path, whole, reply, call)
        if path == "/responses":
            whole["store"] = body.get("store") is not False
            if not faults.broken:
                self._kept.keep(body, whole, before, len(outgoing.body))
        if body.get("stream") is not True:
            return json_answer(whole)
        if call is not None:
            return stream_answer(calling_events(path, whole, reply, body, call))
        return stream_answer(response_stream(whole) if path == "/responses" else form.events(reply, body))

    def _damaged(self, answer: BackendAnswer, faults: Faults) -> BackendAnswer:
        if answer.chunks is not None:
            return replace(answer, chunks=_damaged_stream(answer.chunks, faults))
        if faults.cut is not None:
            raise failed("truncated", f"{self.name} closed the connection in the middle of its answer")
        return replace(answer, body=GARBAGE) if faults.garbage else answer


@contextmanager
def double_composed() -> Iterator[None]:
    """Let applications that are composed in this block get the double where their settings name the echo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("router.server.composition.EchoBackend", EchoDouble)
        yield


def _with_before(own: list[str], before: tuple[str, ...], body: Body) -> list[str]:
    # What is said beside the messages comes first, also before what is remembered.
    return [*own[:1], *before, *own[1:]] if before and body.get("instructions") is not None else [*before, *own]


async def _damaged_stream(chunks: AsyncIterator[bytes], faults: Faults) -> AsyncIterator[bytes]:
    if faults.garbage:
        yield GARBAGE
        return
    number = 0
    while faults.cut is None or number < faults.cut:
        if (chunk := await anext(chunks, None)) is None:
            return
        if faults.slow_s:
            await asyncio.sleep(faults.slow_s)
        yield chunk
        number += 1


# ------------------------------------------------------------------------------------- the text completions of old


def _prompt_blocks(body: Body) -> list[str]:
    """Return the prompts of a text completion as blocks; each is a text, or a list of token ids."""
    prompts = body.get("prompt")
    if not isinstance(prompts, list) or not prompts or isinstance(prompts[0], int):
        prompts = [prompts]
    return [f"[prompt]\n{each if isinstance(each, str) else f'({len(each)} tokens)'}" for each in prompts]


def _text(reply: EchoReply, body: Body) -> Payload:
    choice = {"text": reply.content, "logprobs": None, "finish_reason": "stop"}
    choices = choices_of(body)
    return {
        "id": f"cmpl-{reply.number}",
        "object": "text_completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [{"index": index, **choice} for index in range(choices)],
        "usage": chat_usage(reply, choices),
    }


def _text_events(reply: EchoReply, body: Body) -> Iterator[bytes]:
    parts: list[Payload] = [{"text": text} for text in pieces(reply.content)]
    top = {"id": f"cmpl-{reply.number}", "object": "text_completion"}
    return chat_stream(reply, body, top, [*parts, {"text": "", "finish_reason": "stop"}])


TEXT = EchoFormat(_prompt_blocks, frozenset({"prompt", "model"}), _text, _text_events)
