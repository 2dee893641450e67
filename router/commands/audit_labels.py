"""Audits on their way in and out: decisions drawn for auditors, and the labels that come back.

A label is a line of JSON:

    {"decision": "dec_...", "task": "/billing/refund", "by": "ann"}

`task` is a path of the pack, `/` says that none of its tasks answers, a list names several at once. `by` is who says
so: a person, or the model that labels. A line whose `task` is null has no label yet and is passed over; other keys are
not read, so the lines that were drawn can be filled in and handed back.

A label counts as evidence only where chance chose the decision. Labels of decisions that somebody picked out, such as
after a complaint, are refused. They are recorded all or none.
"""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from router.core.audit import Audit, draw_position, is_drawn
from router.core.errors import Fault, SettingsError, did_you_mean
from router.core.policy import ROOT
from router.evaluate import LabelError
from router.evaluate.labelled import Wrong, json_of
from router.stores import SqlAuditStore
from router.stores.feedback import AUDITABLE

STANDARD_INPUT = "-"

MOST_FAULTS = 20
"""Faults that are told of one file."""

MOST_NAMED = 20
"""Of a pack with more tasks not all are named when a label is unlike any."""

NAME_CHARS = 200

ONE_LABEL = '{"decision": "dec_...", "task": "/path"}'

_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


def milliseconds(span: str) -> int:
    """Return a span of time such as `7d`, `12h` or `30m`. Raises SettingsError.

    >>> milliseconds("12h")
    43200000
    """
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", span)
    if found is None:
        raise SettingsError(f'--since {span}: expected a number and a unit (m, h, d or w), such as "7d"')
    return int(found[1]) * _UNITS_S[found[2]] * 1000


def draw(rows: Iterable[Mapping[str, Any]], rate: float, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the lines for the decisions drawn at this rate; at most `limit`, which then lowers the rate."""
    drawn = (row for row in rows if is_drawn(row["id"], rate))
    chosen = list(drawn) if limit is None else heapq.nsmallest(limit, drawn, key=lambda row: draw_position(row["id"]))
    chosen.sort(key=lambda row: (row["at_ms"], row["id"]))
    return [
        {
            "decision": row["id"],
            "at": datetime.fromtimestamp(row["at_ms"] / 1000, UTC).isoformat(timespec="milliseconds"),
            "policy": row["policy"],
            "settled": row["tasks"],
            "confidence": row["confidence"],
            "conversation": row["conversation"],
            "turn": row["turn"],
            "response_id": row["response_id"],
            "text": None,
            "task": None,
        }
        for row in chosen
    ]


@dataclass(frozen=True, slots=True)
class Given:
    """What a file of labels holds: audits to record, and lines that are not labelled yet."""

    audits: tuple[Audit, ...]
    unlabelled: int


class _Line(NamedTuple):
    number: int
    decision: str
    label: tuple[str, ...]
    auditor: str


def read_labels(
    path: Path,
    store: SqlAuditStore,
    tasks: Mapping[str, Collection[str]],
    *,
    rate: float,
    auditor: str,
    now_ms: int,
) -> Given:
    """Return what a file of labels holds; `-` is standard input.

    `tasks` are the paths of each policy, `rate` the one the decisions were drawn at, `auditor` who labelled where a
    line does not say. Raises LabelError with every fault that was found, and Degraded when the store cannot be read.
    """
    name = str(path) if str(path) != STANDARD_INPUT else "standard input"
    faults: list[Fault] = []
    lines: list[_Line] = []
    unlabelled = 0
    try:
        for number, raw in _numbered(path):
            try:
                line = _line(number, raw, auditor)
            except Wrong as wrong:
                faults.append(Fault(name, number, *wrong.fault))
                continue
            if line is None:
                unlabelled += 1
            else:
                lines.append(line)
    except OSError as error:
        raise LabelError([Fault(name, 1, error.strerror or str(error), f"give lines like {ONE_LABEL}")]) from error
    judge = _Judge(store, [line.decision for line in lines], tasks, rate)
    audits = []
    for line in lines:
        try:
            audits.append(judge.audit(line, now_ms))
        except Wrong as wrong:
            faults.append(Fault(name, line.number, *wrong.fault))
    if not faults and not audits:
        held = "none of its lines has a task yet" if unlabelled else "there is no label in it"
        faults.append(Fault(name, 1, held, f"give lines like {ONE_LABEL}"))
    if faults:
        raise LabelError(sorted(faults, key=lambda fault: fault.line)[:MOST_FAULTS])
    return Given(tuple(audits), unlabelled)


class _Judge:
    """Knows what the store holds of the decisions in a file, and says which labels may be recorded."""

    def __init__(
        self, store: SqlAuditStore, ids: Collection[str], tasks: Mapping[str, Collection[str]], rate: float
    ) -> None:
        self._decisions = store.decisions(ids)
        self._labels = store.labels(ids)
        self._tasks = tasks
        self._rate = rate

    def audit(self, line: _Line, now_ms: int) -> Audit:
        """Return the audit that a line comes to. Raises Wrong."""
        found = self._decisions.get(line.decision)
        if found is None:
            raise Wrong(
                f'there is no decision "{line.decision}" in this data folder',
                "`router audit draw` writes those to label; --data names another folder",
            )
        policy = found["policy"]
        if policy not in self._tasks:
            served = ", ".join(sorted(self._tasks))
            raise Wrong(f'the decision was made by the policy "{policy}"', f"--pack names its pack; given: {served}")
        if found["outcome"] not in AUDITABLE:
            raise Wrong(f"nothing was recognised in this decision: it was {found['outcome']}", "leave the line out")
        for path in line.label:
            if path not in self._tasks[policy]:
                raise Wrong(f'the policy "{policy}" has no task "{path}"', _nearest(path, self._tasks[policy]))
        if not is_drawn(line.decision, self._rate):
            raise Wrong(
                f"chance did not choose this decision at the rate {self._rate:g}",
                "label what `router audit draw` writes; where it was given a --rate, give the same one here",
            )
        label = tuple(sorted({path for path in line.label if path != ROOT}))
        before = self._labels.setdefault((line.decision, line.auditor), label)
        if before != label:
            raise Wrong(
                f'"{line.auditor}" has labelled this decision {" and ".join(before) or ROOT} before',
                "a label stays as it was given first; who disagrees signs with another name in `by`",
            )
        return Audit(
            decision=line.decision,
            policy=policy,
            certificate=found["certificate"],
            thresholds=found["thresholds"],
            settled=found["settled"],
            label=label,
            auditor=line.auditor,
            at_ms=now_ms,
        )


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers."""
    given = sys.stdin.buffer.read() if str(path) == STANDARD_INPUT else path.read_bytes()
    for number, line in enumerate(given.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if line.strip():
            yield number, line


def _line(number: int, raw: bytes, auditor: str) -> _Line | None:
    """Return one line; None where it has no label yet. Raises Wrong."""
    value = json_of(raw, ONE_LABEL)
    if not isinstance(value, dict):
        raise Wrong("not an object", f"write one JSON object on each line: {ONE_LABEL}")
    for key in ("decision", "task"):
        if key not in value:
            raise Wrong(f'it has no "{key}"', f"write {ONE_LABEL}")
    if value["task"] is None:
        return None
    by = value.get("by")
    label = value["task"] if isinstance(value["task"], list) else [value["task"]]
    if not all(isinstance(path, str) for path in label):
        raise Wrong('"task" is not a string', 'give a path, or "/" for none of these')
    return _Line(number, _name(value, "decision"), tuple(label), auditor if by is None else _name(value, "by"))


def _name(value: Mapping[str, Any], key: str) -> str:
    name = value[key]
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > NAME_CHARS:
        raise Wrong(f'"{key}" is no name', f"give a line of text of up to {NAME_CHARS} characters")
    return name


def _nearest(path: str, known: Collection[str]) -> str:
    hint = did_you_mean(path, known)
    return hint if hint.startswith("did") or len(known) <= MOST_NAMED else "give a path of the pack"
