"""What is taken as JSON and what is not, by table; and never more than Python's own reader takes."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import RequestError
from router.wire import strict_json
from router.wire.strict_json import MAX_DEPTH, MAX_DIGITS, check, read

FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def nested(depth: int, inner: bytes = b"1") -> bytes:
    """A body whose containers are `depth` deep, objects and lists in turn."""
    lists = depth - 1
    return b'{"a":' + b"[" * lists + inner + b"]" * lists + b"}"


BAD = {
    "empty": (b"", "invalid_json"),
    "white space": (b" \n ", "invalid_json"),
    "no JSON": (b"hello", "invalid_json"),
    "cut": (b'{"a": "b', "invalid_json"),
    "cut in an escape": (b'{"a": "\\', "invalid_json"),
    "rubbish behind": (b'{"a": 1} x', "invalid_json"),
    "two values": (b"{} {}", "invalid_json"),
    "comma at the end": (b'{"a": [1,]}', "invalid_json"),
    "single quotes": (b"{'a': 1}", "invalid_json"),
    "NaN": (b'{"a": NaN}', "invalid_json"),
    "NaN in a list": (b'{"a": [1, [NaN]]}', "invalid_json"),
    "Infinity": (b'{"a": Infinity}', "invalid_json"),
    "minus Infinity": (b'{"a": -Infinity}', "invalid_json"),
    "leading zero": (b'{"a": 01}', "invalid_json"),
    "line break in a string": (b'{"a": "x\ny"}', "invalid_json"),
    "NUL": (b'{"a": "\x00"}', "invalid_json"),
    "unknown escape": (b'{"a": "\\x41"}', "invalid_json"),
    "high surrogate alone": (b'{"a": "\\ud800"}', "lone_surrogate"),
    "high surrogate, then a letter": (b'{"a": "\\ud800x"}', "lone_surrogate"),
    "high surrogate twice": (b'{"a": "\\uD83D\\uD83D"}', "lone_surrogate"),
    "low surrogate alone": (b'{"a": "\\udc00"}', "lone_surrogate"),
    "surrogate in a key": (b'{"\\ud800": 1}', "lone_surrogate"),
    "surrogate deep inside": (b'{"a": [{"b": "\\uDFFF"}]}', "lone_surrogate"),
    "surrogate as bytes": (b'{"a": "\xed\xa0\x80"}', "invalid_encoding"),
    "not UTF-8": (b'{"a": "\xff"}', "invalid_encoding"),
    "UTF-8 cut short": (b'{"a": "\xc3"}', "invalid_encoding"),
    "overlong UTF-8": (b'{"a": "\xc0\x80"}', "invalid_encoding"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "invalid_encoding"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "invalid_encoding"),
    "a list": (b"[1]", "invalid_type"),
    "a string": (b'"a"', "invalid_type"),
    "null": (b"null", "invalid_type"),
    "a level too deep": (nested(MAX_DEPTH + 1), "json_too_deep"),
    "100,000 levels": (nested(100_000), "json_too_deep"),
    "100,000 openers": (b"[" * 100_000, "json_too_deep"),
    "deep behind a string of quotes": (
        b'{"s": "' + b'\\"\\\\' * 40_000 + b'", "d": ' + nested(64) + b"}",
        "json_too_deep",
    ),
    "a number a digit too long": (b'{"a": ' + b"9" * (MAX_DIGITS + 1) + b"}", "number_too_long"),
    "an endless fraction": (b'{"a": 0.' + b"3" * 100_000 + b"}", "number_too_long"),
}

GOOD = {
    "white space around": b' \t\r\n{"a": 1}\n ',
    "surrogate pair": b'{"a": "\\ud83d\\ude00"}',
    "escaped backslash before u": b'{"a": "\\\\ud800"}',
    "characters of four bytes": '{"a": "😀"}'.encode(),
    "just deep enough": nested(MAX_DEPTH),
    "brackets in a string": b'{"a": "' + b"[{" * 1000 + b'"}',
    "brackets behind escaped quotes": b'{"a": "' + b'\\"[' * 1000 + b'"}',
    "brackets behind backslashes": b'{"a": ["' + b"\\\\" * 500 + b'", "' + b"[" * 100 + b'"]}',
    "many containers side by side": b'{"a": [' + b"{}," * 1000 + b"[]]}",
    "as many digits as may be": b'{"a": ' + b"9" * MAX_DIGITS + b"}",
    "digits in a string": b'{"a": "' + b"3" * 100_000 + b'"}',
    "large exponent": b'{"a": 1e999}',
}


@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD)
def test_refused(body, code):
    with pytest.raises(RequestError) as caught:
        read(body, FIELDS)
    assert (caught.value.status, caught.value.code) == (400, code)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("body", GOOD.values(), ids=GOOD)
def test_taken(body):
    assert "a" in read(body, FIELDS)


@pytest.mark.parametrize("pad", range(16))
@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_depth_is_the_same_wherever_blocks_are_cut(monkeypatch, pad, depth):
    monkeypatch.setattr(strict_json, "_BLOCK", 16)
    tricky = b'"' + b" " * pad + b'\\\\\\"[[[\\\\", "' + b"\\\\" * pad + b'",'
    body = b"[" * (depth - 1) + tricky + b"[]" + b"]" * (depth - 1)
    if depth > MAX_DEPTH:
        with pytest.raises(RequestError, match="deeper"):
            check(body)
    else:
        check(body)


TEXT = st.text(alphabet='ab"\\[]{}:,0é\u2028😀', max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=60,
)


@given(st.dictionaries(TEXT, VALUES), st.booleans())
def test_all_that_python_writes_is_taken(value, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    assert {key: json.loads(bytes(raw)) for key, raw in read(body, FIELDS).items()} == value


@given(VALUES, st.data())
def test_what_is_taken_can_be_read_by_python(value, data):
    body = bytearray(b'{"a":' + json.dumps(value).encode() + b"}")
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.binary(max_size=2) | st.sampled_from([b"\\ud800", b"NaN", b'"', b"\\", b"[", b"}"])
    )
    try:
        read(bytes(body), FIELDS)
    except RequestError:
        return
    json.loads(body.decode()).keys()
    json.dumps(json.loads(body), ensure_ascii=False).encode()  # no lone surrogate anywhere


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b'{"on": 1}', "on", "on: expected true or false or null, got an integer."),
        (b'{"parts": [{"type": "x"}, {}]}', "parts[1].type", "parts[1].type: missing."),
        (b'{"meta": {"k": 1e999}}', "meta", "meta: the number is too large."),
        (b"[]", None, "The body: expected an object, got a list."),
    ],
)
def test_a_wrong_type_is_told_with_its_place(body, param, message):
    part = msgspec.defstruct("Part", [("type", str)])
    shape = msgspec.defstruct(
        "Shape", [("on", bool | None, None), ("parts", list[part], []), ("meta", dict[str, object], {})]
    )
    with pytest.raises(RequestError) as caught:
        read(body, msgspec.json.Decoder(shape))
    assert (caught.value.param, caught.value.message) == (param, message)
