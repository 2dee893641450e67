"""The state: how the dials stand follows from the log alone, and levels from the state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.learning import DialKey, ExperimentEvent
from router.core.levels import Dial, Trial
from router.core.policy import ROOT, Level
from router.tuning.candidates import DAY_MS
from router.tuning.level_state import Cooldown, LevelState, advance_tests, covers, fold
from router.tuning.words import ANY
from tests.tuning.desk import BILLING, HELD_BACK, INVOICE, MODEL, REFUND, SHIPPING, STARTED, T0, dial, event, outcome

OFF, BRIEF, GUIDED, DETAILED = Level


def standing(*events: ExperimentEvent, key: DialKey | None = None):
    return fold(events).dial(key or dial())


def test_nothing_stands_in_an_empty_log() -> None:
    assert fold([]) == LevelState() and fold([]).levels().dials == {}


def test_what_was_said_of_dials_that_are_no_more_moves_nothing() -> None:
    old = replace(event("retired"), number=7)
    assert fold([old]) == LevelState(last=7) and fold([STARTED, old]).dial(dial()) == standing(STARTED)


def test_a_trial_that_starts_is_drawn() -> None:
    assert fold([STARTED]).levels().dials == {dial(): Dial(GUIDED, Trial("t1", DETAILED, 0.1, "x"))}


def test_a_share_changes() -> None:
    assert standing(STARTED, event("shared", share=0.25)).running.share == 0.25


def test_a_share_of_nothing_draws_nobody() -> None:
    assert fold([STARTED, event("shared", share=0.0)]).levels().dials == {dial(): Dial(GUIDED, None)}


def test_a_step_turns_the_dial() -> None:
    found = standing(STARTED, event("stepped"))
    assert (found.level, found.before, found.running, found.ended, found.k) == (DETAILED, None, None, 1, 1)


def test_a_rollback_turns_it_back_and_the_level_rests() -> None:
    until = T0 + DAY_MS
    found = standing(STARTED, event("stepped"), HELD_BACK, event("rolled_back", trial="h1", rests_until_ms=until))
    assert (found.level, found.running) == (None, None)
    assert found.cooldowns == (Cooldown(GUIDED, DETAILED, "x", until),)


def test_a_holdback_that_ends_leaves_the_step() -> None:
    found = standing(STARTED, event("stepped"), HELD_BACK, event("stopped", trial="h1", why="kept"))
    assert (found.level, found.running, found.cooldowns) == (DETAILED, None, ())


def test_a_challenger_rests_for_its_text_until_its_time() -> None:
    found = standing(STARTED, event("stopped", why="harm", rests_until_ms=T0 + DAY_MS))
    assert found.cooldown(GUIDED, DETAILED, "x", T0) and not found.cooldown(GUIDED, DETAILED, "x", T0 + DAY_MS)
    assert not found.cooldown(GUIDED, DETAILED, "other text", T0) and not found.cooldown(BRIEF, DETAILED, "x", T0)


@pytest.mark.parametrize("kind", ["stepped", "stopped", "rolled_back", "shared", "proposed", "accepted", "rejected"])
def test_what_is_said_of_a_trial_that_has_ended_changes_nothing(kind: str) -> None:
    before = standing(STARTED, event("stopped", why="futile"), event("started", trial="t2", k=2))
    after = standing(
        STARTED, event("stopped", why="futile"), event("started", trial="t2", k=2), event(kind, why="harm")
    )
    assert replace(after, history=before.history) == before


def test_only_what_is_proposed_can_be_accepted() -> None:
    assert standing(STARTED, event("accepted", by="ann")).running.accepted == ""
    assert standing(STARTED, event("proposed"), event("accepted", by="ann")).running.accepted == "ann"


def test_a_rejection_is_kept_with_its_name_but_a_holdback_is_not_rejected() -> None:
    assert standing(STARTED, event("rejected", by="ann")).running.rejected == "ann"
    assert standing(HELD_BACK, event("rejected", trial="h1", by="ann")).running.rejected == ""


def test_a_reset_forgets_level_trial_and_rests_but_not_how_many_were_tried() -> None:
    found = standing(STARTED, event("stepped"), HELD_BACK, event("reset", dial(ROOT, ANY)))
    assert (found.level, found.running, found.cooldowns, found.k) == (None, None, (), 1)
    assert fold([STARTED, event("reset")]).levels().dials == {}


@pytest.mark.parametrize(
    ("word", "held"),
    [
        (dial(BILLING), True),
        (dial(ROOT, ANY), True),
        (dial(REFUND), True),
        (dial(SHIPPING), False),
        (dial(BILLING, "other"), False),
    ],
)
def test_freezing_a_task_holds_the_trials_on_its_lineage(word: DialKey, held: bool) -> None:
    state = fold([STARTED, event("frozen", word)])
    assert (state.held(dial()) is not None) is held
    assert state.levels().dials[dial()].trial is None if held else state.levels() == fold([STARTED]).levels()


def test_thawing_takes_back_the_words_it_covers() -> None:
    frozen = [event("frozen", dial(REFUND)), event("frozen", dial(INVOICE))]
    assert fold([*frozen, event("thawed", dial(REFUND))]).frozen == {dial(INVOICE)}
    assert fold([*frozen, event("thawed", dial(ROOT, ANY))]).frozen == frozenset()
    assert fold([event("frozen", dial(ROOT)), event("thawed", dial(REFUND))]).frozen == {dial(ROOT)}


@pytest.mark.parametrize(
    ("word", "covered"),
    [
        (dial(BILLING), True),
        (dial(REFUND), True),
        (dial(INVOICE), False),
        (dial("/bill"), False),
        (dial(BILLING, ANY), True),
    ],
)
def test_a_word_covers_its_task_and_those_below(word: DialKey, covered: bool) -> None:
    assert covers(word, DialKey(REFUND, MODEL)) is covered


def test_an_event_without_its_facts_is_named() -> None:
    broken = ExperimentEvent(T0, "desk", "started", dial(), {"trial": "t"}, number=17)
    with pytest.raises(ValueError, match=r"event 17 \(started /billing\) lacks a fact: 'kind'"):
        fold([broken])


def test_the_number_of_the_newest_event_is_kept() -> None:
    assert fold([replace(STARTED, number=8), replace(event("frozen"), number=9)]).last == 9


def test_only_outcomes_of_running_trials_are_gathered() -> None:
    state = fold([STARTED])
    bets = advance_tests(state, [outcome(trial="t1"), outcome(trial="gone"), outcome(trial="", share=0.0)])
    assert {trial: found.outcomes for trial, found in bets.items()} == {"t1": 1}
    assert advance_tests(state, [outcome(trial="t1")], bets)["t1"].outcomes == 2
    assert advance_tests(fold([event("stopped", why="futile")], state), [], bets) == {}


def test_a_holdbacks_evidence_is_in_reverse() -> None:
    assert advance_tests(fold([HELD_BACK]), [])["h1"].reverse
