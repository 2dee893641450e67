"""The commands `router audit draw | record | status`: is acting wrong as rarely as was promised?

Exit codes as elsewhere: 0 good, 1 an alarm, 2 could not run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from router.assembly import shipped_pack
from router.classify import recogniser_for
from router.classify.loading import watched
from router.commands.audit_labels import draw, milliseconds, read_labels
from router.commands.frame import ConfigOption, DataOption, JsonOption, fail, opened, print_json, settings_of
from router.commands.show import console_for, plain, waiting
from router.core.audit import ALARM_AT, AUDIT_RATE, Audit, Watch, least_rate, name_of, watch
from router.core.errors import RouterError
from router.engine.audits import alarm_lines
from router.packs import load_pack
from router.stores import SqlAuditStore

FINDINGS = 1

app = typer.Typer(
    help="Check by chance samples, labelled by a person or a strong model, that recognition keeps its promise.",
    no_args_is_help=True,
)

RateOption = Annotated[float, typer.Option(min=0.0, max=1.0, help="The share of decisions that is drawn.")]


@app.command("draw")
def draw_command(
    rate: RateOption = AUDIT_RATE,
    since: Annotated[str, typer.Option(help="How far back: 30m, 12h, 7d, 4w.")] = "7d",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many; lowers the rate.")] = None,
    policy: Annotated[str | None, typer.Option(help="Only decisions of this policy.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write decisions to label, drawn by chance, as JSON Lines. Those that have a label are left out."""
    try:
        since_ms = time.time_ns() // 1_000_000 - milliseconds(since)
        with opened(settings_of(config, data)) as database:
            lines = draw(SqlAuditStore(database).unaudited(since_ms, policy), rate, limit)
    except RouterError as error:
        fail(error)
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    said = f"drawn: {len(lines)}. Put the path of the right task into each line's task (/ for none of them)"
    words = "The database keeps no words of users: find them by response_id, or conversation and turn, in your own log."
    console_for(True).print(plain(f"{said}, then: router audit record FILE\n{words}"), style="dim")


@app.command("record")
def record_command(
    labels: Annotated[Path, typer.Argument(help='Labels, JSON Lines; "-" reads standard input.')],
    rate: RateOption = AUDIT_RATE,
    by: Annotated[str, typer.Option(help="Who labelled, where a line does not say.")] = "human",
    pack: Annotated[list[Path] | None, typer.Option(help="A pack that is served; repeat for several.")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Record labels: all of a file, or none. A server that runs heeds them within seconds."""
    try:
        settings = settings_of(config, data, pack)
        policies = [load_pack(path).policy for path in settings.packs or (shipped_pack(),)]
        tasks = {policy.name: tuple(policy.tasks) for policy in policies}
        with opened(settings) as database:
            store, now_ms = SqlAuditStore(database), time.time_ns() // 1_000_000
            given = read_labels(labels, store, tasks, rate=rate, auditor=by, now_ms=now_ms)
            new = store.record(given.audits)
    except RouterError as error:
        fail(error, json_wanted)
    known = len(given.audits) - new
    if json_wanted:
        print_json({"recorded": new, "known": known, "unlabelled": given.unlabelled})
        return
    said = f"{new} recorded, {known} known before, {given.unlabelled} without a label"
    console_for(False).print(plain(f"{said}. What they come to: router audit status PACK"))


@app.command("status")
def status_command(
    pack: Annotated[Path, typer.Argument(help="A pack: a folder with policy.yaml, or a single YAML file.")],
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show what the audits of a pack come to: errors, evidence and thresholds, by depth."""
    try:
        settings = settings_of(config, data)
        policy = load_pack(pack).policy
        with opened(settings) as database:
            audits = SqlAuditStore(database).read(policy.name)
        with waiting("fitting the recogniser") as progress, watched(progress):
            certificates = recogniser_for(policy, settings.data / "recognisers").certificates
    except RouterError as error:
        fail(error, json_wanted)
    watches = watch(certificates, audits)
    found = status_json(policy.name, watches, audits)
    if json_wanted:
        print_json(found)
    else:
        console = console_for(False)
        console.print(status_table(found))
        for line in (line for each in watches for line in alarm_lines(each)):
            console.print(plain(line), style="yellow")
        if found["elsewhere"]:
            console.print(plain(f"{found['elsewhere']} labels of earlier fits or tolerances do not count"), style="dim")
    raise typer.Exit(FINDINGS if any(each.alarms for each in watches) else 0)


def status_json(policy: str, watches: Sequence[Watch], audits: Sequence[Audit]) -> dict[str, Any]:
    """Return what the audits of a policy come to as JSON-ready data."""
    name = name_of([each.certificate for each in watches])
    return {
        "policy": policy,
        "alarm_at": ALARM_AT,
        "labels": len(audits),
        "elsewhere": sum(audit.certificate != name for audit in audits),
        "depths": [
            {
                "depth": each.certificate.depth,
                "basis": each.certificate.basis,
                "alpha": each.certificate.alpha,
                "audits": each.audits,
                "wrong": each.wrong,
                "rate": each.rate,
                "rate_at_least": least_rate(each.audits, each.wrong),
                "evidence": each.evidence,
                "alarms": [
                    {"at_ms": alarm.at_ms, "threshold": alarm.threshold, "audits": alarm.audits, "wrong": alarm.wrong}
                    for alarm in each.alarms
                ],
                "rung": each.rung,
                "rungs": list(each.rungs),
                "threshold": each.threshold,
                "exhausted": each.exhausted,
            }
            for each in watches
        ],
    }


def status_table(found: Mapping[str, Any]) -> Table:
    """Return the status as a table for people."""
    table = Table(
        title=plain(f"audits of {found['policy']}"),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for heading in ("depth", "accepted", "audits", "wrong", "rate", "at least", "evidence", "rung", "threshold"):
        table.add_column(heading, justify="right")
    for row in found["depths"]:
        table.add_row(
            str(row["depth"]),
            f"{100 * row['alpha']:g} %",
            str(row["audits"]),
            str(row["wrong"]),
            "–" if row["rate"] is None else f"{100 * row['rate']:.1f} %",
            f"{100 * row['rate_at_least']:.1f} %",
            f"{row['evidence']:.3g}",
            f"{row['rung']} of {len(row['rungs']) - 1}",
            f"{row['threshold']:.3f}",
        )
    table.caption = (
        "Counted are audits of decisions made at the threshold in force.\n"
        f"Evidence of {found['alarm_at']:g} alarms and moves the threshold up a rung."
    )
    return table
