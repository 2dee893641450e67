"""Cutting, cleaning, splitting; and that the work is bounded whatever comes."""

from __future__ import annotations

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from router.classify.text import (
    CLIP_CHARACTERS,
    MAX_SENTENCES,
    QUESTION_CHARACTERS,
    Boilerplate,
    clip,
    last_question,
    sentences,
    tokens,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Where's my order?", ["where's", "my", "order", "?"]),
        ("order #4711, please", ["order", "#", "0", ",", "please"]),
        ("'hello' said the customers' friend", ["'", "hello", "'", "said", "the", "customers", "'", "friend"]),
        ("see https://a.example/b?c=1 or www.x.example now", ["see", "<url>", "or", "<url>", "now"]),
        ("write to Ann.Lee@mail.example.com.", ["write", "to", "<email>", "."]),
        ("at 5 @ home 1000200 30", ["at", "0", "@", "home", "0", "0"]),
        ("\x00u \x00", ["u"]),
        ("id 3f2504e0-4f89-41d3-9a0c-0305e82c3301", ["id", "0", "-", "0f0", "-", "0d0", "-", "0", "-", "0"]),
        ("digest 9f86d081884c7d659a2feaa0c55ad015", ["digest", "0"]),
        ("a 2x4, an iphone15 and a 4k screen", ["a", "0x0", ",", "an", "iphone0", "and", "a", "0k", "screen"]),
        ("código AB12CD34", ["código", "0"]),
        ("ＦＵＬＬ ｗｉｄｔｈ １２", ["full", "width", "0"]),
        ("don’t", ["don't"]),
        ("Rück­erstat\u200btung ﬁx", ["rückerstattung", "fix"]),
        ("我要退款", ["我", "要", "退", "款"]),
        ("मेरा ऑर्डर", ["मेरा", "ऑर्डर"]),
        ("أين طلبي؟", ["أين", "طلبي", "؟"]),
        ("😀👍🏽", ["😀", "👍", "🏽"]),
        ("mail é@x.example", ["mail", "<email>"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_words_and_marks(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(max_size=300))
def test_tokens_have_no_spaces_and_depend_on_the_text_alone(text: str) -> None:
    found = tokens(text)
    assert all(token and not token.isspace() and " " not in token for token in found)
    assert found == tokens(text)


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "a@" * 50_000, "www." * 25_000, "ﷺ" * 2_000, "'" * 2_000, ". " * 9_999]
)
def test_hostile_texts_give_a_bounded_number_of_tokens(text: str) -> None:
    assert len(tokens(clip(text))) <= CLIP_CHARACTERS + 2
    assert len(sentences(clip(text))) <= MAX_SENTENCES


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = "begin " + "x" * 100_000 + " end"
    short = clip(text)
    assert len(short) <= CLIP_CHARACTERS + 1
    assert short.startswith("begin") and short.endswith("end")
    assert clip("short") == "short"


def test_of_many_sentences_the_questions_between_count_before_the_others() -> None:
    said = [f"sentence number {i}." for i in range(30)]
    said[10], said[12], said[15] = "what of ten?", "what of twelve?", "what of fifteen?"
    parts = sentences(" ".join(said))
    assert len(parts) == MAX_SENTENCES
    assert parts[3:5] == ["what of twelve?", "what of fifteen?"]
    assert parts[0] == said[0] and parts[-1] == said[-1]


def test_a_long_text_keeps_the_questions_of_its_middle() -> None:
    filler = "and so it went on for a while. " * 100
    text = f"begin {filler}How do I get a refund? {filler}Or may I have another one? {filler}end"
    short = clip(text)
    assert len(short) <= CLIP_CHARACTERS + 1
    assert short.startswith("begin") and short.endswith("end")
    assert "How do I get a refund? Or may I have another one?" in short
    assert clip(short) == short


@given(st.text("ab ?.\n", max_size=300), st.integers(10, 60))
def test_a_clipped_text_has_no_more_than_its_room(text: str, limit: int) -> None:
    short = clip(text, limit)
    assert len(short) <= max(len(text), limit) and len(short) <= limit + 2
    assert short.startswith(text[: limit // 3]) and short.endswith(text[len(text) - limit // 3 :])


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("", ""),
        ("Done.", ""),
        ("I found ten hotels. Shall I book one? Just say yes.", "Shall I book one?"),
        ("Which one? The red or the blue?", "The red or the blue?"),
        ("Here it is:\n- a\n- b\nWhich one?\n", "Which one?"),
        ("見つかりました。予約しますか？", "予約しますか？"),
        ("وجدته. هل أحجز؟", "هل أحجز؟"),
        ("?", "?"),
        ("x" * 500 + "?", "x" * QUESTION_CHARACTERS + "?"),
    ],
)
def test_the_last_question_of_the_assistant(text: str, question: str) -> None:
    assert last_question(text) == question


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One thing here.", []),
        ("Where is it? I want it now!", ["Where is it?", "I want it now!"]),
        ("cancel my order and also close my account", ["cancel my order", "close my account"]),
        ("first line\nsecond line", ["first line", "second line"]),
        ("Hello. Where is it?", []),
        ("e.g.this has 3.5 points", []),
        ("我的包裹在哪里？我要退款。", ["我的包裹在哪里", "我要退款"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [part.rstrip("？。") for part in sentences(text)] == expected


def test_of_many_sentences_the_first_and_the_last_count() -> None:
    parts = sentences("\n".join(f"sentence number {i}" for i in range(100)))
    assert len(parts) == MAX_SENTENCES
    assert parts[0].endswith(" 0") and parts[-1].endswith(" 99")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("where is it\n> old words\n> more", "where is it\n\n"),
        ("where is it\nSent from my Phone", "where is it\n"),
        ("nothing to cut", "nothing to cut"),
        ("> only a quote", "> only a quote"),
        ("half a pair \ud800 stays readable", "half a pair ? stays readable"),
    ],
)
def test_boilerplate_is_cut_unless_nothing_would_be_left(text: str, expected: str) -> None:
    assert Boilerplate([r"(?m)^>.*$", r"(?i)sent from my \w+"]).strip(text) == expected


def test_without_patterns_nothing_is_touched() -> None:
    text = "x" * 50_000
    assert Boilerplate([]).strip(text) is text


def test_a_pattern_that_re2_refuses_is_refused() -> None:
    with pytest.raises(re2.error):
        Boilerplate([r"(a)\1"])
