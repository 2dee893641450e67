"""The end of a streamed answer in OpenAI's form: is what passed a whole answer?

An answer is whole when
  - every choice that was seen, and at least one, got its `finish_reason`;
  - then came the event `data: [DONE]`, or, from servers that send none, the end that HTTP told, with as many choices as
    were asked for; a connection that is merely closed proves nothing;
  - no event before it told of an error or was no chunk at all.
A `lenient` guard is content with one of the two: `[DONE]` without the reasons, or the reasons and a closed connection.

The official clients stop at `[DONE]`, so one that comes too early is kept back. Framing is `router.wire.stream`.

Usage that was asked for on our own account is taken out again. With `stream_options.include_usage` OpenAI sends one
more chunk, with usage and without choices, and a null usage in every other
(https://platform.openai.com/docs/api-reference/chat/create, `stream_options`). Usage beside choices stays: providers
that put it there do so unasked.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from router.core.errors import RouterError
from router.wire.edits import find_span, is_given
from router.wire.faults import error_event
from router.wire.stream import (
    DONE,
    CacheDetails,
    EventGuard,
    code_of,
    cut,
    read,
    read_each,
    read_loosely,
    read_usage,
    text_of,
)


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    choices: list[_Choice] | None = None
    error: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Usage(msgspec.Struct, gc=False):
    prompt: int | None = msgspec.field(default=None, name="prompt_tokens")
    completion: int | None = msgspec.field(default=None, name="completion_tokens")
    details: CacheDetails | None = msgspec.field(default=None, name="prompt_tokens_details")


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: Any = None


class _Said(msgspec.Struct, gc=False):
    content: Any = None
    refusal: Any = None


class _Spoken(msgspec.Struct, gc=False):
    index: Any = None
    message: _Said | None = None
    delta: _Said | None = None


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Spoken] | None = None


_COMPLETION = msgspec.json.Decoder(_Completion)
_CHUNK = msgspec.json.Decoder(_Chunk)
USAGE = msgspec.json.Decoder(_Usage | None)
_STREAM_OPTIONS = msgspec.json.Decoder(_StreamOptions | None)
_VOID = _Chunk()
_SPACE = b" \t\r\n"
_KEY = b'"usage"'
_NULL_USAGE = b',"usage":null'


def gives_usage(stream_options: msgspec.Raw) -> bool:
    """Say whether a stream with these options tells its usage.

    Options that make no sense count as asked: they are for the provider to refuse, not for us to put right.
    """
    if not is_given(stream_options):
        return False
    try:
        options = _STREAM_OPTIONS.decode(stream_options)
    except msgspec.ValidationError:
        return True
    asked = None if options is None else options.include_usage
    return asked is not None and asked is not False


class ChunkGuard(EventGuard):
    """Watches the events of `/chat/completions` or `/completions` pass.

    `hide_usage` takes out the usage that the client did not ask for; every other byte is passed on as it came.
    `choices` is how many the client asked for.
    """

    __slots__ = ("_choices", "_done", "_finished", "_garbled", "_hide_usage", "_lenient", "_seen")

    def __init__(self, hide_usage: bool = False, choices: int = 1, lenient: bool = False) -> None:
        super().__init__()
        self._hide_usage = hide_usage
        self._choices = choices
        self._lenient = lenient
        self._seen: set[Any] = set()
        self._finished: set[Any] = set()
        self._garbled = False
        self._done = False

    @property
    def complete(self) -> bool:
        """Whether the answer is whole."""
        if not self._seen or self._garbled or self.error:
            return False
        finished = self._seen == self._finished
        if self._done:
            return finished or self._lenient
        return self.ended and finished and len(self._seen) >= self._choices

    def finish(self, framed: bool) -> bytes:
        """Take the orderly end of the stream, and return its last event if that lacks only its blank line."""
        return super().finish(framed or self._lenient)

    def watch(self, whole: bytes) -> bytes:
        """Note whole events, and return them less the usage to be hidden."""
        if self._hide_usage:
            return b"".join([self._strip(event) for event in cut(whole)])
        return super().watch(whole)

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of the stream."""
        return error_event(error)

    def _strip(self, event: bytes) -> bytes:
        """Note an event and return it without the usage that was asked for; empty when it is nothing else."""
        name, data = read(event)
        chunk = self.note(data, name)
        if self.over:
            return b""
        if isinstance(chunk.usage, msgspec.UnsetType) or chunk.error:
            return event
        if bytes(chunk.usage) != b"null":
            return event if chunk.choices else b""
        at = event.find(_NULL_USAGE)
        if at >= 0 and event.count(_KEY) == 1:  # no quote is bare inside a string, so this is the member itself
            return event[:at] + event[at + len(_NULL_USAGE) :]
        at = event.rfind(data)
        if at < 0:  # a text of several `data` lines, which no provider sends, is left as it is
            return event
        return event[:at] + _leave_out(data, chunk.usage) + event[at + len(data) :]

    def note(self, data: bytes, name: bytes) -> _Chunk:
        """Note one event, and return what it says."""
        if self._done or not data:  # an event with empty data is never dispatched
            return _VOID
        if data.startswith(DONE):
            self._done = True
            self.over = not self.complete and not (self.error and self.heard)
            return _VOID
        try:
            chunk = read_loosely(data, _CHUNK)
        except (ValueError, RecursionError):
            chunk = self._read_odd(data)
        if not self.response_id and isinstance(chunk.id, str):
            self.response_id = chunk.id
        for choice in chunk.choices or ():
            index = choice.index
            if type(index) is not int:
                index = _number_of(index)
            if choice.finish_reason:
                self._finished.add(index)
            self._seen.add(index)
        if chunk.usage is not msgspec.UNSET:
            self.usage = read_usage(chunk.usage, USAGE) or self.usage
        if chunk.error or name == b"error":
            self.heard = bool(chunk.error) or (bool(self.error) and self.heard)
            self.error = self.error or code_of(chunk.error, "code", "type")
        return chunk

    def _read_odd(self, data: bytes) -> _Chunk:
        """Return what a chunk of other types than the format's says: its clients look at no types either."""
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self._garbled = True
            return _VOID
        listed = said.get("choices")
        odd = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        choices = [_Choice(each.get("index", 0), each.get("finish_reason")) for each in odd]
        return _Chunk(said.get("id"), choices, said.get("error"))


def _number_of(index: Any) -> Any:
    """Return the number of a choice that a server wrote in another way: `"0"` for 0; null for none, which is 0."""
    if isinstance(index, str):
        return int(index) if index.isdecimal() else index
    return index if isinstance(index, float) else 0


def _leave_out(chunk: bytes, usage: msgspec.Raw) -> bytes:
    """Return a chunk without its member `usage`, which stands at `usage`, and without one comma beside it."""
    try:
        start, end = find_span(chunk, usage)
    except ValueError:  # it was read from a copy that was put right
        return chunk
    key = chunk.rfind(_KEY, 0, start)
    if key < 0 or chunk[key + len(_KEY) : start].strip(_SPACE) != b":":  # a key written with escapes is left as it is
        return chunk
    before, rest = chunk[:key], chunk[end:].lstrip(_SPACE)
    if rest.startswith(b","):
        return before + rest[1:].lstrip(_SPACE)
    others = before.rstrip(_SPACE)
    return others[:-1].rstrip(_SPACE) + chunk[end:] if others.endswith(b",") else before + rest


def words(answer: bytes, stream: bool) -> str:
    """Return the words of an answer, whole or streamed. Of several choices the first speaks; the others are rivals."""
    texts: list[str] = []
    for completion in read_each(answer, _COMPLETION, stream):
        for choice in completion.choices or ():
            said = choice.delta if stream else choice.message
            if said is not None and choice.index in (0, None):
                texts += (_content(said.content), text_of(said.refusal))
    return "".join(texts)


def _content(content: Any) -> str:
    """Return the text of a chat message: a string, or parts, of which some servers make their answers."""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "".join(map(text_of, texts))
    return text_of(content)
