"""Edits to a JSON body that leave every other byte alone: white space, key order, escapes, numbers as written.

A decoder that yields `msgspec.Raw` yields views into the body's own memory, so the distance between the two addresses
is where a value stands; equal values, which would fool a search for the bytes, are told apart. On that stand the edits
that the formats share: text put into content, members put into a body.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from router.core.decision import TASK_GAP
from router.wire.cache_marks import CacheBreakpoints
from router.wire.placement import PlacedTexts
from router.wire.strict_json import fold

_SEARCHED = 4096  # below this many bytes a search is faster than asking for two addresses (measured)


Side = Literal["before", "after", "replace"]

GAP = "\n\n"
"""Stands between the app's text and ours."""


class Edit(NamedTuple):
    """Bytes `start` to `end` of a body become `new`. An insertion has `start == end`."""

    start: int
    end: int
    new: bytes


by_place = itemgetter(0)
"""Sorts edits as they stand in the body."""


class Part(NamedTuple):
    """A text of ours as a content part of its own. `mark` is JSON behind its last member: a cache mark, or nothing."""

    text: str
    mark: bytes = b""


class _Content(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw()


_CONTENT = msgspec.json.Decoder(_Content)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])

encode = msgspec.json.Encoder().encode


def find_span(body: bytes, value: msgspec.Raw) -> tuple[int, int]:
    """Return where a value that was decoded from `body` stands in it. Raises ValueError when it does not."""
    if len(body) < _SEARCHED:
        written = bytes(value)
        start = body.find(written)
        if start >= 0 and body.find(written, start + 1) < 0:  # bytes that occur once leave no doubt
            return start, start + len(written)
    size = memoryview(value).nbytes
    start = _address(value) - (id(body) + _BYTES_AT if type(body) is bytes else _address(body))
    if not 0 <= start <= len(body) - size:
        raise ValueError("the value was not decoded from this body")
    return start, start + size


def apply_edits(body: bytes, edits: Iterable[Edit]) -> bytes:
    """Return the edited body; `body` itself when there is nothing to do.

    Edits must not overlap. Insertions at one place come out in the order in which they were given.
    """
    parts: list[bytes] = []
    done = 0
    # Sorting is stable: that is what keeps insertions at one place in their order.
    for start, end, new in sorted(edits, key=by_place):
        parts += (body[done:start], new)
        done = end
    if not parts:
        return body
    parts.append(body[done:])
    return b"".join(parts)


def insert(at: int, new: bytes) -> Edit:
    """Return an insertion."""
    return Edit(at, at, new)


def _address(buffer: bytes | msgspec.Raw) -> int:
    # numpy is the one library at hand that tells the address of a read-only buffer.
    address: int = np.frombuffer(buffer, np.uint8).__array_interface__["data"][0]
    return address


_PROBE = b"the id of an object is its address, and bytes begin a fixed way behind it"
_BYTES_AT = _address(_PROBE) - id(_PROBE)  # asking numpy takes four microseconds, and every span asks


def is_given(value: msgspec.Raw) -> bool:
    """Say whether a raw value was in the body at all; a null was."""
    return memoryview(value).nbytes > 0


def size_of(value: msgspec.Raw) -> int:
    """Return how many bytes a raw value takes, 0 where it was not in the body."""
    return memoryview(value).nbytes


def content_of(message: msgspec.Raw) -> msgspec.Raw:
    """Return a message's content as written, empty where it has none."""
    return _CONTENT.decode(message).content


def members_of(value: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the members of an object, each raw. Raises msgspec.ValidationError when it is none."""
    return _KEYS.decode(value)


def names_of(body: bytes) -> set[str]:
    """Return the names that a body gives, whatever their case: none of them is set a second time."""
    return {fold(key) for key in members_of(body)}


def write_parts(parts: Sequence[Part], kind: str) -> bytes:
    """Return content parts of type `kind` as JSON, without the brackets."""
    head = b'{"type":"' + kind.encode() + b'","text":'
    return b",".join([head + encode(part.text) + part.mark + b"}" for part in parts])


def write_content(parts: Sequence[Part], kind: str) -> bytes:
    """Return a message's content as JSON: a string, unless a part has a mark."""
    if len(parts) == 1 and not parts[0].mark:
        return encode(parts[0].text)
    if is_marked(parts):
        return b"[" + write_parts(parts, kind) + b"]"
    return encode("".join([part.text for part in parts]))


def is_marked(parts: Sequence[Part]) -> bool:
    """Say whether a part has a cache mark, and so must be a part as written."""
    return any([part.mark for part in parts])


def split_head(placed: PlacedTexts, breakpoints: CacheBreakpoints) -> list[Part]:
    """Return the head as parts that can be marked; joined they are the head."""
    if not breakpoints.general or not placed.special:
        return [Part(placed.head, breakpoints.special or breakpoints.general)]
    return [Part(placed.general, breakpoints.general), Part(TASK_GAP + placed.special, breakpoints.special)]


def _set_off(parts: Sequence[Part], side: Side, gap: str) -> list[Part]:
    """Add the gap on the side where other text stands."""
    if side == "before":
        return [*parts[:-1], Part(parts[-1].text + gap, parts[-1].mark)]
    return [Part(gap + parts[0].text, parts[0].mark), *parts[1:]]


def extend_content(
    body: bytes, message: msgspec.Raw, parts: Sequence[Part], side: Side, gap: str, kind: str
) -> list[Edit]:
    """Put text into a message's content, `gap` between it and what is there, whatever form the content has.

    A list gets more parts of type `kind`. A string stays a string, unless a part has a mark: then it becomes a part of
    its own, unchanged. Null, and the empty string or list, keep nothing.
    """
    content = content_of(message)
    if not is_given(content):
        return [insert(find_span(body, message)[0] + 1, b'"content":' + write_content(parts, kind) + b",")]
    return put_beside(body, find_span(body, content), parts, side, gap, kind)


def put_beside(
    body: bytes, span: tuple[int, int], parts: Sequence[Part], side: Side, gap: str, kind: str, split: bool = False
) -> list[Edit]:
    """Put text beside the content at `span`, or instead of it. With `split` strings are never joined, but parts."""
    start, end = span
    inner = body[start + 1 : end - 1]
    listed = body.startswith(b"[", start)
    if side == "replace" or body.startswith(b"n", start) or (not inner and not listed):
        return [Edit(start, end, write_content(parts, kind))]
    if listed and not inner.strip():
        return [Edit(start, end, b"[" + write_parts(parts, kind) + b"]")]
    before = side == "before"
    if not listed and not split and not is_marked(parts):
        text = "".join([part.text for part in parts])
        # Without its quotes our text is a piece of the client's own string, behind its opening quote or before the
        # closing one; the client's part stays escaped as it was written.
        if before:
            return [insert(start + 1, encode(text + gap)[1:-1])]
        return [insert(end - 1, encode(gap + text)[1:-1])]
    new = write_parts(_set_off(parts, side, gap), kind)
    if listed:
        return [insert(start + 1, new + b",") if before else insert(end - 1, b"," + new)]
    # A string that has to stand beside parts becomes one itself: wrapped where it stands, and not written anew.
    opening = b'{"type":"' + kind.encode() + b'","text":'
    if before:
        return [insert(start, b"[" + new + b"," + opening), insert(end, b"}]")]
    return [insert(start, b"[" + opening), insert(end, b"}," + new + b"]")]


def extend_leading(
    body: bytes, leading: Sequence[msgspec.Raw], parts: Sequence[Part], side: Side, gap: str, kind: str
) -> list[Edit]:
    """Put our text into the last of the app's leading system messages; `replace` takes out those before it."""
    edits = extend_content(body, leading[-1], parts, side, gap, kind)
    if side == "replace" and len(leading) > 1:
        edits.append(Edit(find_span(body, leading[0])[0], find_span(body, leading[-1])[0], b""))
    return edits


def add_members(body: bytes, members: Mapping[str, Any]) -> list[Edit]:
    """Put members at the end of the body, which has others already. A value may be `msgspec.Raw`."""
    new = b"".join(b"," + encode(name) + b":" + encode(value) for name, value in members.items())
    # The last brace is the one that closes the body, which was decoded: only white space may stand behind it.
    end = body.rindex(b"}")
    return [Edit(end, end, new)] if new else []


def put_member(body: bytes, name: str, value: msgspec.Raw, member: str, new: Any) -> list[Edit]:
    """Set one member of the body's object `name`, which stands at `value` if it is there at all.

    Without the object, or where it is null, there is one with this member alone; other members are left as they are.
    """
    if not is_given(value):
        return add_members(body, {name: {member: new}})
    start, end = find_span(body, value)
    if body.startswith(b"n", start):
        return [Edit(start, end, encode({member: new}))]
    members = members_of(value)
    if member in members:
        return [Edit(*find_span(body, members[member]), encode(new))]
    written = encode({member: new})[1:-1]
    return [Edit(start + 1, start + 1, written + b"," if members else written)]
