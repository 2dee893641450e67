"""What people may say, and what they are told where it would mean nothing."""

from __future__ import annotations

import pytest

from router.core.learning import DialKey
from router.core.policy import ROOT
from router.tuning.level_state import LevelState, fold, say
from router.tuning.words import ANY
from tests.tuning.desk import BILLING, HELD_BACK, REFUND, SHIPPING, STARTED, T0, dial, event, pack

PROPOSED = fold([STARTED, event("proposed")])
ALL = DialKey(ROOT, ANY)


@pytest.mark.parametrize(
    ("state", "word", "key", "words"),
    [
        (PROPOSED, "accepted", dial(), "ann accepted detailed instead of guided."),
        (PROPOSED, "accepted", ALL, "ann accepted detailed instead of guided."),
        (fold([STARTED]), "rejected", dial(), "ann rejected detailed instead of guided."),
        (LevelState(), "frozen", dial(REFUND), "ann froze it."),
        (fold([event("frozen", dial(REFUND))]), "frozen", dial(BILLING), "ann froze it."),
        (fold([event("frozen", dial(REFUND))]), "thawed", dial(BILLING), "ann thawed it."),
        (fold([STARTED]), "reset", ALL, "ann reset it."),
        (fold([STARTED, event("stepped")]), "reset", dial(), "ann reset it."),
    ],
)
def test_a_word_becomes_an_event(state: LevelState, word: str, key: DialKey, words: str) -> None:
    found = say(pack(), state, word, key, "ann", T0)
    assert (found.kind, found.key, found.by, found.at_ms) == (word, key, "ann", T0)
    assert words in found.words
    assert fold([found], state) != state


def test_an_answer_names_its_trial() -> None:
    assert say(pack(), PROPOSED, "accepted", ALL, "ann", T0).facts["trial"] == "t1"


@pytest.mark.parametrize(
    ("state", "word", "key", "by", "says"),
    [
        (PROPOSED, "accepted", dial(), "", "say who"),
        (PROPOSED, "accepted", dial(), "tuner", "say who"),
        (PROPOSED, "accepted", dial("/biling"), "ann", "did you mean /billing"),
        (fold([STARTED]), "accepted", dial(), "ann", "no step is proposed at /billing"),
        (PROPOSED, "accepted", dial(SHIPPING), "ann", "no step is proposed at /shipping"),
        (LevelState(), "rejected", dial(), "ann", "no trial runs"),
        (fold([HELD_BACK]), "rejected", dial(), "ann", "to take back a step, reset"),
        (fold([STARTED, event("started", dial(SHIPPING))]), "rejected", ALL, "ann", "2 trials are meant by all tasks"),
        (fold([event("frozen", ALL)]), "frozen", dial(), "ann", "frozen already"),
        (LevelState(), "thawed", dial(), "ann", "was not frozen by itself$"),
        (fold([event("frozen", ALL)]), "thawed", dial(), "ann", "held by the word on all tasks: thaw that"),
        (LevelState(), "reset", dial(), "ann", "nothing to reset"),
        (fold([STARTED]), "reset", dial(REFUND), "ann", "nothing to reset"),
    ],
)
def test_a_word_that_would_mean_nothing_is_refused(
    state: LevelState, word: str, key: DialKey, by: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        say(pack(), state, word, key, by, T0)
