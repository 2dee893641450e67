"""The static block: what the words of a text mean, whether or not an example has them.

A text is the sum of the vectors of its distinct words (`static`), each times the square root of how often it occurs,
at length one. The sum is additive but for its length, so a word's row holds its scores *and* its vector: scoring a
message is a look-up per word, one sum, and one square root over the vector. No product of matrices at all.

"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Floats, Reading, read
from router.classify.lexical import MetWords
from router.classify.static import StaticTable

STORE_BYTES = 8 << 20
"""Memory for the rows of words met in traffic. When it is full it starts anew; whether a word is in it changes no
score."""

MOST_WORDS = 300
"""Of the distinct words of one text the first so many count: a bound on its work."""


@lru_cache(maxsize=50_000)
def _vector_once(word: str) -> Floats:  # a fit reads each word a dozen times
    return StaticTable.load().vector(word)


def counted(tokens: list[str]) -> tuple[list[str], list[float] | None]:
    """Return the distinct words, and the square roots of their counts; None where each occurs once."""
    if len(set(tokens)) == len(tokens):
        return tokens[:MOST_WORDS], None
    counts = Counter(tokens)
    words = list(counts)[:MOST_WORDS]
    return words, [counts[word] ** 0.5 for word in words]


class StaticFeatures:
    """The words of the training texts, whose rows are laid out at load; the vectors themselves are shipped."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.vocabulary = sorted({word for text in texts for word in read(text).tokens})

    def rows(self, texts: Sequence[str]) -> Doubles:
        """Return the vector of each text, of shape (texts, dimensions)."""
        matrix = np.zeros((len(texts), StaticTable.load().dimensions))
        for at, text in enumerate(texts):
            words, roots = counted(read(text).tokens)
            for number, word in enumerate(words):
                matrix[at] += _vector_once(word) * (roots[number] if roots else 1.0)
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return matrix

    def fold(self, coefficients: Doubles) -> StaticScorer:
        """Return a scorer with the rows of all training words ready."""
        return StaticScorer(coefficients.astype(np.float32), self.vocabulary, StaticTable.load())


class StaticScorer:
    """A folded static block. A row of its store holds a word's scores, then its vector."""

    def __init__(self, weights: Floats, vocabulary: Sequence[str], table: StaticTable) -> None:
        if weights.ndim != 2 or len(weights) != table.dimensions:
            raise ValueError("the weights do not fit the static table")
        self._weights = weights
        self._static = table
        self._vocabulary = list(vocabulary)
        width = weights.shape[1] + table.dimensions
        self._most = len(self._vocabulary) + max(2 * MOST_WORDS, STORE_BYTES // (4 * width))
        self._store = self._new_store()
        self._lock = threading.Lock()

    def _new_store(self) -> MetWords:
        """Return a store that holds the training words, and has room for others."""
        store = MetWords(self._most, self.width + self._static.dimensions)
        vectors = np.array([self._static.vector(word) for word in self._vocabulary], np.float32)
        if len(vectors):
            store.table[: len(vectors), self.width :] = vectors
            store.table[: len(vectors), : self.width] = vectors @ self._weights
        store.rows.update((word, at) for at, word in enumerate(self._vocabulary))
        return store

    @property
    def width(self) -> int:
        """How many classes there are."""
        return int(self._weights.shape[1])

    def score(self, reading: Reading) -> Floats | None:
        """Return the scores of the text's vector; None when it has none."""
        words, roots = counted(reading.tokens)
        store = self._store
        known = list(map(store.rows.get, words))
        rows = [row for row in known if row is not None]
        if len(rows) < len(words):
            store, rows = self._meet(words)
        picked = store.table.take(rows, 0)
        total = np.add.reduce(picked, 0) if roots is None else np.einsum("i,ij->j", np.array(roots, np.float32), picked)
        vector = total[self.width :]
        squared = float(np.dot(vector, vector))
        if squared == 0.0:
            return None
        scores: Floats = total[: self.width] / np.float32(squared**0.5)
        return scores

    def _meet(self, words: list[str]) -> tuple[MetWords, list[int]]:
        """Return a store that has all these words, with their rows in it."""
        with self._lock:
            store = self._store
            new = [word for word in words if word not in store.rows]
            if len(store.rows) + len(new) > len(store.table):
                # A new store instead of an emptied one: other threads may still be reading the old.
                store = self._store = self._new_store()
                new = [word for word in words if word not in store.rows]
            vectors = np.array([self._static.vector(word) for word in new], np.float32)
            if len(new):
                first = len(store.rows)
                store.table[first : first + len(new), self.width :] = vectors
                store.table[first : first + len(new), : self.width] = np.einsum("ij,jk->ik", vectors, self._weights)
                store.rows.update((word, first + at) for at, word in enumerate(new))
            return store, [store.rows[word] for word in words]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights."""
        return {"weights": self._weights}

    def words(self) -> dict[str, Any]:
        """Return the training words, and which table the weights belong to."""
        return {"vocabulary": self._vocabulary, "table": self._static.digest}


class Static:
    """The encoder of this module."""

    name = "static"

    def learn(self, texts: Sequence[str]) -> StaticFeatures:
        """Note the words of training texts."""
        return StaticFeatures(texts)

    def restore(self, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> StaticScorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        table = StaticTable.load()
        if words["table"] != table.digest:
            raise ValueError("the model was fitted with another static table")
        return StaticScorer(arrays["weights"], words["vocabulary"], table)
