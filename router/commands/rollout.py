"""The commands `router canary` and `router release`: a changed pack beside the one in force, and a bad rule taken back.

What is said is written to the server's database; every server that shares it follows within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from router.commands.frame import (
    COULD_NOT_RUN,
    FINDINGS,
    App,
    ConfigOption,
    DataOption,
    JsonOption,
    answer,
    fail,
    now_ms,
    opened,
    settings_of,
)
from router.commands.show import finding_lines
from router.core.errors import PolicyError, SettingsError, did_you_mean
from router.core.rollout import Rollout, RolloutEvent, ShadowDifference, rollouts
from router.packs import Archive, Pack, bundle, check, load_pack
from router.server.rollouts import in_words
from router.server.settings import Settings
from router.stores import SqlRolloutStore

app = App()

PolicyOption = Annotated[str | None, typer.Option(help="The policy. [dim]default: the only one[/dim]")]

SHOWN = 20
"""Differences that are shown to a person."""


@app.command("canary")
def canary_command(
    pack: Annotated[Path | None, typer.Argument(help="The changed pack.")] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it decide, and send nothing of it.")] = False,
    share: Annotated[
        float | None, typer.Option(help="Serve it to this share of new conversations, in percent.", min=0.1, max=100.0)
    ] = None,
    to_all: Annotated[bool, typer.Option("--all", help="Serve it to all new conversations.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Take it back.")] = False,
    policy: PolicyOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Try a changed pack on live traffic beside the one in force; without options, show how it does."""
    steps = [shadow, share is not None, to_all, stop]
    if sum(steps) > 1 or (pack is not None and (stop or not any(steps))):
        raise SettingsError("Say one of --shadow, --share N and --all with a changed pack, or --stop without one.")
    settings = settings_of(config, data)
    loaded = None if pack is None else _checked(pack, settings, json_wanted)
    with opened(settings) as database:
        store = SqlRolloutStore(database)
        stands = rollouts(store.events())
        if loaded is not None and pack is not None:
            name, revision = loaded.policy.name, loaded.policy.revision
        else:
            name = _name(policy, [each for each, now in stands.items() if now.revision])
            revision = stands[name].revision if name in stands else ""
        if any(steps):
            if not revision:
                raise SettingsError("Nothing is tried; name a changed pack.")
            part = 1.0 if to_all else (share or 0.0) / 100
            event = RolloutEvent(now_ms(), name, "stop" if stop else "try", "" if stop else revision, part)
            store.append(event, bundle(pack, loaded) if pack is not None and loaded is not None else "")
            stands = rollouts(store.events())
        now = stands.get(name, Rollout())
        found = store.differences(name, revision) if revision else []
        pinned = store.pinned(name, time.time())
    data_ = {"policy": name, **now._asdict(), "running": pinned, **_counts(found)}
    data_["differences"] = [each._asdict() for each in found if each.before != each.after]
    answer(json_wanted, data_, *_shown(name, now, found, pinned, revision))


def _shown(
    name: str, now: Rollout, found: Sequence[ShadowDifference], pinned: Mapping[str, int], tried: str
) -> list[str | Table]:
    since = datetime.fromtimestamp(now.began_ms / 1000, UTC).strftime(", since %Y-%m-%d %H:%M UTC") if tried else ""
    lines: list[str | Table] = [f"{name or 'no policy'}: {in_words(now)}{since if now.revision else ''}"]
    if tried and pinned.get(tried):
        lines.append(
            f"{pinned[tried]:,} running conversations are on {tried}, and end there (`router release` moves them)"
        )
    if now.share >= 1.0:
        lines.append("to end the trial, put the changed pack in the place of the one that is served")
    counts = _counts(found)
    if found:
        lines.append("in shadow {decided:,} decisions: {alike:,} alike, {different:,} different".format(**counts))
    rows = [each for each in found if each.before != each.after]
    if rows:
        table = Table("decisions", "in force", "tried", "the first", box=None)
        for each in rows[:SHOWN]:
            table.add_row(f"{each.decisions:,}", each.before, each.after, each.decision)
        lines.append(table)
    return lines


def _counts(found: Sequence[ShadowDifference]) -> dict[str, Any]:
    decided = sum(each.decisions for each in found)
    alike = sum(each.decisions for each in found if each.before == each.after)
    return {"decided": decided, "alike": alike, "different": decided - alike}


def _checked(path: Path, settings: Settings, json_wanted: bool) -> Pack:
    """Return a pack that may be tried; end with what `check` finds where it may not."""
    try:
        pack = load_pack(path)
    except PolicyError as error:
        fail(error, json_wanted, FINDINGS if path.exists() else COULD_NOT_RUN)
    archive = Archive(settings.data / "revisions")
    newest = archive.newest(pack.policy.name)
    if newest is None and archive.names:
        hint = did_you_mean(pack.policy.name, archive.names)
        raise SettingsError(f'{path}: nobody serves a policy called "{pack.policy.name}" here. {hint}'.strip())
    if newest is not None and newest.parent.name == pack.policy.revision:
        raise SettingsError(
            f"{path} says what revision {pack.policy.revision} says, which is in force: change it first."
        )
    served = load_pack(newest) if newest is not None and settings.reload.losses != "allow" else None
    findings = [each.as_json() for each in check(pack, served) if each.severity == "error"]
    if findings:
        answer(json_wanted, {"findings": findings}, *finding_lines(findings), "not tried", found=True)
    return pack


def _name(asked: str | None, known: Sequence[str]) -> str:
    if asked is not None or len(known) == 1:
        return asked or known[0]
    if not known:
        return ""
    raise SettingsError(f"Several are tried: say --policy {' or --policy '.join(known)}.")


@app.command("release")
def release_command(
    policy: Annotated[str, typer.Argument(help="The policy.")],
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Let running conversations go from the revision they began on: their next turn gets the one in force."""
    settings = settings_of(config, data)
    with opened(settings) as database:
        store = SqlRolloutStore(database)
        pinned = store.pinned(policy, time.time())
        names = Archive(settings.data / "revisions").names
        if not pinned and names and policy not in names:
            raise SettingsError(f'There is no policy "{policy}". {did_you_mean(policy, names)}'.strip())
        store.append(RolloutEvent(now_ms(), policy, "release"))
    each = ", ".join(f"{count:,} on {revision}" for revision, count in pinned.items())
    said = (
        f"{sum(pinned.values()):,} running conversations{f' ({each})' if each else ''}: each goes on with the revision"
        " in force. Where that is another than its own, what was sent changes once: the provider's cache of that"
        " conversation is lost, and its next request costs what a first one of its length costs."
    )
    answer(json_wanted, {"policy": policy, "running": pinned}, said)
