"""The command `router`.

Exit codes: 0 good, 1 findings (a failed test, a lint error), 2 could not run; `serve` ends with 78 (EX_CONFIG of
sysexits.h) where its configuration cannot be used. Every verb has `--json` for programs.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from router import __version__
from router.commands.audit import app as audit_app
from router.commands.doctor import app as doctor_app
from router.commands.examples import app as examples_app
from router.commands.frame import (
    COULD_NOT_RUN,
    FINDINGS,
    App,
    ConfigOption,
    DataOption,
    DetailsOption,
    JsonOption,
    PackArgument,
    PackOption,
    answer,
    cache_of,
    fail,
    fits_shown,
    pack_of,
    print_json,
    write_file,
)
from router.commands.records import app as records_app
from router.commands.rollout import app as rollout_app
from router.commands.show import SEVERITIES, explanation_view, finding_lines, test_lines, waiting, wire_view
from router.commands.tune import app as tune_app
from router.core.errors import PolicyError, RouterError, SettingsError, did_you_mean
from router.core.policy import Cue
from router.evaluate import evaluate as evaluate_pack
from router.evaluate import page, read_labelled, table
from router.library import Router, TestResult
from router.packs import Archive, Pack, load_pack, read_pack
from router.packs import check as check_pack
from router.server.keys import new_key
from router.server.serving import serve as run_server
from router.server.settings import Settings

EX_CONFIG = 78

app = App(
    name="router",
    help="Recognises what each LLM request asks for and adds the right mix of instructions to it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
)
app.add_typer(audit_app, name="audit")
app.add_typer(tune_app, name="tune")
app.add_typer(records_app)
app.add_typer(doctor_app)
app.add_typer(examples_app)
app.add_typer(rollout_app)


@app.command()
def serve(
    pack: Annotated[list[Path] | None, typer.Option(help="A pack to serve; repeat for several.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings (router.yaml).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [dim]default: 127.0.0.1[/dim]")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. [dim]default: 8080[/dim]")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for the database and fitted recognisers.")] = None,
    backend: Annotated[str | None, typer.Option(help='"echo", or the base URL of an OpenAI-compatible server.')] = None,
    json_wanted: JsonOption = False,
) -> None:
    """Start the proxy. With no configuration: the shipped pack, SQLite, and the echo backend."""
    overrides = {"packs": pack or None, "host": host, "port": port, "data": data, "backend": backend}
    try:
        with fits_shown():
            run_server(config, os.environ, overrides, json_lines=json_wanted)
    except (PolicyError, SettingsError) as error:
        fail(error, code=EX_CONFIG)


@app.command()
def explain(
    text: Annotated[str | None, typer.Argument(help="The user's message.")] = None,
    pack: PackOption = None,
    data: DataOption = None,
    conversation: Annotated[
        str | None, typer.Option(help='A JSON file with a list of messages, or a whole body; "-" reads standard input.')
    ] = None,
    cue: Annotated[list[str] | None, typer.Option(help="A cue as NAME=VALUE; repeat for several.")] = None,
    wire: Annotated[bool, typer.Option("--wire", help="Show the request body before and after.")] = False,
    json_wanted: JsonOption = False,
) -> None:
    """Show what would be decided: scores down the tree, what is said, what is not, and why."""
    try:
        body = conversation_body(text, conversation)
        chosen, settings = pack_of(None, data, pack)
        with fits_shown():
            router = Router.load(chosen, cache=cache_of(settings))
        context = cue_values(cue or [], router.policy.cues)
        found = router.explain(body, context=context)
        woven = router.wrap(body, context=context).body
    except RouterError as error:
        fail(error)
    shown = [explanation_view(found)]
    if wire:
        found["wire"] = {"before": body, "after": woven}
        shown.append(wire_view(json.dumps(body).encode(), json.dumps(woven).encode()))
    answer(json_wanted, found, *shown)


@app.command()
def check(
    named: PackArgument = None,
    pack: PackOption = None,
    against: Annotated[
        Path | None, typer.Option(help="The pack whose place it is to take. [dim]default: what was served last[/dim]")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Check a pack: its form, its sense, and what would be lost with it in place of the pack that is served.

    Each finding has a place and a fix; errors come first, then warnings, then hints.
    """
    chosen, settings = pack_of(config, data, named, pack)
    try:
        with fits_shown():
            loaded = read_pack(chosen)
            findings = check_pack(loaded, _served(settings, loaded.policy.name, against))
    except PolicyError as error:
        fail(error, json_wanted, FINDINGS if chosen.exists() else COULD_NOT_RUN)
    rows = [finding.as_json() for finding in findings]
    number = Counter(row["severity"] for row in rows)
    said = ", ".join(f"{count} {word}{'s'[: count > 1]}" for word in SEVERITIES if (count := number[word]))
    if loaded.faults:
        said += "; the pack cannot be used, and what it lacks is looked at when it can"
    worse = number.total() > number["hint"]
    answer(json_wanted, {"findings": rows}, *finding_lines(rows), said or "no findings", found=worse)


def _served(settings: Settings, name: str, against: Path | None) -> Pack | None:
    """Return the pack whose place another is to take; None where there is none, or where it may lose anything."""
    if against is not None:
        return load_pack(against)
    kept = Archive(settings.data / "revisions").newest(name)
    if kept is None or settings.reload.losses == "allow":
        return None
    try:
        return load_pack(kept)
    except PolicyError:  # of an earlier release
        return None


@app.command()
def test(
    named: PackArgument = None, pack: PackOption = None, data: DataOption = None, json_wanted: JsonOption = False
) -> None:
    """Run a pack's own tests, with expected and got for each that fails."""
    chosen, settings = pack_of(None, data, named, pack)
    with fits_shown():
        router = Router.load(chosen, cache=cache_of(settings))
    results = [result_json(result) for result in router.test()]
    counts = {word: sum(row["outcome"] == word for row in results) for word in ("passed", "failed", "skipped")}
    said = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word == "passed")
    answer(json_wanted, {**counts, "results": results}, *test_lines(results), said, found=counts["failed"] > 0)


@app.command()
def evaluate(
    named: PackArgument = None,
    pack: PackOption = None,
    data: DataOption = None,
    against: Annotated[
        Path | None, typer.Option(help='Labelled data, JSON Lines or a pack\'s YAML; "-" reads standard input.')
    ] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out turns labelled with tasks that the pack does not have.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Leave the learning curve out.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the report, with plots, to this file.")] = None,
    details: DetailsOption = False,
    json_wanted: JsonOption = False,
) -> None:
    """Measure how many messages get their task's instructions, what may be relied on, and what would reach more."""
    loaded = load_pack(pack_of(None, data, named, pack)[0])
    labelled = read_labelled(against, loaded.policy.tasks, skip_unknown=skip_unknown) if against else None
    if html is not None and (html.is_dir() or not html.parent.is_dir()):  # said before the work for it is done
        what = "it is a folder" if html.is_dir() else "its folder does not exist"
        raise SettingsError(f"--html {html}: {what}; name a file in a folder that exists")
    with waiting("evaluating") as progress:
        progress(0.0)
        found = evaluate_pack(loaded, labelled, quick=quick, progress=progress)
    shown: list[RenderableType] = [table(found, details)]
    if html is not None:
        write_file(html, page(found), "--html ")
        shown.append(Text(f"report written to {html}", style="dim"))
    answer(json_wanted, found.as_json(), *shown)


@app.command()
def key() -> None:
    """Make a new API key: the secret for the client, and the digest for router.yaml."""
    secret, digest = new_key()
    print_json({"secret": secret, "sha256": digest})


@app.callback(invoke_without_command=True)
def version_option(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version where that is asked for."""
    if version:
        print(__version__)
        raise typer.Exit


def conversation_body(text: str | None, conversation: str | None) -> dict[str, Any]:
    """Return the body that `explain` decides about. Raises SettingsError when there is none, or it is no JSON."""
    if (text is None) == (conversation is None):
        raise SettingsError("Give a message, or --conversation with a file (or - for standard input).")
    if conversation is None:
        return {"model": "explain", "messages": [{"role": "user", "content": text}]}
    try:
        raw = sys.stdin.read() if conversation == "-" else Path(conversation).read_text(encoding="utf-8")
        loaded = json.loads(raw)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{conversation}: {error}") from error
    if isinstance(loaded, list):
        return {"model": "explain", "messages": loaded}
    if isinstance(loaded, dict):
        return {"model": "explain", **loaded}
    raise SettingsError(f"{conversation}: expected a list of messages or a request body.")


def cue_values(pairs: list[str], cues: Mapping[str, Cue]) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping; NAME may be a cue's metadata field.

    Raises SettingsError for what no request could give.
    """
    fields = {field for cue in cues.values() for _, field in cue.sources}
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not equals:
            raise SettingsError(f'--cue {pair}: expected NAME=VALUE, such as "tier=pro".')
        if name in fields:
            continue
        if name not in cues:
            known = did_you_mean(name, cues) or "it declares none"
            raise SettingsError(f'--cue {pair}: the pack has no cue "{name}" ({known})')
        if not cues[name].sources:
            where = "it is found in the user's words" if cues[name].detector else "it has no source"
            raise SettingsError(f"--cue {pair}: no request can give the cue {name} a value: {where}")
    return dict(pair.split("=", 1) for pair in pairs)


def result_json(result: TestResult) -> dict[str, Any]:
    """Return a test's result as JSON-ready data."""
    return {
        "name": result.test.name,
        "place": result.test.place,
        "outcome": result.outcome,
        "mismatches": list(map(asdict, result.mismatches)),
    }


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
