"""The end of a streamed answer in Anthropic's form: is what passed a whole answer?

A state machine over the events' names (https://docs.claude.com/en/docs/build-with-claude/streaming). `_NEXT` is all of
it: an event that has no row in a state makes the stream broken, and a broken stream is never complete. Beside the state
stand the indexes of the blocks that are open:

- `content_block_start` opens an index that is not open; a delta or stop needs an open one; `message_stop` needs none;
- `message_delta` leads to `ending` only with a `stop_reason`.

`ping` and events with a name that is not in the table pass in every state: the format promises new ones. So do comments
and events without a name, which the official clients skip. `error` ends everything. A named event must hold a JSON
object whose `type` is its name, for the official clients choose by the one or by the other. A `message_stop` that makes
or finds the stream broken is kept back, unless an error was told before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from router.core.errors import RouterError
from router.core.ports import AnswerMetadata, Usage
from router.wire.faults import anthropic_event
from router.wire.stream import EventGuard, code_of, read_each, read_loosely, read_whole, text_of

_Stage = Literal["waiting", "talking", "ending", "whole", "broken"]
"""Where a stream stands: nothing came; the message has begun; the reason for its end is told; it has ended as it must;
something came that has no place."""

_NEXT: Mapping[tuple[_Stage, bytes], _Stage] = MappingProxyType(
    {
        ("waiting", b"message_start"): "talking",
        ("talking", b"content_block_start"): "talking",
        ("talking", b"content_block_delta"): "talking",
        ("talking", b"content_block_stop"): "talking",
        ("talking", b"message_delta"): "ending",
        ("ending", b"content_block_stop"): "ending",  # the order of the last two is not promised
        ("ending", b"message_delta"): "ending",
        ("ending", b"message_stop"): "whole",
    }
)
_TYPES: Mapping[bytes, str] = MappingProxyType({name: name.decode() for _, name in _NEXT})
_PASSING = frozenset({b"", b"ping"})


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


class _Text(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None


class _Whole(msgspec.Struct, gc=False):
    content: list[_Text] | None = None


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    index: Any = None
    content_block: _Text | None = None
    delta: _Text | None = None


_WHOLE = msgspec.json.Decoder(_Whole)
_EVENT = msgspec.json.Decoder(_Event)


def read_answer(body: bytes) -> AnswerMetadata:
    """Return id and usage of a whole answer. Raises BackendError (502) when it is no JSON object."""
    answer = read_whole(body, _ANSWER)
    return AnswerMetadata(answer.id if isinstance(answer.id, str) else "", _add_usage(None, answer.usage))


class MessageGuard(EventGuard):
    """Watches the events of `/messages` pass."""

    __slots__ = ("_open", "state")

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int] = set()
        self.state: _Stage = "waiting"

    @property
    def complete(self) -> bool:
        """Whether the answer is whole."""
        return self.state == "whole"

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of the stream."""
        return anthropic_event(error)

    def note(self, data: bytes, name: bytes) -> None:
        """Note one event."""
        if name in _PASSING or (not data and name != b"error") or self.state == "whole":
            return
        try:
            if not data.isascii():
                data.decode()  # the decoder does not look at the bytes of what it skips
            event = read_loosely(data, _DECODERS.get(name, _OTHER))
        except (ValueError, RecursionError):
            event = None
        if name == b"error":
            self.error = self.error or code_of(None if event is None else event.error, "type")
        if event is None or name == b"error":
            self.state = "broken"
            self.over = name == b"message_stop" and not self.error
            return
        expected = _TYPES.get(name)
        if expected is None:
            return
        after = _NEXT.get((self.state, name), "broken")
        if name == b"message_delta" and self.state == "talking" and not _ends(event.delta):
            after = "talking"
        if event.type != expected or not self._fits(name, event):
            after = "broken"
        self.state = after
        self.over = name == b"message_stop" and after == "broken" and not self.error

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


def words(answer: bytes, stream: bool) -> str:
    """Return the words of an answer, whole or streamed.

    A text with citations comes as several blocks in a row, which are one text (as Anthropic's documentation puts them
    together); other blocks between them, such as the use of a tool, make them two.
    """
    blocks: dict[int, list[str]] = {}
    if not stream:
        for message in read_each(answer, _WHOLE, stream):
            said = enumerate(message.content or ())
            blocks = {index: [text_of(block.text)] for index, block in said if block.type == "text"}
    else:
        for event in read_each(answer, _EVENT, stream):
            block = event.content_block if event.type == "content_block_start" else event.delta
            if block is not None and block.type in ("text", "text_delta") and isinstance(event.index, int):
                blocks.setdefault(event.index, []).append(text_of(block.text))
    parts: list[str] = []
    last: int | None = None
    gap = False
    for index, texts in sorted(blocks.items()):
        gap = gap or (last is not None and index > last + 1)
        last = index
        text = "".join(texts)
        if text:
            parts.append("\n" + text if gap and parts else text)
            gap = False
    return "".join(parts)
