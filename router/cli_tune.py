"""The commands `router tune ...`: how the levels stand, what the evidence is so far, and a person's word on it.

Exit codes as elsewhere: 0 good, 1 a proposal waits for a word, 2 could not run.
"""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.assembly import shipped_pack
from router.auditing import milliseconds
from router.core.errors import RouterError, SettingsError, did_you_mean
from router.core.learning import DialKey, Event
from router.core.policy import ROOT
from router.packs import load_pack
from router.rewards.obedience import Obedience
from router.rewards.reward import drawn_for_audit
from router.server.settings_source import load_salt
from router.show import console_for, plain
from router.stores import SqlFeedbackStore, SqlLearningStore
from router.terminal import FINDINGS, ConfigOption, DataOption, JsonOption, fail, opened, print_json, settings_of
from router.tuning.book import covers, level_named
from router.tuning.forecast import Status, TrialStatus
from router.tuning.persons import Word
from router.tuning_desk import Change, Desk, key_of, unified

app = typer.Typer(help="How levels stand, the evidence so far, and the steps that it supports.")

PackOption = Annotated[Path | None, typer.Option(help="The pack. [dim]default: the first that is served[/dim]")]
TaskArgument = Annotated[str, typer.Argument(help="A task; what is said of it holds for those below it too.")]
ComplexityOption = Annotated[str | None, typer.Option(help="Only requests of this complexity.")]
ModelOption = Annotated[str | None, typer.Option(help="Only requests to this model.")]
ByOption = Annotated[str | None, typer.Option(help="Who says so. [dim]default: your login name[/dim]")]


@app.callback(invoke_without_command=True)
def status_command(
    context: typer.Context,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show every task's level, why it stands there, the evidence so far, and when a decision is likely."""
    if context.invoked_subcommand is not None:
        return
    with desk_for(pack, config, data, json_wanted) as desk:
        found = desk.statuses(now_ms())
        proposals = [(each, desk.changes(each.key, level_named(trial.challenger))) for each, trial in proposed(found)]
    if json_wanted:
        rows = [each.as_data() | {"changes": []} for each in found]
        by_key = {each.key: changes for each, changes in proposals}
        for row, each in zip(rows, found, strict=True):
            row["changes"] = [change_json(change) for change in by_key.get(each.key, ())]
        print_json({"policy": desk.policy.name, "mode": desk.policy.settings.tuning, "dials": rows})
    else:
        console = console_for(False)
        console.print(status_view(desk, found))
        for each, changes in proposals:
            console.print(proposal_view(each, changes))
    raise typer.Exit(FINDINGS if proposals else 0)


@app.command("show")
def show_command(
    task: TaskArgument,
    complexity: ComplexityOption = None,
    model: ModelOption = None,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show all that is known of a task: its dials, the text that a step would change, how instructions are obeyed."""
    with desk_for(pack, config, data, json_wanted) as desk:
        word = known_key(desk, task, complexity, model)
        found = [each for each in desk.statuses(now_ms()) if each.key.task == task and covers(word, each.key)]
        changes = {each.key: desk.changes(each.key, level_named(each.trial.challenger)) for each in found if each.trial}
        obeyed = [each for each in desk.obedience() if each.instruction.partition(":")[0] == task]
    if json_wanted:
        rows = [each.as_data() | {"changes": list(map(change_json, changes.get(each.key, ())))} for each in found]
        print_json({"dials": rows, "instructions": list(map(obedience_json, obeyed))})
        return
    console = console_for(False)
    for each in found:
        console.print(plain("\n".join(each.lines)))
        for change in changes.get(each.key, ()):
            console.print(change_view(change))
    if not found:
        console.print(plain(f"{task}: no conversation has matured here yet"))
    if obeyed:
        console.print(obedience_table(obeyed))


@app.command("obeyed")
def obeyed_command(
    pack: PackOption = None, config: ConfigOption = None, data: DataOption = None, json_wanted: JsonOption = False
) -> None:
    """Show which instructions the model obeys, which it ignores, and which it would obey anyway."""
    with desk_for(pack, config, data, json_wanted) as desk:
        found = desk.obedience()
    if json_wanted:
        print_json({"instructions": list(map(obedience_json, found))})
    elif found:
        console_for(False).print(obedience_table(found))
    else:
        console_for(False).print("no answer to an instruction with a check has been examined yet")


@app.command("history")
def history_command(
    task: Annotated[str, typer.Argument(help="Only this task and those below it.")] = ROOT,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show each step and each word, in plain language."""
    with desk_for(pack, config, data, json_wanted) as desk:
        events = desk.history(known_key(desk, task, None, None).task)
    if json_wanted:
        print_json({"events": list(map(event_json, events))})
        return
    for event in events:
        at = datetime.fromtimestamp(event.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        console_for(False).print(plain(f"{at}  {event.words}"))
    if not events:
        console_for(False).print("nothing has happened yet")


@app.command("diff")
def diff_command(
    task: Annotated[str, typer.Argument(help="Only this task and those below it.")] = ROOT,
    complexity: ComplexityOption = None,
    model: ModelOption = None,
    write: Annotated[bool, typer.Option("--write", help="Change the pack's files.")] = False,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the steps taken so far as a change of the pack, for review and version control."""
    with desk_for(pack, config, data) as desk:
        files = desk.diff(known_key(desk, task, complexity, model))
        for file, (_, text) in files.items() if write else ():
            try:
                Path(file).write_text(text, encoding="utf-8")
            except OSError as error:
                raise SettingsError(f"{file}: {error.strerror or error}") from error
    print(unified(files), end="")
    if not files:
        console_for(True).print("the pack says what tuning has found: there is nothing to change", style="dim")


@app.command("audits")
def audits_command(
    since: Annotated[str, typer.Option(help="How far back: 30m, 12h, 7d, 4w.")] = "7d",
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Write the judged answers that a person is to judge as well, as JSON Lines: they take the judge's errors out."""
    try:
        settings = settings_of(config, data)
        policy = load_pack(pack or (settings.packs or (shipped_pack(),))[0]).policy
        if policy.judge is None:
            raise SettingsError(f"the policy {policy.name} has no judge")
        since_ms = now_ms() - milliseconds(since)
        with opened(settings) as database:
            judged = SqlFeedbackStore(database).judged(policy.name, policy.judge.metric, since_ms)
        salt = load_salt(settings)
    except RouterError as error:
        fail(error)
    drawn = [row for row in judged if drawn_for_audit(row.conversation, policy.judge.audit, salt)]
    for row in drawn:  # what the judge said is left out: it would lead the auditor
        line = {"decision": row.decision, "conversation": row.conversation, "metric": row.metric, "source": "audit"}
        print(json.dumps({**line, "value": None}))
    said = "put a value into each line, and send it to /v1/feedback before the conversation's horizon"
    console_for(True).print(plain(f"to judge: {len(drawn)}; {said}"), style="dim")


def _word_command(word: Word, help_: str) -> None:
    def command(
        task: TaskArgument,
        complexity: ComplexityOption = None,
        model: ModelOption = None,
        by: ByOption = None,
        pack: PackOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        json_wanted: JsonOption = False,
    ) -> None:
        with desk_for(pack, config, data, json_wanted) as desk:
            key = known_key(desk, task, complexity, model)
            event = desk.say(word, key, by or getpass.getuser(), now_ms())
        if json_wanted:
            print_json(event_json(event))
        else:
            console_for(False).print(plain(f"{event.words} Running servers heed it within seconds."))

    app.command(COMMANDS[word], help=help_)(command)


COMMANDS: dict[Word, str] = {
    "accepted": "accept",
    "rejected": "reject",
    "frozen": "freeze",
    "thawed": "thaw",
    "reset": "reset",
}
_word_command("accepted", "Take the step that is proposed at a task.")
_word_command("rejected", "End the trial at a task: its challenger rests for a while.")
_word_command("frozen", "Hold a task and those below it still; feedback is still collected.")
_word_command("thawed", "Let a frozen task move again.")
_word_command("reset", "Put a task and those below it back to where the pack starts.")


@contextmanager
def desk_for(pack: Path | None, config: Path | None, data: Path | None, json_wanted: bool = False) -> Iterator[Desk]:
    """Yield the desk of a pack over the server's database, read up to now; every RouterError ends the command."""
    try:
        settings = settings_of(config, data)
        served = (pack,) if pack is not None else settings.packs or (shipped_pack(),)
        with opened(settings) as database:
            desk = Desk(load_pack(served[0]), SqlLearningStore(database))
            desk.read()
            yield desk
    except RouterError as error:
        fail(error, json_wanted)


def known_key(desk: Desk, task: str, complexity: str | None, model: str | None) -> DialKey:
    """Return the dials that are meant. Raises SettingsError for a task that the pack does not have."""
    if task not in desk.policy.tasks:
        raise SettingsError(unknown(desk, task))
    return key_of(task, complexity, model)


def unknown(desk: Desk, task: str) -> str:
    """Return the error for a task that the pack does not have."""
    hint = did_you_mean(task, desk.policy.tasks) if len(desk.policy.tasks) < 1000 else ""
    near = hint if hint.startswith("did") else "give a path such as /billing/refund"
    return f'the policy {desk.policy.name} has no task "{task}" ({near})'


def proposed(found: Sequence[Status]) -> list[tuple[Status, TrialStatus]]:
    """Return the dials at which a step waits for a person's word, with their trials."""
    return [(each, each.trial) for each in found if each.trial is not None and each.trial.proposed_ms is not None]


def status_view(desk: Desk, found: Sequence[Status]) -> RenderableType:
    """Return how the dials stand as a table, and what is worth saying of each below it."""
    settings = desk.policy.settings
    if desk.policy.primary is None:
        return Text("nothing is tuned: the pack has no primary metric (`metrics: {resolved: {primary: true, ...}}`)")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.title = plain(f"levels of {desk.policy.name}, mode {settings.tuning}, by {desk.policy.primary.name}")
    table.title_justify = "left"
    for heading, justify in (("task", "left"), ("requests", "left"), ("level", "left"), ("matured", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for heading in ("reward", "trial", "evidence", "conversations", "decision in"):
        table.add_column(heading, justify="left" if heading == "trial" else "right")
    for each in found:
        table.add_row(*map(plain, status_row(each)))
    if not found:
        return Group(table, Text("no conversation has matured yet: they do at the horizon of the primary metric"))
    running = [each for each in found if each.trial is not None]
    return Group(table, *(Text("\n".join(each.lines) + "\n") for each in running))


def status_row(each: Status) -> tuple[str, ...]:
    """Return one dial as the cells of the table."""
    kind = " ".join(filter(None, (each.key.complexity, each.key.model)))
    moved = f" (pack: {each.start})" if each.level != each.start else ""
    mean = "" if each.mean is None else f"{100 * each.mean:.1f} %"
    cells = (each.key.task, kind, each.level + moved, f"{each.n:,}", mean)
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
    options = "".join(
        f" --{name} {value}"
        for name, value in (("complexity", each.key.complexity), ("model", each.key.model))
        if value
    )
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


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000
