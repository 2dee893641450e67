"""The end of a streamed answer of `/responses`: is what passed a whole answer?

    state    event                                                   next state
    open     response.completed, response.incomplete                 whole
    open     response.failed, or any event with an `error`           failed
    open     error without an `error`                                failed, and not heard
    open     no JSON object, or a whole ending without `response`    broken
    open     any other, known or not                                 open
    whole, failed, broken    whatever                                the same

`whole` and `failed` are endings that the format knows: the client was told the truth, and nothing may be added. `open`
and `broken` are not. An `error` event with flat fields, as the API reference has it, is passed over by most clients
(openai-python 2.54, LlamaIndex, instructor), so it is `failed` but not `heard`. Sources:
https://platform.openai.com/docs/api-reference/responses-streaming and the types of the official Python SDK. Three
things are not judged, since real servers differ and no truth hangs on them:

- how it began: one that is taken up again (`starting_after`) has no `response.created`, and the ending holds it all;
- `sequence_number`: llama.cpp's server sends none, and bridges begin anew;
- `data: [DONE]`, which the format does not have and some proxies send; but OpenAI's clients stop at it, so it is kept
  back where the stream is not at its end. So is all that follows when a stream is broken.

Framing is `router.wire.stream`; the `type` in the data counts, not the event's name, as with the SDKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from router.core.errors import BackendError, RouterError
from router.wire.faults import describe, error_of
from router.wire.stream import (
    DONE,
    CacheDetails,
    EventGuard,
    code_of,
    read_each,
    read_loosely,
    read_usage,
    text_of,
)

_Stage = Literal["open", "whole", "failed", "broken"]

ENDINGS: Mapping[str, _Stage] = MappingProxyType(
    {"response.completed": "whole", "response.incomplete": "whole", "response.failed": "failed", "error": "failed"}
)
"""The events that end an answer."""


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    sequence_number: Any = None
    response: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Any = None
    code: Any = None


class _Response(msgspec.Struct, gc=False):
    id: Any = None
    error: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Usage(msgspec.Struct, gc=False):
    prompt: int | None = msgspec.field(default=None, name="input_tokens")
    completion: int | None = msgspec.field(default=None, name="output_tokens")
    details: CacheDetails | None = msgspec.field(default=None, name="input_tokens_details")


class _Part(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    refusal: Any = None


class _Output(msgspec.Struct, gc=False):
    type: Any = None
    content: msgspec.Raw = msgspec.Raw()  # items of other types have one too, in shapes of their own


class _Whole(msgspec.Struct, gc=False):
    output: list[_Output] | None = None


class _Words(msgspec.Struct, gc=False):
    type: Any = None
    output_index: Any = None
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw()


_WHOLE = msgspec.json.Decoder(_Whole)
_WORDS = msgspec.json.Decoder(_Words)
_PARTS = msgspec.json.Decoder(list[_Part] | None)
_TEXT_DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_LAST_WORDS = frozenset({"response.completed", "response.incomplete", "response.failed"})

_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)
USAGE = msgspec.json.Decoder(_Usage | None)


def error_event(error: RouterError, number: int = 0) -> bytes:
    """Return the error as the event number `number` of a stream that has begun. Nothing may follow it.

    The API reference has the fields flat, the API sends them inside `error`: so both. The official SDKs raise only on
    an `error` inside, and the Vercel AI SDK wants `type` and `code` to be strings and `sequence_number` to be there.
    """
    told = describe(error)
    theirs = error_of(error.body) if isinstance(error, BackendError) else {}
    told |= {name: value for name, value in theirs.items() if isinstance(value, str) or name not in told}
    flat = {"type": "error", "code": told["code"], "message": told["message"], "param": told["param"]}
    return b"event: error\ndata: " + msgspec.json.encode(flat | {"sequence_number": number, "error": told}) + b"\n\n"


class ResponseGuard(EventGuard):
    """Watches the events of `/responses` pass. `error` is the code of the failure that the stream itself told."""

    __slots__ = ("_number", "_state")

    def __init__(self) -> None:
        super().__init__()
        self._state: _Stage = "open"
        self._number = -1

    @property
    def complete(self) -> bool:
        """Whether the answer has ended as its format demands: whole, or with a failure that it told itself."""
        return self._state in ("whole", "failed")

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the event that follows what has passed."""
        return error_event(error, self._number + 1)

    def note(self, data: bytes, name: bytes) -> None:
        """Note one event."""
        if data.startswith(DONE):
            self.over = not self.complete or not self.heard
            return
        if not data or self._state != "open":
            return
        try:
            event = read_loosely(data, _EVENT)
        except (ValueError, RecursionError):
            self._state = "broken"
            self.over = True
            return
        if isinstance(event.sequence_number, int):
            self._number = event.sequence_number
        state: _Stage = ENDINGS.get(event.type, "open") if isinstance(event.type, str) else "open"
        if event.error or name == b"error":
            state = "failed"
        if state != "open" or (not self.response_id and event.response is not msgspec.UNSET):
            self._turn(event, state)

    def _turn(self, event: _Event, state: _Stage) -> None:
        """Note an event that tells of the answer as such: the first with an id, or an ending."""
        response = _Response()
        if not isinstance(event.response, msgspec.UnsetType):
            try:
                response = _RESPONSE.decode(event.response)
            except msgspec.ValidationError:
                state = "broken"
        elif state == "whole":
            state = "broken"
        if isinstance(response.id, str):
            self.response_id = response.id
        self.usage = read_usage(response.usage, USAGE) or self.usage
        if state == "failed":
            self.error = code_of(event.error or response.error or {"code": event.code}, "code", "type")
            self.heard = bool(event.error) or event.type == "response.failed"
        self._state = state
        self.over = state == "broken"


def words(answer: bytes, stream: bool) -> str:
    """Return the words of an answer, whole or streamed; of a stream that is taken up in its midst, its ending's."""
    if not stream:
        return _say(answer)
    messages: dict[Any, list[str]] = {}
    for event in read_each(answer, _WORDS, stream):
        if not isinstance(event.type, str):
            continue
        if event.type in _TEXT_DELTAS and isinstance(event.output_index, int | None):
            messages.setdefault(event.output_index, []).append(text_of(event.delta))
        elif event.type in _LAST_WORDS:
            whole = _say(bytes(event.response))
            if whole:
                return whole
    return "\n".join(filter(None, map("".join, messages.values())))


def _say(answer: bytes) -> str:
    """Return the words of a response's messages."""
    messages: list[str] = []
    for response in read_each(answer, _WHOLE, False):
        for item in response.output or ():
            if item.type == "message":
                parts = next(read_each(bytes(item.content), _PARTS, False), None)
                messages.append("".join([text_of(part.text) + text_of(part.refusal) for part in parts or ()]))
    return "\n".join(filter(None, messages))
