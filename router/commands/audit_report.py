"""What a person sees of audits: is each promise kept, how sure is that, what happens next and what is to be done.

Behind `router audit status`: sentences, and the figures that they rest on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import fsum
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.commands.show import plain
from router.core.audit import ALARM_AT, Audit, AuditBet, AuditWatch, by_name, evidence_against, name_of
from router.engine.audits import BROKEN
from router.tuning.words import times

WORSE = 3
"""How many times as often as promised somebody wants to know of."""

MOST_LABELS = 2_000

DOUBT = 4.0
"""How much the stake of a bet must have grown before somebody is told that its promise may be broken."""

DRAW = "Label some: router audit draw > to_label.jsonl; then router audit record to_label.jsonl"


def status_view(policy: str, over: AuditWatch) -> RenderableType:
    """Return in sentences what the audits come to."""
    lines = [Text(f"audits of {policy}", style="bold")]
    for bet in over.bets:
        lines += [Text(f"{bet.promise}: {_known(bet)}"), Text(f"  {_sure(bet)} {_next(bet, over)}", style="dim")]
    if over.silent:
        lines.append(Text("Nothing is settled or listed any more: general text is all that is said."))
    elif over.step:
        lines.append(Text("An alarm has raised the thresholds: less is said, and counted are decisions since then."))
    if any(bet.audits < (labels_to_notice(bet) or 0) for bet in over.bets) and not over.silent:
        lines.append(Text(DRAW, style="green"))
    return Group(*lines)


def labels_to_notice(bet: AuditBet) -> int | None:
    """Return after how many labels a rate WORSE times the accepted one is likely to alarm; None if not soon."""
    rate = min(WORSE * bet.accepted, 1.0)
    found = (n for n in range(1, MOST_LABELS) if _evidence(bet, n, round(rate * n)) >= ALARM_AT)
    return next(found, None)


def wrong_until_alarm(over: AuditWatch, promise: str) -> int | None:
    """Return how many more messages in a row that break a promise would alarm; what is said plainly breaks two."""
    broken = {promise, "error"} if promise == "unconditional" else {promise}
    bets = over.bets
    for more in range(1, MOST_LABELS):
        bets = tuple(bet.after(broken=True if bet.promise in broken else None) for bet in bets)
        if fsum(bet.evidence for bet in bets) >= ALARM_AT:
            return more
    return None


def _evidence(bet: AuditBet, audits: int, wrong: int) -> float:
    return bet.stake * evidence_against(bet.accepted, audits, wrong)


def _known(bet: AuditBet) -> str:
    promised = f"promised are at most {100 * bet.accepted:g} %"
    what = BROKEN[bet.promise]
    if bet.rate is None:
        return f"no label yet of messages that {what.partition(' got ')[0]}, so nothing is known; {promised}."
    return f"{bet.wrong} of {times(bet.audits, 'message')} that {what} ({100 * bet.rate:.1f} %); {promised}."


def _sure(bet: AuditBet) -> str:
    """Say what the labels show of a promise."""
    won = bet.evidence / bet.stake
    if bet.rate is None:
        return ""
    if won < DOUBT:
        few = "fewer than promised" if bet.rate <= bet.accepted else "chance shows as much easily"
        return f"No sign that it is broken: {few}."
    chance = f"while it is kept, chance shows as much in at most 1 of {int(won):,} such series of labels"
    return f"It may be broken: {chance}."


def _next(bet: AuditBet, over: AuditWatch) -> str:
    """Say what it would take to know more."""
    enough, more = labels_to_notice(bet), wrong_until_alarm(over, bet.promise)
    if over.silent or enough is None or more is None:
        return ""
    rate = f"{100 * min(WORSE * bet.accepted, 1.0):g} %"
    if bet.audits >= enough:
        noticed = f"Were {rate} wrong, these labels would most likely have shown it"
    else:
        noticed = f"Were {rate} wrong, it would take about {times(enough, 'label')} to see it"
    return f"{noticed}; {more} {'more ' if bet.audits else ''}wrong in a row and the thresholds go up by themselves."


def status_json(policy: str, over: AuditWatch, audits: Sequence[Audit]) -> dict[str, Any]:
    """Return what the audits of a policy come to as JSON-ready data."""
    name = name_of(over.certificate)
    return {
        "policy": policy,
        "basis": over.certificate.basis,
        "labels": len(audits),
        "elsewhere": sum(audit.certificate != name for audit in audits),
        "alarm_at": ALARM_AT,
        "evidence": over.evidence,
        "promises": [
            {
                "promise": bet.promise,
                "accepted": bet.accepted,
                "audits": bet.audits,
                "wrong": bet.wrong,
                "rate": bet.rate,
                "rate_at_least": bet.least_rate,
                "evidence": bet.evidence,
            }
            for bet in over.bets
        ],
        "alarms": [asdict(alarm) for alarm in over.alarms],
        "step": over.step,
        "steps": list(map(by_name, over.steps)),
        "thresholds": by_name(over.thresholds),
        "silent": over.silent,
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
    table.add_column("promise")
    for heading in ("accepted", "audits", "wrong", "rate", "at least", "evidence"):
        table.add_column(heading, justify="right")
    for row in found["promises"]:
        table.add_row(
            row["promise"],
            f"{100 * row['accepted']:g} %",
            str(row["audits"]),
            str(row["wrong"]),
            "–" if row["rate"] is None else f"{100 * row['rate']:.1f} %",
            f"{100 * row['rate_at_least']:.1f} %",
            f"{row['evidence']:.3g}",
        )
    shown = ", ".join(f"{name} {least:.3f}" for name, least in found["thresholds"].items())
    step = f"step {found['step']} of {len(found['steps']) - 1}"
    table.caption = (
        f"thresholds in force: {'silent' if found['silent'] else shown} ({step})\n"
        "Counted are audits of decisions made at these.\n"
        f"Evidence of {found['alarm_at']:g} in all ({found['evidence']:.3g} now) alarms and moves them a step up."
    )
    return table
