"""What the tuning of levels is made from: feedback, assignments, outcomes and the events of the tuner. Plain records.

A conversation is *assigned* a level at a task when it first settles there; feedback comes later; at assignment +
horizon the conversation *matures*, whatever came when, and its outcome is written once and never changed. The tuner
writes events; how the levels stand is a fold over them, and the evidence of a trial a fold over its outcomes, so a
replay gives the same. Times are milliseconds of the wall clock since the Unix epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from router.core.policy import Level

Source = Literal["audit", "agent", "user", "judge", "system"]
"""Who says how it went. In this order: where sources disagree, the one named first is believed."""

SOURCES: tuple[Source, ...] = get_args(Source)

REPLACES_WITHIN_MS = 24 * 3600 * 1000
"""A second word on the same target, metric and source replaces the first when it comes within so long; all are kept."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What someone or something later said about a decision.

    `id` is the sender's, unique for a tenant: sent twice, it counts once. `decision` is empty where the whole
    conversation is meant. `at_ms` is when it was received, by a clock that never goes back; `said_at_ms` when it was
    said, as the sender tells. `value` lies in the metric's declared range, booleans as 0 and 1.
    """

    id: str
    at_ms: int
    tenant: str
    policy: str
    conversation: str
    unit: str
    decision: str
    metric: str
    value: float
    source: Source
    comment: str = ""
    said_at_ms: int | None = None


class DialKey(NamedTuple):
    """What a level is tuned for: requests to one model, at one task and those that follow it."""

    task: str
    model: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The level a conversation was given when it first settled on a task.

    `trial` is the trial that drew it, empty where nothing was random; then `challenger` is whether the challenger was
    drawn and `share` the probability with which it is drawn. `node` is the task that the trial is of: `task` itself or
    an ancestor. `text` names the texts that were to choose from (`Policy.texts`). `level` is what the dial gives
    ordinary requests; by `complexity`, this one may have been answered with more, or less (`core.levels`).
    """

    decision: str
    at_ms: int
    tenant: str
    policy: str
    conversation: str
    unit: str
    task: str
    complexity: str
    model: str
    level: Level
    text: str
    matures_ms: int
    trial: str = ""
    node: str = ""
    challenger: bool = False
    share: float = 0.0
    holdout: bool = False


class ServiceRecord(NamedTuple):
    """How a conversation was served from its assignment to its maturity: answers, failed ones, the slowest, tokens."""

    answers: int = 0
    failures: int = 0
    slowest_ms: float = 0.0
    tokens: int = 0


class MaturedAssignment(NamedTuple):
    """An assignment that has matured, with what was said of its conversation meanwhile, in the order of receipt."""

    assignment: Assignment
    feedback: tuple[Feedback, ...]
    served: ServiceRecord


@dataclass(frozen=True, slots=True)
class Outcome:
    """A matured assignment with its reward in [0, 1], or None where nothing says how it went.

    `guards` are further values in [0, 1], 1 being bad: the guardrails by name. `repeated` says that the trial has
    counted this unit already: one user counts once. `number` is the order in which outcomes were written.
    """

    assignment: Assignment
    reward: float | None
    guards: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    repeated: bool = False
    number: int = 0


EventKind = Literal[
    "started",  # a trial begins: facts kind, incumbent, challenger, share, alpha, text
    "shared",  # its challenger gets another share
    "proposed",  # certified, waiting for a person (mode suggest)
    "stepped",  # the level moved: facts from, to
    "stopped",  # a trial ended without a step: facts why (harm, alarm, futile, voided, metric, observe, rejected, kept)
    "rolled_back",  # a step was taken back
    "accepted",  # a person's word
    "rejected",
    "frozen",
    "thawed",
    "reset",
    "retired",  # written for a dial that is no more; kept for the record
]


@dataclass(frozen=True, slots=True)
class ExperimentEvent:
    """One line of the tuner's log. `words` says it in plain language, `by` who did it (`tuner`, or a person's name)."""

    at_ms: int
    policy: str
    kind: EventKind
    key: DialKey
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    words: str = ""
    by: str = "tuner"
    number: int = 0


class Compliance(NamedTuple):
    """How often one instruction's check held, where it was said and where it was not.

    `drawn` counts only conversations whose level was drawn at random, so that the two differ in nothing else.
    """

    policy: str
    instruction: str
    text: str
    model: str
    said: bool
    drawn: bool
    answers: int
    held: int
