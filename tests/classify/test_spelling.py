"""Unknown words one edit away from a known one are read as it; all others stay as they are."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import text
from router.classify.text import Spelling

WORDS = ("refund", "parcel", "password", "where", "address", "form", "order", "cancel")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("refnud", "refund"),
        ("refun", "refund"),
        ("rrefund", "refund"),
        ("rafund", "refund"),
        ("refuuuund", "refund"),
        ("pasword", "password"),
        ("wehre", "where"),
        ("rfundd", "rfundd"),
        ("nurefd", "nurefd"),
        ("from", "from"),
        ("prder", "order"),
        ("for", "for"),
        ("order1", "order1"),
        ("", ""),
        ("x" * 60, "x" * 60),
    ],
)
def test_a_word_is_read_as_it_was_meant(word: str, meant: str) -> None:
    assert Spelling(WORDS, also={"from"}).read(["my", word]) == ["my", meant]


def test_known_words_cost_nothing() -> None:
    tokens = ["where", "parcel"]
    assert Spelling(WORDS).read(tokens) is tokens


@given(st.sampled_from([word for word in WORDS if len(word) > 5]), st.randoms(use_true_random=False))
def test_every_single_edit_is_found(word: str, draw: random.Random) -> None:
    at, letter = draw.randrange(1, len(word) - 1), draw.choice(string.ascii_lowercase)
    slips = (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    )
    assert Spelling(WORDS).read(list(slips)) == [word] * 4


def test_the_store_of_met_words_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MOST_MET", 10)
    found = Spelling(WORDS)
    for at in range(100):
        found.read([f"{string.ascii_lowercase[at % 26] * 5}{string.ascii_lowercase[at // 26]}"])
        assert len(found._met) <= 10
    assert found.read(["refnud"]) == ["refund"]
