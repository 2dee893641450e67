"""How `router tune` shows what it knows: tables for people, data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.commands.show import plain
from router.commands.tuning_report import Change, Desk
from router.core.learning import Event
from router.rewards.obedience import Obedience
from router.tuning.forecast import Status, TrialStatus
from router.tuning.intervals import Interval


def proposed(found: Sequence[Status]) -> list[tuple[Status, TrialStatus]]:
    """Return the dials at which a step waits for a person's word, with their trials."""
    return [(each, each.trial) for each in found if each.trial is not None and each.trial.proposed_ms is not None]


def status_view(desk: Desk, found: Sequence[Status], gains: Mapping[str, Interval]) -> RenderableType:
    """Return how the dials stand as a table, and what is worth saying of each below it."""
    settings = desk.policy.settings
    if desk.policy.primary is None:
        return Text("nothing is tuned: the pack has no primary metric (`metrics: {resolved: {primary: true, ...}}`)")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.title = plain(f"levels of {desk.policy.name}, mode {settings.tuning}, by {desk.policy.primary.name}")
    table.title_justify = "left"
    for heading, justify in (("task", "left"), ("model", "left"), ("level", "left"), ("matured", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for heading in ("reward", "trial", "evidence", "conversations", "decision in"):
        table.add_column(heading, justify="left" if heading == "trial" else "right")
    for each in found:
        table.add_row(*map(plain, status_row(each)))
    if not found:
        return Group(table, Text("no conversation has matured yet: they do at the horizon of the primary metric"))
    said = []
    for each in found:
        if each.trial is not None:
            gain = gains.get(each.trial.id)
            lines = each.lines if gain is None else (*each.lines, f"{each.trial.challenger} gains {gain}.")
            said.append(Text("\n".join(lines) + "\n"))
    return Group(table, *said)


def status_row(each: Status) -> tuple[str, ...]:
    """Return one dial as the cells of the table."""
    moved = f" (pack: {each.start})" if each.level != each.start else ""
    mean = "" if each.mean is None else f"{100 * each.mean:.1f} %"
    cells = (each.key.task, each.key.model, each.level + moved, f"{each.n:,}", mean)
    trial = each.trial
    if trial is None:
        return (*cells, f"({each.wait})" if each.wait else "", "", "", "")
    evidence = f"{trial.evidence:.3g} of {trial.needed:g}"
    n = f"{trial.n} of {trial.n_needed}" if trial.n_needed else str(trial.n)
    soon = "not in sight" if trial.forecast_days is None else f"{trial.forecast_days:g} days"
    what = f"{trial.challenger}, {100 * trial.share:.0f} %" + (" (held)" if trial.held else "")
    return (*cells, what, evidence, n, "proposed" if trial.proposed_ms else soon)


def proposal_view(each: Status, changes: Sequence[Change]) -> RenderableType:
    """Return a proposed step with the text that would change, and how to answer."""
    assert each.trial is not None
    options = f" --model {each.key.model}" if each.key.model else ""
    asks = f"router tune accept {each.key.task}{options}   (or reject)"
    return Group(
        Text(f"proposed at {each.key.task}: {each.trial.challenger} instead of {each.trial.incumbent}", style="bold"),
        *map(change_view, changes),
        Text(asks, style="green"),
        Text(""),
    )


def change_view(change: Change) -> RenderableType:
    """Return what a task would say otherwise."""
    text = Text(f"  {change.task}: {change.before.word} -> {change.after.word}\n")
    for sign, lines, style in (("-", change.removed, "red"), ("+", change.added, "green")):
        for line in lines:
            text.append(f"    {sign} {line}\n", style=style)
    return text


def obedience_table(found: Sequence[Obedience]) -> Table:
    """Return how instructions are obeyed as a table."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("instruction", "model", "said", "held", "not said", "held anyway", "verdict"):
        table.add_column(heading, justify="right" if heading in ("said", "held", "not said", "held anyway") else "left")
    for each in found:
        table.add_row(
            *map(
                plain,
                (
                    each.instruction,
                    each.model,
                    str(each.said),
                    rate(each.held_said, each.said),
                    str(each.unsaid),
                    rate(each.held_unsaid, each.unsaid),
                    each.verdict + (" (drawn)" if each.drawn else ""),
                ),
            )
        )
    return table


def rate(held: int, answers: int) -> str:
    """Return a share of answers as a percentage."""
    return f"{100 * held / answers:.0f} %" if answers else "–"


def change_json(change: Change) -> dict[str, Any]:
    """Return a change as JSON-ready data."""
    return {
        "task": change.task,
        "from": change.before.word,
        "to": change.after.word,
        "added": list(change.added),
        "removed": list(change.removed),
    }


def interval_json(found: Interval | None) -> dict[str, Any] | None:
    """Return an interval as JSON-ready data, as shares of the range of rewards."""
    return None if found is None else {name: getattr(found, name) for name in ("estimate", "low", "high", "n")}


def obedience_json(each: Obedience) -> dict[str, Any]:
    """Return an instruction's record as JSON-ready data."""
    return {name: getattr(each, name) for name in Obedience.__slots__}


def event_json(event: Event) -> dict[str, Any]:
    """Return a line of the log as JSON-ready data."""
    return {
        "number": event.number,
        "at_ms": event.at_ms,
        "kind": event.kind,
        **event.key._asdict(),
        "by": event.by,
        "words": event.words,
        "facts": dict(event.facts),
    }
