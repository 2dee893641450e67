"""A decision is compared with what a test expects of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.decision import Decision, Settled
from router.core.evidence import Likely
from router.core.policy import Level, Piece
from router.packs import Expected, Mismatch, PackTest, judge

MIX = (
    Piece("/:brief.1", "/", Level.BRIEF, "Be polite\nand  brief.", 6),
    Piece("/a:guided.1", "/a", Level.GUIDED, "- Ask for the Order Number.", 8),
    Piece("case:/d/e:heading", "/d/e", Level.BRIEF, "Case: e", 3, case="/d/e"),
    Piece("case:/f:heading", "/f", Level.BRIEF, "Case: f", 3, case="/f"),
)
DECISION = Decision(
    "rev",
    "classified",
    (Settled("/a", 0.9, 0.5), Settled("/b/c", 0.8, 0.5)),
    (Likely("/d/e", 0.6), Likely("/f", 0.3)),
    {"/": Level.BRIEF, "/a": Level.GUIDED, "/b/c": Level.OFF, "/d/e": Level.BRIEF},
    MIX,
)
TEXT = DECISION.text


def outcome(expected: Expected, decision: Decision = DECISION) -> tuple[Mismatch, ...]:
    return judge(PackTest("t", "/", "f.yaml", 1, ("hello",), expected), decision)


@pytest.mark.parametrize(
    "expected",
    [
        Expected(),
        Expected(task="/a"),
        Expected(tasks=("/b/c", "/a")),
        Expected(shortlist=("/f", "/d/e")),
        Expected(reach="/b/c"),
        Expected(reach="/f"),
        Expected(reach="/d"),
        Expected(reach="/d/e", level=Level.BRIEF),
        Expected(level=Level.GUIDED),
        Expected(says=("order number", "polite and brief")),
        Expected(not_says=("refund",)),
        Expected(tokens_max=20),
        Expected(outcome="classified"),
    ],
)
def test_what_is_as_expected_passes(expected: Expected) -> None:
    assert outcome(expected) == ()


@pytest.mark.parametrize(
    ("expected", "mismatch"),
    [
        (Expected(task="/b/c"), Mismatch("task", "/b/c", "/a")),
        (Expected(tasks=("/a",)), Mismatch("tasks", "/a", "/a, /b/c")),
        (Expected(shortlist=("/f", "/d")), Mismatch("shortlist", "/d, /f", "/d/e, /f")),
        (Expected(reach="/b/d"), Mismatch("reach", "/b/d", "/a, /b/c, /d/e, /f")),
        (Expected(reach="/d/e", level=Level.GUIDED), Mismatch("level", "guided", "brief")),
        (Expected(reach="/f", level=Level.GUIDED), Mismatch("level", "guided", "off")),
        (Expected(level=Level.OFF), Mismatch("level", "off", "guided")),
        (Expected(says=("order number", "refund")), Mismatch("says", "refund", TEXT)),
        (Expected(not_says=("ORDER  number",)), Mismatch("not_says", "ORDER  number", TEXT)),
        (Expected(tokens_max=19), Mismatch("tokens_max", "19", "20")),
        (Expected(tokens_max=0), Mismatch("tokens_max", "0", "20")),
        (Expected(outcome="skipped"), Mismatch("outcome", "skipped", "classified")),
    ],
)
def test_what_is_not_names_expected_and_got(expected: Expected, mismatch: Mismatch) -> None:
    assert outcome(expected) == (mismatch,)


def test_every_expectation_is_looked_at() -> None:
    expected = Expected("/x", ("/x",), "/x", ("/x", "/y"), Level.BRIEF, ("x1", "x2"), ("polite",), 1, "skipped")
    assert [found.what for found in outcome(expected)] == [
        "outcome",
        "task",
        "tasks",
        "shortlist",
        "reach",
        "level",
        "says",
        "says",
        "not_says",
        "tokens_max",
    ]


def test_a_level_of_off_can_be_expected() -> None:
    quiet = replace(DECISION, levels={"/a": Level.OFF}, mix=())
    assert outcome(Expected(level=Level.OFF, tokens_max=0), quiet) == ()
