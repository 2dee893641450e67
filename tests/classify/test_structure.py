"""The structure block: marks of how a message is built, served as they were fitted."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from router.classify.blocks import StructureScorer, marks
from router.classify.encoder import Features, tokenized

TEXTS = [
    "summarise this text",
    "summarise the mail",
    "how do I cook rice?",
    "how do I get there?",
    "why?",
    "translate it",
]


@pytest.fixture(scope="module")
def features() -> Features:
    return StructureScorer.learn(TEXTS)


def test_marks_tell_openings_endings_length_and_questions() -> None:
    assert marks(tokenized("Where is it?").tokens) == ["<where", "<where is", "<where is it", ">?", ">it ?", "~4", "?"]
    assert marks(tokenized("no").tokens) == ["<no", ">no", "~0", "!?"]
    assert marks([]) == []
    assert marks(["a"] * 10_000)[-2] == "~16"


def test_what_is_served_is_what_was_fitted(features: Features) -> None:
    weights = np.random.default_rng(0).normal(size=(len(features.marks), 4))
    scorer = features.fold(weights)
    texts = [*TEXTS, "how do I summarise it", "summarise the whole book"]
    rows = features.rows(list(map(tokenized, texts)))
    matrix = scipy.sparse.csr_matrix((rows.values, rows.columns, rows.starts), shape=(len(rows), rows.width))
    assert np.allclose(np.sqrt(matrix.multiply(matrix).sum(axis=1)), 1.0)
    for text, expected in zip(texts, matrix @ weights, strict=True):
        assert np.allclose(scorer.score(tokenized(text)), expected, atol=1e-5)
    back = StructureScorer.restore(scorer.arrays(), scorer.words())
    assert np.array_equal(back.score(tokenized(texts[0])), scorer.score(tokenized(texts[0])))


def test_a_length_alone_says_nothing(features: Features) -> None:
    scorer = features.fold(np.ones((len(features.marks), 2)))
    assert scorer.score(tokenized("zebra crossing")) is None and scorer.score(tokenized("")) is None


def test_parts_that_do_not_fit_are_refused(features: Features) -> None:
    scorer = features.fold(np.ones((len(features.marks), 2)))
    with pytest.raises(ValueError, match="does not fit"):
        StructureScorer.restore({"table": scorer.arrays()["table"][:-1]}, scorer.words())
