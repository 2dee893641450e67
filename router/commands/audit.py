"""The commands `router audit draw | record | status`: is acting wrong as rarely as was promised?

Decisions are drawn for auditors, and labels come back. A label is a line of JSON:

    {"decision": "dec_...", "task": "/billing/refund", "by": "ann"}

`task` is a path of the pack, `/` says that none of its tasks answers, a list names several at once. `by` is who says
so: a person, or the model that labels. A line whose `task` is null has no label yet and is passed over; other keys are
not read, so the lines that were drawn can be filled in and handed back.

A label counts as evidence only where chance chose the decision. Labels of decisions that somebody picked out, such as
after a complaint, are refused. They are recorded all or none.
"""

from __future__ import annotations

import heapq
import json
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.text import Text

from router.classify import recogniser_for
from router.commands.audit_report import status_json, status_table, status_view
from router.commands.frame import (
    App,
    ConfigOption,
    DataOption,
    DetailsOption,
    JsonOption,
    PackArgument,
    PackOption,
    PacksOption,
    SinceOption,
    answer,
    by_policy,
    fits_shown,
    moment_before,
    note,
    now_ms,
    opened,
    pack_of,
    packs_of,
    settings_of,
)
from router.core.audit import (
    AUDIT_RATE,
    Audit,
    draw_position,
    is_drawn,
    watch,
)
from router.core.errors import Fault
from router.core.policy import ROOT
from router.engine.audits import alarm_lines, begun_anew
from router.evaluate import LabelError
from router.evaluate.labelled import MOST_FAULTS, STANDARD_INPUT, LineError, json_of, nearest
from router.packs import load_pack
from router.stores import SqlAuditStore
from router.stores.feedback import AUDITABLE

NAME_CHARS = 200

ONE_LABEL = '{"decision": "dec_...", "task": "/path"}'

app = App(
    help="Check by chance samples, labelled by a person or a strong model, that recognition keeps its promise.",
    no_args_is_help=True,
)

RateOption = Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of decisions that is drawn.")]


@app.command("draw")
def draw_command(
    rate: RateOption = AUDIT_RATE,
    since: SinceOption = "7d",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; lowers the rate.")] = None,
    pack: Annotated[Path | None, typer.Option(help="Only decisions by this pack. [dim]default: by any[/dim]")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write decisions to label, drawn by chance, as JSON Lines. Those that have a label are left out."""
    since_ms = moment_before(since)
    with opened(settings_of(config, data)) as database:
        policy = load_pack(pack).policy.name if pack else None
        lines = draw(SqlAuditStore(database).unaudited(since_ms, policy), rate, limit)
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    drawn = f"drawn: {len(lines)}{by_policy(Counter(line['policy'] for line in lines))}"
    said = f"{drawn}. Put the path of the right task into each line's task (/ for none of them)"
    words = "The database keeps no words of users: find them by response_id, or conversation and turn, in your own log."
    note(f"{said}, then: router audit record FILE\n{words}")


@app.command("record")
def record_command(
    labels: Annotated[Path, typer.Argument(help='Labels, JSON Lines; "-" reads standard input.')],
    rate: RateOption = AUDIT_RATE,
    by: Annotated[str, typer.Option(help="Who labelled, where a line does not say.")] = "human",
    pack: PacksOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Record labels: all of a file, or none. A server that runs heeds them within seconds."""
    settings = settings_of(config, data, pack)
    policies = [load_pack(path).policy for path in packs_of(settings)]
    tasks = {policy.name: tuple(policy.tasks) for policy in policies}
    with opened(settings) as database:
        store = SqlAuditStore(database)
        audits, unlabelled = read_labels(labels, store, tasks, rate=rate, auditor=by, now_ms=now_ms())
        new = store.record(audits)
    known = len(audits) - new
    said = f"{new} recorded, {known} known before, {unlabelled} without a label"
    found = {"recorded": new, "known": known, "unlabelled": unlabelled}
    answer(json_wanted, found, f"{said}. What they come to: router audit status")


@app.command("status")
def status_command(
    named: PackArgument = None,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    details: DetailsOption = False,
    json_wanted: JsonOption = False,
) -> None:
    """Show what the audits of a pack come to: is each promise kept, how sure is that, what happens next."""
    chosen, settings = pack_of(config, data, named, pack)
    policy = load_pack(chosen).policy
    with opened(settings) as database:
        audits = SqlAuditStore(database).read(policy.name)
    with fits_shown():
        certificate = recogniser_for(policy, settings.data / "recognisers").certificate
    over = watch(certificate, audits)
    found = status_json(policy.name, over, audits)
    said = [Text(line, style="yellow") for line in (*alarm_lines(over), *begun_anew(over, audits))]
    shown = [status_view(policy.name, over), *([status_table(found)] if details else []), *said]
    answer(json_wanted, found, *shown, found=bool(over.alarms))


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
            "shortlist": row["shortlist"],
            "confidence": row["confidence"],
            "conversation": row["conversation"],
            "turn": row["turn"],
            "response_id": row["response_id"],
            "text": None,
            "task": None,
        }
        for row in chosen
    ]


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
) -> tuple[list[Audit], int]:
    """Return the audits that a file of labels holds, and how many of its lines have no label; `-` is standard input.

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
            except LineError as wrong:
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
        except LineError as wrong:
            faults.append(Fault(name, line.number, *wrong.fault))
    if not faults and not audits:
        held = "none of its lines has a task yet" if unlabelled else "there is no label in it"
        faults.append(Fault(name, 1, held, f"give lines like {ONE_LABEL}"))
    if faults:
        raise LabelError(sorted(faults, key=lambda fault: fault.line)[:MOST_FAULTS])
    return audits, unlabelled


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
            raise LineError(
                f'there is no decision "{line.decision}" in this data folder',
                "`router audit draw` writes those to label; --data names another folder",
            )
        policy = found["policy"]
        if policy not in self._tasks:
            served = ", ".join(sorted(self._tasks))
            raise LineError(
                f'the decision was made by the policy "{policy}"', f"--pack names its pack; given: {served}"
            )
        if found["outcome"] not in AUDITABLE:
            raise LineError(f"nothing was recognised in this decision: it was {found['outcome']}", "leave the line out")
        for path in line.label:
            if path not in self._tasks[policy]:
                raise LineError(f'the policy "{policy}" has no task "{path}"', nearest(path, self._tasks[policy]))
        if not is_drawn(line.decision, self._rate):
            raise LineError(
                f"chance did not choose this decision at the rate {self._rate:g}",
                "label what `router audit draw` writes; where it was given a --rate, give the same one here",
            )
        label = tuple(sorted({path for path in line.label if path != ROOT}))
        before = self._labels.setdefault((line.decision, line.auditor), label)
        if before != label:
            raise LineError(
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
            shortlist=found["shortlist"],
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
        raise LineError("not an object", f"write one JSON object on each line: {ONE_LABEL}")
    for key in ("decision", "task"):
        if key not in value:
            raise LineError(f'it has no "{key}"', f"write {ONE_LABEL}")
    if value["task"] is None:
        return None
    by = value.get("by")
    label = value["task"] if isinstance(value["task"], list) else [value["task"]]
    if not all(isinstance(path, str) for path in label):
        raise LineError('"task" is not a string', 'give a path, or "/" for none of these')
    return _Line(number, _name(value, "decision"), tuple(label), auditor if by is None else _name(value, "by"))


def _name(value: Mapping[str, Any], key: str) -> str:
    name = value[key]
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > NAME_CHARS:
        raise LineError(f'"{key}" is no name', f"give a line of text of up to {NAME_CHARS} characters")
    return name
