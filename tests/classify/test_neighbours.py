"""Shipped texts that are what a pack is for are not taken for foreign."""

from __future__ import annotations

import pytest

from router.classify.fit.training import LEAST, NearestExamples

JOKES = ["tell me a joke", "say something funny", "do you know a joke", "make me laugh", "tell me a funny story"]
FOREIGN = [f"what is the capital of {land}" for land in ("Peru", "Chad", "Laos", "Cuba", "Oman", "Fiji", "Mali")]
MANY = FOREIGN + [f"how deep is the {sea} sea" for sea in ("red", "dead", "black", "north", "baltic")]


@pytest.mark.parametrize("encoder", ["static", "lexical"])
def test_what_is_like_an_example_is_left_out(encoder: str) -> None:
    kept = NearestExamples(encoder, JOKES).unlike(["tell me a joke about elephants", *MANY])
    assert kept == MANY


def test_meaning_finds_what_words_do_not() -> None:
    asked = ["humorous jokes and funny tales", *MANY]
    assert NearestExamples("static", JOKES).unlike(asked) == MANY


def test_so_many_stay_in_any_case() -> None:
    assert len(NearestExamples("static", JOKES).unlike(JOKES * 4)) == LEAST


def test_one_example_has_no_neighbour() -> None:
    assert NearestExamples("static", ["tell me a joke"]).unlike(MANY) == MANY
