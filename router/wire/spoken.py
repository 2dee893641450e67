"""The words of an answer: what a user reads of it, from a whole body or from the bytes of a stream, in every format.

Text and refusals are words; tool calls, their arguments, reasoning and citations are not. Pieces of one message are
joined as they are, separate messages by a line break, so a stream and the whole answer of the same words read alike. Of
several choices the first speaks: the others are alternatives to it.

Nothing here raises. What cannot be read says nothing, and what stands around it is read all the same; a stream that
was cut off says what had come. Shapes: the references named in `chat`, `responses` and `messages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from router.wire.events import cut, read
from router.wire.loose_json import read_loosely

T = TypeVar("T")

GAP = "\n"
"""Stands between two messages of one answer."""


class _Said(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = None
    message: _Said | None = None
    delta: _Said | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


class _Part(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None
    refusal: Any = None


class _Output(msgspec.Struct, gc=False):
    """An item of a response. Other items have `content` too, in shapes of their own."""

    type: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Response(msgspec.Struct, gc=False):
    output: list[_Output] | None = None


class _ResponseEvent(msgspec.Struct, gc=False):
    type: Any = None
    output_index: Any = None
    delta: Any = None
    response: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None


class _Message(msgspec.Struct, gc=False):
    content: list[_Block] | None = None


class _MessageEvent(msgspec.Struct, gc=False):
    type: Any = None
    index: Any = None
    content_block: _Block | None = None
    delta: _Block | None = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_RESPONSE = msgspec.json.Decoder(_Response)
_RESPONSE_EVENT = msgspec.json.Decoder(_ResponseEvent)
_PARTS = msgspec.json.Decoder(list[_Part] | None)
_MESSAGE = msgspec.json.Decoder(_Message)
_MESSAGE_EVENT = msgspec.json.Decoder(_MessageEvent)

_TEXT_DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_LAST_WORDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


def spoken_in_chat(answer: bytes, *, stream: bool) -> str:
    """Return the words of an answer of `/chat/completions`."""
    found = _events(answer, _COMPLETION) if stream else _whole(answer, _COMPLETION)
    texts: list[str] = []
    for completion in found:
        for choice in completion.choices or ():
            said = choice.delta if stream else choice.message
            if said is not None and choice.index in (0, None):
                texts += (_content(said.content), _word(said.refusal))
    return "".join(texts)


def spoken_in_responses(answer: bytes, *, stream: bool) -> str:
    """Return the words of an answer of `/responses`.

    The event that ends a stream holds the whole answer, also of one that was taken up again in its midst; where it has
    not come, the pieces are put together.
    """
    if not stream:
        return "".join(map(_output, _whole(answer, _RESPONSE)))
    messages: dict[Any, list[str]] = {}
    for event in _events(answer, _RESPONSE_EVENT):
        if not isinstance(event.type, str):
            continue
        if event.type in _TEXT_DELTAS and isinstance(event.output_index, int | None):
            messages.setdefault(event.output_index, []).append(_word(event.delta))
        elif event.type in _LAST_WORDS:
            whole = "".join(map(_output, _whole(bytes(event.response), _RESPONSE)))
            if whole:
                return whole
    return GAP.join(filter(None, map("".join, messages.values())))


def spoken_in_messages(answer: bytes, *, stream: bool) -> str:
    """Return the words of an answer of `/messages`.

    A text with citations comes as several blocks in a row, which are one text (as Anthropic's documentation puts them
    together); other blocks between them, such as the use of a tool, make them two.
    """
    blocks: dict[int, list[str]] = {}
    if not stream:
        for message in _whole(answer, _MESSAGE):
            said = enumerate(message.content or ())
            blocks = {index: [_word(block.text)] for index, block in said if block.type == "text"}
    else:
        for event in _events(answer, _MESSAGE_EVENT):
            block = event.content_block if event.type == "content_block_start" else event.delta
            if block is not None and block.type in ("text", "text_delta") and isinstance(event.index, int):
                blocks.setdefault(event.index, []).append(_word(block.text))
    return _joined({index: "".join(texts) for index, texts in blocks.items()})


def _joined(texts: Mapping[int, str]) -> str:
    """Join the texts of blocks, with a line break where blocks of another kind stand between two that say something."""
    said: list[str] = []
    last: int | None = None
    gap = False
    for index, text in sorted(texts.items()):
        gap = gap or (last is not None and index > last + 1)
        last = index
        if text:
            if gap and said:
                said.append(GAP)
            said.append(text)
            gap = False
    return "".join(said)


def _output(response: _Response) -> str:
    """Return the words of a response's messages."""
    messages: list[str] = []
    for item in response.output or ():
        if item.type == "message":
            parts = next(_whole(bytes(item.content), _PARTS), None)
            messages.append("".join([_word(part.text) + _word(part.refusal) for part in parts or ()]))
    return GAP.join(filter(None, messages))


def _content(content: Any) -> str:
    """Return the text of a chat message: a string, or parts, of which some servers make their answers."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(map(_word, texts))
    return _word(content)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(body: bytes, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    """Yield what a body says, if it can be read."""
    try:
        yield read_loosely(body, decoder)
    except (ValueError, RecursionError):
        return


def _events(answer: bytes, decoder: msgspec.json.Decoder[T]) -> Iterator[T]:
    """Yield what the events of a stream say, in their order, without those that cannot be read."""
    for event in cut(answer):
        data = read(event)[1]
        if data and data != b"[DONE]":
            yield from _whole(data, decoder)
