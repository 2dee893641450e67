"""The double that ships: answers with the request it got, made readable (see `readable`). Needs no model and no key.

It serves /chat/completions and /completions (whole or as a stream), /embeddings (small vectors, equal for equal texts)
and /models, in the shapes of the OpenAI API. `n` gives the same answer n times. A forced tool call gets arguments, and
a demanded JSON Schema an object, that fit simple schemas (see `example`). Usage is estimated with `count_tokens`, block
by block. `max_tokens` and `stop` cut nothing: the point is to see the request.

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
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from router.backends.echo_answers import Call, Said, completion, completion_events, embeddings, models
from router.backends.echo_faults import Faults, faults_of, refusal
from router.backends.example import example_of
from router.backends.readable import blocks_of, parameters_line, prompt_block
from router.backends.transport import failed
from router.core.ports import Answer, Outgoing
from router.core.tokens import count_tokens

GARBAGE = b"\x1f\x8b\x00 this is not an answer \xff\xfe"

_ENCODER = msgspec.json.Encoder()
_JSON = (("content-type", "application/json"),)
_EVENTS = (("content-type", "text/event-stream; charset=utf-8"),)
_MOST_CHOICES = 128  # as the OpenAI API

_REMEMBERED_BLOCKS = 1024
_LONGEST_REMEMBERED = 4096
"""Instructions come again and again, and estimating their tokens costs more than the rest of an answer: 0.6 us a token.
So the counts of this many blocks of up to this many characters are kept, in memory only."""

_LONGEST_COUNTED = 64 * 1024
_CHARACTERS_PER_TOKEN = 4  # beyond, counting would hold up the event loop; this is the usual rule of thumb


class EchoBackend:
    """Implements `core.ports.Backend`. `nonce` makes ids unique among processes, `clock` gives seconds since 1970."""

    def __init__(self, *, name: str = "echo", nonce: str = "0", clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self._nonce = nonce
        self._clock = clock
        self._numbers = itertools.count(1)
        self._remembered_tokens = lru_cache(_REMEMBERED_BLOCKS)(count_tokens)

    async def send(self, outgoing: Outgoing) -> Answer:
        """Answer. Raises BackendError for what the OpenAI API would refuse, and for what the model's name asks."""
        if outgoing.method == "GET":
            return Answer(200, _JSON, _ENCODER.encode(models(outgoing.path)))
        body = _decoded(outgoing.body)
        faults = faults_of(body.get("model"))
        if faults.any:
            if faults.stall_s:
                await asyncio.sleep(faults.stall_s)
            if faults.fail:
                raise refusal(faults.fail, "the model's name asked for this failure", code="echo_fail")
        if outgoing.path == "/embeddings":
            return self._whole(embeddings(body, self._tokens), faults)
        said = self._said(outgoing.path, body)
        if body.get("stream") is True:
            return Answer(200, _EVENTS, chunks=_stream(completion_events(said), faults))
        return self._whole(completion(said), faults)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _said(self, path: str, body: dict[str, Any]) -> Said:
        if path == "/chat/completions":
            chat, blocks = True, blocks_of(body)
        elif path == "/completions":
            prompts = body.get("prompt")
            if not isinstance(prompts, list) or not prompts or isinstance(prompts[0], int):
                prompts = [prompts]  # one text, or one list of token ids
            chat, blocks = False, [prompt_block(each) for each in prompts]
        else:
            raise refusal(404, f"the echo does not serve {path}", code="unknown_path")
        tokens = sum(map(self._tokens, blocks))
        call = _demanded_call(body) if chat else None
        content, said_tokens = "", 0
        if call is not None:
            said_tokens = self._tokens(call.arguments)
        elif (shaped := _demanded_object(body)) is not None:
            content = shaped
            said_tokens = self._tokens(content)
        else:
            last = parameters_line(body)
            content = "\n\n".join([*blocks, last])
            said_tokens = tokens + self._tokens(last)
        options = body.get("stream_options")
        return Said(
            id=f"{'chatcmpl' if chat else 'cmpl'}-{self._nonce}-{next(self._numbers)}",
            created=int(self._clock()),
            model=body.get("model"),
            chat=chat,
            content=content,
            call=call,
            choices=_choices(body),
            prompt_tokens=tokens,
            completion_tokens=said_tokens,
            usage_wanted=isinstance(options, Mapping) and options.get("include_usage") is True,
        )

    def _tokens(self, block: str) -> int:
        if len(block) <= _LONGEST_REMEMBERED:
            return self._remembered_tokens(block)
        return count_tokens(block) if len(block) <= _LONGEST_COUNTED else len(block) // _CHARACTERS_PER_TOKEN

    def _whole(self, payload: dict[str, Any], faults: Faults) -> Answer:
        if faults.cut is not None:
            raise failed("truncated", f"{self.name} closed the connection in the middle of its answer")
        return Answer(200, _JSON, GARBAGE if faults.garbage else _ENCODER.encode(payload))


async def _stream(events: Iterable[bytes], faults: Faults) -> AsyncIterator[bytes]:
    if faults.garbage:
        yield GARBAGE
        return
    for event in itertools.islice(events, faults.cut):
        if faults.slow_s:
            await asyncio.sleep(faults.slow_s)
        yield event


def _decoded(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise refusal(400, "the body is not a JSON object")
    return body


def _choices(body: Mapping[str, Any]) -> int:
    wanted = body.get("n")
    if wanted is None:
        return 1
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= _MOST_CHOICES:
        raise refusal(400, f"n must be a whole number from 1 to {_MOST_CHOICES}", param="n")
    return wanted


def _demanded_call(body: Mapping[str, Any]) -> Call | None:
    """Return the call that `tool_choice` forces, with arguments that fit the tool's schema."""
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return None
    wanted = _function_of(choice).get("name") if isinstance(choice, Mapping) else None
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else []:
        function = _function_of(tool)
        if choice == "required" or (wanted is not None and function.get("name") == wanted):
            arguments = example_of(function.get("parameters")) or {}
            return Call(str(function.get("name")), _ENCODER.encode(arguments).decode())
    raise refusal(400, "tool_choice forces a tool that is not among the tools", param="tool_choice")


def _function_of(tool: Any) -> Mapping[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function if isinstance(function, Mapping) else {}


def _demanded_object(body: Mapping[str, Any]) -> str | None:
    """Return the JSON text that `response_format` asks for, or None where plain text will do."""
    wanted = body.get("response_format")
    if not isinstance(wanted, Mapping):
        return None
    if wanted.get("type") == "json_object":
        return _ENCODER.encode({"echo": "\n\n".join([*blocks_of(body), parameters_line(body)])}).decode()
    shape = wanted.get("json_schema")
    if wanted.get("type") != "json_schema" or not isinstance(shape, Mapping):
        return None
    return _ENCODER.encode(example_of(shape.get("schema"))).decode()
