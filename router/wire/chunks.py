"""The end of a streamed answer in OpenAI's form: is what passed a whole answer?

An answer is whole when
  - every choice that was seen, and at least one, got its `finish_reason`;
  - then came the event `data: [DONE]`, with the blank line that ends it;
  - no event before it told of an error or was no chunk at all.
A connection that closes cleanly proves nothing.

Framing is that of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): lines end with
LF or CRLF, an event with a blank line; several `data` lines are one text; a line that opens with a colon is a comment.
A lone CR, which the standard allows and no provider sends, ends no line here: half a CRLF must not look like one.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from router.core.errors import BackendError
from router.core.ports import Told, Usage


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = None
    choices: list[_Choice] | None = None
    error: Any = None


class _Answer(msgspec.Struct, gc=False):
    id: Any = None


_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHUNK = msgspec.json.Decoder(_Chunk)
_ANSWER = msgspec.json.Decoder(_Answer)


def read_answer(body: bytes) -> Told:
    """Return id and usage of a whole answer. Raises BackendError (502) when it is no JSON object."""
    try:
        answer = _ANSWER.decode(body)
    except (ValueError, RecursionError):
        raise BackendError(
            "The backend answered with something that is not a JSON object.", code="backend_garbage"
        ) from None
    return Told(answer.id if isinstance(answer.id, str) else "")


class ChunkGuard:
    """Watches the events of `/chat/completions` or `/completions` pass.

    `error` is the code of an error that the backend told in the stream, or empty.

    Whoever relays should send what `release` returns: then a stream that breaks off never leaves half an event with the
    client, on which the official SDKs fail with a JSON or Unicode error instead of the error that is told behind it.
    """

    __slots__ = ("_done", "_finished", "_garbled", "_hide_usage", "_rest", "_seen", "error", "response_id", "usage")

    def __init__(self, hide_usage: bool = False) -> None:
        self.usage: Usage | None = None
        self._hide_usage = hide_usage
        self._rest = bytearray()
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
        """Take the next bytes, cut anywhere, and return the events that are whole now, byte for byte."""
        rest = self._rest
        if not rest and chunk.endswith(b"\n\n"):  # whole events: what nearly every provider sends
            self._take(chunk)
            return chunk
        seam = max(0, len(rest) - 2)
        rest += chunk
        lf, crlf = rest.rfind(b"\n\n", seam), rest.rfind(b"\n\r\n", seam)
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
        whole = bytes(rest[:end])
        if whole:
            del rest[:end]
            self._take(whole)
        return whole

    def boundary(self) -> bytes:
        """Return the bytes that end a half-written event, for whoever sent it, so that another event may follow."""
        if not self._rest:
            return b""
        return b"\n" if self._rest.endswith(b"\n") else b"\n\n"

    def _take(self, events: bytes) -> None:
        if events.startswith(b"data: ") and events.find(b"\n") == len(events) - 2:  # one event of one line
            self._note(events[6:-2])
            return
        data: list[bytes] = []
        name = b""
        for line in events.split(b"\n"):
            line = line.removesuffix(b"\r")
            if not line:
                if data:
                    self._note(b"\n".join(data), name)
                data, name = [], b""
            elif line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip()

    def _note(self, data: bytes, name: bytes = b"") -> None:
        if self._done or not data:  # an event with empty data is never dispatched
            return
        if data == b"[DONE]":
            self._done = True
            return
        try:
            chunk = _CHUNK.decode(data)
        except (ValueError, RecursionError):
            self._garbled = True
            chunk = _Chunk()
        if not self.response_id and isinstance(chunk.id, str):
            self.response_id = chunk.id
        for choice in chunk.choices or ():
            if choice.finish_reason:
                self._finished.add(choice.index)
            self._seen.add(choice.index)
        if chunk.error or name == b"error":
            self.error = self.error or _code_of(chunk.error)


def _code_of(error: Any) -> str:
    """Return the provider's word for an error where it is one word, else ours."""
    words = (error.get("code"), error.get("type")) if isinstance(error, dict) else ()
    return next((word for word in words if isinstance(word, str) and _WORD.fullmatch(word)), "stream_error")
