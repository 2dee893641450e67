"""Depth: choose the deepest paths that are safe to act on.

Mass never grows on the way down (a child's subtree lies in its parent's), so walking down greedily from the root while
the heaviest child passes its threshold finds the deepest safe path. Unsure between two siblings: the walk stops at
their parent. Unsure of everything: it never leaves the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from router.core.decision import Settled
from router.core.evidence import Belief, Thresholds
from router.core.policy import ROOT, Task, depth

Tree: TypeAlias = Mapping[str, Task]

CERTAIN_ROOT = Settled(ROOT, 1.0, 0.0)


def settle(tree: Tree, belief: Belief, thresholds: Thresholds, max_tasks: int = 1) -> tuple[Settled, ...]:
    """Return the settled paths, most certain first; `/` alone when nothing passes.

    The conversation's own belief speaks first. A sentence of the newest turn may add a path when that path passes its
    threshold on the sentence alone and lies on no lineage that is settled already.
    """
    walks = [_descend(tree, belief.mass, thresholds)]
    for mass in belief.sentences:
        walks.append(_descend(tree, mass, thresholds))
    found: list[Settled] = []
    for walk in walks:
        if walk.path == ROOT:
            continue
        for i, other in enumerate(found):
            if _on_one_lineage(walk.path, other.path):
                if len(walk.path) > len(other.path):
                    found[i] = walk
                break
        else:
            if len(found) < max(1, max_tasks):
                found.append(walk)
    return tuple(found) or (CERTAIN_ROOT,)


def candidates(tree: Tree, belief: Belief, thresholds: Thresholds, settled: tuple[Settled, ...]) -> tuple[str, ...]:
    """Return up to two tasks that are likely enough to be named as a possibility but not safe to act on.

    They are leaves, heaviest first, and only asked for where the single settled path stopped above them.
    """
    if len(settled) != 1 or (settled[0].path != ROOT and not tree[settled[0].path].children):
        return ()
    stop = settled[0].path
    below = [
        (mass, path)
        for path, mass in belief.mass.items()
        if mass >= thresholds.soft and path in tree and not tree[path].children and _on_one_lineage(stop, path)
    ]
    below.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(path for _, path in below[:2])


def _descend(tree: Tree, mass: Mapping[str, float], thresholds: Thresholds) -> Settled:
    here = CERTAIN_ROOT
    while children := tree[here.path].children:
        best, weight = "", 0.0
        for child in children:
            m = mass.get(child, 0.0)
            if m > weight:
                best, weight = child, m
        if not best:
            break
        threshold = thresholds.at(best)
        if weight < threshold:
            break
        here = Settled(best, weight, threshold)
    return here


def _on_one_lineage(a: str, b: str) -> bool:
    short, long = (a, b) if depth(a) <= depth(b) else (b, a)
    return short == ROOT or long == short or long.startswith(short + "/")
