"""How much of an answer a correction left unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rewards.correction import COMPARED_CHARS, left_unchanged


@pytest.mark.parametrize(
    ("answer", "correction", "share"),
    [
        ("", "", 1.0),
        ("", "x", 0.0),
        ("abcd", "", 0.0),
        ("abcd", "abxd", 0.75),
        ("ab", "abcd", 0.5),
        ("It ships\n\ntoday. ", "It ships today.", 1.0),
        ("naïve 🙂", "naïve 🙃", 6 / 7),
    ],
)
def test_the_share(answer, correction, share):
    assert left_unchanged(answer, correction) == pytest.approx(share)


@given(st.text(st.characters()), st.text(st.characters()))
def test_it_is_a_share_whichever_text_comes_first(a, b):
    assert 0.0 <= left_unchanged(a, b) == left_unchanged(b, a) <= 1.0
    assert left_unchanged(a, a) == 1.0


def test_of_long_texts_the_beginning_is_compared():
    same = "word " * COMPARED_CHARS
    assert left_unchanged(same + "x" * 999_999, same + "y" * 999_999) == 1.0
