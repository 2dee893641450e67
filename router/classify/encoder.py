"""The encoder port: how texts become features, and how fitted weights become something that scores fast.

A model is a sum of *blocks*: what the words are (`lexical`), what they mean (`static`, or a sentence encoder), how the
message is built (`structure`). Each block is an encoder. It learns its vocabulary from the training texts (`learn`),
gives its part of the training matrix (`rows`), and folds the fitted weights into a `Scorer` (`fold`). A scorer knows
nothing of training: it is arrays and words, stored in the artefact and brought back by `restore`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.text import tokens

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


class Reading(NamedTuple):
    """A text as all blocks read it: itself, and its tokens."""

    text: str
    tokens: list[str]


def read(text: str) -> Reading:
    """Return a text, clipped before, with its tokens."""
    return Reading(text, tokens(text))


@dataclass(frozen=True, slots=True)
class Rows:
    """A sparse matrix of texts by features, in compressed rows; equal columns of one row add up."""

    starts: Integers
    columns: Integers
    values: Doubles
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1


Matrix: TypeAlias = Rows | Doubles
"""One block's part of the training matrix: sparse, or dense of shape (texts, features)."""


class Scorer(Protocol):
    """Fitted weights as they serve. Safe to call from any thread."""

    @property
    def width(self) -> int:
        """How many classes there are."""
        ...

    def score(self, reading: Reading) -> Floats | None:
        """Return the sum of weights per class, without intercepts; None when nothing in the text is known."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs, as arrays."""
        ...

    def words(self) -> dict[str, Any]:
        """Return what `restore` needs, as JSON-ready data."""
        ...


class Features(Protocol):
    """A learned vocabulary."""

    def rows(self, texts: Sequence[str]) -> Matrix:
        """Return the features of each text; they need not be texts that were learned from."""
        ...

    def fold(self, coefficients: Doubles) -> Scorer:
        """Return a scorer for weights of shape (features, classes)."""
        ...


class Encoder(Protocol):
    """One way to turn texts into features."""

    name: str

    def learn(self, texts: Sequence[str]) -> Features:
        """Learn a vocabulary from training texts."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Scorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        ...


def softmax(scores: Doubles) -> Doubles:
    """Return probabilities along the last axis."""
    powers = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    powers /= np.add.reduce(powers, axis=-1, keepdims=True)
    return powers
