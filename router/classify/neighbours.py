"""Which shipped texts stand apart from the examples of a pack. Fitting only.

A shipped text that no task is supposed to answer ("tell me a joke") may be exactly what a task of this pack is for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.classify.embedding import Static
from router.classify.encoder import Doubles, Floats, Matrix
from router.classify.lexical import Lexical

NEAR = 0.5
"""A text is left out when its nearest example is nearer than this quantile of the examples' own distances to their
nearest neighbours: then it is as much like the pack as the pack is like itself."""

LEAST = 10
"""So many texts stay in any case, the least alike first."""

MOST_ROWS = 3_000
"""Of a larger pack, examples drawn evenly stand for all."""


class Neighbours:
    """The examples of a pack, to measure other texts against: by meaning where the encoder has it, else by words."""

    def __init__(self, encoder: str, examples: Sequence[str]) -> None:
        drawn = list(examples[:: -(-len(examples) // MOST_ROWS)])
        self._features = Lexical().learn(drawn) if encoder == "lexical" else Static().learn(drawn)
        self._examples = self._unit(drawn)
        among = self._examples @ self._examples.T
        among[np.diag_indices_from(among)] = -1.0
        self._near = float(np.quantile(among.max(axis=1), NEAR)) if len(drawn) > 1 else 1.0

    def unlike(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that stand apart, in their order."""
        likeness = (self._unit(texts) @ self._examples.T).max(axis=1)
        order = np.argsort(likeness, kind="stable")
        kept = set(order[: max(LEAST, int((likeness < self._near).sum()))].tolist())
        return [text for at, text in enumerate(texts) if at in kept]

    def _unit(self, texts: Sequence[str]) -> Floats:
        return _dense(self._features.rows(texts)).astype(np.float32)


def _dense(matrix: Matrix) -> Doubles:
    """Return a matrix with its rows at length one."""
    if isinstance(matrix, np.ndarray):
        return matrix
    dense = np.zeros((len(matrix), matrix.width))
    np.add.at(dense, (np.repeat(np.arange(len(matrix)), np.diff(matrix.starts)), matrix.columns), matrix.values)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-12)
    return dense
