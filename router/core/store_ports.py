"""What the engine asks of the stores. Each method raises Degraded where the store fails, and then nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol

from router.core.evidence import Evidence
from router.core.learning import Compliance, ExperimentEvent, Feedback, MaturedAssignment, Outcome
from router.core.policy import CueValue, Level
from router.core.rollout import RolloutEvent, ShadowDifference
from router.core.trace import Trace


class TraceStore(Protocol):
    """Keeps traces. Called from the recorder's own thread, in batches."""

    def write(self, traces: Sequence[Trace]) -> None:
        """Store a batch in one transaction."""
        ...

    def read(self, decision_id: str) -> Mapping[str, Any] | None:
        """Return a stored trace as JSON-ready data."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


@dataclass(frozen=True, slots=True)
class PinRecord:
    """A conversation's pin as it is stored; free-text cues are withheld. `first` tells pins of one key apart.

    Times are seconds of the wall clock since the Unix epoch. `moves` are what the conversation was given by task
    (`core.levels`); None where it began while nothing was tuned. `drawn` says that it takes part in a trial. `answer`
    is the keyed hash of its first answer where it has no name. `levels` is read only, from what earlier releases
    stored: levels by complexity and task.
    """

    policy: str
    conversation: str
    first: str
    revision: str
    began_s: float
    seen_s: float
    idle_s: float
    cues: tuple[tuple[int, Mapping[str, CueValue]], ...]
    faulted: Mapping[int, Evidence]
    moves: Mapping[str, int] | None = None
    drawn: bool = False
    answer: str = ""
    levels: Mapping[str, Mapping[str, Level]] = field(default_factory=lambda: MappingProxyType({}))


class PinStore(Protocol):
    """Keeps pins beyond a restart."""

    def write(self, records: Sequence[PinRecord]) -> None:
        """Store records, each in place of an earlier one of the same pin, in one transaction. Raises Degraded."""
        ...

    def forget(self, now_s: float) -> None:
        """Remove the records that are void. Raises Degraded."""
        ...

    def read(self, now_s: float) -> Sequence[PinRecord]:
        """Return the records that are not void yet, the least recently used first, and forget the others."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...


class RolloutStore(Protocol):
    """Keeps what operators said of changed packs."""

    def newest(self) -> int:
        """Return the number of the newest event: what a replica asks every second."""
        ...

    def events(self) -> Sequence[RolloutEvent]:
        """Return all that was said, in its order."""
        ...

    def files(self, policy: str, revision: str) -> str:
        """Return the files of a revision that was to be tried; empty where there are none."""
        ...

    def append(self, event: RolloutEvent) -> None:
        """Store what was said."""
        ...

    def tally(self, found: Sequence[ShadowDifference]) -> None:
        """Add to the counts of what was decided alike and otherwise."""
        ...


class FeedbackTarget(NamedTuple):
    """What feedback names: a decision, an answer by the backend's id, or a conversation by its keyed hash."""

    kind: Literal["decision", "response", "conversation"]
    name: str


class FeedbackSubject(NamedTuple):
    """What feedback is about, as found in the store. `decision` is empty where a whole conversation is meant."""

    policy: str
    conversation: str
    unit: str
    decision: str
    at_ms: int


class FeedbackStore(Protocol):
    """Keeps feedback. What `record` returns from is on the disk."""

    def locate(self, tenant: str, targets: Sequence[FeedbackTarget]) -> Sequence[FeedbackSubject | None]:
        """Return what each of these means to a tenant; None for what is not there, or is another tenant's.

        Raises Degraded.
        """
        ...

    def record(self, rows: Sequence[Feedback]) -> Sequence[bool]:
        """Store rows durably in one transaction, and say of each whether it is new: an id of a tenant counts once.

        Raises Degraded; then none is stored.
        """
        ...

    def about(self, tenant: str, located: FeedbackSubject, limit: int = ...) -> Sequence[Feedback]:
        """Return the newest feedback on a decision and its conversation, in the order of receipt. Raises Degraded."""
        ...

    def last_ms(self) -> int:
        """Return when the newest feedback was received; 0 where there is none. Raises Degraded."""
        ...


class LearningStore(Protocol):
    """Keeps what levels are tuned from. Assignments come in with the traces; all methods raise Degraded."""

    def due(self, policy: str, upto_ms: int, limit: int) -> Sequence[MaturedAssignment]:
        """Return assignments that have matured by then and have no outcome, in the order of maturity."""
        ...

    def seen(self, trial: str, units: Sequence[str]) -> frozenset[str]:
        """Return those of the units that a trial has counted, with a reward or without."""
        ...

    def earlier(
        self, *, tenant: str, policy: str, unit: str, task: str, conversation: str, since_ms: int
    ) -> FeedbackSubject | None:
        """Return the newest other conversation in which a unit came to a task since then, or None."""
        ...

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Store outcomes in this order; one that is stored already changes nothing."""
        ...

    def outcomes(self, policy: str, after: int = 0, limit: int = 100_000) -> Sequence[Outcome]:
        """Return the outcomes of a policy with higher numbers, in the order of their numbers."""
        ...

    def events(self, policy: str, after: int = 0) -> Sequence[ExperimentEvent]:
        """Return the tuner's log of a policy, in the order of numbers."""
        ...

    def append(self, events: Sequence[ExperimentEvent], last: int) -> bool:
        """Add events to a policy's log if `last` is still the number of its newest; say whether that was so.

        One writer at a time in a fleet: an advisory lock is held meanwhile.
        """
        ...

    def newest(self) -> Mapping[str, int]:
        """Return the number of the newest event of each policy: what a replica asks every second."""
        ...

    def tally(self, counts: Sequence[Compliance]) -> None:
        """Add to the counts of how often instructions were obeyed."""
        ...

    def compliance(self, policy: str) -> Sequence[Compliance]:
        """Return the counts of a policy."""
        ...
