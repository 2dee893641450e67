"""What Python servers write is read; what no client could read is not."""

from __future__ import annotations

import msgspec
import pytest

from router.wire.stream import read_loosely


class Answer(msgspec.Struct):
    id: str
    index: int = 0
    choices: list[msgspec.Raw] = []


DECODER = msgspec.json.Decoder(Answer)


@pytest.mark.parametrize(
    "odd", ["NaN", "-Infinity", "Infinity", "1E400", '"\\ud83d"', '{"deep": [NaN, "\\udc00"]}', "1.0", "[]"]
)
def test_what_a_client_could_read_is_read(odd: str) -> None:
    found = read_loosely(f'{{"id":"a","unknown":{odd},"index":3,"choices":[{{"logprob":{odd}}}]}}'.encode(), DECODER)
    assert (found.id, found.index, len(found.choices)) == ("a", 3, 1)


@pytest.mark.parametrize(
    "rubbish", [b"", b"<html>", b'{"id":"a"', b'{"id":"a"} x', b'{"id":"\xff"}', b"{'id': 1}", b"[" * 100_000]
)
def test_what_is_no_json_is_refused(rubbish: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        read_loosely(rubbish, DECODER)


def test_a_field_of_another_type_is_refused_as_ever() -> None:
    with pytest.raises(msgspec.ValidationError):
        read_loosely(b'{"id":7,"x":NaN}', DECODER)
