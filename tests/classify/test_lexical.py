"""The served scores are the fitted model's: look-ups and one sum equal features times weights."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from router.classify import lexical
from router.classify.encoder import Features, SparseMatrix, tokenized
from router.classify.lexical import LexicalScorer, grams
from tests.classify.conftest import EXAMPLES, lines

TEXTS = [text for block in EXAMPLES.values() for text in lines(block)]
LABELS = [i for i, block in enumerate(EXAMPLES.values()) for _ in lines(block)]
UNSEEN = [
    "i wnat a refnud for teh chair",
    "my my my parcel parcel is is late, late!",
    "refund refund refund invoice address password zzzq zzzq",
    "where is my parcel, my parcel, where is my parcel? my parcel!",
    "x" * 500,
    "order 999 https://shop.example/o/999 ann@mail.example",
    "Où est mon colis ? 我要退款 😀",
    " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(90)),
]


@pytest.fixture(scope="module")
def features() -> Features:
    return LexicalScorer.learn(TEXTS)


@pytest.fixture(scope="module")
def scorer(features: Features) -> LexicalScorer:
    return features.fold(np.random.default_rng(1).normal(size=(features.width, 6)))


def matrix(rows: SparseMatrix) -> scipy.sparse.csr_matrix:
    return scipy.sparse.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows), rows.width))


def test_numpy_serves_what_scikit_learn_decides(features: Features) -> None:
    model = LogisticRegression(C=10).fit(matrix(features.rows(list(map(tokenized, TEXTS)))), LABELS)
    scorer = features.fold(model.coef_.T)
    texts = TEXTS + UNSEEN
    decided = model.decision_function(matrix(features.rows(list(map(tokenized, texts)))))
    served = np.array([np.zeros(6) if (found := scorer.score(tokenized(text))) is None else found for text in texts])
    assert np.abs(served + model.intercept_ - decided).max() < 1e-4


@given(st.text(max_size=80))
def test_fitted_and_served_features_agree_on_any_text(text: str) -> None:
    features = LexicalScorer.learn(TEXTS[:12])
    weights = np.random.default_rng(2).normal(size=(features.width, 3))
    served = features.fold(weights).score(tokenized(text))
    expected = (matrix(features.rows([tokenized(text)])) @ weights)[0]
    assert np.abs((np.zeros(3) if served is None else served) - expected).max() < 1e-4


def test_rows_are_nearly_of_length_one(features: Features) -> None:
    lengths = np.sqrt(
        matrix(features.rows(list(map(tokenized, TEXTS))))
        .multiply(matrix(features.rows(list(map(tokenized, TEXTS)))))
        .sum(axis=1)
    )
    assert lengths.min() > 0.9 and lengths.max() < 1.3


def test_what_is_foreign_shortens_the_scores(scorer: LexicalScorer) -> None:
    plain = scorer.score(tokenized("where is my parcel"))
    diluted = scorer.score(tokenized("where is my parcel qwv xzzk vvqp jjxw"))
    assert plain is not None and diluted is not None
    assert np.linalg.norm(diluted) < 0.8 * np.linalg.norm(plain)


@pytest.mark.parametrize("text", ["", "   ", "😀😀", "߷߷߷", "\u200b"])
def test_a_text_of_which_nothing_is_known_has_no_score(scorer: LexicalScorer, text: str) -> None:
    assert scorer.score(tokenized(text)) is None


def test_the_order_of_traffic_changes_no_score(features: Features) -> None:
    weights = np.random.default_rng(3).normal(size=(features.width, 6))
    once, again = features.fold(weights), features.fold(weights)
    for text in reversed(UNSEEN):
        again.score(tokenized(text))
    for text in UNSEEN:
        first, second = once.score(tokenized(text)), again.score(tokenized(text))
        assert (first is None and second is None) or np.array_equal(first, second)


def test_the_store_of_met_words_stays_bounded(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "CACHE_BYTES", 0)
    scorer = features.fold(np.random.default_rng(4).normal(size=(features.width, 6)))
    most = 2 * lexical.UNSEEN_WORDS
    reference = scorer.score(tokenized("xparcelx yrefundy"))
    for i in range(50):
        scorer.score(
            tokenized(" ".join(f"{chr(97 + i % 26)}w{chr(97 + j % 26)}{chr(97 + j // 26)}{i}q" for j in range(60)))
        )
        assert len(scorer._met) <= most
    assert np.array_equal(scorer.score(tokenized("xparcelx yrefundy")), reference)


def test_threads_agree(scorer: LexicalScorer) -> None:
    texts = [f"{text} strange{i % 7}word and {i % 11}parcels" for i, text in enumerate(TEXTS * 4)]
    expected = [scorer.score(tokenized(text)) for text in texts]
    wrong: list[str] = []

    def work(shift: int) -> None:
        for i in range(len(texts)):
            at = (i * 7 + shift) % len(texts)
            if not np.array_equal(scorer.score(tokenized(texts[at])), expected[at]):
                wrong.append(texts[at])

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_stored_scorer_comes_back(scorer: LexicalScorer) -> None:
    back = LexicalScorer.restore(scorer.arrays(), scorer.words())
    for text in TEXTS + UNSEEN:
        assert np.array_equal(back.score(tokenized(text)), scorer.score(tokenized(text)))


@pytest.mark.parametrize("broken", ["words", "pairs", "grams", "table"])
def test_parts_that_do_not_fit_are_refused(scorer: LexicalScorer, broken: str) -> None:
    arrays, words = scorer.arrays(), scorer.words()
    if broken == "table":
        arrays["table"] = arrays["table"][:-1]
    else:
        words[broken] = words[broken][:-1]
    with pytest.raises(ValueError, match="do not fit"):
        LexicalScorer.restore(arrays, words)


def test_a_large_table_is_kept_in_half_precision(features: Features, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = np.random.default_rng(5).normal(size=(features.width, 6))
    full = features.fold(weights)
    monkeypatch.setattr(lexical, "TABLE_BYTES", 0)
    half = features.fold(weights)
    assert half.arrays()["grams"].nbytes * 2 == full.arrays()["grams"].nbytes
    one, other = full.score(tokenized("xparcelx yrefundy")), half.score(tokenized("xparcelx yrefundy"))
    assert one is not None and other is not None
    assert np.allclose(one, other, atol=1e-2)


def test_with_many_texts_what_was_seen_once_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "RARE_ROWS", 10)
    features = LexicalScorer.learn(TEXTS)
    assert 0 < features.width < LexicalScorer.learn(TEXTS[:9]).width * 10
    assert ("headphones", "refund") not in features.pairs and ("my", "parcel") in features.pairs


def test_no_word_has_many_n_grams() -> None:
    assert len(grams("x" * 100_000)) == len(grams("x" * lexical.WORD_LETTERS))
    assert grams("a") == (" a", "a ", " a ")
