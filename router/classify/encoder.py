"""The encoder port: how texts become features, and how fitted weights become something that scores fast.

An encoder learns its vocabulary from the training texts (`learn`), gives the training matrix (`rows`), and folds the
fitted weights into a `Scorer` (`fold`). A scorer knows nothing of training: it is arrays and words, stored in the
artefact and brought back by `restore`. Dense encoders fit the same shape: their rows have every column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """A sparse matrix of texts by features, in compressed rows; equal columns of one row add up."""

    starts: Integers
    columns: Integers
    values: Doubles
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1


class Scorer(Protocol):
    """Fitted weights as they serve. Safe to call from any thread."""

    @property
    def width(self) -> int:
        """How many classes there are."""
        ...

    def score(self, text: str) -> Floats | None:
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

    def rows(self, texts: Sequence[str]) -> Rows:
        """Return the features of each text; they need not be texts that were learned from."""
        ...

    def fold(self, coefficients: Doubles) -> Scorer:
        """Return a scorer for weights of shape (features, classes)."""
        ...


class Encoder(Protocol):
    """One way to turn texts into features."""

    name: str

    def learn(self, texts: Sequence[str]) -> Features:
        """Learn the vocabulary of these texts."""
        ...

    def restore(self, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> Scorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        ...
