"""The blocks that a model is made of, by name; and the smallest of them, the structure of a message.

    lexical    what the words are                         always in
    static     what they mean, by the shipped table       the default; English
    structure  how the message begins, ends, how long     where it pays
    onnx:PATH, litellm:MODEL                              the second model of a cascade

Why `static` is the default: `docs/decisions/14-static-encoder.md`.

What kind of work is wanted ("summarise", "translate", "how do I") shows in how a message begins and ends, wherever its
subject lies. Whether that helps depends on the pack, so the fit tries the block and keeps it where it pays: out of fold
on the shipped `assistant` pack (15 kinds of work) it lifts accuracy from 89 to 92 %, on CLINC150 (150 subjects) it
costs half a point.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Features, Floats, Scorer, SparseMatrix, TokenizedText
from router.classify.lexical import LexicalScorer
from router.classify.remote import LiteLLMSource
from router.classify.sentence_encoder import OnnxSource
from router.classify.static import StaticScorer
from router.classify.text import tokens
from router.classify.vectors import VectorEncoder

LENGTHS = 16
"""Lengths are told apart by half powers of two, up to 2 ** 8 tokens."""


def marks(tokens: list[str]) -> list[str]:
    """Return the distinct marks of a tokenised text.

    >>> marks(["where", "is", "it", "?"])
    ['<where', '<where is', '<where is it', '>?', '>it ?', '~4', '?']
    """
    if not tokens:
        return []
    found = [f"<{tokens[0]}"]
    if len(tokens) > 1:
        found.append(f"<{tokens[0]} {tokens[1]}")
    if len(tokens) > 2:
        found.append(f"<{tokens[0]} {tokens[1]} {tokens[2]}")
    found.append(f">{tokens[-1]}")
    if len(tokens) > 1:
        found.append(f">{tokens[-2]} {tokens[-1]}")
    found.append(f"~{min(LENGTHS, int(2 * math.log2(len(tokens))))}")
    found.append("?" if "?" in tokens else "!?")
    return found


class _StructureFeatures:
    """The marks of a set of texts, each with how rare it is."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts = Counter(mark for text in texts for mark in marks(tokens(text)))
        self.marks = {mark: at for at, mark in enumerate(sorted(counts))}
        self.idf: Doubles = np.array([math.log((1 + len(texts)) / (1 + counts[mark])) + 1 for mark in self.marks])

    def rows(self, readings: Sequence[TokenizedText]) -> SparseMatrix:
        """Return the marks of each text, weighted by rarity, at length one."""
        found = [[at for mark in marks(text.tokens) if (at := self.marks.get(mark)) is not None] for text in readings]
        values = [self.idf[row] / np.linalg.norm(self.idf[row]) for row in found]
        return SparseMatrix(
            starts=np.cumsum([0] + [len(row) for row in found]),
            columns=np.array([at for row in found for at in row], np.int64),
            values=np.concatenate([np.zeros(0), *values]),
            width=len(self.marks),
        )

    def fold(self, coefficients: Doubles) -> StructureScorer:
        """Lay the weights out as one row a mark; the last column is the squared length."""
        table = np.empty((len(self.marks), coefficients.shape[1] + 1), np.float32)
        table[:, :-1] = coefficients * self.idf[:, None]
        table[:, -1] = self.idf**2
        return StructureScorer(list(self.marks), table)


class StructureScorer:
    """A folded structure block."""

    def __init__(self, known: Sequence[str], table: Floats) -> None:
        if len(known) != len(table) or table.ndim != 2:
            raise ValueError("the table does not fit the marks")
        self.width = int(table.shape[1]) - 1
        self._marks = {mark: at for at, mark in enumerate(known)}
        self._table = table

    def score(self, reading: TokenizedText) -> Floats | None:
        """Return the sum of weights per class. A length alone says nothing: None when no more is known."""
        rows = [at for mark in marks(reading.tokens) if (at := self._marks.get(mark)) is not None]
        if len(rows) < 3:  # the length and whether it asks are always known
            return None
        total = np.add.reduce(self._table.take(rows, 0), 0)
        scores: Floats = total[:-1] / np.sqrt(total[-1])
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the table."""
        return {"table": self._table}

    def words(self) -> dict[str, Any]:
        """Return the marks."""
        return {"marks": list(self._marks)}

    @classmethod
    def learn(cls, texts: Sequence[str]) -> _StructureFeatures:
        """Return what training texts teach, from which a scorer is folded."""
        return _StructureFeatures(texts)

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> StructureScorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        return cls(words["marks"], arrays["table"])


_BLOCKS = {"lexical": LexicalScorer, "static": StaticScorer, "structure": StructureScorer}


@lru_cache(maxsize=8)
def sentence_vectors(encoder: str) -> VectorEncoder:
    """Return the one encoder for `onnx:PATH` or `litellm:MODEL`: whoever uses it shares what it remembers.

    Raises ValueError.
    """
    kind, _, model = encoder.partition(":")
    if kind == "onnx" and model:
        return VectorEncoder(OnnxSource(Path(model)))
    if kind == "litellm" and model:
        return VectorEncoder(LiteLLMSource(model))
    raise ValueError(f'no block of features is called "{encoder}"')


def learn(name: str, texts: Sequence[str]) -> Features:
    """Return what a block learns from training texts. Raises ValueError for an unknown name, or EncoderFailed."""
    found: Features = _block(name).learn(texts)
    return found


def restore(name: str, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Scorer:
    """Return a block's scorer as it was stored. Raises KeyError, TypeError or ValueError when the parts do not fit."""
    scorer: Scorer = _block(name).restore(arrays, words)
    return scorer


def _block(name: str) -> Any:
    """Return what has `learn` and `restore` for a block. Raises ValueError."""
    return _BLOCKS.get(name) or sentence_vectors(name)
