"""Server-sent events, as every format streams them: where one ends, and what its name and its data are.

The standard is https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end with LF or CRLF, an event with
a blank line; several `data` lines are one text; a line that opens with a colon is a comment. A lone CR, which the
standard allows and no provider sends, ends no line here: half a CRLF must not look like one.

Events are read in three steps, so that a guard may leave one out without touching the bytes of the others:
`Framing.release` gives the bytes of whole events, `cut` those of each, `read` what one says.
"""

from __future__ import annotations

import re

_BLANK_LINE = re.compile(rb"\n\r?\n")


class Framing:
    """Holds back half an event until the rest of it has come. One for each stream."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def release(self, chunk: bytes) -> bytes:
        """Take the next bytes, cut anywhere, and return the events that are whole now, byte for byte."""
        rest = self._rest
        if not rest and chunk.endswith(b"\n\n"):  # whole events: what nearly every provider sends
            return chunk
        seam = max(0, len(rest) - 2)
        rest += chunk
        lf, crlf = rest.rfind(b"\n\n", seam), rest.rfind(b"\n\r\n", seam)
        end = max(lf + 2 if lf >= 0 else 0, crlf + 3 if crlf >= 0 else 0)
        whole = bytes(rest[:end])
        if whole:
            del rest[:end]
        return whole

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
    for blank in _BLANK_LINE.finditer(whole):
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
    for line_ in event.split(b"\n"):
        line_ = line_.removesuffix(b"\r")
        if line_.startswith(b"data:"):
            data.append(line_[5:].removeprefix(b" "))
        elif line_.startswith(b"event:"):
            name = line_[6:].strip()
    return name, b"\n".join(data)
