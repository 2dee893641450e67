"""The commands `router tune ...`: how the levels stand, what the evidence is so far, and a person's word on it.

Exit codes as elsewhere: 0 good, 1 a proposal waits for a word, 2 could not run.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from router.assembly import shipped_pack
from router.commands.frame import (
    FINDINGS,
    ConfigOption,
    DataOption,
    JsonOption,
    fail,
    moment_before,
    now_ms,
    opened,
    print_json,
    settings_of,
)
from router.commands.show import console_for, plain
from router.commands.show_tuning import (
    change_json,
    change_view,
    event_json,
    interval_json,
    obedience_json,
    obedience_table,
    proposal_view,
    proposed,
    status_view,
)
from router.commands.tuning_report import Desk, key_of, unified
from router.core.errors import RouterError, SettingsError, did_you_mean
from router.core.learning import DialKey
from router.core.policy import ROOT
from router.packs import Pack, load_pack
from router.rewards.reward import drawn_for_audit
from router.server.settings import Settings
from router.server.settings_source import load_salt
from router.stores import SqlFeedbackStore, SqlLearningStore
from router.tuning.book import covers, level_named
from router.tuning.persons import Word

app = typer.Typer(help="How levels stand, the evidence so far, and the steps that it supports.")

PackOption = Annotated[Path | None, typer.Option(help="The pack. [dim]default: the first that is served[/dim]")]
TaskArgument = Annotated[str, typer.Argument(help="A task; what is said of it holds for those below it too.")]
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
        gains, whole = desk.gains()
        proposals = [(each, desk.changes(each.key, level_named(trial.challenger))) for each, trial in proposed(found)]
    if json_wanted:
        rows = [each.as_data() | {"changes": []} for each in found]
        by_key = {each.key: changes for each, changes in proposals}
        for row, each in zip(rows, found, strict=True):
            row["changes"] = [change_json(change) for change in by_key.get(each.key, ())]
            row["gain"] = interval_json(gains.get(each.trial.id)) if each.trial else None
        settings = desk.policy.settings
        print_json({"policy": desk.policy.name, "mode": settings.tuning, "gain": interval_json(whole), "dials": rows})
    else:
        console = console_for(False)
        console.print(status_view(desk, found, gains))
        if whole is not None:
            held = f"{100 * desk.policy.settings.holdout:g} % of users are never tuned"
            console.print(plain(f"{held}; against them tuning is worth {whole} ({whole.n:,} users)\n"))
        for each, changes in proposals:
            console.print(proposal_view(each, changes))
    raise typer.Exit(FINDINGS if proposals else 0)


@app.command("show")
def show_command(
    task: TaskArgument,
    model: ModelOption = None,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Show all that is known of a task: its dials, the text that a step would change, how instructions are obeyed."""
    with desk_for(pack, config, data, json_wanted) as desk:
        word = known_key(desk, task, model)
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
        events = desk.history(known_key(desk, task, None).task)
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
    model: ModelOption = None,
    write: Annotated[bool, typer.Option("--write", help="Change the pack's files.")] = False,
    pack: PackOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Show the steps taken so far as a change of the pack, for review and version control."""
    with desk_for(pack, config, data) as desk:
        files = desk.diff(known_key(desk, task, model))
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
        policy = served_pack(pack, settings).policy
        if policy.judge is None:
            raise SettingsError(f"the policy {policy.name} has no judge")
        since_ms = moment_before(since)
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
        model: ModelOption = None,
        by: ByOption = None,
        pack: PackOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        json_wanted: JsonOption = False,
    ) -> None:
        with desk_for(pack, config, data, json_wanted) as desk:
            key = known_key(desk, task, model)
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
        with opened(settings) as database:
            desk = Desk(served_pack(pack, settings), SqlLearningStore(database))
            desk.read()
            yield desk
    except RouterError as error:
        fail(error, json_wanted)


def served_pack(pack: Path | None, settings: Settings) -> Pack:
    """Return the pack that is meant: the one named, else the first that is served. Raises PolicyError."""
    return load_pack(pack or (settings.packs or (shipped_pack(),))[0])


def known_key(desk: Desk, task: str, model: str | None) -> DialKey:
    """Return the dials that are meant. Raises SettingsError for a task that the pack does not have."""
    if task not in desk.policy.tasks:
        raise SettingsError(unknown(desk, task))
    return key_of(task, model)


def unknown(desk: Desk, task: str) -> str:
    """Return the error for a task that the pack does not have."""
    hint = did_you_mean(task, desk.policy.tasks) if len(desk.policy.tasks) < 1000 else ""
    near = hint if hint.startswith("did") else "give a path such as /billing/refund"
    return f'the policy {desk.policy.name} has no task "{task}" ({near})'
