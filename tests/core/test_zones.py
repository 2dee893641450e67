"""The three zones: sure of a task, sure of a few, sure of none."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from router.core.decide import decide, settle
from router.core.evidence import Belief, Evidence, Likely, Thresholds
from router.core.levels import LevelQuery, case_levels
from router.core.policy import Level, Policy, Task, lineage

TASKS = {
    "/": Task("/", children=("/a", "/b", "/c")),
    "/a": Task("/a", children=("/a/x", "/a/y")),
    "/a/x": Task("/a/x"),
    "/a/y": Task("/a/y", complexity="core"),
    "/b": Task("/b"),
    "/c": Task("/c", complexity="complex"),
}
DESK = Policy("desk", "rev-1", MappingProxyType(TASKS))
THRESHOLDS = Thresholds(0.9, 0.8, known=0.3)


def believed(own: Mapping[str, float], *sentences: Belief, told: bool = True) -> Belief:
    """A belief in some tasks, each by itself."""
    mass = {path: sum(own[task] for task in own if path in lineage(task)) for path in TASKS if path != "/"}
    likely = sorted((Likely(*each) for each in own.items()), key=lambda each: -each.mass) if told else ()
    return Belief({path: m for path, m in mass.items() if m}, tuple(likely), sentences, known=sum(own.values()))


@pytest.mark.parametrize(
    ("belief", "outcome", "settled", "listed"),
    [
        (believed({"/b": 0.95, "/c": 0.05}), "classified", {"/b": 0.9}, ()),
        (believed({"/a/x": 0.6, "/b": 0.35, "/c": 0.05}), "shortlisted", {"/": 0.0}, ("/a/x", "/b")),
        (believed({"/a/x": 0.5, "/b": 0.35, "/c": 0.1}), "shortlisted", {"/": 0.0}, ("/a/x", "/b", "/c")),
        (believed({"/a/x": 0.5, "/b": 0.2, "/c": 0.15}), "shortlisted", {"/": 0.0}, ("/a/x", "/b", "/c")),
        (believed({"/a/x": 0.5, "/b": 0.35}), "shortlisted", {"/": 0.0}, ("/a/x", "/b")),
        (believed({"/a/x": 0.5, "/b": 0.2, "/c": 0.05}), "unclassified", {"/": 0.0}, ()),
        (believed({"/a/x": 0.85}), "unclassified", {"/": 0.0}, ()),
        (believed({"/a/x": 0.5, "/a/y": 0.35}), "shortlisted", {"/a": 0.8}, ("/a/x", "/a/y")),
        (believed({"/a/x": 0.5, "/a/y": 0.35}, told=False), "shortlisted", {"/a": 0.8}, ("/a/x", "/a/y")),
        (believed({"/a/x": 0.55, "/a/y": 0.4}), "shortlisted", {"/a": 0.9}, ("/a/x", "/a/y")),
        (believed({"/a": 0.85, "/a/x": 0.1}), "classified", {"/a": 0.9}, ()),
        (believed({"/a/x": 0.15, "/b": 0.1}), "unclassified", {"/": 0.0}, ()),
        (believed({"/b": 0.95}, believed({"/a/x": 0.5, "/a/y": 0.45})), "classified", {"/b": 0.9}, ("/a/x", "/a/y")),
        (believed({"/b": 0.95}, believed({"/a": 0.85, "/a/x": 0.1})), "classified", {"/b": 0.9, "/a": 0.9}, ()),
        (believed({"/b": 0.95}, believed({"/a/x": 0.5, "/c": 0.35})), "classified", {"/b": 0.9}, ()),
        (believed({"/b": 0.95}, believed({"/b": 0.5, "/c": 0.45})), "classified", {"/b": 0.9}, ()),
        (
            believed(
                {"/a": 0.3, "/a/x": 0.4, "/a/y": 0.25}, believed({"/b": 0.97}), believed({"/a/x": 0.5, "/c": 0.45})
            ),
            "classified",
            {"/a": 0.9, "/b": 0.9},
            ("/a/x", "/c"),
        ),
    ],
    ids=[
        "sure",
        "the fewest that are as sure as one",
        "as many as it takes",
        "the most that are allowed, if they pass",
        "two that pass, where there are no more",
        "none that passes",
        "never a list of one",
        "what lies above all of them, at the threshold of lists",
        "what a belief does not tell is in its leaves",
        "a domain that is sure by itself",
        "a domain that is itself the likeliest",
        "all of them too unlikely",
        "a second request of which it is sure that it is one of two, though not for their domain",
        "a second request that is a domain's own",
        "a second request that is less sure",
        "a second request that may be the first",
        "sure of one by a sentence, of the whole by its domain alone",
    ],
)
def test_zones(belief: Belief, outcome: str, settled: Mapping[str, float], listed: tuple[str, ...]) -> None:
    decision = decide(DESK, Evidence(belief, thresholds=THRESHOLDS))
    assert decision.outcome == outcome
    assert {path: threshold for path, _, threshold in decision.paths} == settled
    assert decision.listed == listed
    for path, confidence, _ in decision.paths:
        masses = [each.mass.get(path) for each in (belief, *belief.sentences)]
        assert path == "/" or confidence in masses


def test_a_list_of_one_and_a_list_of_none_are_no_lists() -> None:
    belief = believed({"/a/x": 0.6, "/b": 0.35})
    for longest in (0, 1):
        assert settle(TASKS, belief, THRESHOLDS, 2, longest).shortlist == ()


def test_the_reason_names_what_was_too_little() -> None:
    def reason(own: Mapping[str, float]) -> tuple[str, str]:
        (found,) = decide(DESK, Evidence(believed(own), thresholds=THRESHOLDS)).reasons
        return found

    assert reason({"/a/x": 0.6, "/b": 0.35}) == (
        "shortlisted",
        "one of /a/x (0.60), /b (0.35), together 0.95 (threshold 0.80)",
    )
    assert reason({"/a/x": 0.2})[0] == "not_known"
    assert reason({"/a/x": 0.5})[0] == "not_settled"


def test_a_case_says_what_the_pack_says_and_no_more_than_guided_whatever_the_conversation_was_given() -> None:
    listed = ("/a/x", "/a/y", "/c")
    found = case_levels(DESK, listed, {"/": Level.GUIDED}, {}, LevelQuery(moves={"/a/y": 2, "/c": -2}))
    assert found == {"/a": Level.GUIDED, "/a/x": Level.GUIDED, "/a/y": Level.BRIEF, "/c": Level.GUIDED}
    fixed = {"/a/y": Level.DETAILED}
    assert case_levels(DESK, listed, {"/": Level.GUIDED}, fixed, LevelQuery())["/a/y"] is Level.DETAILED
