"""The end of a streamed answer in OpenAI's form: is what passed a whole answer?

An answer is whole when
  - every choice that was seen, and at least one, got its `finish_reason`;
  - then came the event `data: [DONE]`, with the blank line that ends it;
  - no event before it told of an error or was no chunk at all.
A connection that closes cleanly proves nothing. Framing is `router.wire.events`.

Usage that was asked for on our own account is taken out again. With `stream_options.include_usage` OpenAI sends one
more chunk, with usage and without choices, and a null usage in every other
(https://platform.openai.com/docs/api-reference/chat/create, `stream_options`). Usage beside choices stays: providers
that put it there do so unasked.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from router.core.errors import RouterError
from router.core.ports import Told
from router.core.usage import Usage
from router.wire.events import Framing, cut, read
from router.wire.faults import error_event
from router.wire.loose_json import read_loosely, read_whole
from router.wire.splice import find_span

T = TypeVar("T")


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    choices: list[_Choice] | None = None
    error: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Answer(msgspec.Struct, gc=False):
    id: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Details(msgspec.Struct, gc=False):
    """What of a prompt was read from the provider's cache, and written to it, as all of OpenAI's formats tell it."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Details | None = None


_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHUNK = msgspec.json.Decoder(_Chunk)
_ANSWER = msgspec.json.Decoder(_Answer)
_USAGE = msgspec.json.Decoder(_Usage | None)
NO_DETAILS = Details()
_VOID = _Chunk()
_SPACE = b" \t\r\n"
_KEY = b'"usage"'
_NULL_USAGE = b',"usage":null'


def read_answer(body: bytes) -> Told:
    """Return id and usage of a whole answer. Raises BackendError (502) when it is no JSON object."""
    answer = read_whole(body, _ANSWER)
    return Told(answer.id if isinstance(answer.id, str) else "", read_usage(answer.usage))


def read_usage(value: msgspec.Raw | msgspec.UnsetType) -> Usage | None:
    """Return the usage that a chunk or a whole answer tells; None where there is none, or none that can be read."""
    told = decode_usage(value, _USAGE)
    if told is None:
        return None
    details = told.prompt_tokens_details or NO_DETAILS
    return Usage(
        told.prompt_tokens or 0,
        details.cached_tokens or 0,
        details.cache_write_tokens or 0,
        told.completion_tokens or 0,
    )


def decode_usage(value: msgspec.Raw | msgspec.UnsetType, decoder: msgspec.json.Decoder[T | None]) -> T | None:
    """Return the fields of a usage; None where there is none, or none that can be read."""
    if isinstance(value, msgspec.UnsetType):
        return None
    try:
        return decoder.decode(value)
    except msgspec.ValidationError:
        return None


class ChunkGuard:
    """Watches the events of `/chat/completions` or `/completions` pass.

    `error` is the code of an error that the backend told in the stream, or empty. `usage` is what it last told.
    `hide_usage` takes out the usage that the client did not ask for; every other byte is passed on as it came.

    Whoever relays should send what `release` returns: then a stream that breaks off never leaves half an event with the
    client, on which the official SDKs fail with a JSON or Unicode error instead of the error that is told behind it.
    """

    heard = True

    __slots__ = ("_done", "_finished", "_framing", "_garbled", "_hide_usage", "_seen", "error", "response_id", "usage")

    def __init__(self, hide_usage: bool = False) -> None:
        self.usage: Usage | None = None
        self._hide_usage = hide_usage
        self._framing = Framing()
        self._seen: set[int] = set()
        self._finished: set[int] = set()
        self._garbled = False
        self._done = False
        self.error = ""
        self.response_id = ""

    @property
    def complete(self) -> bool:
        """Whether the answer is whole."""
        whole = bool(self._seen) and self._seen == self._finished
        return self._done and whole and not self._garbled and not self.error

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self.release(chunk)

    def release(self, chunk: bytes) -> bytes:
        """Take the next bytes, cut anywhere, and return the events that are whole now, less the usage to be hidden."""
        whole = self._framing.release(chunk)
        if not whole:
            return whole
        events = cut(whole)
        if self._hide_usage:
            return b"".join([self._strip(event) for event in events])
        for event in events:
            name, data = read(event)
            self._note(data, name)
        return whole

    def boundary(self) -> bytes:
        """Return the bytes that end a half-written event, for whoever sent it, so that another event may follow."""
        return self._framing.boundary()

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of the stream."""
        return error_event(error)

    def _strip(self, event: bytes) -> bytes:
        """Note an event and return it without the usage that was asked for; empty when it is nothing else."""
        name, data = read(event)
        chunk = self._note(data, name)
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

    def _note(self, data: bytes, name: bytes = b"") -> _Chunk:
        if self._done or not data:  # an event with empty data is never dispatched
            return _VOID
        if data == b"[DONE]":
            self._done = True
            return _VOID
        try:
            chunk = read_loosely(data, _CHUNK)
        except (ValueError, RecursionError):
            self._garbled = True
            chunk = _VOID
        if not self.response_id and isinstance(chunk.id, str):
            self.response_id = chunk.id
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self._finished.add(choice.index)
            self._seen.add(choice.index)
        if chunk.usage is not msgspec.UNSET:
            self.usage = read_usage(chunk.usage) or self.usage
        if chunk.error or name == b"error":
            self.error = self.error or code_of(chunk.error)
        return chunk


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


def code_of(error: Any) -> str:
    """Return the provider's word for an error where it is one word, else ours."""
    words = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    return next((word for word in words if isinstance(word, str) and _WORD.fullmatch(word)), "stream_error")
