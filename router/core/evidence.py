"""All that is known before deciding: belief, cues, level state, thresholds, faults.

Observing (with I/O and a deadline) fills an `Evidence`; deciding reads it and nothing else. It is what a trace stores,
so it is small and free of the user's words (except cue values that the pack itself wants said).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from router.core.levels import NOBODY, LevelQuery, Levels
from router.core.policy import CueValue, Level, Policy

MASS_FLOOR = 0.01
"""Masses below this are not kept: no threshold is ever that low, and traces stay small."""

MASS_DIGITS = 4
"""Masses are rounded to this many digits, so that no decision depends on the last bit of a machine's arithmetic."""


WITHHELD = "…"
"""Stands in what is stored for the value of a free-text cue."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a recogniser had to do without: the fault's code, and the thresholds that hold for the belief all the same.

    Observing moves it into the evidence's faults and thresholds.
    """

    code: str
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Belief:
    """Where a conversation stands on the tree.

    `mass` maps a path to the probability that the task lies in its subtree, for paths other than `/` with at least
    MASS_FLOOR; the mass that is missing at the top is "none of these". `sentences` holds the same for each sentence of
    the newest user turn when it has several.
    """

    mass: Mapping[str, float]
    sentences: tuple[Mapping[str, float], ...] = ()
    shortfall: Shortfall | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least mass at which it is safe to act, by depth, and where the soft zone begins.

    `by_depth[0]` is for domains, `by_depth[1]` for their children, the last entry for all below. `by_task` overrides
    single paths (`stakes: high`). `soft` is the least mass at which a task may be named as a possibility.
    """

    by_depth: tuple[float, ...] = (0.5, 0.5)
    soft: float = 0.3
    by_task: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def at(self, path: str) -> float:
        """Return the threshold for a path other than `/`."""
        special = self.by_task.get(path)
        return special if special is not None else self.by_depth[min(path.count("/"), len(self.by_depth)) - 1]

    def stricter(self, other: Thresholds) -> Thresholds:
        """Return thresholds that are nowhere below either."""
        depths = zip(self.by_depth, other.by_depth, strict=True)
        return Thresholds(
            tuple(max(pair) for pair in depths),
            max(self.soft, other.soft),
            {path: max(self.at(path), other.at(path)) for path in {*self.by_task, *other.by_task}},
        )


@dataclass(frozen=True, slots=True)
class Certificate:
    """How the threshold of one depth came about: what is promised, and what it was chosen by.

    With probability at least 1 - `delta`, acting at or above `threshold` is wrong for at most `alpha` of all messages,
    if traffic is like the examples. `basis` says what the promise rests on: `certified` (that statement), `expected`
    (too few rows for it: wrong for at most `alpha` on average over fits), `default` (too few rows for either),
    `hand` (set in the pack; nothing is promised). `coverage` and `wrong` are the shares of the `rows` that were acted
    on, and acted on wrongly, at this threshold. `stricter` is the threshold that an alarm of the audits moves to: the
    one for alpha / 2, or half the way to 1 where that one is no stricter.
    """

    depth: int
    basis: Literal["certified", "expected", "default", "hand"]
    alpha: float
    delta: float
    threshold: float
    rows: int
    coverage: float
    wrong: float
    stricter: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What deciding reads. `belief` is None when recognition was not to be had; `faults` names what was missing.

    `auxiliary` names the rule that takes this for a machine's own call, empty for none. `levels` are the levels that
    were decided before, by task, as a trace has them; they stay. For other tasks `tuned` says how the dials stand, None
    where nothing is tuned, and `asked` for whom. `nonce` fences free-text cues; it is a keyed hash of the conversation,
    so that a user cannot guess the closing mark.
    """

    belief: Belief | None
    cues: Mapping[str, CueValue] = field(default_factory=lambda: MappingProxyType({}))
    thresholds: Thresholds = field(default_factory=Thresholds)
    levels: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    faults: tuple[str, ...] = ()
    nonce: str = ""
    tuned: Levels | None = None
    asked: LevelQuery = NOBODY
    auxiliary: str = ""


def withhold(policy: Policy, cues: Mapping[str, CueValue]) -> dict[str, CueValue]:
    """Return the cues as they may be stored: free text replaced by WITHHELD."""
    if policy.personal.isdisjoint(cues):
        return dict(cues)
    return {name: WITHHELD if name in policy.personal else value for name, value in cues.items()}
