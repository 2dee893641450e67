"""What is said of a shortlist, and what goes first where there is too much."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from router.core.compose import CASES, NOTHING_MORE, OPENING, compose, said_as_cases
from router.core.decide import decide
from router.core.decision import Decision, Settled, Settlement, say
from router.core.evidence import Belief, Evidence, Likely, Thresholds
from router.core.policy import Instruction, Level, Policy, PolicySettings, Task

BRIEF, GUIDED, DETAILED = Level.BRIEF, Level.GUIDED, Level.DETAILED
LISTED = (Likely("/a/x", 0.5), Likely("/b", 0.3), Likely("/c", 0.1))


def lines(path: str, *names: str) -> tuple[Instruction, ...]:
    """Lines of ten tokens each, of the level that they are named after; a `?` behind a name makes it volatile."""
    said = []
    for name in names:
        word = name.rstrip("?")
        level = {"required": BRIEF, "brief": BRIEF, "guided": GUIDED, "detailed": DETAILED}[word]
        passing = name != word
        said.append(
            Instruction(
                f"{path}:{word}",
                path,
                level,
                f"- {path} says what is {word}." + (" {queue}" if passing else ""),
                10,
                required=word == "required",
                volatile=passing,
                cues=("queue",) if passing else (),
            )
        )
    return tuple(said)


def desk(**more: tuple[str, ...]) -> Policy:
    """A root and a domain that say all there is, and three tasks that do unless they are given their lines."""
    every = ("required", "brief", "guided", "detailed")
    tasks = {
        "/": Task("/", instructions=lines("/", *every), children=("/a", "/b", "/c")),
        "/a": Task("/a", "All about a", lines("/a", "brief", "guided", "detailed"), children=("/a/x",)),
        "/a/x": Task("/a/x", "An x. Not a y.", lines("/a/x", *more.get("x", every))),
        "/b": Task("/b", "A b", lines("/b", *more.get("b", every))),
        "/c": Task("/c", "", lines("/c", *more.get("c", every))),
    }
    return Policy("desk", "rev-1", MappingProxyType(tasks), settings=PolicySettings(budget_tokens=10**6))


def composed(policy: Policy, settled: str = "/", level: Level = GUIDED, budget: int = 10**6, **cues: int):
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=budget))
    found = Settlement((Settled(settled, 0.9, 0.5),), LISTED)
    return compose(policy, found, Evidence(None, cues=cues), dict.fromkeys(policy.tasks, level))


def test_the_cases_stand_behind_plain_text_each_under_what_the_customer_wants() -> None:
    policy = desk(x=("brief", "guided"), b=(), c=("required",))
    mix = composed(policy)
    assert say(mix.pieces).split("\n") == [
        "- / says what is required.",
        "- / says what is brief.",
        "- / says what is guided.",
        "",
        CASES,
        "",
        "Case: An x",
        "- /a says what is brief.",
        "- /a says what is guided.",
        "- /a/x says what is brief.",
        "- /a/x says what is guided.",
        "",
        "Case: A b",
        NOTHING_MORE,
        "",
        "Case: c",
        "- /c says what is required.",
    ]
    assert "- /a says" not in say(tuple(piece for piece in composed(policy, "/a").pieces if piece.case))
    asked = replace(policy.tasks["/b"], when_asked="b is broken")
    assert "Case: b is broken\n" in say(composed(replace(policy, tasks={**policy.tasks, "/b": asked})).pieces)


def test_two_requests_are_told_branch_by_branch_what_they_share_before_them() -> None:
    policy = desk(x=("brief",), b=("brief",))
    below = Task("/b/y", "A y", lines("/b/y", "brief"))
    policy = replace(policy, tasks={**policy.tasks, "/b/y": below, "/a/z": Task("/a/z", "A z", lines("/a/z", "brief"))})

    def order(*paths: str) -> list[str]:
        found = Settlement(tuple(Settled(path, 0.9, 0.5) for path in paths))
        mix = compose(policy, found, Evidence(None), dict.fromkeys(policy.tasks, BRIEF))
        return list(dict.fromkeys(piece.task for piece in mix.pieces))

    assert order("/a/x", "/b/y") == ["/", "/a", "/a/x", "/b", "/b/y"]
    assert order("/b/y", "/a/x") == ["/", "/b", "/b/y", "/a", "/a/x"]
    assert order("/a/x", "/b/y", "/a/z") == ["/", "/a", "/a/x", "/a/z", "/b", "/b/y"]


def test_where_no_case_could_say_a_word_there_are_none() -> None:
    assert OPENING not in {piece.case for piece in composed(desk(x=(), b=(), c=()), "/a").pieces}
    assert OPENING in {piece.case for piece in composed(desk(x=(), b=(), c=())).pieces}, "/a speaks"
    assert composed(desk(), level=Level.OFF).pieces == ()


def test_a_case_that_says_only_what_is_passing_stands_the_same_without_it() -> None:
    policy = desk(x=("brief",), b=("brief?",), c=())
    with_it, without = composed(policy, queue=3).pieces, composed(policy).pieces
    assert [piece for piece in with_it if not piece.volatile] == list(without)
    assert "- /b says what is brief. 3" in say(with_it)


def test_too_much_goes_in_a_fixed_order() -> None:
    """From ancestors to tasks and from long to short, then whole cases, and what is brief and plain at last."""
    policy = desk(b=("brief", "guided"), c=("required", "guided", "detailed"))
    gone: list[str] = []
    for budget in range(composed(policy, level=DETAILED).tokens, -1, -1):
        mix = composed(policy, level=DETAILED, budget=budget)
        gone += [dropped.id for dropped in mix.dropped if dropped.id not in gone]
        assert mix.tokens <= budget or mix.tokens == 10
    assert gone == [
        "/c:detailed",
        "/a:detailed",
        "/a/x:detailed",
        "/:detailed",
        "/c:guided",
        "/b:guided",
        "/a:guided",
        "/a/x:guided",
        "/:guided",
        "case:/c:heading",
        "/c:required",
        OPENING,
        "case:/a/x:heading",
        "/a:brief",
        "/a/x:required",
        "/a/x:brief",
        "case:/b:heading",
        "/b:brief",
        "/:brief",
    ]


def test_a_case_keeps_its_first_line_as_long_as_it_stands() -> None:
    policy = desk(x=("brief",), b=("guided", "detailed"), c=("brief",))
    for budget in range(composed(policy, level=DETAILED).tokens):
        kept = [piece.id for piece in composed(policy, level=DETAILED, budget=budget).pieces if piece.case == "/b"]
        assert kept in ([], ["case:/b:heading", "/b:guided"], ["case:/b:heading", "/b:guided", "/b:detailed"])


@pytest.mark.parametrize(("passing", "kept"), [("brief?", False), ("required?", True)])
def test_what_is_passing_gets_what_is_left_and_is_never_the_reason_for_less(passing: str, kept: bool) -> None:
    policy = desk(b=("brief", passing))
    without = composed(policy)
    mix = composed(policy, budget=without.tokens, queue=3)
    assert [piece for piece in mix.pieces if not piece.volatile] == list(without.pieces)
    assert any(piece.volatile for piece in mix.pieces) is kept
    assert any(piece.volatile for piece in composed(policy, budget=without.tokens + 20, queue=3).pieces)


def test_what_the_budget_had_no_room_for_is_not_reached() -> None:
    policy = desk()
    full = composed(policy)
    sizes = {}
    for budget in range(full.tokens + 1):
        mix = composed(policy, budget=budget)
        paths = (Settled("/", 1.0, 0.0),)
        decision = Decision("r", "shortlisted", paths, said_as_cases(LISTED, mix), mix=mix.pieces)
        sizes[len(decision.reached)] = decision.reached
    assert sizes == {
        1: {"/"},
        4: {"/", "/a", "/a/x", "/b"},
        5: {"/", "/a", "/a/x", "/b", "/c"},
    }


def test_cases_without_room_are_told_and_not_taken_for_sent() -> None:
    policy = desk()
    roomy = decide(
        policy, Evidence(Belief({"/a": 0.5, "/b": 0.3, "/c": 0.2}, LISTED), thresholds=Thresholds(0.99, 0.5))
    )
    assert roomy.listed == tuple(path for path, _ in LISTED)
    tight = replace(policy, settings=replace(policy.settings, budget_tokens=0))
    none = decide(tight, Evidence(Belief({"/a": 0.5, "/b": 0.3, "/c": 0.2}, LISTED), thresholds=Thresholds(0.99, 0.5)))
    assert (none.listed, none.outcome) == ((), "unclassified")
    assert "case_over_budget" in [reason.code for reason in none.reasons]
