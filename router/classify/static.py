"""The static table: one vector for each piece of a word, made once from a sentence encoder and shipped with the room.

What a text is about shows in words that no example holds: "parcel" stands near "package". A table of vectors knows
that at the price of a look-up, where the encoder it was made from takes milliseconds. How it was made, from what, and
what it is worth: `static_table.md`; the recipe as a program:
`tests/static_table/build.py` of the repository.

A word is cut into pieces by the longest match, beginning at its first letter, as WordPiece does (Schuster and Nakajima
2012; Devlin et al. 2019, the uncased vocabulary): "refundable" is "ref", "##unda", "##ble". Its vector is the sum of
the vectors of its pieces. How much a word weighs in a text is part of its vector: "the" is short, "refund" is long.

*The static block* says what the words of a text mean, whether or not an example has them. A text is the sum of the
vectors of its distinct words, each times the square root of how often it occurs, at length one. The sum is additive but
for its length, so a word's row holds its scores *and* its vector: scoring a message is a look-up per word, one sum, and
one square root over the vector. No product of matrices at all."""

from __future__ import annotations

import hashlib
import io
import unicodedata
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Floats, TokenizedText
from router.classify.lexical import WordTable
from router.classify.text import tokens

TABLE_FILE: Final = "static_table.npz"

WORD_LETTERS: Final = 40
"""No word is longer; what is, counts by its beginning. This also bounds the work for one word."""

CONTINUED: Final = "##"
"""What a piece begins with that stands inside a word."""

_WORDLESS = frozenset({"<url>", "<email>"})
# Letters that are no letter and accent to Unicode; the vocabulary has their base forms alone.
_BASE_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ı": "i"}
)


class StaticTable:
    """Vectors of words, from those of their pieces. Never changes; safe to call from any thread.

    `vectors` has shape (entries, dimensions); row i times `scales[i]` is the vector of `vocabulary[i]`. Raises
    ValueError when the three do not fit each other.
    """

    def __init__(self, vectors: NDArray[np.int8], scales: Floats, vocabulary: Sequence[str]) -> None:
        if vectors.dtype != np.int8 or vectors.ndim != 2 or not vectors.shape[1]:
            raise ValueError(f"vectors must be int8 of two dimensions, not {vectors.dtype} of shape {vectors.shape}")
        if scales.shape != (len(vectors),) or len(vocabulary) != len(vectors):
            raise ValueError(
                f"{len(vectors)} vectors do not fit {len(vocabulary)} vocabulary entries and scales of {scales.shape}"
            )
        if not np.isfinite(scales).all():
            raise ValueError("a scale is not a finite number")
        self._vectors = vectors
        self._scales = scales.astype(np.float32)
        self._at = {piece: row for row, piece in enumerate(vocabulary)}
        if len(self._at) != len(vectors):
            raise ValueError("the vocabulary names a piece twice")
        self._longest = _longest_by_beginning(vocabulary)
        self.digest = digest(vectors, scales, vocabulary)

    @classmethod
    @cache
    def load(cls) -> StaticTable:
        """Return the table that ships with the room, read once. Raises ValueError when the file is damaged."""
        return cls.read((resources.files("router.classify") / TABLE_FILE).read_bytes())

    @classmethod
    def read(cls, content: bytes) -> StaticTable:
        """Return the table that its builder wrote. Raises ValueError when it is damaged or something else."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
            vocabulary = arrays["vocabulary"].tobytes().decode().split("\n")
            table = cls(arrays["vectors"], arrays["scales"], vocabulary)
            promised = arrays["digest"].tobytes().decode()
        # What zipfile and numpy raise for damaged content, and what a missing or foreign entry gives.
        except (OSError, EOFError, KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise ValueError(f"this is no static table ({error}); build it as static_table.md says") from error
        if promised != table.digest:
            raise ValueError(
                "the static table is damaged: its digest does not match; reinstall the package, "
                "or build it as static_table.md says"
            )
        return table

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int(self._vectors.shape[1])

    def __contains__(self, word: object) -> bool:
        """Return whether the table has a piece that is the word as a whole."""
        return word in self._at

    def __len__(self) -> int:
        return len(self._at)

    def vector(self, word: str) -> Floats:
        """Return the vector of one token of `text.tokens`, of shape (dimensions,); zeros when nothing of it is known.

        Its length says how much the word weighs; it is not normalised.
        """
        rows = self.rows(word)
        if not rows:
            return np.zeros(self.dimensions, np.float32)
        if len(rows) == 1:
            single: Floats = self._vectors[rows[0]] * self._scales[rows[0]]
            return single
        # `take` needs two thirds of the time that indexing by a list needs.
        summed: Floats = self._scales.take(rows) @ self._vectors.take(rows, 0).astype(np.float32)
        return summed

    def vectors(self, words: list[str]) -> Floats:
        """Return the vectors of some words, one a row."""
        return np.array([self.vector(word) for word in words], np.float32).reshape(len(words), self.dimensions)

    def rows(self, word: str) -> list[int]:
        """Return the rows of the pieces of a word, in its order.

        Parts on either side of an apostrophe are words of their own ("where's" is "where" and "s"). Addresses have no
        pieces. A letter at which no piece begins is left out.
        """
        whole = self._at.get(word)
        if whole is not None:
            return [whole]
        if word in _WORDLESS:
            return []
        word = word[:WORD_LETTERS]
        if not word.isascii():
            word = _plain(word)
        found: list[int] = []
        for part in word.split("'"):
            start = 0
            while start < len(part):
                start = self._next(part, start, found)
        return found

    def _next(self, part: str, start: int, found: list[int]) -> int:
        """Append the row of the longest piece at `start` and return where it ends."""
        mark = CONTINUED if start else ""
        longest = self._longest.get(mark + part[start : start + 2], 1)
        for end in range(min(len(part), start + longest), start, -1):
            row = self._at.get(mark + part[start:end])
            if row is not None:
                found.append(row)
                return end
        return start + 1


def digest(vectors: NDArray[np.int8], scales: Floats, vocabulary: Sequence[str]) -> str:
    """Return what names the content of a table: SHA-256 over its vocabulary, vectors and scales, in hexadecimal."""
    total = hashlib.sha256("\n".join(vocabulary).encode())
    total.update(np.ascontiguousarray(vectors).tobytes())
    total.update(np.ascontiguousarray(scales, np.dtype("<f4")).tobytes())
    return total.hexdigest()


def _longest_by_beginning(vocabulary: Sequence[str]) -> dict[str, int]:
    """Return how many letters the longest piece has that begins with these two: most attempts need not be made."""
    longest: dict[str, int] = {}
    for piece in vocabulary:
        mark = CONTINUED if piece.startswith(CONTINUED) else ""
        letters = len(piece) - len(mark)
        beginning = piece[: len(mark) + 2]
        longest[beginning] = max(longest.get(beginning, 0), letters)
    return longest


def _plain(word: str) -> str:
    """Return a word without accents: "café" is "cafe". May be longer than the word, by a bounded factor."""
    parts = unicodedata.normalize("NFD", word.translate(_BASE_LETTERS))
    return "".join(letter for letter in parts if unicodedata.category(letter) != "Mn")


STORE_BYTES = 8 << 20
"""Memory for the rows of words met in traffic. When it is full it starts anew; whether a word is in it changes no
score."""

MOST_WORDS = 300
"""Of the distinct words of one text the first so many count: a bound on its work."""


@lru_cache(maxsize=50_000)
def vector_once(word: str) -> Floats:
    """Return the vector of a word by the shipped table; remembered, as a fit reads each word a dozen times."""
    return StaticTable.load().vector(word)


def counted(reading: TokenizedText) -> tuple[list[str], list[float] | None]:
    """Return the distinct words, and the square roots of their counts; None where each occurs once."""
    roots = None if reading.counts is None else [count**0.5 for count in reading.counts[:MOST_WORDS]]
    return reading.words[:MOST_WORDS], roots


class _StaticFeatures:
    """The words of the training texts, whose rows are laid out at load; the vectors themselves are shipped."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.vocabulary = sorted({word for text in texts for word in tokens(text)})

    def rows(self, readings: Sequence[TokenizedText]) -> Doubles:
        """Return the vector of each text, of shape (texts, dimensions)."""
        matrix = np.zeros((len(readings), StaticTable.load().dimensions))
        place = {word: at for at, word in enumerate(dict.fromkeys(word for text in readings for word in text.words))}
        vectors = np.array(list(map(vector_once, place)), np.float32).reshape(len(place), matrix.shape[1])
        for at, reading in enumerate(readings):
            words, roots = counted(reading)
            picked = vectors.take(list(map(place.__getitem__, words)), 0)
            if roots:
                picked *= np.array(roots, np.float32)[:, None]
            np.add.reduce(picked, 0, np.float64, out=matrix[at])
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
        self.width = int(weights.shape[1])
        self._weights = weights
        self._static = table
        self._vocabulary = list(vocabulary)
        width = self.width + table.dimensions
        most = len(self._vocabulary) + max(2 * MOST_WORDS, STORE_BYTES // (4 * width))
        known: Floats | None = None
        if self._vocabulary:
            vectors = table.vectors(self._vocabulary)
            known = np.concatenate([vectors @ weights, vectors], axis=1)
        self._store = WordTable(most, width, self._rows, self._vocabulary, known)

    def _rows(self, words: list[str]) -> Floats:
        # Not by BLAS, whose threads cost more.
        vectors = self._static.vectors(words)
        return np.concatenate([np.einsum("ij,jk->ik", vectors, self._weights), vectors], axis=1)

    def score(self, reading: TokenizedText) -> Floats | None:
        """Return the scores of the text's vector; None when it has none."""
        if reading.counts is None:
            total = np.add.reduce(self._store.take(reading.words[:MOST_WORDS]), 0)
        else:
            words, roots = counted(reading)
            total = np.einsum("i,ij->j", np.array(roots, np.float32), self._store.take(words))
        vector = total[self.width :]
        squared = float(np.dot(vector, vector))
        if squared == 0.0:
            return None
        scores: Floats = total[: self.width] / np.float32(squared**0.5)
        return scores

    @classmethod
    def learn(cls, texts: Sequence[str]) -> _StaticFeatures:
        """Return what training texts teach, from which a scorer is folded."""
        return _StaticFeatures(texts)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> StaticScorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        table = StaticTable.load()
        if words["table"] != table.digest:
            raise ValueError("the model was fitted with another static table")
        return cls(arrays["weights"], words["vocabulary"], table)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights."""
        return {"weights": self._weights}

    def words(self) -> dict[str, Any]:
        """Return the training words, and which table the weights belong to."""
        return {"vocabulary": self._vocabulary, "table": self._static.digest}
