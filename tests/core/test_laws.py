"""The laws of deciding, over generated policies and evidence: pure, lineage, settled, budget, nested."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.decide import decide
from router.core.decision import Decision, say
from router.core.evidence import Evidence
from router.core.policy import ROOT, Level, Policy, depth, lineage
from router.core.trace import Trace
from router.stores.rows import RowMaker, evidence_of, loaded
from tests.support.strategies import evidences, policies


@st.composite
def cases(draw: st.DrawFn) -> tuple[Policy, Evidence]:
    policy = draw(policies())
    return policy, draw(evidences(policy))


def decided(case: tuple[Policy, Evidence]) -> Decision:
    return decide(*case)


@given(cases())
def test_pure_equal_inputs_equal_decision_and_the_stored_evidence_decides_alike(case: tuple[Policy, Evidence]) -> None:
    """Law 1, all the way: evidence -> trace -> row -> evidence -> decide, machines' own calls among them."""
    policy, evidence = case
    decision = decided(case)
    trace = Trace(
        id="dec_1",
        at_ms=1,
        policy=policy.name,
        tenant="",
        conversation="c",
        unit="u",
        turn=0,
        wire="chat",
        model="m",
        backend="",
        stream=False,
        decision=decision,
        evidence=evidence,
        cues=evidence.cues,
    )
    again = replace(evidence_of(loaded(RowMaker().row(trace))), nonce=evidence.nonce)
    assert decision == decided(case) == decided((policy, again))
    assert (decision.outcome == "skipped") is bool(evidence.auxiliary)


@given(cases())
def test_a_machine_s_own_call_gets_what_is_required_and_nothing_else(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    skipped = decide(policy, replace(evidence, auxiliary="title"))
    full = decide(policy, replace(evidence, auxiliary=""))
    assert skipped.mix == tuple(piece for piece in full.mix if piece.required)
    assert (skipped.tasks, skipped.model, skipped.draw) == (full.tasks, None, None)


@given(cases())
def test_lineage_every_instruction_lies_on_the_lineage_of_a_settled_path(case: tuple[Policy, Evidence]) -> None:
    decision = decided(case)
    allowed = {path for settled in decision.tasks for path in lineage(settled)}
    assert {piece.task for piece in decision.mix} <= allowed


@given(cases())
def test_lineage_general_before_specific_always(case: tuple[Policy, Evidence]) -> None:
    depths = [depth(piece.task) for piece in decided(case).mix if piece.id != "soft"]
    assert depths == sorted(depths)


@given(cases())
def test_settled_a_path_other_than_the_root_has_its_threshold_and_no_more_tasks_than_allowed(
    case: tuple[Policy, Evidence],
) -> None:
    policy, evidence = case
    decision = decided(case)
    assert 1 <= len(decision.paths) <= max(1, policy.settings.max_tasks)
    for settled in decision.paths:
        if settled.path != ROOT:
            assert evidence.belief is not None
            assert settled.confidence >= evidence.thresholds.at(settled.path)
            masses = [evidence.belief.mass, *evidence.belief.sentences]
            assert settled.confidence in [mass.get(settled.path) for mass in masses]


@given(cases())
def test_budget_only_required_text_exceeds_it_and_every_drop_is_told(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    decision = decided(case)
    budget = policy.settings.budget_tokens
    for lasting in (True, False):  # what lasts fits by itself; what is said once, beside it
        counted = [piece for piece in decision.mix if not (lasting and piece.volatile)]
        free = [piece for piece in counted if not piece.required and piece.volatile is not lasting]
        assert sum(piece.tokens for piece in counted) <= budget or not free
    assert ("required_over_budget" in [r.code for r in decision.reasons]) == (decision.tokens > budget)
    roomy = decide(replace(policy, settings=replace(policy.settings, budget_tokens=10**6)), evidence)
    gone = {piece.id for piece in roomy.mix} - {piece.id for piece in decision.mix}
    assert gone == {dropped.id for dropped in decision.dropped if dropped.reason == "budget"}


@given(cases())
def test_required_text_is_sent_at_every_level_but_off(case: tuple[Policy, Evidence]) -> None:
    policy, _ = case
    decision = decided(case)
    said = {piece.id for piece in decision.mix}
    told = {dropped.id for dropped in decision.dropped if dropped.reason != "budget"}
    for path, level in decision.levels.items():
        for instruction in policy.tasks[path].instructions:
            if instruction.required and level is not Level.OFF:
                assert instruction.id in said | told


@given(cases(), st.sampled_from([Level.OFF, Level.BRIEF, Level.GUIDED]))
def test_nested_the_text_of_a_level_begins_the_text_of_the_next(case: tuple[Policy, Evidence], level: Level) -> None:
    policy, evidence = case
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=10**6, max_tasks=1))
    task = decided((policy, evidence)).task

    def text_at(chosen: Level) -> str:
        decision = decided((policy, replace(evidence, levels={**evidence.levels, task: chosen})))
        return say(
            tuple(piece for piece in decision.mix if piece.id != "soft" and (piece.task != ROOT or task != ROOT))
        )

    def own_text_at(chosen: Level) -> str:
        decision = decided((policy, replace(evidence, levels={**evidence.levels, task: chosen})))
        own = [p for p in decision.mix if p.task == task and p.id != "soft" and not p.id.startswith("cue:")]
        return say(tuple(own))

    assert text_at(Level(level + 1)).startswith(text_at(level))
    assert own_text_at(Level(level + 1)).startswith(own_text_at(level))


@given(cases())
def test_what_is_said_once_changes_nothing_that_stays(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    without = {name: value for name, value in evidence.cues.items() if name != "queue"}
    lasting = [piece for piece in decided(case).mix if not piece.volatile]
    assert lasting == list(decided((policy, replace(evidence, cues=without))).mix)


@given(cases(), st.text(max_size=20), st.text(max_size=20))
def test_free_text_of_a_cue_changes_no_other_word(case: tuple[Policy, Evidence], one: str, other: str) -> None:
    policy, evidence = case
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=10**6))

    def skeleton(name: str) -> list[str]:
        decision = decided((policy, replace(evidence, cues={**evidence.cues, "name": name})))
        return [
            piece.text.replace(f"<data-0badcafe>{name}</data-0badcafe>", "<data-0badcafe></data-0badcafe>")
            for piece in decision.mix
        ]

    assert skeleton(one) == skeleton(other)


@given(cases())
@settings(max_examples=30)
def test_without_recognition_the_general_instructions_remain(case: tuple[Policy, Evidence]) -> None:
    decision = decided((case[0], replace(case[1], belief=None, faults=("recogniser_failed",), auxiliary="")))
    assert decision.outcome == "unavailable"
    assert decision.tasks == (ROOT,)
    assert decision.reasons[0].code == "recogniser_failed"
