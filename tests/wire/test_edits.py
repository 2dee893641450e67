"""Spans are found wherever a value stands, and edits leave the rest alone."""

from __future__ import annotations

import msgspec
import pytest

from router.wire.edits import Edit, apply_edits, find_span

FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


@pytest.fixture(params=[0, 10_000], ids=["short", "long"])
def padding(request):
    """Spans are found in one way in short bodies and in another in long ones."""
    return b" " * request.param


@pytest.mark.parametrize(
    ("body", "key", "starts"),
    [
        (b' { "a" : 1 , "b" : [ 2 ] } ', "b", 19),
        (b'{"a":"x","b":"x"}', "a", 5),
        (b'{"a":"x","b":"x"}', "b", 13),
        (b'{"a":[1],"a":[1]}', "a", 13),
        (b'{"x":{"a":7},"\\u0061":7,"y":7}', "a", 22),
        (b'{"x":"\\"a\\":77","a":77}', "a", 20),
    ],
)
def test_a_value_is_found_where_it_stands(body, key, starts, padding):
    body += padding
    value = FIELDS.decode(body)[key]
    start, end = find_span(body, value)
    assert start == starts
    assert body[start:end] == bytes(value)


def test_values_inside_values_are_found(padding):
    body = b'{"m": [ {"c":"x"}, {"c":"x"} ]}' + padding
    second = ITEMS.decode(FIELDS.decode(body)["m"])[1]
    assert find_span(body, FIELDS.decode(second)["c"]) == (24, 27)


def test_a_value_from_elsewhere_is_refused(padding):
    with pytest.raises(ValueError, match="not decoded from"):
        find_span(b'{"a":1}' + padding, FIELDS.decode(b'{"b":[true]}' + padding)["b"])


def test_edits_are_made_by_place_and_insertions_keep_their_order():
    edits = [Edit(4, 6, b"<>"), Edit(0, 0, b"one "), Edit(0, 0, b"two "), Edit(7, 7, b"!")]
    assert apply_edits(b"abcdefg", edits) == b"one two abcd<>g!"


def test_without_edits_the_body_is_the_very_same():
    body = b"abc"
    assert apply_edits(body, []) is body
