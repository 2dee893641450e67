"""Words, sentences and questions in texts as models write them, and no text that takes long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rewards.text import (
    LOOKED_AT_CHARS,
    clean,
    count_sentences,
    count_words,
    ends_with_question,
    folded,
    prose,
)


@pytest.mark.parametrize(
    ("text", "words", "sentences"),
    [
        ("", 0, 0),
        ("   \n\t ", 0, 0),
        ("🙂 — !?", 0, 0),
        ("Hello", 1, 1),
        ("Hello there. How are you?", 5, 2),
        ("Thanks! 🙂", 1, 1),
        ("Well... fine?!", 2, 1),  # a small letter goes on
        ("Well… Fine.", 2, 2),
        ('He said "no." Then he left.', 6, 2),
        ("**Bold.** Plain.", 2, 2),
        ("It costs 3.50 at shop.example.com today.", 6, 1),
        ("See e.g. Berlin, i.e. the one in Germany.", 8, 1),
        ("Dr. Lee and J. Smith met Mrs. Hu.", 8, 1),
        ("Order No. 5 is late. No. It is lost.", 9, 3),
        ("Is it open? No. It is closed.", 7, 3),
        ("One line\nthat goes on.\n\nAnother", 6, 2),
        ("# Title\nText here", 3, 2),
        ("You need:\n- a receipt\n- the box\n1. Pack it\n2. Send it", 12, 5),
        ("Use this:\n```\nfor x in y. Do it. Now.\n```\nDone.", 3, 1),
        ("Use this:\n~~~py\na. b. c.\n```\nstill code. Yes.\n~~~\n", 2, 1),
        ("An open fence\n```\ncode. Code. Code.", 3, 1),
        ("你好。今天天气好吗？", 8, 2),
        ("これはペンです。", 7, 1),
        ("مرحبا. كيف حالك؟", 3, 2),
        ("שלום. מה שלומך?", 3, 2),
        ("A. B", 2, 1),
    ],
)
def test_words_and_sentences(text, words, sentences):
    assert (count_words(prose(text)), count_sentences(prose(text))) == (words, sentences)


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("", False),
        ("What is it?", True),
        ("What is it? 🙂\n", True),
        ("**What is it?**", True),
        ('Did he say "what?"', True),
        ("What is it? Tell me.", False),
        ("What is it?!", False),
        ("¿Qué es?", True),
        ("这是什么？", True),
        ("ما هذا؟", True),
        ("Is this it? Yes", False),
        ("🙂", False),
    ],
)
def test_a_question_at_the_end(text, asks):
    assert ends_with_question(text) is asks


def test_phrases_are_alike_whatever_case_quotes_and_spaces():
    assert folded("Order\u00a0NUMBER\n it’s “Ｘ”") == folded('order number it\'s "Ｘ"')
    assert folded("Stra\u00dfe cafe\u0301") == "strasse caf\u00e9"


def test_long_and_broken_texts_are_cut_and_mended():
    assert clean("a" * (LOOKED_AT_CHARS + 1)) == ("a" * LOOKED_AT_CHARS, False)
    assert clean("half \ud83d pair") == ("half ? pair", True)


@given(st.text(st.characters()))
def test_any_text_is_measured(text):
    text, _ = clean(text)
    words, sentences = count_words(text), count_sentences(text)
    assert 0 <= sentences <= max(words, 1) and ends_with_question(text) in (True, False)
    assert len(prose(text)) <= len(text)


HOSTILE = [
    ".",
    "!?",
    ". ",
    "a. ",
    "A. B. ",
    "- ",
    "# ",
    "```\n",
    "~~~\n```",
    "\n",
    "a",
    "e.g. ",
    ')."',
    "。",
    "\u0301\u0316",
    "🙂",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_time_grows_with_the_length_only(piece):
    """What is quadratic in any of these takes minutes, more than any test is given."""
    text = "a" + piece * (2 * LOOKED_AT_CHARS // len(piece))
    assert count_words(prose(text)) >= 0
    assert count_sentences(prose(text)) >= 0
    assert folded(text)
    assert ends_with_question(text) in (True, False)
