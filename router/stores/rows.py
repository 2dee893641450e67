"""Records as rows, and rows as records again: traces, feedback, assignments, outcomes, events and counts.

A decision is one flat mapping, plain values in the columns that are searched, JSON in the others. What `read` gives
back is JSON-ready, and `evidence_of` makes it evidence again, so that a stored decision can be made once more.

Not stored: the user's words, the text of the mix, and the nonce that fences free-text cues (it is only needed next to
such text, and that is withheld).

A batch is written in one transaction, so one odd value must never cost the others: names that a client chose are cut
to NAME_CHARS, these and texts that a sender chose are cleaned of what a column cannot hold, and a cue that JSON cannot
hold is withheld.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec

from router.core.audit import ThresholdsInForce
from router.core.evidence import SILENT, WITHHELD, Belief, Evidence, Thresholds
from router.core.learning import Assignment, Compliance, DialKey, ExperimentEvent, Feedback, Outcome
from router.core.policy import CueValue, Level, depth
from router.core.ports import Usage
from router.core.trace import Trace, loaded_belief, stored_belief

Row: TypeAlias = dict[str, Any]

JSON_COLUMNS = ("tasks", "shortlist", "mix", "dropped", "reasons", "evidence", "stages")
USAGE_COLUMNS = ("prompt_tokens", "cached_tokens", "written_tokens", "completion_tokens")
"""In the order of `Usage`; null where the backend did not tell."""

NAME_CHARS = 200
"""Longest name of a model, an answer or an error that is kept; the longest real ones are below 100."""

NAMES_AT_ONCE = 500
"""Names asked for in one statement; SQLite allowed 999 parameters before 3.32."""

MOST_COUNTED = 2**31 - 1
"""The most that a column of counts holds. A backend may tell any number of tokens, a client any number of retries."""

_UNTOLD = (None,) * len(USAGE_COLUMNS)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class RowMaker:
    """Makes rows of traces. Remembers the last thresholds it encoded, since one recogniser always has the same."""

    def __init__(self) -> None:
        self._thresholds: Thresholds | None = None
        self._encoded = msgspec.Raw(b"null")

    def row(self, trace: Trace) -> Row:
        """Return the row of a trace, JSON columns encoded."""
        decision = trace.decision
        return {
            "id": trace.id,
            "at_ms": trace.at_ms,
            "policy": trace.policy,
            "revision": decision.revision,
            "tenant": trace.tenant,
            "conversation": trace.conversation,
            "unit": trace.unit,
            "turn": trace.turn,
            "wire": trace.wire,
            "model": storable_name(trace.model),
            "backend": trace.backend,
            "stream": int(trace.stream),
            "task": decision.task,
            "tasks": _json(decision.tasks),
            "shortlist": _json(decision.listed),
            "level": int(decision.level),
            "confidence": decision.confidence,
            "outcome": decision.outcome,
            "tokens": decision.tokens,
            "mix": _json([piece.id for piece in decision.mix]),
            "dropped": _json([(dropped.id, dropped.reason) for dropped in decision.dropped]),
            "reasons": _json([reason.code for reason in decision.reasons]),
            "evidence": self._evidence(trace.evidence, trace.cues),
            "status": trace.status,
            "error": storable_name(trace.error),
            "response_id": storable_name(trace.response_id),
            "attempts": trace.attempts,
            "retry": min(trace.retry, MOST_COUNTED),
            **_counted(trace.usage),
            "overhead_ms": trace.overhead_ms,
            "first_ms": trace.first_ms,
            "total_ms": trace.total_ms,
            "stages": _json(dict(trace.stages)),
        }

    def _evidence(self, evidence: Evidence, cues: Mapping[str, CueValue]) -> str:
        if evidence.thresholds is not self._thresholds:
            self._thresholds = evidence.thresholds
            self._encoded = msgspec.Raw(_encode(_stored_thresholds(evidence.thresholds)))
        return evidence_text(evidence, cues, self._encoded)


def evidence_text(evidence: Evidence, cues: Mapping[str, CueValue], thresholds: Any = None) -> str:
    """Return evidence as JSON, with the cues as they may be stored. `thresholds` are its own, encoded already."""
    stored = {
        "belief": stored_belief(evidence.belief),
        "cues": dict(cues),
        "thresholds": thresholds or _stored_thresholds(evidence.thresholds),
        "levels": dict(evidence.levels),
        "faults": evidence.faults,
        "auxiliary": evidence.auxiliary or None,
    }
    try:
        return _json(stored)
    except (OverflowError, UnicodeEncodeError):
        return _json({**stored, "cues": storable(cues)})


def storable(cues: Mapping[str, CueValue]) -> dict[str, CueValue]:
    """Return cues as JSON can hold them; what it cannot hold is withheld."""
    return {name: _storable(value) for name, value in cues.items()}


def loaded(row: Mapping[str, Any]) -> Row:
    """Return a row with its JSON columns decoded and `stream` a boolean: JSON-ready data."""
    data = dict(row)
    for column in JSON_COLUMNS:
        data[column] = _decode(data[column])
    data["dropped"] = [{"id": id_, "reason": reason} for id_, reason in data["dropped"]]
    data["stream"] = bool(data["stream"])
    return data


def evidence_of(row: Mapping[str, Any]) -> Evidence:
    """Return the evidence a decision was made on, from what `read` returned.

    Free-text cues come back as WITHHELD and the nonce as the empty string; all else is equal to what was stored.
    """
    return loaded_evidence(row["evidence"])


def loaded_evidence(stored: Mapping[str, Any]) -> Evidence:
    """Return the evidence that `evidence_text` wrote, decoded; what an earlier release wrote decides as it did then."""
    belief = loaded_belief(stored["belief"])
    return Evidence(
        belief=belief,
        cues={name: value for name, value in stored["cues"].items() if value is not None},
        thresholds=loaded_thresholds(stored["thresholds"], belief),
        levels={path: Level(level) for path, level in stored["levels"].items()},
        faults=tuple(stored["faults"]),
        auxiliary=stored.get("auxiliary") or "",
    )


def _stored_thresholds(thresholds: Thresholds) -> dict[str, Any]:
    stored = {
        "sure": thresholds.sure,
        "shortlist": thresholds.shortlist,
        "known": thresholds.known,
        "by_task": dict(thresholds.by_task),
    }
    return stored | {"certificate": thresholds.certificate} if isinstance(thresholds, ThresholdsInForce) else stored


def loaded_thresholds(stored: Mapping[str, Any], belief: Belief | None = None) -> Thresholds:
    """Return the thresholds that were stored with a belief.

    Before there were shortlists they went by depth. Then each task of the belief gets the one that held for it, and
    nothing else can be settled or listed. (What was only named as possible went by a threshold that is no more.)
    """
    if "by_depth" in stored:
        by_depth, beliefs = stored["by_depth"], (belief, *belief.sentences) if belief else ()
        paths = {path for each in beliefs for path in each.mass}
        by_task = {path: by_depth[min(depth(path), len(by_depth)) - 1] for path in paths}
        found = replace(SILENT, by_task=by_task | stored["by_task"])
    else:
        found = Thresholds(stored["sure"], stored["shortlist"], stored["by_task"], stored.get("known", 0.0))
    if "certificate" not in stored:
        return found
    return ThresholdsInForce(found.sure, found.shortlist, found.by_task, found.known, stored["certificate"])


def _counted(usage: Usage | None) -> dict[str, int | None]:
    if usage is not None and max(usage) > MOST_COUNTED:
        usage = Usage(*(min(count, MOST_COUNTED) for count in usage))
    return dict(zip(USAGE_COLUMNS, usage or _UNTOLD, strict=True))


def _json(value: Any) -> str:
    return _encode(value).decode()


def storable_name(word: str) -> str:
    """Return a name as it is kept: at most NAME_CHARS, and storable."""
    return storable_text(word[:NAME_CHARS] if len(word) > NAME_CHARS else word)


def storable_text(words: str) -> str:
    """Return a text that every database can hold: without lone surrogates, and without the NUL that PostgreSQL refuses.

    What was there is a question mark.
    """
    if not words.isascii():
        words = words.encode("utf-8", "replace").decode()
    return words.replace("\0", "?") if "\0" in words else words


def chunks(names: Collection[str]) -> Iterator[list[str]]:
    """Yield names, each once, as many as one statement takes."""
    listed = sorted(set(names))
    for at in range(0, len(listed), NAMES_AT_ONCE):
        yield listed[at : at + NAMES_AT_ONCE]


def _storable(value: CueValue) -> CueValue:
    try:
        _encode(value)
    except (OverflowError, UnicodeEncodeError):
        return WITHHELD
    return value


# ---- feedback, assignments, outcomes, events and counts

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
        "distance": None,  # a column of earlier versions
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


def event_row(given: ExperimentEvent) -> Row:
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


def loaded_event(row: Mapping[str, Any] | Any) -> ExperimentEvent:
    """Return the event that `event_row` wrote."""
    return ExperimentEvent(
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
