"""Laws of placing over made-up policies and conversations, by what a reader makes of the texts.

Everything that is decided for a turn can be read at that turn, under its condition and under no other; the reader knows
which part of the conversation is on; and nothing that was sent changes.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from router.core.compose import OPENING, is_frame
from router.core.decide import decide
from router.core.decision import Decision
from router.core.evidence import Evidence
from router.core.policy import ROOT, Piece, Policy, lineage
from router.wire.placement import PlacedTexts, place
from tests.support.reading import Read, read
from tests.support.strategies import MOSTLY, beliefs, cues, policies, thresholds


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Policy, list[Decision]]:
    """A policy, and what it decides at each turn: few beliefs and many turns, so that much comes back."""
    policy = draw(policies())
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=draw(st.sampled_from([100, 200, 2000]))))
    believed = draw(st.lists(beliefs(policy, sentences=1), min_size=1, max_size=4))
    facts = draw(st.lists(cues, min_size=1, max_size=2))
    limits = draw(thresholds)
    decisions = []
    for _ in range(draw(st.integers(1, 8))):
        known = {name: value for name, value in draw(st.sampled_from(facts)).items() if name != "name"}
        belief = draw(st.sampled_from(believed)) if draw(MOSTLY) else None
        rule = "" if draw(MOSTLY) else "title"
        decision = decide(policy, Evidence(belief, known, limits, auxiliary=rule))
        decisions.append(decision if draw(MOSTLY) else replace(decision, outcome="bypassed"))
    return policy, decisions


def texts_of(placed: PlacedTexts) -> list[tuple[int, str]]:
    return [*([(0, placed.head)] if placed.head else []), *placed.tails]


def instructions(decision: Decision) -> list[Piece]:
    if decision.outcome == "bypassed":
        return [piece for piece in decision.mix if piece.required]
    return [piece for piece in decision.mix if not is_frame(piece)]


@given(conversations())
def test_condition_each_line_stands_under_the_condition_that_its_turn_decided(
    talk: tuple[Policy, list[Decision]],
) -> None:
    policy, decisions = talk
    for turn, text in texts_of(place(decisions, "tail", policy.names)):
        decided = {(policy.names.get(piece.case, ""), piece.text) for piece in instructions(decisions[turn])}
        assert set(read(text).lines) <= decided
        assert read(text).cases is None or len(read(text).cases or ()) > 1


class Reader:
    """What a reader knows after some texts: what was said, and which tasks are on (`on`) or listed (`cases`)."""

    def __init__(self, policy: Policy, decisions: list[Decision]) -> None:
        self.paths = {name: path for path, name in policy.names.items()}
        self.tasks = {piece.text: piece.task for decision in decisions for piece in decision.mix}
        self.said: list[tuple[str, str]] = []
        self.on: set[str] = set()
        self.cases: set[str] = set()
        for _, text in texts_of(place(decisions, "tail", policy.names)):
            self._hear(read(text))

    def _hear(self, text: Read) -> None:
        plain = {self.tasks[line] for heading, line in text.lines if not heading} - {ROOT}
        if text.switches or text.named:
            self.on, self.cases = {self.paths[name] for name in text.named}, set()
        self.on |= plain
        if text.cases is not None:
            self.cases = {self.paths[heading] for heading in text.cases}
        self.said += [(self.paths.get(heading, ""), line) for heading, line in text.lines]


@given(conversations())
def test_complete_all_that_is_decided_can_be_read_where_it_holds(talk: tuple[Policy, list[Decision]]) -> None:
    """The last word on it is what is decided, among those that are plain or said of a task that is on."""
    policy, decisions = talk
    for size in range(1, len(decisions) + 1):
        decision, reader = decisions[size - 1], Reader(policy, decisions[:size])
        for piece in instructions(decision):
            where = {"", piece.case} if piece.case else {"", *decision.tasks, *reader.on}
            words = [line for case, line in reader.said if case in where and _same(line, piece.text)]
            assert words[-1:] == [piece.text]


@given(conversations())
def test_lifted_what_was_said_and_is_not_any_more_by_its_condition_is_taken_back(
    talk: tuple[Policy, list[Decision]],
) -> None:
    """At the turn at which it comes so, once, and never what was not said."""
    policy, decisions = talk
    placed = place(decisions, "tail", policy.names)
    words = {turn: read(text).lifted for turn, text in texts_of(placed)}
    said: dict[str, set[str]] = {}
    for turn, decision in enumerate(decisions):
        speaks = decision.outcome not in ("bypassed", "skipped")
        lifts = [dropped for dropped in decision.dropped if dropped.lifted and speaks]
        due = [{each.lifted.replace("{text}", text) for text in said.pop(each.id)} for each in lifts if each.id in said]
        told = set(words.get(turn, ()))
        assert all(told & each for each in due) and told <= set().union(*due)
        for piece in instructions(decision):
            if not piece.volatile:
                said.setdefault(piece.id, set()).add(piece.text.removeprefix("- "))


def _same(one: str, other: str) -> bool:
    """Whether two lines are the same instruction, with other values of cues perhaps."""
    return one.split(" for ")[0].split(": ")[0] == other.split(" for ")[0].split(": ")[0]


@given(conversations())
def test_part_the_reader_knows_which_tasks_are_on(talk: tuple[Policy, list[Decision]]) -> None:
    policy, decisions = talk
    for size in range(1, len(decisions) + 1):
        decision, reader = decisions[size - 1], Reader(policy, decisions[:size])
        if decision.outcome not in ("classified", "shortlisted"):
            continue
        listed = {piece.case for piece in decision.mix if piece.case} - {OPENING}
        if listed:
            assert reader.cases == listed
        own = {p.task for p in instructions(decision) if not (p.case or p.volatile or p.id == "soft")}
        for path in own & set(decision.tasks) - {ROOT}:
            assert any(path in lineage(on) for on in reader.on)
        if not listed:
            assert all(any(path in lineage(on) or on in lineage(path) for path in decision.tasks) for on in reader.on)


@given(conversations())
def test_prefix_what_was_placed_stays_but_for_what_is_passing(talk: tuple[Policy, list[Decision]]) -> None:
    policy, decisions = talk
    before = place(decisions[:1], "tail", policy.names)
    for size in range(2, len(decisions) + 1):
        placed = place(decisions[:size], "tail", policy.names)
        calm = [replace(each, mix=tuple(p for p in each.mix if not p.volatile)) for each in decisions[: size - 1]]
        assert placed.head == before.head
        assert [tail for tail in placed.tails if tail[0] < size - 1] == list(place(calm, "tail", policy.names).tails)
        before = placed


@given(conversations())
def test_the_newest_mix_in_the_head_is_read_as_it_was_decided(talk: tuple[Policy, list[Decision]]) -> None:
    policy, decisions = talk
    placed = place(decisions, "head", policy.names)
    assert placed.tails == ()
    decided = [(policy.names.get(piece.case, ""), piece.text) for piece in instructions(decisions[-1])]
    assert read(placed.head).lines == decided
