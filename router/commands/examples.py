"""The command `router examples`: examples in other languages, or more of them, written by the operator's own model.

They lie beside the pack in files of their own, marked as generated, for a person to review. Nothing is sent before the
operator has seen what and has said so. A second run asks only for what is missing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from router.backends.litellm.prices import price_of
from router.commands.examples_run import FilePlan, Model, Rejected, RunResult, advice_for, fulfil, plan_for
from router.commands.frame import (
    COULD_NOT_RUN,
    App,
    ConfigOption,
    DataOption,
    JsonOption,
    PackArgument,
    PackOption,
    answer,
    note,
    pack_of,
    print_json,
)
from router.commands.show import console_for, plain
from router.core.errors import BackendError, RouterError, SettingsError
from router.evaluate.wording import plural
from router.packs import load_pack
from router.packs.more_examples import Wish, known_languages, language_name
from router.packs.words import did_you_mean_code
from router.server.settings import Settings
from router.server.settings_source import load_settings, provider_at

SHOWN = 12
"""Lines of the first prompt that are shown beforehand."""

app = App()


@app.command("examples")
def examples_command(
    model: Annotated[str, typer.Option(help="The model that writes them: an alias of router.yaml, or its own name.")],
    named: PackArgument = None,
    pack: PackOption = None,
    data: DataOption = None,
    languages: Annotated[str, typer.Option(help="Languages to translate the examples into, such as de,fr,pl.")] = "",
    more: Annotated[int, typer.Option(min=0, max=200, help="So many more examples a task, in its own language.")] = 0,
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server; its key is in ROUTER_BACKEND_API_KEY.")
    ] = None,
    config: ConfigOption = None,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds to wait for the next word.")] = 120.0,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    json_wanted: JsonOption = False,
) -> None:
    """Have a model of your own translate the examples of a pack, or write more; for review, marked as generated."""
    known, unknown = known_languages(languages.split(","))
    if unknown:
        raise SettingsError(f'--languages: "{unknown[0]}" is no language code ({did_you_mean_code(unknown[0])})')
    if not known and not more:
        raise SettingsError("say what to write: --languages de,fr to translate, or --more 20 for more of the same")
    chosen_pack, _ = pack_of(config, data, named, pack)
    loaded = load_pack(chosen_pack)
    chosen = Model(_settings(config, base_url, timeout), model)
    if chosen.settings.type == "echo":
        raise SettingsError("the echo backend only repeats what it is asked: name a server with --base-url or --config")
    plans = plan_for(loaded, chosen_pack, known, more)
    calls = sum(len(plan.wishes) for plan in plans)
    plan_json = _plan_json(plans, chosen)
    if json_wanted and not yes:
        answer(True, {"plan": plan_json})
        return
    if not json_wanted:
        _show(plans, plan_json)
    if not calls or not (yes or _confirmed()):
        answer(json_wanted, {"plan": plan_json}, "nothing is missing" if not calls else "nothing was sent")
        return
    outcome = RunResult()

    async def run() -> None:
        try:
            await fulfil(plans, loaded, chosen.ask, outcome, _silent if json_wanted else _tell)
        finally:
            await chosen.aclose()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        _stopped("stopped", outcome, json_wanted)
    except BackendError as error:
        _stopped(advice_for(error, chosen), outcome, json_wanted)
    except RouterError as error:
        _stopped(str(error), outcome, json_wanted)
    kept, turned_down = outcome.written.total(), len(outcome.rejected)
    said = f"{kept} written, {turned_down} not taken, {outcome.missing} still missing"
    files = ", ".join(file for file, count in outcome.written.items() if count)
    review = f"Read {files}, then: router check {chosen_pack}" if kept else "Try a stronger model."
    found = {"plan": plan_json, **_outcome_json(outcome)}
    answer(json_wanted, found, said, review, found=outcome.missing > 0)


def _settings(config: Path | None, base_url: str | None, timeout: float) -> Settings:
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise SettingsError("--base-url: must begin with http:// or https://, such as http://127.0.0.1:11434/v1")
    settings = load_settings(config, os.environ, {"backend": base_url})
    waits = {"first_byte_s": timeout, "idle_s": timeout, "total_s": 10 * timeout}
    backends = {
        name: chosen.model_copy(update={"timeouts": chosen.timeouts.model_copy(update=waits)})
        for name, chosen in settings.backends.items()
    }
    return settings.model_copy(update={"backends": backends})


def _plan_json(plans: Sequence[FilePlan], model: Model) -> dict[str, Any]:
    up, back = (sum(counts) for counts in zip(*(plan.tokens() for plan in plans), strict=True))
    return {
        "model": model.route.model,
        "address": model.address,
        "calls": sum(len(plan.wishes) for plan in plans),
        "tokens_up": up,
        "tokens_back": back,
        "dollars": _price(model, up, back),
        "files": [
            {"file": str(plan.file), "language": plan.language, "texts": plan.lines, "calls": len(plan.wishes)}
            for plan in plans
        ],
        "prompts": [wish.prompt() for plan in plans for wish in plan.wishes],
    }


def _price(model: Model, up: int, back: int) -> float | None:
    """Return what it costs about, where that is known: a model is only priced at its own provider."""
    settings = model.settings
    if settings.type == "litellm":
        provider = settings.provider or model.route.backend
    elif settings.type == "anthropic":
        provider = "" if settings.base_url else "anthropic"
    else:
        known = provider_at(settings.base_url)
        provider = known.name if known else ""
    return price_of(provider, model.route.model, up, back) if provider and up else None


def _show(plans: Sequence[FilePlan], told: dict[str, Any]) -> None:
    console = console_for(False)
    for plan in plans:
        texts, calls = plural(plan.lines, "text"), plural(len(plan.wishes), "call")
        what = language_name(plan.language) if plan.language else "more"
        console.print(plain(f"{what}: {texts} in {calls}, for {plan.file}"), soft_wrap=True)
    if not told["calls"]:
        return
    cost = f"about ${told['dollars']:.4f}" if told["dollars"] is not None else "price not known"
    console.print(plain(f"asked: {told['model']} at {told['address']}"), soft_wrap=True)
    console.print(
        f"about {told['tokens_up']:,} tokens up and {told['tokens_back']:,} back, {cost}; lines that do not pass are "
        "asked for once more",
        soft_wrap=True,
    )
    lines = told["prompts"][0].splitlines()
    console.print("the first call:", style="dim")
    for line in [*lines[:SHOWN], *(["…"] if len(lines) > SHOWN else [])]:
        console.print(plain(f"  | {line}"), style="dim", soft_wrap=True)


def _confirmed() -> bool:
    """Ask whether to send. Where nobody can answer, that is a no."""
    try:
        return typer.confirm("Send it?", default=False)
    except typer.Abort:
        note("nobody said yes; --yes sends without asking")
        return False


def _tell(wish: Wish, kept: int, rejected: list[Rejected]) -> None:
    console = console_for(False)
    console.print(Text(f"{wish.language or 'more'}  {wish.task}  {kept} of {wish.lines}"), soft_wrap=True)
    for each in rejected:
        made_from = f"; from: {each.original}" if each.original else ""
        line = Text.assemble(("    not taken: ", "yellow"), each.line or "-", (f"  ({each.why}{made_from})", "dim"))
        console.print(line, soft_wrap=True)


def _silent(wish: Wish, kept: int, rejected: list[Rejected]) -> None:
    """Say nothing: a program reads the outcome."""


def _outcome_json(outcome: RunResult) -> dict[str, Any]:
    return {
        "written": dict(outcome.written),
        "rejected": [asdict(each) for each in outcome.rejected],
        "missing": outcome.missing,
    }


def _stopped(why: str, outcome: RunResult, json_wanted: bool) -> NoReturn:
    """Say why a run ends early and that it can go on, and end."""
    said = f"{why}\n{plural(outcome.written.total(), 'text')} written so far; the same command goes on from there"
    if json_wanted:
        print_json({"error": said, **_outcome_json(outcome)})
    else:
        note(said, "red")
    raise typer.Exit(COULD_NOT_RUN)
