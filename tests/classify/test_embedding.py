"""The static block serves what was fitted: look-ups and one sum equal the texts' vectors times the weights."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.classify import static
from router.classify.encoder import Features, tokenized
from router.classify.static import StaticScorer
from tests.classify.conftest import EXAMPLES, lines

TEXTS = [text for block in EXAMPLES.values() for text in lines(block)]
UNSEEN = [
    "my my my package package is late, late!",
    "reimbursement for the headphones",
    "café zzzq 4711",
    "Où est mon colis ?",
]


@pytest.fixture(scope="module")
def features() -> Features:
    return StaticScorer.learn(TEXTS)


@pytest.fixture(scope="module")
def weights(features: Features) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(features.rows([tokenized("refund")]).shape[1], 5))


@pytest.fixture(scope="module")
def scorer(features: Features, weights: np.ndarray) -> StaticScorer:
    return features.fold(weights)


@given(st.sampled_from(TEXTS + UNSEEN) | st.text(max_size=60))
def test_what_is_served_is_what_was_fitted(
    features: Features, weights: np.ndarray, scorer: StaticScorer, text: str
) -> None:
    row = features.rows([tokenized(text)])[0]
    found = scorer.score(tokenized(text))
    assert np.allclose(row @ weights, 0.0 if found is None else found, atol=1e-3)
    assert (found is None) == (not row.any())


def test_rows_have_length_one(features: Features) -> None:
    assert np.allclose(np.linalg.norm(features.rows(list(map(tokenized, TEXTS))), axis=1), 1.0)


def test_words_that_mean_the_same_are_near(features: Features) -> None:
    parcel, package, password = features.rows(
        [tokenized(text) for text in ("where is my parcel", "where is my package", "I forgot my password")]
    )
    assert parcel @ package > 0.5 > 0.3 > parcel @ password


@pytest.mark.parametrize("text", ["", "  ", "😀", "\u200b", "https://shop.example/x"])
def test_a_text_without_words_has_no_score(scorer: StaticScorer, text: str) -> None:
    assert scorer.score(tokenized(text)) is None


def test_the_order_of_traffic_changes_no_score(features: Features, weights: np.ndarray) -> None:
    once, again = features.fold(weights), features.fold(weights)
    for text in reversed(UNSEEN):
        again.score(tokenized(text))
    for text in UNSEEN:
        assert np.allclose(once.score(tokenized(text)), again.score(tokenized(text)), atol=1e-6)


def test_the_store_of_met_words_stays_bounded(
    features: Features, weights: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(static, "STORE_BYTES", 0)
    scorer = features.fold(weights)
    most = len(features.vocabulary) + 2 * static.MOST_WORDS
    reference = scorer.score(tokenized("reimbursement for the armchair"))
    for i in range(60):
        scorer.score(tokenized(" ".join(f"word{i}x{chr(97 + j % 26)}{chr(97 + j // 26)}" for j in range(90))))
        assert len(scorer._store) <= most
    assert np.allclose(scorer.score(tokenized("reimbursement for the armchair")), reference, atol=1e-6)


def test_threads_agree(scorer: StaticScorer) -> None:
    texts = [f"{text} strange{'abcdefg'[i % 7]}word" for i, text in enumerate(TEXTS * 3)]
    expected = [scorer.score(tokenized(text)) for text in texts]
    wrong: list[str] = []

    def work(shift: int) -> None:
        for i in range(len(texts)):
            at = (i * 7 + shift) % len(texts)
            if not np.allclose(scorer.score(tokenized(texts[at])), expected[at], atol=1e-6):
                wrong.append(texts[at])

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_stored_scorer_comes_back(scorer: StaticScorer) -> None:
    back = StaticScorer.restore(scorer.arrays(), scorer.words())
    for text in TEXTS + UNSEEN:
        assert np.allclose(back.score(tokenized(text)), scorer.score(tokenized(text)), atol=1e-6)


def test_parts_that_do_not_fit_are_refused(scorer: StaticScorer) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        StaticScorer.restore({"weights": scorer.arrays()["weights"][:-1]}, scorer.words())
    with pytest.raises(ValueError, match="another static table"):
        StaticScorer.restore(scorer.arrays(), scorer.words() | {"table": "0" * 64})
