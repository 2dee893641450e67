"""The tree: from probabilities of classes to the mass of every node.

Nodes in pre-order have their subtrees in one stretch, so the mass of each is a difference of two cumulative sums and
a node can never weigh more than its parent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from router.classify.encoder import Doubles
from router.core.evidence import MASS_DIGITS, MASS_FLOOR
from router.core.policy import ROOT

_LEAST = MASS_FLOOR - 0.5 * 10**-MASS_DIGITS  # what rounds up to the floor is kept


class Tree:
    """The nodes of a policy in pre-order, `/` first, and which of them are classes of the model.

    `classes` are the paths with examples, in pre-order, without `/`: the order of the probabilities. `children` gives
    the places in `nodes` of the children of a path.
    """

    def __init__(self, paths: Sequence[str], classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.nodes = tuple(path for path in paths if path != ROOT)
        known = set(classes)
        inner = [path for path in self.nodes if path in known]
        if inner != list(classes):
            raise ValueError("the classes are not nodes of the tree in its order")
        before = np.cumsum([0] + [path in known for path in self.nodes])
        ends = [self._subtree_end(at) for at in range(len(self.nodes))]
        self._first = before[: len(self.nodes)]
        self._last = before[ends]
        self.children: dict[str, list[int]] = {}
        for at, path in enumerate(self.nodes):
            self.children.setdefault(path.rpartition("/")[0] or ROOT, []).append(at)

    def _subtree_end(self, at: int) -> int:
        prefix = self.nodes[at] + "/"
        end = at + 1
        while end < len(self.nodes) and self.nodes[end].startswith(prefix):
            end += 1
        return end

    def all_masses(self, probabilities: Doubles) -> Doubles:
        """Return the mass of every node of `nodes`. The last axis of `probabilities` runs over the classes."""
        sums = np.zeros((*probabilities.shape[:-1], probabilities.shape[-1] + 1))
        np.cumsum(probabilities, axis=-1, out=sums[..., 1:])
        masses: Doubles = sums[..., self._last] - sums[..., self._first]
        return masses

    def mass(self, probabilities: Doubles) -> dict[str, float]:
        """Return the masses worth keeping, rounded, by path."""
        sums = np.zeros(len(probabilities) + 1)
        probabilities.cumsum(out=sums[1:])
        masses = sums.take(self._last) - sums.take(self._first)
        kept = (masses >= _LEAST).nonzero()[0]
        nodes = self.nodes
        return {
            nodes[at]: round(mass, MASS_DIGITS)
            for at, mass in zip(kept.tolist(), masses.take(kept).tolist(), strict=True)
        }
