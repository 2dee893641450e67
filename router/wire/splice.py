"""Edits to a JSON body that leave every other byte alone: white space, key order, escapes, numbers as written.

A decoder that yields `msgspec.Raw` yields views into the body's own memory, so the distance between the two addresses
is where a value stands. That holds for repeated keys and equal values too, which would fool a search for the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import numpy as np

_SEARCHED = 4096  # below this many bytes a search is faster than asking for two addresses (measured)


class Edit(NamedTuple):
    """Bytes `start` to `end` of a body become `new`. An insertion has `start == end`."""

    start: int
    end: int
    new: bytes


def find_span(body: bytes, value: msgspec.Raw) -> tuple[int, int]:
    """Return where a value that was decoded from `body` stands in it. Raises ValueError when it does not."""
    if len(body) < _SEARCHED:
        written = bytes(value)
        start = body.find(written)
        if start >= 0 and body.find(written, start + 1) < 0:  # bytes that occur once leave no doubt
            return start, start + len(written)
    size = memoryview(value).nbytes
    start = _address(value) - _address(body)
    if not 0 <= start <= len(body) - size:
        raise ValueError("the value was not decoded from this body")
    return start, start + size


def apply_edits(body: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the edited body; `body` itself when there is nothing to do.

    Edits must not overlap. Insertions at one place come out in the order in which they were given.
    """
    parts: list[bytes] = []
    done = 0
    for start, end, new in sorted(edits, key=_start):
        parts += (body[done:start], new)
        done = end
    if not parts:
        return body
    parts.append(body[done:])
    return b"".join(parts)


def _start(edit: Edit) -> int:
    return edit.start


def _address(buffer: bytes | msgspec.Raw) -> int:
    # numpy is the one library at hand that tells the address of a read-only buffer.
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return address
