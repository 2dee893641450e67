"""All that is known before deciding: belief, cues, level state, thresholds, faults.

Observing (with I/O and a deadline) fills an `Evidence`; deciding reads it and nothing else. It is what a trace stores,
so it is small and free of the user's words (except cue values that the pack itself wants said).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

from router.core.levels import NOBODY, LevelQuery, Levels
from router.core.policy import CueValue, Level, Policy

MASS_FLOOR = 0.01
"""Masses below this are not kept: no threshold is ever that low, and traces stay small."""

LEAST_LISTED, MOST_LISTED = 2, 5
"""The tasks that a shortlist may name. A list of one misleads a model as much as plain text does."""

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


class Likely(NamedTuple):
    """A task and the probability that it is what a turn asks for: its own, without the tasks below it."""

    path: str
    mass: float


@dataclass(frozen=True, slots=True)
class Belief:
    """Where a conversation stands on the tree.

    `mass` maps a path to the probability that the task lies in its subtree, for paths other than `/` with at least
    MASS_FLOOR. `known` is the mass of all tasks together; what is missing to one is "none of these". `likeliest` are
    the tasks with examples that weigh MASS_FLOOR or more by themselves, heaviest first, two at least and MOST_LISTED at
    most. `sentences` holds the same for those sentences of the newest user turn that ask for something by themselves;
    `said` are the words of such a sentence, for whoever is shown the belief: they decide nothing and are not stored.
    """

    mass: Mapping[str, float]
    likeliest: tuple[Likely, ...] = ()
    sentences: tuple[Belief, ...] = ()
    shortfall: Shortfall | None = None
    known: float = 1.0
    said: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least mass at which it is safe to act: on one task (`sure`), or on a list of them (`shortlist`).

    Whatever they weigh, nothing is settled or listed where all tasks together weigh less than `known`.
    `by_task` overrides `sure` for single paths (`stakes: high`). A threshold above 1 acts on nothing. The defaults are
    for packs with too few examples to certify any: on 5 and 12 tasks of CLINC150 and Banking77 with 3 and 5 examples
    each, at most 0.6 % of messages got plain wrong text at them, and 87 to 96 % what they asked for (medians of draws).
    """

    sure: float = 0.99
    shortlist: float = 0.9
    by_task: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    known: float = 0.0

    def at(self, path: str) -> float:
        """Return the threshold for acting on a path other than `/` alone."""
        return self.by_task.get(path, self.sure)

    def stricter(self, other: Thresholds) -> Thresholds:
        """Return thresholds that are nowhere below either."""
        return Thresholds(
            max(self.sure, other.sure),
            max(self.shortlist, other.shortlist),
            {path: max(self.at(path), other.at(path)) for path in {**self.by_task, **other.by_task}},
            max(self.known, other.known),
        )


SILENT = Thresholds(2.0, 2.0)
"""Above any probability: nothing is settled or listed."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What the operator accepts, as shares of messages.

    `error`: of the messages that some task answers, those that get text of a wrong task, or a shortlist without the
    right one. `unconditional`: those among them whose wrong text is said plainly. `exposure`: of the messages that no
    task answers, those that get any task's text.
    """

    error: float = 0.05
    unconditional: float = 0.03
    exposure: float = 0.10


@dataclass(frozen=True, slots=True)
class Certificate:
    """How the thresholds came about, and what is promised of them.

    `basis`: `certified`: with probability at least 1 - `delta`, all rates of `accepted` are kept at once, if traffic is
    like the examples; by themselves errors and exposure are with 1 - `delta` / 2, which is what people are told.
    `default`: too few rows for any promise; `hand`: set in the pack, nothing is promised. `rows` examples were judged
    by models that had not seen them, and `foreign` texts that no task answers; of the exposure nothing is promised
    where there are too few of these (`bounds_exposure`). The shares are those of these rows at the thresholds: `reach`
    got the instructions of their task, plainly or as a case, with at least `least_reach` promised at 1 - `delta` / 2;
    `sure` were settled on one task, `error`, `unconditional` and `exposed` are as accepted.
    `stricter` are the thresholds that an alarm of the audits moves to: those for half the accepted rates.
    """

    basis: Literal["certified", "default", "hand"]
    accepted: Tolerance
    delta: float
    thresholds: Thresholds
    stricter: Thresholds
    rows: int = 0
    foreign: int = 0
    bounds_exposure: bool = False
    reach: float = 0.0
    least_reach: float = 0.0
    sure: float = 0.0
    error: float = 0.0
    unconditional: float = 0.0
    exposed: float = 0.0

    @property
    def promise(self) -> str:
        """What is promised, in a sentence."""
        accepted = self.accepted
        rates = (
            f"of messages that a task answers, at most {100 * accepted.error:g} % get text of a wrong task or a "
            f"shortlist without the right one, and at most {100 * accepted.unconditional:g} % wrong text said plainly"
        )
        if self.basis == "hand":
            return f"nothing: thresholds were set by hand (accepted: {rates})"
        if self.basis == "default":
            return f"nothing: too few examples for a promise, so little is said (accepted: {rates})"
        reach = f"at least {100 * self.least_reach:.0f} % get the right one"
        exposed = (
            f"; of others at most {100 * accepted.exposure:g} % get any task's text" if self.bounds_exposure else ""
        )
        sure = f"each with a probability of {100 - 50 * self.delta:g} %"  # errors, exposure and reach
        return f"if traffic is like the examples, {sure}: {rates}; {reach}{exposed}"


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
