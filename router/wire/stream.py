"""Server-sent events, as every format streams them: where one ends, and what its name and its data are.

The standard is https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end with LF, CRLF or CR, an event
with a blank line; several `data` lines are one text; a line that opens with a colon is a comment. One CR alone ends no
event here, since half a CRLF must not look like one; two in a row do.

The last event of a stream may lack its blank line, as with servers that close right behind it: at an orderly end it
counts if its data is whole, which half of it never is (`EventGuard.finish`). A comment says nothing, so it passes as
soon as its line is there.

Events are read in three steps, so that a guard may leave one out without touching the bytes of the others:
`EventGuard.release` gives the bytes of whole events, `cut` those of each, `read` what one says.

What a backend says is read loosely: all that its clients take when they ask it themselves. Python's own reader and
writer know NaN, Infinity and halves of surrogate pairs, and so do servers that are written in it: a log-probability of
minus infinity, an emoji that `max_tokens` cut in two. RFC 8259 has none of them, and msgspec refuses them, also inside
values that it only skips. An answer is relayed as it came and only looked into here, so what its client can read must
not look like rubbish.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from router.core.errors import BackendError, RouterError
from router.core.ports import AnswerMetadata, Usage

T = TypeVar("T")

EVENT_BYTES = 4 << 20
"""An event that has not ended by then never will: what is held of a stream has a bound."""

_BLANK_LINE = re.compile(rb"\n\r?\n")
_ANY_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")  # four times as slow
_COMMENTS = re.compile(rb"(?:(?::[^\r\n]*)?\r?\n)+")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")

DONE = b"[DONE]"
"""What the data of the event begins with at which OpenAI's clients stop to read, in whatever format."""


class EventGuard:
    """Watches the events of one streamed answer pass, byte for byte, and holds back half an event until it is whole.

    A format's guard says in `note` what an event means. `error` is the code of an error that the stream itself told, or
    empty; `heard` says whether the official clients raise on it; `usage` is what was last told. `ended` says that the
    stream came to an orderly end with nothing half said, and `over` that an event would have told an end which is none:
    many clients read no further than that, so it is not passed on, and an error can stand in its place.

    Whoever relays should send what `release` and `finish` return: then a stream that breaks off never leaves half an
    event with the client, on which the official SDKs fail with a JSON or Unicode error instead of the error behind it.
    """

    __slots__ = ("_rest", "ended", "error", "heard", "over", "response_id", "usage")

    def __init__(self) -> None:
        self._rest = bytearray()
        self.ended = False
        self.error = ""
        self.heard = True
        self.over = False
        self.response_id = ""
        self.usage: Usage | None = None

    @property
    def complete(self) -> bool:
        """Whether the answer has ended as its format demands."""
        return False

    def release(self, chunk: bytes) -> bytes:
        """Take the next bytes, cut anywhere, and return the events and comments that are whole now.

        Raises BackendError (`too_large`) for an event of more than EVENT_BYTES.
        """
        if self.over:
            return b""
        rest = self._rest
        if not rest and chunk.endswith(b"\n\n"):  # whole events: what nearly every provider sends
            return self.watch(chunk)
        if len(rest) > EVENT_BYTES:
            rest.clear()
            message = f"An event of the backend's stream is larger than {EVENT_BYTES >> 20} MiB."
            raise BackendError(message, code="too_large", retryable=False)
        seam = max(0, len(rest) - 2)
        rest += chunk
        lf, crlf, cr = rest.rfind(b"\n\n", seam), rest.rfind(b"\n\r\n", seam), rest.rfind(b"\r\r", seam)
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0, cr + 2 if cr >= 0 else 0)
        passed = b""
        if end:
            whole = bytes(rest[:end])
            del rest[:end]
            passed = self.watch(whole)
        if rest and rest[0] in b":\r\n" and not self.over and (comments := _COMMENTS.match(rest)):
            passed += comments.group()
            del rest[: comments.end()]
        return passed

    def finish(self, framed: bool) -> bytes:
        """Take the orderly end of the stream, and return its last event if that lacks only its blank line.

        `framed` says that HTTP told the end; else the connection was closed, which may be a cut.
        """
        event = bytes(self._rest) + self.boundary()
        _, data = read(event)
        whole = bool(data) and _is_whole(data)
        last = b""
        if whole:
            self._rest.clear()
            last = self.watch(event)
        self.ended = framed and (whole or not event.strip() or event.startswith(b":"))
        return last

    def watch(self, whole: bytes) -> bytes:
        """Note whole events, and return what is passed on of them."""
        events = cut(whole)
        for event in events:
            name, data = read(event)
            self.note(data, name)
            if self.over:
                return b"".join(events[: events.index(event)])  # the first that is alike: it would have done the same
        return whole

    def note(self, data: bytes, name: bytes) -> Any:
        """Note one event by its data and name. One with empty data is never dispatched."""

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the last event of the stream."""
        raise NotImplementedError

    def boundary(self) -> bytes:
        """Return the bytes that end a half-written event, for whoever sent it, so that another event may follow."""
        if not self._rest:
            return b""
        return b"\n" if self._rest.endswith(b"\n") else b"\n\n"


def cut(whole: bytes) -> list[bytes]:
    r"""Cut the bytes of whole events into events, each with the blank line that ends it.

    >>> cut(b"data: 1\n\nevent: x\r\ndata: 2\r\n\r\n")
    [b'data: 1\n\n', b'event: x\r\ndata: 2\r\n\r\n']
    """
    if whole.find(b"\n\n") == len(whole) - 2 and b"\r" not in whole:  # one event
        return [whole]
    events: list[bytes] = []
    start = 0
    alone = b"\r" in whole and b"\r\r" in whole  # one byte is found sooner than two
    for blank in (_ANY_BLANK_LINE if alone else _BLANK_LINE).finditer(whole):
        events.append(whole[start : blank.end()])
        start = blank.end()
    if start < len(whole):  # a third line break in a row, which ends nothing
        events.append(whole[start:])
    return events


def read(event: bytes) -> tuple[bytes, bytes]:
    r"""Return name and data of one event as `cut` gives it. An event with empty data is none, by the standard.

    >>> read(b'event: ping\ndata: {"type": "ping"}\n\n')
    (b'ping', b'{"type": "ping"}')
    """
    # The two forms that providers send first; both are one `data` line.
    last = len(event) - 2
    if event.startswith(b"data: ") and event.find(b"\n") == last:
        return b"", event[6:last].removesuffix(b"\r")
    if event.startswith(b"event: "):
        line = event.find(b"\n") + 1
        if event.startswith(b"data: ", line) and event.find(b"\n", line) == last:
            return event[7 : line - 1].strip(), event[line + 6 : last].removesuffix(b"\r")
    name, data = b"", []
    for line_ in event.splitlines():
        if line_.startswith(b"data:"):
            data.append(line_[5:].removeprefix(b" "))
        elif line_.startswith(b"event:"):
            name = line_[6:].strip()
    return name, b"\n".join(data)


def _is_whole(data: bytes) -> bool:
    """Say whether the data of an event without its blank line is whole: what opens with a brace closes with one."""
    if data.startswith(DONE):
        return True
    try:
        read_loosely(data, _ANSWER)
    except (ValueError, RecursionError):
        return False
    return True


def read_loosely(answer: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a backend's JSON. Raises ValueError or RecursionError for what is none.

    Raw values in it may be views into a copy of `answer` that was put right.
    """
    try:
        return decoder.decode(answer)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # No fraction is ever looked at: as a text it cannot be out of range.
        said: Any = json.loads(answer, parse_constant=lambda _: None, parse_float=str)
        return decoder.decode(json.dumps(said, ensure_ascii=False).encode("utf-8", "replace"))


def read_whole(answer: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a whole answer. Raises BackendError (502) when it is no JSON object."""
    try:
        return read_loosely(answer, decoder)
    except (ValueError, RecursionError):
        raise BackendError(
            "The backend answered with something that is not a JSON object.", code="backend_garbage"
        ) from None


def read_each(answer: bytes, decoder: msgspec.json.Decoder[T], stream: bool) -> Iterator[T]:
    """Yield what an answer says: a whole body, or each event of a stream, without those that cannot be read."""
    for data in [read(event)[1] for event in cut(answer)] if stream else [answer]:
        if data and not data.startswith(DONE):
            try:
                yield read_loosely(data, decoder)
            except (ValueError, RecursionError):
                continue


def text_of(value: Any) -> str:
    """Return a value if it is a text, else the empty string."""
    return value if isinstance(value, str) else ""


def code_of(error: Any, *names: str) -> str:
    """Return the provider's word for an error, by the first of some names whose value is one word; else ours."""
    words = [error.get(name) for name in names] if isinstance(error, dict) else []
    return next((word for word in words if isinstance(word, str) and _WORD.fullmatch(word)), "stream_error")


# ----------------------------------------------------------------------------- what OpenAI's answers tell of themselves


class CacheDetails(msgspec.Struct, gc=False):
    """What of a prompt was read from the provider's cache, and written to it, as all of OpenAI's formats tell it."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _Answer(msgspec.Struct, gc=False):
    id: Any = None
    usage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_ANSWER = msgspec.json.Decoder(_Answer)
_NO_DETAILS = CacheDetails()


def read_told(body: bytes, decoder: msgspec.json.Decoder[Any]) -> AnswerMetadata:
    """Return id and usage of a whole answer. Raises BackendError (502) when it is no JSON object."""
    answer = read_whole(body, _ANSWER)
    return AnswerMetadata(text_of(answer.id), read_usage(answer.usage, decoder))


def read_usage(value: msgspec.Raw | msgspec.UnsetType, decoder: msgspec.json.Decoder[Any]) -> Usage | None:
    """Return the usage that an event or a whole answer tells; None where there is none, or none that can be read.

    `decoder` knows the format's names of `prompt`, `completion` and `details`.
    """
    if isinstance(value, msgspec.UnsetType):
        return None
    try:
        told = decoder.decode(value)
    except msgspec.ValidationError:
        return None
    if told is None:
        return None
    details = told.details or _NO_DETAILS
    return Usage(told.prompt or 0, details.cached_tokens or 0, details.cache_write_tokens or 0, told.completion or 0)
