"""Checks on answers: what holds, what cannot be told, and whose checks are run."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.decision import Decision, Settled
from router.core.levels import Draw
from router.core.policy import Check, Condition, Instruction, Level, Policy, Task
from router.rewards.checks import Checks, holds
from router.rewards.text import LOOKED_AT_CHARS


def language(text):
    return "de" if "ist" in text else "en" if "is" in text else None


@pytest.mark.parametrize(
    ("kind", "value", "text", "held"),
    [
        ("mentions_any", ("order number", "order id"), "Please give the ORDER\nnumber.", True),
        ("mentions_any", ("order number",), "Please order.", False),
        ("mentions_any", ("don't know",), "I don’t know.", True),
        ("mentions_all", ("red", "blue"), "Red and blue.", True),
        ("mentions_all", ("red", "blue"), "Red.", False),
        ("mentions_none", ("```",), "Use ```x```", False),
        ("mentions_none", ("http://",), "See our page.", True),
        ("matches", r"\d", "It costs 5 EUR", True),
        ("matches", r"[^?\s]\s*$", "Goodbye.\n", True),
        ("matches", r"[^?\s]\s*$", "More?\n", False),
        ("matches", r"(?i)^hello 🙂", "HELLO 🙂", True),
        ("max_words", 3, "one two three", True),
        ("max_words", 2, "one two three", False),
        ("max_words", 2, "one two\n```\nthree four\n```", True),
        ("max_sentences", 1, "One. Two.", False),
        ("language", "de", "Das ist gut", True),
        ("language", "de", "This is good", False),
        ("language", "de", "12345", None),
        ("language", "de", "Das ist `x`\n```\nthis is\n```", True),
        ("json", True, ' {"a": [1, null]}\n', True),
        ("json", True, "42", True),
        ("json", True, '```json\n{"a": 1}\n```', False),
        ("json", True, '{"a": NaN}', False),
        ("json", True, "[" * 100_000 + "]" * 100_000, False),
        ("ends_with_question", True, "Anything else? 🙂", True),
        ("ends_with_question", False, "Anything else?", False),
        ("ends_with_question", False, "Bye.", True),
        ("mentions_any", ("مرحبا",), "\u200fمرحبا بك", True),
    ],
)
def test_what_holds(kind, value, text, held):
    assert holds(Check(kind, value), text, language) is held


@pytest.mark.parametrize(
    ("kind", "value", "known", "unknown"),
    [
        ("mentions_any", ("a",), "a", "b"),
        ("mentions_all", ("a",), "a", "b"),
        ("mentions_none", ("a",), "a", "b"),
        ("max_words", 1, "a b", "a"),
        ("max_sentences", 1, "One. Two.", "One."),
        ("language", "en", "this is", "7"),
    ],
)
def test_of_a_beginning_only_what_no_more_text_could_change_is_told(kind, value, known, unknown):
    check = Check(kind, value)
    assert holds(check, known, language, whole=False) is holds(check, known, language) is not None
    assert holds(check, unknown, language, whole=False) is None


@pytest.mark.parametrize("check", [Check("json", True), Check("ends_with_question", True), Check("matches", "a")])
def test_the_end_of_a_longer_text_is_not_known(check):
    assert holds(check, "a" * (LOOKED_AT_CHARS + 1), language) is None


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no check sings"):
        holds(Check("sings", True), "la", language)


KINDS = st.one_of(
    st.tuples(st.sampled_from(["mentions_any", "mentions_all", "mentions_none"]), st.just(("a", "é 🙂"))),
    st.tuples(st.just("matches"), st.sampled_from([r"\d+", r"(?s)^.*x$", "é"])),
    st.tuples(st.sampled_from(["max_words", "max_sentences"]), st.just(3)),
    st.tuples(st.just("language"), st.just("de")),
    st.tuples(st.sampled_from(["json", "ends_with_question"]), st.just(True)),
)


@given(KINDS, st.text(st.characters(), max_size=60), st.booleans())
def test_any_text_can_be_checked(kind, text, whole):
    assert holds(Check(*kind), text, language, whole=whole) in (True, False, None)


# ---------------------------------------------------------------------------------------------------- whole answers


def line(id_, task="/refund", level=Level.GUIDED, check=None, **more):
    return Instruction(id_, task, level, f"- {id_}", 5, check=check, **more)


YES, NO, UNSURE = Check("max_words", 9), Check("mentions_any", ("zebra",)), Check("language", "de")
POLICY = Policy(
    "shop",
    "r",
    {
        "/": Task("/", instructions=(line("polite", "/", Level.BRIEF, YES),)),
        "/refund": Task(
            "/refund",
            instructions=(
                line("plain"),
                line("yes", check=YES),
                line("no", check=NO),
                line("unsure", check=UNSURE),
                line("pro", check=YES, when=(Condition("tier", ("pro",)),)),
                line("known", check=YES, unless=(Condition("known", (True,)),)),
                line("named", check=YES, cues=("date",)),
                line("more", level=Level.DETAILED, check=NO),
            ),
        ),
        "/refund/late": Task("/refund/late", instructions=(line("late", "/refund/late", check=YES),)),
        "/refunds": Task("/refunds", instructions=(line("namesake", "/refunds", check=YES),)),
        "/other": Task("/other", instructions=(line("elsewhere", "/other", check=YES),)),
    },
)


def decided(*said, draw=None, levels=None):
    pieces = {i.id: i.piece for task in POLICY.tasks.values() for i in task.instructions}
    levels = levels or {"/": Level.GUIDED, "/refund": Level.GUIDED}
    return Decision(
        "r", "classified", (Settled("/refund", 1, 0),), levels=levels, mix=tuple(pieces[s] for s in said), draw=draw
    )


def examine(decision, text="A short answer.", **cues):
    return Checks(POLICY, language).examine(decision, cues, text, model="m")


def test_the_share_is_of_what_was_said():
    told = examine(decided("polite", "plain", "yes", "no", "unsure"), known=True)
    assert told.share == pytest.approx(2 / 3)
    counts = {count.instruction: (count.said, count.held) for count in told.counts}
    assert counts == {"polite": (True, 1), "yes": (True, 1), "no": (True, 0), "more": (False, 0)}
    assert {(c.policy, c.model, c.answers, c.drawn) for c in told.counts} == {("shop", "m", 1, False)}


@pytest.mark.parametrize(
    ("cues", "named"),
    [
        ({}, {"known"}),
        ({"tier": "pro"}, {"pro", "known"}),
        ({"known": True}, set()),
        ({"known": True, "date": "2026-01-01"}, {"named"}),
    ],
)
def test_what_was_not_said_is_looked_at_if_its_conditions_hold(cues, named):
    told = examine(decided("polite", "yes"), **cues)
    unsaid = {count.instruction for count in told.counts if not count.said}
    assert unsaid == {"no", "more"} | named
    assert told.share == 1.0


def test_of_a_trial_only_tasks_whose_level_it_drew_are_marked_as_drawn():
    draw = Draw("t1", "/refund", "/refund/late", True, 0.5)
    levels = dict.fromkeys(("/", "/refund", "/refund/late", "/refunds"), Level.GUIDED)
    told = examine(decided("polite", "yes", "late", "namesake", draw=draw, levels=levels), known=True)
    assert {c.instruction for c in told.counts if c.drawn} == {"yes", "no", "more", "late"}
    assert {c.instruction for c in told.counts if not c.drawn} == {"polite", "namesake"}


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_answer_without_words_is_not_examined(text):
    assert examine(decided("yes"), text) == (None, ())


def test_without_a_check_there_is_no_share():
    assert examine(decided("plain"), known=True).share is None
    assert not Checks(Policy("p", "r", {"/": Task("/")}), language)


def test_a_changed_text_or_check_is_counted_anew():
    def name(**change):
        task = Task("/", instructions=(replace(line("a", "/", check=YES), **change),))
        decision = Decision("r", "classified", (Settled("/", 1, 0),), levels={"/": Level.BRIEF})
        (count,) = Checks(Policy("p", "r", {"/": task}), language).examine(decision, {}, "x").counts
        return count.text

    assert len({name(), name(text="- b"), name(check=Check("max_words", 8))}) == 3
    assert name() == name(tokens=7)
