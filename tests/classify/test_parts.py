"""Which sentences of a message say something of their own."""

from __future__ import annotations

import numpy as np

from router.classify.belief import spoken

ASKS, ASKS_ELSE, GOES_ON = [0.8, 0.0, 0.1, 0.1], [0.0, 0.6, 0.2, 0.2], [0.1, 0.1, 0.1, 0.7]


def test_sentences_that_only_go_on_are_not_heard() -> None:
    assert spoken(np.array([ASKS, GOES_ON, ASKS_ELSE])).shape == (2, 2)


def test_one_sentence_alone_adds_nothing_to_the_message() -> None:
    for turns in ([], [ASKS], [ASKS, GOES_ON], [GOES_ON, GOES_ON]):
        assert not len(spoken(np.array(turns)))


def test_nothing_goes_on_in_a_request() -> None:
    assert np.allclose(spoken(np.array([ASKS, ASKS_ELSE]))[0], [0.8 / 0.9, 0.0])
