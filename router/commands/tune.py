"""The commands `router tune ...`: how the levels stand, what the evidence is so far, and a person's word on it.

Exit codes as elsewhere: 0 good, 1 a proposal waits for a word, 2 could not run.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType

from router.commands.frame import (
    App,
    ConfigOption,
    DataOption,
    DetailsOption,
    JsonOption,
    PackOption,
    answer,
    note,
    now_ms,
    opened,
    pack_of,
    write_file,
)
from router.commands.tuning_report import (
    TuningReport,
    change_json,
    change_view,
    event_json,
    figures_of,
    interval_json,
    obedience_table,
    progress_lines,
    proposal_view,
    proposed,
    status_view,
    unified,
)
from router.core.errors import SettingsError, did_you_mean
from router.core.learning import DialKey
from router.core.policy import ROOT
from router.packs import load_pack
from router.stores import SqlLearningStore
from router.tuning.level_state import Word, covers, level_named
from router.tuning.words import ANY

app = App(help="How levels stand, the evidence so far, and the steps that it supports.")

TaskArgument = Annotated[str, typer.Argument(help="A task; what is said of it holds for those below it too.")]
ModelOption = Annotated[str | None, typer.Option(help="Only requests to this model.")]
ByOption = Annotated[str | None, typer.Option(help="Who says so. [dim]default: your login name[/dim]")]


@app.callback(invoke_without_command=True)
def status_command(
    context: typer.Context,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    details: DetailsOption = False,
    json_wanted: JsonOption = False,
) -> None:
    """Show every task's level, why it stands there, what is known so far, and when a decision is likely."""
    if context.invoked_subcommand is not None:
        return
    with report_for(pack, config, data) as report:
        found = report.statuses(now_ms())
        gains, whole = report.gains()
        count, first_ms = report.waiting()
        received, lines = report.received(), progress_lines(report, now_ms())
        proposals = [(each, report.changes(each.key, level_named(trial.challenger))) for each, trial in proposed(found)]
    by_key = {each.key: changes for each, changes in proposals}
    rows = [
        each.as_data()
        | {"changes": list(map(change_json, by_key.get(each.key, ())))}
        | {"gain": interval_json(gains.get(each.trial.id)) if each.trial else None}
        for each in found
    ]
    settings = report.policy.settings
    data_ = {"policy": report.policy.name, "mode": settings.tuning, "gain": interval_json(whole), "dials": rows}
    data_ |= {"waiting": {"conversations": count, "first_matures_ms": first_ms}, "feedback": received}
    shown = [status_view(report, found, gains, details), *lines]
    if whole is not None:
        held = f"{100 * settings.holdout:g} % of users are never tuned"
        shown.append(f"{held}; against them tuning is worth {whole} ({whole.n:,} users)\n")
    shown += [proposal_view(each, changes) for each, changes in proposals]
    answer(json_wanted, data_, *shown, found=bool(proposals))


@app.command("show")
def show_command(
    task: TaskArgument,
    model: ModelOption = None,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    details: DetailsOption = False,
    json_wanted: JsonOption = False,
) -> None:
    """Show all that is known of a task: its dials, the text that a step would change, how instructions are obeyed."""
    with report_for(pack, config, data) as report:
        word = known_key(report, task, model)
        found = [each for each in report.statuses(now_ms()) if each.key.task == task and covers(word, each.key)]
        changes = {
            each.key: report.changes(each.key, level_named(each.trial.challenger)) for each in found if each.trial
        }
        obeyed = [each for each in report.obedience() if each.instruction.partition(":")[0] == task]
    rows = [each.as_data() | {"changes": list(map(change_json, changes.get(each.key, ())))} for each in found]
    shown: list[RenderableType] = []
    for each in found:
        figures = [figures_of(each.trial)] if details and each.trial else []
        shown += ["\n".join([*each.lines, *figures]), *map(change_view, changes.get(each.key, ()))]
    if not found:
        shown.append(f"{task}: no conversation has matured here yet")
    if obeyed:
        shown.append(obedience_table(obeyed))
    answer(json_wanted, {"dials": rows, "instructions": list(map(asdict, obeyed))}, *shown)


@app.command("obeyed")
def obeyed_command(
    pack: PackOption = None, config: ConfigOption = None, data: DataOption = None, json_wanted: JsonOption = False
) -> None:
    """Show which instructions the model obeys, which it ignores, and which it would obey anyway."""
    with report_for(pack, config, data) as report:
        found = report.obedience()
    none = "no answer to an instruction with a check has been examined yet"
    answer(json_wanted, {"instructions": list(map(asdict, found))}, obedience_table(found) if found else none)


@app.command("history")
def history_command(
    task: Annotated[str, typer.Argument(help="Only this task and those below it.")] = ROOT,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show each step and each word, in plain language."""
    with report_for(pack, config, data) as report:
        events = report.history(known_key(report, task, None).task)
    said = [
        f"{datetime.fromtimestamp(event.at_ms / 1000, UTC).strftime('%Y-%m-%d %H:%M')}  {event.words}"
        for event in events
    ]
    answer(json_wanted, {"events": list(map(event_json, events))}, *(said or ["nothing has happened yet"]))


@app.command("diff")
def diff_command(
    task: Annotated[str, typer.Argument(help="Only this task and those below it.")] = ROOT,
    model: ModelOption = None,
    write: Annotated[bool, typer.Option("--write", help="Change the pack's files.")] = False,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the steps taken so far as a change of the pack, for review and version control."""
    with report_for(pack, config, data) as report:
        files = report.diff(known_key(report, task, model))
        for file, (_, text) in files.items() if write else ():
            write_file(Path(file), text)
    print(unified(files), end="")
    if not files:
        note("the pack says what tuning has found: there is nothing to change")


def _word_command(word: Word, help_: str) -> None:
    def command(
        task: TaskArgument,
        model: ModelOption = None,
        by: ByOption = None,
        pack: PackOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        json_wanted: JsonOption = False,
    ) -> None:
        with report_for(pack, config, data) as report:
            key = known_key(report, task, model)
            event = report.say(word, key, by or getpass.getuser(), now_ms())
        answer(json_wanted, event_json(event), f"{event.words} Running servers heed it within seconds.")

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
def report_for(pack: Path | None, config: Path | None, data: Path | None) -> Iterator[TuningReport]:
    """Yield how a pack's tuning stands in the server's database, read up to now. Raises RouterError."""
    chosen, settings = pack_of(config, data, pack)
    with opened(settings) as database:
        report = TuningReport(load_pack(chosen), SqlLearningStore(database))
        report.read()
        yield report


def known_key(report: TuningReport, task: str, model: str | None) -> DialKey:
    """Return the dials that are meant, for all models unless one is named.

    Raises SettingsError for a task that the pack does not have.
    """
    policy = report.policy
    if task not in policy.tasks:
        hint = did_you_mean(task, policy.tasks) if len(policy.tasks) < 1000 else ""
        near = hint if hint.startswith("did") else "give a path such as /billing/refund"
        raise SettingsError(f'the policy {policy.name} has no task "{task}" ({near})')
    return DialKey(task, ANY if model is None else model)
