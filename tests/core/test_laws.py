"""The laws of deciding, over generated policies and evidence: pure, lineage, settled, condition, budget, nested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from router.core.compose import OPENING, is_frame, required_of
from router.core.decide import decide, likeliest, settle
from router.core.decision import Decision, say
from router.core.evidence import Evidence
from router.core.policy import ROOT, Level, Piece, Policy, depth, lineage
from router.core.trace import Trace
from router.stores.rows import RowMaker, evidence_of, loaded
from tests.support.reading import read
from tests.support.strategies import evidences, policies


@st.composite
def cases(draw: st.DrawFn) -> tuple[Policy, Evidence]:
    policy = draw(policies())
    return policy, draw(evidences(policy))


def law(test: Callable[..., None]) -> Callable[..., None]:
    """Hold a test to the law over many cases: every fifth has a shortlist, and there are many ways to be unsure."""
    return settings(max_examples=3 * settings.default.max_examples)(given(cases())(test))


def decided(case: tuple[Policy, Evidence]) -> Decision:
    return decide(*case)


def instructions(decision: Decision) -> list[Piece]:
    return [piece for piece in decision.mix if not is_frame(piece)]


@law
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


@law
def test_a_machine_s_own_call_gets_what_is_required_and_nothing_else(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    skipped = decide(policy, replace(evidence, auxiliary="title"))
    full = decide(policy, replace(evidence, auxiliary=""))
    assert instructions(skipped) == [piece for piece in instructions(full) if piece.required]
    assert (skipped.paths, skipped.shortlist, skipped.model, skipped.draw) == (full.paths, full.shortlist, None, None)
    assert required_of(skipped.mix) == skipped.mix
    check_conditions(skipped)


@law
def test_lineage_every_instruction_lies_on_the_lineage_of_a_settled_or_listed_path(
    case: tuple[Policy, Evidence],
) -> None:
    """Laws 4 and 5: what is said plainly on that of a settled one."""
    decision = decided(case)
    settled = {path for task in decision.tasks for path in lineage(task)}
    for piece in instructions(decision):
        if piece.case:
            assert piece.case in decision.listed
            assert piece.task in lineage(piece.case)
            assert piece.task not in settled
        else:
            assert piece.task in settled
    assert {piece.task for piece in decision.mix if piece.id != OPENING} <= decision.reached


@law
def test_lineage_general_before_specific_and_each_branch_in_one_piece(case: tuple[Policy, Evidence]) -> None:
    decision = decided(case)
    for where in {piece.case for piece in decision.mix}:
        pieces = [piece for piece in instructions(decision) if piece.case == where and piece.id != "soft"]
        tasks = list(dict.fromkeys(piece.task for piece in pieces))
        assert [piece.task for piece in pieces] == [task for task in tasks for p in pieces if p.task == task]
        for at, task in enumerate(tasks):
            assert not set(tasks[at + 1 :]) & set(lineage(task)), "what is above it came before"
            between = tasks[tasks.index(above) + 1 : at] if (above := nearest(task, tasks)) else tasks[:at]
            assert not above or all(above in lineage(other) for other in between), "and of its own branch alone"


def nearest(task: str, tasks: list[str]) -> str:
    """The deepest of some tasks that lies above another."""
    return max((each for each in lineage(task)[:-1] if each in tasks), key=depth, default="")


SHARED = "- Ask for the order number."


@law
def test_once_a_sentence_that_tasks_share_is_said_once_and_as_firmly_as_any_of_them_says_it(
    case: tuple[Policy, Evidence],
) -> None:
    """Plainly once, in a case once, and beside plain text that stays in none; what is passing changes nothing."""
    policy, evidence = case
    alike = {
        path: replace(
            task,
            instructions=tuple(replace(i, text=SHARED) if i.id.endswith(".0") else i for i in task.instructions),
        )
        for path, task in policy.tasks.items()
    }
    policy, evidence = replace(policy, tasks=alike), replace(evidence, auxiliary="")
    calm = {name: value for name, value in evidence.cues.items() if name != "queue"}
    decision, without = decide(policy, evidence), decide(policy, replace(evidence, cues=calm))
    assert [piece for piece in decision.mix if not piece.volatile] == list(without.mix)
    said = [piece for piece in without.mix if piece.text == SHARED]
    for where in {piece.case for piece in said}:
        assert len([piece for piece in said if piece.case == where]) == 1
    told = {dropped.id for dropped in without.dropped if dropped.reason != "budget"}
    plain = {above for path in without.tasks for above in lineage(path)}
    due = [i for path in plain for i in policy.tasks[path].instructions if without.levels[path] and i.required]
    assert all(i.id in told or i.id in {piece.id for piece in without.mix} for i in due)
    repeated = {dropped.id for dropped in without.dropped if dropped.reason.startswith("repeated:")}
    if any(i.id in repeated for i in due):
        assert any(piece.required for piece in said if not piece.case)


@law
def test_condition_a_listed_text_stands_under_its_heading_and_nothing_else_does(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    cues = {name: value for name, value in evidence.cues.items() if name != "name"}  # may hold line breaks here
    check_conditions(decided((policy, replace(evidence, cues=cues))))


def check_conditions(decision: Decision) -> None:
    """What a reader of the text finds under which heading is what is decided for that case."""
    found = read(decision.text)
    headings = [f"What is asked at {path}" for path in decision.listed]
    assert found.lines == [
        (f"What is asked at {piece.case}" if piece.case else "", piece.text) for piece in instructions(decision)
    ]
    kept = found.cases or []
    assert kept == headings[: len(kept)], "likeliest first, the least likely dropped first"
    assert len(kept) != 1
    assert (found.cases is None) is (not kept)


@law
def test_settled_a_path_other_than_the_root_has_its_threshold_and_no_more_tasks_than_allowed(
    case: tuple[Policy, Evidence],
) -> None:
    policy, evidence = case
    decision = decided(case)
    thresholds, belief = evidence.thresholds, evidence.belief
    assert 1 <= len(decision.paths) <= max(1, policy.settings.max_tasks)
    for settled in decision.paths:
        if settled.path != ROOT:
            assert belief is not None
            # What lies above a list is said plainly, even where its cases say nothing or the budget has no room for them.
            limits = policy.settings.max_tasks, policy.settings.shortlist
            listed = settle(policy.tasks, belief, thresholds, *limits).shortlist
            shared = listed and all(settled.path in lineage(task)[:-1] for task, _ in listed)
            assert settled.threshold in [thresholds.at(settled.path), *([thresholds.shortlist] if shared else [])]
            assert settled.confidence >= settled.threshold - 1e-9
            assert settled.confidence in [each.mass.get(settled.path) for each in (belief, *belief.sentences)]


@law
def test_settled_a_shortlist_has_its_threshold_and_no_task_of_it_passes_alone(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=10**6))  # else cases may be dropped
    decision = decide(policy, evidence)
    thresholds = evidence.thresholds
    sure = [path for path in decision.tasks if not policy.tasks[path].children and path != ROOT]
    assert (decision.outcome == "shortlisted") is (bool(decision.shortlist) and not sure and not evidence.auxiliary)
    if not decision.shortlist:
        return
    masses = [mass for _, mass in decision.shortlist]
    assert 2 <= len(masses) <= policy.settings.shortlist
    assert masses == sorted(masses, reverse=True)
    assert sum(masses) >= (thresholds.sure if sure else thresholds.shortlist) - 1e-9
    assert not set(decision.listed) & set(sure)
    assert evidence.belief is not None
    told = [len(likeliest(policy.tasks, each)) for each in (evidence.belief, *evidence.belief.sentences)]
    assert len(masses) in (policy.settings.shortlist, *told) or sum(masses) >= thresholds.sure - 1e-9
    if len(masses) > 2:
        assert sum(masses[:-1]) < max(thresholds.sure, thresholds.shortlist), "the smallest that is sure"


@law
def test_budget_only_required_text_exceeds_it_and_every_drop_is_told(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    decision = decided(case)
    budget = policy.settings.budget_tokens
    for lasting in (True, False):  # what lasts fits by itself; what is said once, beside it
        counted = [piece for piece in decision.mix if not (lasting and piece.volatile)]
        free = [piece for piece in counted if not piece.required and piece.volatile is not lasting]
        assert sum(piece.tokens for piece in counted) <= budget or not free
    if any(piece.case and not piece.volatile for piece in decision.mix):
        assert sum(piece.tokens for piece in decision.mix if not piece.volatile) <= budget, (
            "required text of a case too"
        )
    assert ("required_over_budget" in [r.code for r in decision.reasons]) == (decision.tokens > budget)
    roomy = decide(with_budget(policy, 10**6), evidence)
    gone = [piece.id for piece in roomy.mix if piece not in decision.mix]
    if not evidence.auxiliary:
        assert set(gone) == {dropped.id for dropped in decision.dropped if dropped.reason == "budget"}
    for more in (1, 10, 40, 100):
        wider = decide(with_budget(policy, budget + more), evidence)
        assert [piece for piece in decision.mix if not piece.volatile and piece not in wider.mix] == []


@law
def test_budget_a_case_goes_as_a_whole_or_keeps_what_is_required_and_brief(case: tuple[Policy, Evidence]) -> None:
    policy, evidence = case
    evidence = replace(evidence, auxiliary="")
    decision, roomy = decide(policy, evidence), decide(with_budget(policy, 10**6), evidence)
    for path in roomy.listed:
        kept = [piece for piece in decision.mix if piece.case == path]
        full = [piece for piece in roomy.mix if piece.case == path]
        brief = [piece for piece in full if piece.level <= Level.BRIEF and (piece.required or not piece.volatile)]
        assert not kept or [piece for piece in brief if piece not in kept] == []
        assert not kept or len([piece for piece in kept if not piece.volatile]) >= 2, "a heading and a line"
    dropped = [piece for piece in roomy.mix if piece not in decision.mix and not piece.volatile]
    left = [piece for piece in decision.mix if not piece.volatile and not piece.required]
    if any(not piece.case and piece.level <= Level.BRIEF for piece in dropped):
        assert all(not piece.case and piece.level <= Level.BRIEF for piece in left), "what is brief and plain goes last"


def with_budget(policy: Policy, tokens: int) -> Policy:
    return replace(policy, settings=replace(policy.settings, budget_tokens=tokens))


@law
def test_required_text_is_sent_at_every_level_but_off(case: tuple[Policy, Evidence]) -> None:
    policy, _ = case
    decision = decided(case)
    told = {dropped.id for dropped in decision.dropped if dropped.reason != "budget"}
    plain = {path for task in decision.tasks for path in lineage(task)}
    cases_ = {piece.case for piece in decision.mix if piece.case} - {OPENING}
    for where, paths in [("", plain), *((path, set(lineage(path)) - plain) for path in cases_)]:
        said = {piece.id for piece in decision.mix if piece.case == where}
        for path in paths & decision.levels.keys():
            for instruction in policy.tasks[path].instructions:
                if instruction.required and decision.levels[path] is not Level.OFF:
                    assert instruction.id in said | told


@given(cases(), st.sampled_from([Level.OFF, Level.BRIEF, Level.GUIDED]))
def test_nested_the_text_of_a_level_begins_the_text_of_the_next(case: tuple[Policy, Evidence], level: Level) -> None:
    policy, evidence = case
    policy = replace(policy, settings=replace(policy.settings, budget_tokens=10**6, max_tasks=1))
    decision = decided((policy, evidence))
    for task, where in product((decision.task, *decision.listed), ("", *decision.listed)):

        def text_at(chosen: Level, task: str = task, where: str = where) -> str:
            said = instructions(decided((policy, replace(evidence, levels={**evidence.levels, task: chosen}))))
            own = [piece for piece in said if piece.task == task and piece.case == where and piece.id != "soft"]
            return say(tuple(piece for piece in own if not piece.id.startswith("cue:")))

        assert text_at(Level(level + 1)).startswith(text_at(level))


@law
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
def test_without_recognition_the_general_instructions_remain(case: tuple[Policy, Evidence]) -> None:
    decision = decided((case[0], replace(case[1], belief=None, faults=("recogniser_failed",), auxiliary="")))
    assert decision.outcome == "unavailable"
    assert decision.tasks == (ROOT,)
    assert decision.reasons[0].code == "recogniser_failed"
