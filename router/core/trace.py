"""The stored record of one decision and what became of it.

A trace holds no user text: ids, labels, keyed hashes, numbers. It holds the evidence, so that the decision can be made
again from it (`evidence_of`), under the same policy or under a changed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from router.core.decision import Decision
from router.core.evidence import Belief, Evidence, Likely
from router.core.learning import Assignment
from router.core.policy import CueValue
from router.core.ports import Usage


@dataclass(frozen=True, slots=True)
class Trace:
    """One decision, the evidence it was made on, and the outcome of the call.

    Times are milliseconds: `at_ms` since the Unix epoch, the others durations. `overhead_ms` is what the router added,
    without the backend's own time; `first_ms` is the time to the first byte of the answer. `status` is the HTTP status
    the client got, `error` the code of what went wrong, if anything. `conversation` and `unit` are keyed hashes. `cues`
    are those of the evidence as they may be stored (`withhold`). `usage` is what the backend counted, where it told.
    `retry` is how often the client had sent this request before, as its SDK counts. `assignment` is there when the
    conversation settled on its task for the first time.
    """

    id: str
    at_ms: int
    policy: str
    tenant: str
    conversation: str
    unit: str
    turn: int
    wire: str
    model: str
    backend: str
    stream: bool
    decision: Decision
    evidence: Evidence
    cues: Mapping[str, CueValue]
    status: int = 0
    error: str = ""
    response_id: str = ""
    attempts: int = 1
    usage: Usage | None = None
    retry: int = 0
    overhead_ms: float = 0.0
    first_ms: float = 0.0
    total_ms: float = 0.0
    stages: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    assignment: Assignment | None = None


def stored_belief(belief: Belief | None) -> dict[str, object] | None:
    """Return a belief as JSON-ready data; the inverse is `loaded_belief`."""
    if belief is None:
        return None
    return {
        "mass": dict(belief.mass),
        "likeliest": belief.likeliest,
        "known": belief.known,
        "sentences": [stored_belief(sentence) for sentence in belief.sentences],
    }


def loaded_belief(stored: Mapping[str, Any] | None) -> Belief | None:
    """Return the belief that `stored_belief` wrote, here or before there were shortlists."""
    if stored is None:
        return None
    if "mass" not in stored:  # a sentence, as it was stored then
        return Belief(stored)
    likeliest = tuple(Likely(path, mass) for path, mass in stored.get("likeliest", ()))
    sentences = filter(None, map(loaded_belief, stored["sentences"]))
    return Belief(stored["mass"], likeliest, tuple(sentences), known=stored.get("known", 1.0))
