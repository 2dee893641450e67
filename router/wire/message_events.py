"""The end of a streamed answer in Anthropic's form: is what passed a whole answer?

A state machine over the events' names (https://docs.claude.com/en/docs/build-with-claude/streaming). `_NEXT` is all of
it: an event that has no row in a state makes the stream broken, and a broken stream is never complete. Beside the state
stand the indexes of the blocks that are open:

- `content_block_start` opens an index that is not open; a delta or stop needs an open one; `message_stop` needs none;
- `message_delta` leads to ENDING only with a `stop_reason`.

`ping` and events with a name that is not in the table pass in every state: the format promises new ones. So do comments
and events without a name, which the official clients skip. `error` ends everything. A named event must hold a JSON
object whose `type` is its name, for the official clients choose by the one or by the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.errors import RouterError
from router.core.ports import Told
from router.core.usage import Usage
from router.wire.events import Framing, cut, read
from router.wire.loose_json import read_loosely, read_whole
from router.wire.messages_faults import error_event


class State(Enum):
    """Where a stream stands."""

    WAITING = "nothing yet"
    TALKING = "the message has begun"
    ENDING = "the reason for its end is told"
    WHOLE = "the answer has ended as it must"
    BROKEN = "something came that has no place"


_NEXT: Mapping[tuple[State, bytes], State] = MappingProxyType(
    {
        (State.WAITING, b"message_start"): State.TALKING,
        (State.TALKING, b"content_block_start"): State.TALKING,
        (State.TALKING, b"content_block_delta"): State.TALKING,
        (State.TALKING, b"content_block_stop"): State.TALKING,
        (State.TALKING, b"message_delta"): State.ENDING,
        (State.ENDING, b"content_block_stop"): State.ENDING,  # the order of the last two is not promised
        (State.ENDING, b"message_delta"): State.ENDING,
        (State.ENDING, b"message_stop"): State.WHOLE,
    }
)
_TYPES: Mapping[bytes, str] = MappingProxyType({name: name.decode() for _, name in _NEXT})
_PASSING = frozenset({b"", b"ping"})

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class _Usage(msgspec.Struct, gc=False):
    input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct, gc=False):
    id: Any = None
    usage: Any = None


class _Start(msgspec.Struct, gc=False):
    type: str
    message: _Message


class _Block(msgspec.Struct, gc=False):
    type: str
    index: int


class _Delta(msgspec.Struct, gc=False):
    type: str
    delta: Any = None
    usage: Any = None


class _Other(msgspec.Struct, gc=False):
    type: Any = None
    error: Any = None


_OTHER = msgspec.json.Decoder(_Other)
_DECODERS: Mapping[bytes, msgspec.json.Decoder[Any]] = MappingProxyType(
    {
        b"message_start": msgspec.json.Decoder(_Start),
        b"content_block_start": msgspec.json.Decoder(_Block),
        b"content_block_delta": msgspec.json.Decoder(_Block),
        b"content_block_stop": msgspec.json.Decoder(_Block),
        b"message_delta": msgspec.json.Decoder(_Delta),
        b"message_stop": _OTHER,
    }
)
_ANSWER = msgspec.json.Decoder(_Message)


def read_answer(body: bytes) -> Told:
    """Return id and usage of a whole answer. Raises BackendError (502) when it is no JSON object."""
    answer = read_whole(body, _ANSWER)
    return Told(answer.id if isinstance(answer.id, str) else "", _add_usage(None, answer.usage))


class MessageGuard:
    """Watches the events of `/messages` pass. `error` is the code of an error told in the stream, or empty."""

    heard = True

    __slots__ = ("_framing", "_open", "error", "response_id", "state", "usage")

    def __init__(self) -> None:
        self._framing = Framing()
        self._open: set[int] = set()
        self.state = State.WAITING
        self.error = ""
        self.response_id = ""
        self.usage: Usage | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer is whole."""
        return self.state is State.WHOLE

    def release(self, chunk: bytes) -> bytes:
        """Take the next bytes, cut anywhere, and return the events that are whole now, byte for byte."""
        whole = self._framing.release(chunk)
        if whole:
            for event in cut(whole):
                name, data = read(event)
                if name not in _PASSING and (data or name == b"error") and self.state is not State.WHOLE:
                    self._note(name, data)
        return whole

    def boundary(self) -> bytes:
        """Return the bytes that end a half-written event, for whoever sent it, so that another event may follow."""
        return self._framing.boundary()

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of the stream."""
        return error_event(error)

    def _note(self, name: bytes, data: bytes) -> None:
        try:
            if not data.isascii():
                data.decode()  # the decoder does not look at the bytes of what it skips
            event = read_loosely(data, _DECODERS.get(name, _OTHER))
        except (ValueError, RecursionError):
            event = None
        if name == b"error":
            self.error = self.error or _code_of(event)
        if event is None or name == b"error":
            self.state = State.BROKEN
            return
        expected = _TYPES.get(name)
        if expected is None:
            return
        after = _NEXT.get((self.state, name), State.BROKEN)
        if name == b"message_delta" and self.state is State.TALKING and not _ends(event.delta):
            after = State.TALKING
        if event.type != expected or not self._fits(name, event):
            after = State.BROKEN
        self.state = after

    def _fits(self, name: bytes, event: Any) -> bool:
        """Take in what an event says besides its type. False when its block is not as it must be."""
        if name == b"content_block_delta":
            return event.index in self._open
        if name == b"content_block_start":
            known = event.index in self._open
            self._open.add(event.index)
            return not known
        if name == b"content_block_stop":
            known = event.index in self._open
            self._open.discard(event.index)
            return known
        if name == b"message_start":
            if isinstance(event.message.id, str):
                self.response_id = event.message.id
            self.usage = _add_usage(self.usage, event.message.usage)
        elif name == b"message_delta":
            self.usage = _add_usage(self.usage, event.usage)
        return name != b"message_stop" or not self._open


def _ends(delta: Any) -> bool:
    reason = delta.get("stop_reason") if isinstance(delta, dict) else None
    return isinstance(reason, str) and bool(reason)


def _add_usage(before: Usage | None, told: Any) -> Usage | None:
    """Return the usage after what an event told. Counts are cumulative: a later one replaces an earlier one.

    Anthropic counts what was read from the cache and written to it beside `input_tokens`, not within.
    """
    try:
        new = msgspec.convert(told, _Usage)
    except msgspec.ValidationError:  # none, or in no form that we know
        return before
    prompt, cached, written, completion = before or Usage()
    uncached = prompt - cached - written if new.input_tokens is None else new.input_tokens
    cached = cached if new.cache_read_input_tokens is None else new.cache_read_input_tokens
    written = written if new.cache_creation_input_tokens is None else new.cache_creation_input_tokens
    completion = completion if new.output_tokens is None else new.output_tokens
    return Usage(uncached + cached + written, cached, written, completion)


def _code_of(event: _Other | None) -> str:
    """Return the provider's word for an error where it is one word, else ours."""
    word = event.error.get("type") if event is not None and isinstance(event.error, dict) else None
    return word if isinstance(word, str) and _WORD.fullmatch(word) else "stream_error"
