"""What JSON is taken from a client, whatever the route.

UTF-8 without a byte order mark, nested at most MAX_DEPTH deep, numbers of at most MAX_DIGITS digits; no NaN or
Infinity, no lone surrogate, nothing behind the value. All of this is RFC 8259; the two limits are what it lets a reader
set (section 9). Whoever takes less care than we do stands behind us: what passes here must not break its reader.

Three parts share the work. `check` looks at the bytes for what a decoder does not mind: encoding, depth, digits. The
decoder (msgspec) refuses the rest, also inside values that it only skips. `check_names` refuses keys that two readers
may understand differently: a name that we read given twice, or one that differs from it in nothing but case. Go's and
.NET's readers take the last of them, whatever its case; we would weave into one and they would answer the other. All
three are linear in the size of the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from router.core.errors import RequestError

MAX_DEPTH = 64
"""Containers inside one another. Tool schemas of real clients stay below 20."""

MAX_DIGITS = 4300
"""Digits in a row outside strings: what Python's own int() takes (sys.int_info.default_max_str_digits)."""

MAX_ITEMS = 10_000
"""Messages, or items, of one request: 32 MiB can hold a million, which would block the event loop for seconds."""

LARGE = 1 << 20
"""Bodies above this many bytes are outlined first: a million items that are no messages then fail at the first."""

Bytes: TypeAlias = npt.NDArray[np.uint8]

T = TypeVar("T")

Names: TypeAlias = Mapping[str, "Names"]
"""The names that are read in an object, or in each object of a list, and those inside their values in turn."""

EVERY = "*"
"""As a name: every key is read, so none may come twice; case is of no matter, since names that are free are exact."""

_MARKS = ((b"\xef\xbb\xbf", "UTF-8"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_SHORT = 1024  # below this many bytes, bytes.count is faster than numpy's start-up (measured)
_STRIDE = 64
_BLOCK = 1 << 16
_SLASHES = re.compile(rb"\\*")
_DIGIT_MARKS = bytes(48 if 48 <= i <= 57 else 32 for i in range(256))
_DIGIT_RUN = b"0" * (MAX_DIGITS // _STRIDE)
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = 0x22, 0x5C, 0x5B, 0x5D
_FOLD = 0xDF  # clears the one bit in which { differs from [ and } from ]
_STEP = np.zeros(256, np.int8)
_STEP[[0x5B, 0x7B]] = 1
_STEP[[0x5D, 0x7D]] = -1

_MISSING = re.compile(r"missing required field `(\w+)`")
_WORDS = {"str": "a string", "bool": "true or false", "int": "an integer", "array": "a list", "object": "an object"}
_NOT_NUMBERS = re.compile(rb"\b(?:NaN|Infinity)\b")
_HIGH_ALONE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_encode = msgspec.json.Encoder().encode
_ZERO = msgspec.Raw(b"0")
_KEY_CHARS = 64  # no longer key is a name that we read
_BEGINNING = 64  # bytes: to search for a long value whole takes longer than to read it (measured)


def names(*leaves: str, **inner: Names) -> Names:
    """Return the names that are read: `leaves`, and those with names of their own inside.

    >>> names("model", messages=names("role", content=names("type", "text")))["messages"]["content"].keys()
    dict_keys(['type', 'text'])
    """
    return MappingProxyType(dict.fromkeys(leaves, MappingProxyType({})) | inner)


def read(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a client's body. Raises RequestError (400) that names the fault and its place."""
    check(body)
    return decode(body, decoder)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return what `decoder` makes of a body that was checked. Raises RequestError (400)."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise wrong_type(error) from None
    except msgspec.DecodeError as error:
        raise _malformed(body, str(error)) from None
    except RecursionError:  # only when this very call stands deep in the stack already
        raise _too_deep() from None


def check(body: bytes) -> None:
    """Refuse a body for its encoding, its depth or an endless number. Raises RequestError (400)."""
    if not body:
        raise RequestError("The body is empty; it must be a JSON object.", code="invalid_json")
    for mark, name in _MARKS:
        if body.startswith(mark):
            raise RequestError(
                f"The body begins with a {name} byte order mark; send UTF-8 without one.", code="invalid_encoding"
            )
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise RequestError(
                f"The body is not valid UTF-8 at byte {error.start}: {error.reason}.", code="invalid_encoding"
            ) from None
    # Both measurements are costly, so each stands behind a bound that nearly every body keeps.
    if len(body) > 2 * MAX_DEPTH and _count_openers(body) > MAX_DEPTH:
        _check_depth(body)
    if len(body) > MAX_DIGITS and _DIGIT_RUN in body[::_STRIDE].translate(_DIGIT_MARKS):
        _check_numbers(body)


def find_unread(
    messages: Sequence[msgspec.Struct], raws: Sequence[msgspec.Raw], others: Sequence[msgspec.Raw], strings: int
) -> Sequence[msgspec.Raw]:
    """Return the messages that may hold more than was read of them: the `others`, or all.

    What was read of those that are not among the others are `strings`, names and values, each of which has two quotes.
    Where there are no more quotes, there is nothing else, and nothing twice; nor where messages, written anew, are what
    was written.
    """
    written, apart = b",".join(raws), b",".join(others)
    quotes = 2 * strings + apart.count(b'"')
    if written.count(b'"') == quotes:
        return others
    if b"\\" in written:
        if not others and _encode(messages) == b"[" + written + b"]":
            return others
        if _count_string_ends(written) == 2 * strings + _count_string_ends(apart):
            return others
    return raws


def _count_string_ends(written: bytes) -> int:
    """Count the quotes that open or close a string; all quotes, where a backslash is escaped: rather too many."""
    text = np.frombuffer(written, np.uint8)
    slashes = text == _BACKSLASH
    if (slashes[1:] & slashes[:-1]).any():
        return written.count(b'"')
    return int(np.count_nonzero((text[1:] == _QUOTE) > slashes[:-1]))  # messages begin with no quote


def check_names(body: bytes, read: Names, name: str = "", unread: Sequence[msgspec.Raw] = ()) -> None:
    """Refuse a name that is given twice or in another case, in a body that is an object. Raises RequestError (400).

    In the list that the member `name` holds, only the `unread` are looked into. The quick look here finds all that is
    wrong, and hardly ever something that is not; a slow one then tells what.
    """
    written, members = body, _MEMBERS.decode(body)
    if name in members and len(body) > _SHORT and b'": ' in body[:_BEGINNING]:
        # White space makes us count quotes, of which the list has most: it is cut out on both sides. Where equal bytes
        # stand before it, those go, with just as many quotes.
        value = bytes(members[name])
        start = body.find(value[:_BEGINNING])
        if body.startswith(value, start):
            written = body[:start] + b"0" + body[start + len(value) :]
            members[name] = _ZERO
    if _is_doubtful(written, [members], read, name, unread):
        _find_doubled(json.loads(body, object_pairs_hook=_Pairs, parse_int=str, parse_float=str), read, "")


def _is_doubtful(
    written: bytes,
    objects: list[dict[str, msgspec.Raw]],
    read: Names,
    name: str = "",
    unread: Sequence[msgspec.Raw] = (),
) -> bool:
    """Say whether a name may be doubled, or written in another case, in objects that were decoded from `written`."""
    # Written anew, objects are what they were less the white space and the members that a later one displaced: values
    # are views of their bytes, and no key is longer than it was. Each such member had two quotes of its own or more.
    again = _encode(objects)
    if len(again) - 2 != len(written) and again.count(b'"') != written.count(b'"'):
        return True
    for key in objects[0] if len(objects) == 1 else set[str]().union(*objects):
        inner = read.get(key)
        if inner is None:
            if '"' in key or (len(key) <= _KEY_CHARS and fold(key) in read):  # a quote may be no quote as written
                return True
        elif inner:
            values = unread if name and key == name else [members[key] for members in objects if key in members]
            if _is_doubtful_within(values, inner):
                return True
    return False


def _is_doubtful_within(values: Sequence[msgspec.Raw], read: Names) -> bool:
    """Say the same of the objects that values are, or are lists of, all at once."""
    listed: list[bytes] = []
    for value in map(bytes, values):
        if value.startswith(b"["):
            value = value[1:-1].strip()
        elif not value.startswith(b"{"):
            continue
        if value:
            listed.append(value)
    within = b",".join(listed)
    try:
        return bool(within) and _is_doubtful(within, _OBJECTS.decode(b"[" + within + b"]"), read)
    except msgspec.ValidationError:  # not only objects
        return True


class _Pairs(list[tuple[str, Any]]):
    """An object with every member that was written."""


def _find_doubled(value: Any, read: Names, place: str) -> None:
    """Raise RequestError (400) for the first name that is doubled or in another case; return if there is none."""
    if not isinstance(value, _Pairs):
        for at, each in enumerate(value if isinstance(value, list) else ()):
            _find_doubled(each, read, f"{place}[{at}]")
        return
    seen: set[str] = set()
    for key, inner in value:
        name = fold(key) if len(key) <= _KEY_CHARS else key
        where = f"{place}.{key}".lstrip(".")
        if name in read and key != name:
            raise RequestError(
                f'{where}: differs from "{name}" in case alone, and some backends take it for that. Write "{name}".',
                code="ambiguous_key",
                param=where,
            )
        if key in seen:
            raise RequestError(
                f"{where}: given twice, and backends differ in which one they take. Send it once.",
                code="duplicate_key",
                param=where,
            )
        if name in read or EVERY in read:
            seen.add(key)
        if name in read:
            _find_doubled(inner, read[name], where)


@lru_cache(1024)
def fold(key: str) -> str:
    r"""Return a key as a reader may see it who minds no case, by Unicode's rules and by those of Go, .NET and Java.

    >>> [fold(key) for key in ("MODEL", "to\u212aens", "me\u017fsages", "\u0131nput", "\u0130nput")]
    ['model', 'tokens', 'messages', 'input', 'input']
    """
    if key.islower() and key.isascii():
        return key
    return key.upper().casefold().replace("\u0307", "")  # a capital I with a dot leaves its dot behind


class _Outline(msgspec.Struct, gc=False):
    class Item(msgspec.Struct, gc=False):
        role: str

    messages: list[Item] = []


MESSAGES_OUTLINE = msgspec.json.Decoder(_Outline)
"""Reads that the messages of a large body are some, and no more of them."""


def check_count(items: Sequence[object], place: str, noun: str) -> None:
    """Refuse a list of more than MAX_ITEMS. Raises RequestError (400)."""
    if len(items) > MAX_ITEMS:
        raise RequestError(
            f"{place}: {len(items)} {noun}; at most {MAX_ITEMS} are taken.", code="too_many_messages", param=place
        )


def decode_messages(raws: Sequence[msgspec.Raw], decoder: msgspec.json.Decoder[T], place: str = "messages") -> list[T]:
    """Return what `decoder` makes of each message of a client. Raises RequestError (400) that names the one."""
    if not raws:
        raise RequestError(f"{place}: the list is empty.", code="empty_messages", param=place)
    check_count(raws, place, "messages")
    read = decoder.decode
    messages: list[T] = []
    try:
        for raw in raws:
            messages.append(read(raw))
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside=f"{place}[{len(messages)}]") from None
    return messages


def wrong_type(error: msgspec.ValidationError, inside: str = "") -> RequestError:
    """Return the client's error for a value of the wrong type; `inside` is where the decoded value stands."""
    what, _, path = str(error).partition(" - at `$")
    param = (inside + path.rstrip("`").replace("[...]", "")).lstrip(".")
    missing = _MISSING.search(what)
    if missing:
        param = f"{param}.{missing[1]}".lstrip(".")
        return RequestError(f"{param}: missing.", code="missing_field", param=param)
    if "out of range" in what:
        return RequestError(f"{param}: the number is too large.", code="invalid_value", param=param)
    return RequestError(f"{param or 'The body'}: {_in_words(what)}.", code="invalid_type", param=param or None)


def _in_words(what: str) -> str:
    """Put msgspec's sentence into words of JSON.

    >>> _in_words("Expected `bool | null`, got `int`")
    'expected true or false or null, got an integer'
    """
    sentence = what[:1].lower() + what[1:].replace(" | ", "` or `")
    return re.sub(r"`(\w+)`", lambda word: _WORDS.get(word[1], word[1]), sentence)


def _malformed(body: bytes, reason: str) -> RequestError:
    if "surrogate" in reason or _HIGH_ALONE.search(body):
        return RequestError(
            "The body escapes half a surrogate pair (such as \\ud800), which is no character.", code="lone_surrogate"
        )
    plain = reason.removeprefix("JSON is malformed: ")
    hint = " NaN and Infinity are not JSON." if _NOT_NUMBERS.search(body) else ""
    return RequestError(f"The body is not valid JSON: {plain[:1].lower()}{plain[1:]}.{hint}", code="invalid_json")


def _too_deep() -> RequestError:
    return RequestError(f"The body nests deeper than {MAX_DEPTH} levels.", code="json_too_deep")


def _count_openers(body: bytes) -> int:
    if len(body) < _SHORT:
        return body.count(b"[") + body.count(b"{")
    return int(np.count_nonzero((np.frombuffer(body, np.uint8) & _FOLD) == _OPEN))


def _check_depth(body: bytes) -> None:
    depth, inside = 0, np.False_
    for text in _blocks(body):
        quotes = _string_ends(text)
        folded = text & _FOLD
        marks = np.flatnonzero(quotes | (folded == _OPEN) | (folded == _CLOSE))
        if not marks.size:
            continue
        within = np.logical_xor.accumulate(quotes[marks]) ^ inside
        steps = _STEP[text[marks]]
        steps[within] = 0
        levels = np.cumsum(steps, dtype=np.int32) + depth
        if levels.max() > MAX_DEPTH:
            raise _too_deep()
        depth, inside = levels[-1], within[-1]


def _blocks(body: bytes) -> Iterator[Bytes]:
    """Cut a body into blocks that fit a processor's cache, never between a backslash and what it escapes."""
    start = 0
    while start < len(body):
        end = start + _BLOCK
        if body[end - 1 : end] == b"\\":
            end = _SLASHES.match(body, end).end() + 1  # type: ignore[union-attr]  # matches the empty run too
        yield np.frombuffer(body, np.uint8, min(end, len(body)) - start, start)
        start = end


def _check_numbers(body: bytes) -> None:
    text = np.frombuffer(body, np.uint8)
    inside = np.logical_xor.accumulate(_string_ends(text))
    digits = (text >= 0x30) & (text <= 0x39) & ~inside
    edges = np.flatnonzero(np.diff(digits, prepend=False, append=False))
    longest = int((edges[1::2] - edges[::2]).max(initial=0))
    if longest > MAX_DIGITS:
        raise RequestError(
            f"The body holds a number of {longest} digits; at most {MAX_DIGITS} are taken.", code="number_too_long"
        )


def _string_ends(text: Bytes) -> npt.NDArray[np.bool_]:
    """Mark the quotes that open or close a string: those behind an even number of backslashes."""
    quotes: npt.NDArray[np.bool_] = text == _QUOTE
    slashes = np.flatnonzero(text == _BACKSLASH)
    if slashes.size:
        starts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        lengths = np.diff(starts, append=slashes.size)
        escaped = (slashes[starts] + lengths)[lengths & 1 == 1]
        quotes[escaped[escaped < text.size]] = False
    return quotes
