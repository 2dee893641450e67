"""What a model wrote is read, judged and added to files without touching what stands there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import PolicyError
from router.cues.detectors import detect_language
from router.packs.adding import form_of, new_file, origin, with_examples
from router.packs.forms import ExampleText
from router.packs.more_examples import Wish, language_name, objection, read_lines
from router.packs.words import LANGUAGES

# ------------------------------------------------------------------------------------------------------ replies


@pytest.mark.parametrize(
    ("reply", "expected", "found"),
    [
        ("1. a\n2. b", 2, {1: "a", 2: "b"}),
        ("1) a\n\n(2) b\n3: c", 3, {1: "a", 2: "b", 3: "c"}),
        ("Sure, here they are:\n\n**1.** a\n- 2. b\n\nAnything else?", 2, {1: "a", 2: "b"}),
        ("2. b\n7. z\n0. n", 2, {2: "b"}),
        ("1. a\n1. again", 2, {1: "a"}),
        ('1. "a b"\n2. „c“\n3. «d»\n4. "e', 4, {1: "a b", 2: "c", 3: "d", 4: '"e'}),
        ("<think>1. no\n2. no</think>\n1. a", 2, {1: "a"}),
        ("a\nb", 2, {1: "a", 2: "b"}),
        ("Here:\n- a\n* b", 2, {1: "a", 2: "b"}),
        ("Here:\na\nb", 2, {}),
        ("12345 is my order", 2, {}),
        ("1. ١٢٣ أين طردي", 1, {1: "١٢٣ أين طردي"}),
        ("1.\n2. ", 2, {}),
        ("", 2, {}),
    ],
)
def test_lines_are_read_by_their_numbers(reply: str, expected: int, found: dict[int, str]) -> None:
    assert read_lines(reply, expected) == found


def test_what_breaks_off_loses_its_last_line() -> None:
    assert read_lines("1. a b\n2. c", 2, cut=True) == {1: "a b"}


def test_an_answer_under_way_is_enough_or_too_much() -> None:
    wish = Wish("/a", "de", ("one", "two"))
    assert wish.answered_by("1. eins\n2. zw") is None
    assert wish.answered_by("1. eins\n2. zwei\n") is True
    assert wish.answered_by("nein " * 2_000) is False
    assert wish.answered_by("<think> hm " + "nein " * 2_000) is None


GOOD = {
    ("de", "where is my parcel"): "Wo ist mein Paket?",
    ("de", "refund 1,000 dollars by 24/7 chat"): "1.000 Dollar über den 24/7-Chat erstatten",
    (
        "de",
        "my iPhone 15 from {shop} broke, see https://a.example/x",
    ): "Mein iPhone 15 von {shop} ist kaputt, siehe https://a.example/x",
    ("fr", "where is order #4711"): "Où est la commande #4711",
    ("es", "I want a refund"): "Quiero un reembolso",
    ("no", "where is my parcel"): "Hvor er pakken min?",
    ("da", "where is my parcel"): "Hvor er min pakke?",
    ("sk", "where is my parcel, it should be here"): "Kde je môj balík, už tu mal byť",
    ("hr", "where is my parcel"): "Gdje je moj paket?",
    ("uk", "where is my parcel"): "Де моя посилка?",
    ("sr", "where is my parcel"): "Где је мој пакет?",
    ("ar", "order 123 has not come"): "الطلب ١٢٣ لم يصل",
    ("fa", "where is my parcel"): "بسته من کجاست؟",
    ("he", "my iPhone 15 is broken"): "האייפון iPhone 15 שלי שבור",
    ("ja", "where is my parcel"): "荷物はどこですか？",
    ("zh", "I would like to know where my parcel is"): "我的包裹在哪里？",
    ("ko", "where is my parcel"): "제 소포는 어디에 있나요?",
    ("hi", "where is my parcel"): "मेरा पार्सल कहाँ है?",
    ("am", "where is my parcel"): "መልእክቴ የት ነው?",
    ("zu", "where is my parcel"): "Iphi iphasela lami?",
}


@pytest.mark.parametrize(("language", "original"), GOOD)
def test_good_translations_pass(language: str, original: str) -> None:
    line = GOOD[language, original]
    assert objection(line, Wish("/a", language, (original,)), original, (), detect_language) == ""


@pytest.mark.parametrize(
    ("language", "original", "line", "why"),
    [
        ("de", "where is my parcel", "Where is my parcel?", "not translated"),
        ("de", "where is my parcel", "where is my parcel (Wo ist mein Paket?)", "repeats"),
        ("de", "my parcel is not here", "The package is not here and I want it", "in English"),
        ("ru", "where is my parcel", "Gde moya posylka?", "script of Russian"),
        ("de", "where is my parcel", "我的包裹在哪里", "script of German"),
        ("es", "I want my money back", "Quero o meu dinheiro de volta, não está bom", "in Portuguese"),
        ("sk", "where is my parcel", "where is the parcel that I want", "in English"),
        ("de", "order ORD-12345 is late", "Bestellung ist spät dran", "ORD-12345 is missing"),
        ("de", "track {order}", "{Bestellung} verfolgen", "{order} is missing"),
        ("de", "I am late", "Ich bin 15 Minuten zu spät", "15 is not in the original"),
        ("ar", "order 123 has not come", "الطلب ٣٢١ لم يصل", "123 is missing"),
        ("de", "hello there you", "Übersetzung (translation): hallo du", "speaks of its work"),
        ("de", "where is it", "Wo ist es:", "speaks of its work"),
        ("de", "where is my parcel", "Paket", "much longer or shorter"),
        ("de", "where is my parcel", "Wo ist mein Paket??", "has it already"),
        ("de", "!?", "…", "no words"),
        ("de", "where is it", "Wo ist\x1b es", "characters that no text holds"),
        ("de", "where is it", "Wo ist \ufffd es", "characters that no text holds"),
    ],
)
def test_bad_translations_do_not(language: str, original: str, line: str, why: str) -> None:
    taken = {"wo ist mein paket"}
    if why == "much longer or shorter":
        original = original * 2
    assert why in objection(line, Wish("/a", language, (original,)), original, taken, detect_language)


def test_chatter_is_no_chatter_where_the_original_says_it() -> None:
    original = "do you have a translation of the manual -> German"
    line = "Haben Sie eine Übersetzung (translation) der Anleitung -> Deutsch"
    assert objection(line, Wish("/a", "de", (original,)), original, (), detect_language) == ""


def test_every_language_has_a_name() -> None:
    assert all(language_name(code) for code in LANGUAGES)
    assert language_name("pl") == "Polish"


# -------------------------------------------------------------------------------------------------------- files


FILES = {
    "new": new_file("de", "German"),
    "empty": "",
    "only a comment": "# mine\n",
    "no newline at the end": "language: de",
    "comments everywhere": "# a\nexamples: # b\n  # c\n  /b: # d\n    - x # e\n    # f\n# g\nlanguage: de # h\n",
    "dashes under the key": "examples:\n  /a:\n  - x\n  - y\nunrelated:\n- z\n",
    "wide": "examples:\n      /a:\n            -   x\n      /b:\n            - y\n",
    "long forms": "examples:\n  /a:\n    - text: x\n      generated: true\n    - {file: a.txt}\n  /b: [c]\n",
    "blocks of text": "examples:\n  /a:\n    - |\n      one\n      two\n\n    - >-\n      three\n\n\n# end\n",
    "quotes": "examples:\n  '/a':\n    - \"x # y\"\n    - 'it''s'\n    - many\n      lines\n",
    "windows": "language: de\r\nexamples:\r\n  /a:\r\n    - x\r\n  /b:\r\n    - y\r\n",
    "other order": "unrelated:\n  - u\nexamples:\n  /b:\n    - y\ngenerated: true",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("task", ["/a", "/c", "unrelated"])
def test_lines_are_added_and_nothing_else_is_touched(text: str, task: str) -> None:
    after = with_examples(text, "f.yaml", task, [("eins", "one"), ("zwei: drei", "two # 2")])
    before, found = after.splitlines(), text.splitlines()
    assert [line for line in before if line in found] == found
    added = [line for line in before if origin(line)]
    assert [origin(line) for line in added] == ["one", "two # 2"]
    again = with_examples(after, "f.yaml", task, [("vier", "")])
    form = form_of(again, "f.yaml")
    texts = form.unrelated if task == "unrelated" else (form.examples or {})[task]
    assert [each.text if isinstance(each, ExampleText) else each for each in texts or []][-3:] == [
        "eins",
        "zwei: drei",
        "vier",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "examples: {/a: [x]}",
        "{language: de}",
        "examples:\n  /a: [x]\n",
        "examples: {}",
        "unrelated: []\nexamples: {/a: []}",
    ],
)
def test_other_ways_of_writing_are_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="block style"):
        with_examples(text, "f.yaml", "/a", [("x", "y")])


@given(st.lists(st.text(min_size=1).map(lambda text: " ".join(text.split())).filter(bool), min_size=1, max_size=4))
def test_any_text_comes_out_as_it_went_in(texts: list[str]) -> None:
    try:
        after = with_examples(new_file("", "x"), "f.yaml", "/a", [(text, text) for text in texts])
    except PolicyError:
        assert any(not text.isprintable() for text in texts)  # control characters are in no file of a pack
        return
    assert (form_of(after, "f.yaml").examples or {})["/a"] == texts
