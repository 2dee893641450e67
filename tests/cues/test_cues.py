"""Cues: typed values from headers and metadata, and what is detected in the words."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import RequestError
from router.core.policy import ROOT, Cue, Policy, Task
from router.cues import DeclaredCues
from router.cues.detectors import detect_complexity, detect_follow_up, detect_language
from router.cues.reader import clean_text


def reader(*cues: Cue) -> Any:
    return DeclaredCues(Policy("p", "r", {ROOT: Task(ROOT)}, cues=MappingProxyType({cue.name: cue for cue in cues})))


def cue(kind: str, **more: Any) -> Cue:
    return Cue("x", kind, sources=(("header", "x-x"), ("metadata", "x")), **more)  # type: ignore[arg-type]


ENUM = cue("enum", values=("free", "pro"))


@pytest.mark.parametrize(
    ("declared", "given_value", "expected"),
    [
        (ENUM, "pro", "pro"),
        (ENUM, " PRO ", "pro"),
        (ENUM, "gold", None),
        (ENUM, ["pro"], None),
        (cue("boolean"), True, True),
        (cue("boolean"), "false", False),
        (cue("boolean"), 1, True),
        (cue("boolean"), "maybe", None),
        (cue("number"), "2.50", 2.5),
        (cue("number"), 7, 7),
        (cue("number"), True, None),
        (cue("number"), "nan", None),
        (cue("number"), "1e999", None),
        (cue("number"), 10**400, None),
        (cue("date"), "2026-11-22", "2026-11-22"),
        (cue("date"), "2026-11-22T10:00:00Z", "2026-11-22"),
        (cue("date"), "2026-11-22 or so", None),
        (cue("date"), "22.11.2026", None),
        (cue("date"), 20261122, None),
        (cue("text", limit=10), "Ann\n Lee", "Ann Lee"),
        (cue("text", limit=3), "Annabel", "Ann"),
        (cue("text", limit=10), "\u200b\u202e", None),
        (cue("text", limit=10), 5, None),
    ],
)
def test_a_value_is_typed_or_falls_to_the_default_and_is_told(declared: Cue, given_value: Any, expected: Any) -> None:
    values, faults = reader(declared).read({}, {"x": given_value})
    assert values == ({} if expected is None else {"x": expected})
    assert faults == (("cue_invalid:x",) if expected is None else ())


def test_the_first_source_that_has_a_value_wins_and_the_default_stands_in() -> None:
    declared = reader(cue("enum", values=("free", "pro"), default="free"))
    assert declared.read({"x-x": "pro"}, {"x": "free"})[0] == {"x": "pro"}
    assert declared.read({"x-x": ""}, {"x": "pro"})[0] == {"x": "pro"}
    assert declared.read({}, {}) == ({"x": "free"}, ())
    assert declared.read({}, {"x": "gold"}) == ({"x": "free"}, ("cue_invalid:x",))


@pytest.mark.parametrize("metadata", [{}, {"x": "gold"}])
def test_a_required_cue_that_is_missing_or_wrong_is_the_clients_error(metadata: dict[str, str]) -> None:
    declared = reader(Cue("x", "enum", values=("free",), sources=(("metadata", "x"),), required=True))
    with pytest.raises(RequestError) as caught:
        declared.read({}, metadata)
    assert (caught.value.status, caught.value.param) == (400, "metadata.x")


def test_an_error_names_the_header_that_the_cue_is_read_from() -> None:
    declared = reader(cue("boolean", required=True))
    for headers in ({}, {"x-x": "maybe"}):
        with pytest.raises(RequestError) as caught:
            declared.read(headers, {})
        assert caught.value.param == "x-x"


@given(st.text(), st.integers(1, 60))
def test_cleaned_text_is_one_short_line_that_people_can_see(text: str, limit: int) -> None:
    cleaned = clean_text(text, limit)
    assert len(cleaned) <= limit
    assert cleaned.isprintable() or not any(c in cleaned for c in "\n\r\t\u200b\u202e\U000e0041\x00")
    assert clean_text(cleaned, limit) == cleaned
    cleaned.encode()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my parcel? I ordered it two weeks ago.", "en"),
        ("Wo ist mein Paket? Ich habe es vor zwei Wochen bestellt.", "de"),
        ("Où est mon colis ? Je l'ai commandé il y a deux semaines.", "fr"),
        ("¿Dónde está mi paquete? Lo pedí hace dos semanas.", "es"),
        ("Dov'è il mio pacco? Non è ancora arrivato.", "it"),
        ("Onde está a minha encomenda? Não chegou.", "pt"),
        ("Waar is mijn pakket? Ik heb het nog niet.", "nl"),
        ("Var är mitt paket? Jag har inte fått det.", "sv"),
        ("Gdzie jest moja paczka? Nie mogę się doczekać.", "pl"),
        ("Kargom nerede? Bu sipariş için ne zaman gelir", "tr"),
        ("Где моя посылка?", "ru"),
        ("Де моя посилка? Її ще немає", "uk"),
        ("Πού είναι το δέμα μου;", "el"),
        ("איפה החבילה שלי?", "he"),
        ("أين طردي؟", "ar"),
        ("荷物はどこですか", "ja"),
        ("我的包裹在哪里", "zh"),
        ("내 소포는 어디에 있나요", "ko"),
        ("ok 12345", None),
        ("", None),
        ("😀😀😀", None),
        ("#A-104482", None),
    ],
)
def test_the_language_is_named_only_when_it_is_clear(text: str, language: str | None) -> None:
    assert detect_language(text) == language


@pytest.mark.parametrize(
    ("text", "complexity"),
    [
        ("refund??", "simple"),
        ("", "simple"),
        ("Where is my parcel, it should have come yesterday already I think.", "simple"),
        (
            "My order came yesterday. The box was open and one of the two lamps is missing. I would like to know whether"
            " you can send the missing one, and if it is not in stock, what happens with the money I paid for it.",
            "standard",
        ),
        (
            "I have three questions about my account. First, if I cancel the subscription now, do I still get the box"
            " for May, although it was billed already? Second, can the unused credit be moved to my wife's account,"
            " or does it depend on the country? Third, the invoice for April shows two charges because I changed the"
            " plan, but I was told that would be settled. Either correct it or explain how it was worked out, and"
            " whether the discount of last year still holds. Also, what happens to the vouchers unless they are used?",
            "complex",
        ),
    ],
)
def test_complexity_follows_its_rule(text: str, complexity: str) -> None:
    assert detect_complexity(text) == complexity


@pytest.mark.parametrize(
    ("text", "turn", "follows"),
    [
        ("Sure, it is 12345", 1, True),
        ("Sure, it is 12345", 0, False),
        ("Where is my other parcel?", 3, False),
        ("thanks", 2, True),
    ],
)
def test_a_follow_up_goes_on_with_what_was_said(text: str, turn: int, follows: bool) -> None:
    assert detect_follow_up(text, turn) is follows


def test_only_declared_detectors_run_and_nothing_found_leaves_the_cue_out() -> None:
    language = Cue("language", "detect", detector="language")
    complexity = Cue("complexity", "detect", detector="complexity")
    assert reader(complexity).detect("refund?", 0) == {"complexity": "simple"}
    assert reader(language).detect("12345", 0) == {}
    assert reader(Cue("language", "detect", detector="language", default="en")).detect("12345", 0) == {"language": "en"}
