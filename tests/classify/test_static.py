"""The static table: a word becomes pieces, pieces become a vector; a damaged file is named as such."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import static
from router.classify.static import StaticTable, digest
from router.classify.text import tokens

PIECES = ["where", "s", "ref", "##und", "##ed", "refund", "cafe", "strasse", "0", "##th", "?", "$", "h", "#", "'", "x"]


def table(pieces: list[str]) -> StaticTable:
    vectors = np.diag(np.full(len(pieces), 2, np.int8))
    return StaticTable(vectors, np.full(len(pieces), 0.5, np.float32), pieces)


def content(**changed: Any) -> bytes:
    vectors, scales = np.eye(3, dtype=np.int8), np.ones(3, np.float32)
    arrays = {
        "vectors": vectors,
        "scales": scales,
        "vocabulary": np.frombuffer(b"a\nb\nc", np.uint8),
        "digest": np.frombuffer(digest(vectors, scales, ["a", "b", "c"]).encode(), np.uint8),
    } | changed
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file.getvalue()


@pytest.fixture(scope="module")
def small() -> StaticTable:
    return table(PIECES)


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("refund", ["refund"]),
        ("refunded", ["refund", "##ed"]),
        ("reference", ["ref"]),
        ("where's", ["where", "s"]),
        ("s'where's", ["s", "where", "s"]),
        ("'", ["'"]),
        ("café", ["cafe"]),
        ("cafe\u0301", ["cafe"]),
        ("straße", ["strasse"]),
        ("0th", ["0", "##th"]),
        ("?", ["?"]),
        ("#", ["#"]),
        ("<url>", []),
        ("<email>", []),
        ("銀", []),
        ("qqq", []),
        ("", []),
        ("qundqed", ["##und", "##ed"]),
    ],
)
def test_pieces(small: StaticTable, word: str, pieces: list[str]) -> None:
    assert [PIECES[row] for row in small.rows(word)] == pieces
    counts = np.array([pieces.count(piece) for piece in PIECES], np.float32)
    assert np.array_equal(small.vector(word), counts)
    assert small.vector(word).dtype == np.float32


def test_a_word_counts_by_its_beginning() -> None:
    found = table(["x", "##x"]).rows("x" * 1_000)
    assert len(found) == static.WORD_LETTERS


@given(st.text(max_size=80))
def test_any_text_has_finite_vectors(text: str) -> None:
    for word in tokens(text):
        vector = table(PIECES).vector(word)
        assert vector.shape == (len(PIECES),)
        assert np.isfinite(vector).all()


def test_read_gives_back_what_was_written() -> None:
    read = StaticTable.read(content())
    assert (len(read), read.dimensions) == (3, 3)
    assert np.array_equal(read.vector("b"), [0, 1, 0])


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b"", "no static table"),
        (b"PK\x03\x04 cut off", "no static table"),
        (content()[:-200], "no static table"),
        (content(digest=None), "digest"),
        (content(vocabulary=np.frombuffer(b"a\nb", np.uint8)), "do not fit"),
        (content(vocabulary=np.frombuffer(b"a\nb\nb", np.uint8)), "twice"),
        (content(vocabulary=np.frombuffer(b"\xff\nb\nc", np.uint8)), "no static table"),
        (content(vectors=np.eye(3, dtype=np.float32)), "int8"),
        (content(scales=np.ones(2, np.float32)), "do not fit"),
        (content(scales=np.array([1, np.nan, 1], np.float32)), "finite"),
        (content(vectors=2 * np.eye(3, dtype=np.int8)), "damaged"),
        (content(vectors=np.array([None], object)), "no static table"),
    ],
)
def test_damaged_content_is_refused(damaged: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StaticTable.read(damaged)


@pytest.fixture(scope="module")
def shipped() -> StaticTable:
    return StaticTable.load()


class TestShipped:
    def test_loads_once(self, shipped: StaticTable) -> None:
        assert StaticTable.load() is shipped
        assert shipped.dimensions == 256
        assert len(shipped) > 20_000

    @pytest.mark.parametrize(
        ("word", "near", "far"),
        [
            ("parcel", "package", "password"),
            ("refund", "reimburse", "banana"),
            ("doctor", "physician", "invoice"),
            ("car", "vehicle", "poem"),
            ("bug", "error", "holiday"),
            ("restaurant", "dinner", "password"),
        ],
    )
    def test_knows_what_is_alike(self, shipped: StaticTable, word: str, near: str, far: str) -> None:
        def alike(other: str) -> float:
            one, two = shipped.vector(word), shipped.vector(other)
            return float(one @ two / np.linalg.norm(one) / np.linalg.norm(two))

        assert alike(near) > alike(far) + 0.1

    def test_common_words_weigh_little(self, shipped: StaticTable) -> None:
        common = [float(np.linalg.norm(shipped.vector(word))) for word in ("the", "of", "and", "a", "to")]
        telling = [float(np.linalg.norm(shipped.vector(word))) for word in ("refund", "guitar", "passport", "weather")]
        assert max(common) < min(telling)
