"""Which instructions a model obeys, which it ignores, and which it would obey anyway.

Each instruction with a check is judged by how often the check holds where the instruction is said, and how often where
it is not. The second comes from conversations at a lower level; those that a trial drew differ in nothing else, so
their counts are preferred where there are enough. Intervals are Wilson's (1927) at 95 %, of a difference Newcombe's
(Statistics in Medicine 1998, method 10).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from router.core.learning import Compliance

ENOUGH = 30
"""Answers on a side before anything is said of it."""

IGNORED_BELOW = 0.5
"""An instruction that is followed less often than this, for sure, is ignored."""

ANYWAY_WITHIN = 0.1
"""Where saying it helps by less than this, for sure, it would be obeyed anyway, or is as much in vain."""

Z = 1.96

Verdict = Literal["unknown", "obeyed", "ignored", "anyway", "no effect", "helps"]


@dataclass(frozen=True, slots=True)
class Obedience:
    """One instruction's record with one model. `drawn` says that both sides come from draws of trials alone.

    `verdict`: `helps` - it is obeyed more where it is said; `obeyed` - it is, and what is without it is not known;
    `anyway` - it is obeyed as much where it is not said; `no effect` - saying it changes nothing, and it is not obeyed
    as a rule; `ignored` - said, and for the most part not obeyed; `unknown` - too few answers.
    """

    instruction: str
    model: str
    said: int
    held_said: int
    unsaid: int
    held_unsaid: int
    drawn: bool
    verdict: Verdict


def obedience(counts: Iterable[Compliance], texts: dict[str, str] | None = None) -> list[Obedience]:
    """Return the record of every instruction and model, by name.

    `texts` are the digests of the instructions as they read now; counts of other texts are left out.
    """
    sums: dict[tuple[str, str], dict[tuple[bool, bool], tuple[int, int]]] = {}
    for row in counts:
        if texts is not None and texts.get(row.instruction) != row.text:
            continue
        cell = sums.setdefault((row.instruction, row.model), {})
        answers, held = cell.get((row.said, row.drawn), (0, 0))
        cell[row.said, row.drawn] = answers + row.answers, held + row.held
    return [_judged(*name, cell) for name, cell in sorted(sums.items())]


def _judged(instruction: str, model: str, cell: dict[tuple[bool, bool], tuple[int, int]]) -> Obedience:
    drawn = all(cell.get((said, True), (0, 0))[0] >= ENOUGH for said in (True, False))
    said, unsaid = (cell.get((side, True), (0, 0)) if drawn else _both(cell, side=side) for side in (True, False))
    return Obedience(instruction, model, *said, *unsaid, drawn, _verdict(*said, *unsaid))


def _both(cell: dict[tuple[bool, bool], tuple[int, int]], *, side: bool) -> tuple[int, int]:
    pairs = [cell.get((side, drawn), (0, 0)) for drawn in (True, False)]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


def _verdict(said: int, held_said: int, unsaid: int, held_unsaid: int) -> Verdict:
    if said < ENOUGH:
        return "unknown"
    low, high = interval(held_said, said)
    if unsaid >= ENOUGH:
        least, most = difference(held_said, said, held_unsaid, unsaid)
        if least > 0:
            return "ignored" if high < IGNORED_BELOW else "helps"
        if most < ANYWAY_WITHIN:
            return "anyway" if low >= IGNORED_BELOW else "no effect"
    if high < IGNORED_BELOW:
        return "ignored"
    return "obeyed" if low >= IGNORED_BELOW else "unknown"


def interval(held: int, answers: int) -> tuple[float, float]:
    """Return Wilson's interval of a share.

    >>> [round(end, 3) for end in interval(8, 10)]
    [0.49, 0.943]
    """
    p, n = held / answers, answers
    middle, spread = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return max((middle - spread) / (1 + Z * Z / n), 0.0), min((middle + spread) / (1 + Z * Z / n), 1.0)


def difference(held: int, answers: int, held_other: int, answers_other: int) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two shares, the first less the other."""
    p, q = held / answers, held_other / answers_other
    (low, high), (low_other, high_other) = interval(held, answers), interval(held_other, answers_other)
    least = p - q - sqrt((p - low) ** 2 + (high_other - q) ** 2)
    return least, p - q + sqrt((high - p) ** 2 + (q - low_other) ** 2)
