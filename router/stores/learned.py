"""Feedback, assignments, outcomes and events as rows, and rows as these again.

A batch is written in one transaction, so one odd value must never cost the others: texts that a sender chose are
cleaned of what a column cannot hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from router.core.learning import Assignment, Compliance, DialKey, Event, Feedback, Outcome
from router.core.policy import Level
from router.stores.rows import Row, storable_name, storable_text

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_ASSIGNED = (
    "at_ms",
    "tenant",
    "policy",
    "task",
    "complexity",
    "model",
    "text",
    "matures_ms",
    "trial",
    "node",
    "share",
)
_GIVEN = (
    "id",
    "at_ms",
    "tenant",
    "policy",
    "conversation",
    "unit",
    "decision",
    "metric",
    "value",
    "source",
    "comment",
    "said_at_ms",
    "distance",
)

_LONGEST_TIME = 2**62  # milliseconds; a sender may have said anything


def feedback_row(given: Feedback) -> Row:
    """Return the row of one piece of feedback."""
    said = given.said_at_ms
    return {
        "tenant": given.tenant,
        "id": storable_text(given.id),
        "at_ms": given.at_ms,
        "policy": given.policy,
        "conversation": given.conversation,
        "unit": given.unit,
        "decision": given.decision,
        "metric": storable_text(given.metric),
        "value": float(given.value),
        "source": given.source,
        "comment": storable_text(given.comment),
        "said_at_ms": None if said is None else max(-_LONGEST_TIME, min(said, _LONGEST_TIME)),
        "distance": given.distance,
    }


def loaded_feedback(row: Mapping[str, Any] | Any) -> Feedback:
    """Return the feedback that `feedback_row` wrote."""
    return Feedback(**{name: row[name] for name in _GIVEN})


def assignment_row(given: Assignment) -> Row:
    """Return the row of an assignment."""
    return {
        "decision": given.decision,
        "at_ms": given.at_ms,
        "tenant": given.tenant,
        "policy": given.policy,
        "conversation": given.conversation,
        "unit": given.unit,
        "task": given.task,
        "complexity": given.complexity,
        "model": storable_name(given.model),
        "level": int(given.level),
        "text": given.text,
        "matures_ms": given.matures_ms,
        "trial": given.trial,
        "node": given.node,
        "challenger": int(given.challenger),
        "share": float(given.share),
        "holdout": int(given.holdout),
    }


def loaded_assignment(row: Mapping[str, Any] | Any) -> Assignment:
    """Return the assignment in a row of `assignments` or `outcomes`. What was forgotten of it is empty."""
    return Assignment(
        decision=row["decision"] or "",
        conversation=row["conversation"] or "",
        unit=row["unit"] or "",
        level=Level(row["level"]),
        challenger=bool(row["challenger"]),
        holdout=bool(row["holdout"]),
        **{name: row[name] for name in _ASSIGNED},
    )


def outcome_row(given: Outcome) -> Row:
    """Return the row of an outcome, without its number: the database counts."""
    return assignment_row(given.assignment) | {
        "reward": None if given.reward is None else float(given.reward),
        "guards": _encode(dict(given.guards)).decode(),
        "repeated": int(given.repeated),
    }


def loaded_outcome(row: Mapping[str, Any] | Any) -> Outcome:
    """Return the outcome that `outcome_row` wrote."""
    return Outcome(
        assignment=loaded_assignment(row),
        reward=row["reward"],
        guards=_decode(row["guards"]),
        repeated=bool(row["repeated"]),
        number=row["number"],
    )


def event_row(given: Event) -> Row:
    """Return the row of an event, without its number: the database counts."""
    return {
        "at_ms": given.at_ms,
        "policy": given.policy,
        "kind": given.kind,
        **given.key._asdict(),
        "facts": _encode(dict(given.facts)).decode(),
        "words": storable_text(given.words),
        "author": storable_text(given.by),
    }


def loaded_event(row: Mapping[str, Any] | Any) -> Event:
    """Return the event that `event_row` wrote."""
    return Event(
        at_ms=row["at_ms"],
        policy=row["policy"],
        kind=row["kind"],
        key=DialKey(row["task"], row["model"]),
        facts=_decode(row["facts"]),
        words=row["words"],
        by=row["author"],
        number=row["number"],
    )


def compliance_row(given: Compliance) -> Row:
    """Return the row of counts."""
    return given._asdict() | {
        "model": storable_name(given.model),
        "said": int(given.said),
        "drawn": int(given.drawn),
    }


def loaded_compliance(row: Mapping[str, Any] | Any) -> Compliance:
    """Return the counts in a row."""
    counted = {name: row[name] for name in Compliance._fields}
    return Compliance(**counted | {"said": bool(row["said"]), "drawn": bool(row["drawn"])})
