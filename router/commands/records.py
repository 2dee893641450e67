"""The commands `router export` and `router forget`: what is stored, taken out; who is stored, removed.

Exit codes as elsewhere: 0 good, 2 could not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from router.commands.frame import (
    App,
    ConfigOption,
    DataOption,
    JsonOption,
    answer,
    by_policy,
    moment_before,
    opened,
    settings_of,
)
from router.core.errors import SettingsError
from router.engine.identity import Identifier
from router.packs import load_pack
from router.server.keys import LOCAL
from router.server.settings import Settings
from router.server.settings_source import load_salt
from router.stores import EXPORTED, Removed, export, forget_conversation, forget_unit

app = App()


@app.command("export")
def export_command(
    table: Annotated[str, typer.Argument(help=f"What to export: {', '.join(EXPORTED)}.")],
    to: Annotated[
        Path, typer.Option(help="The file to write, .csv, .jsonl or .parquet; one that is there is replaced.")
    ],
    since: Annotated[str | None, typer.Option(help="Only rows of the last 30m, 12h, 7d, 4w.")] = None,
    pack: Annotated[Path | None, typer.Option(help="Only rows of this pack. [dim]default: of all[/dim]")] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Write what is stored to a file of CSV, JSON Lines or Parquet, as the ending of its name says.

    Of users' words it holds only the comments that came with feedback.
    """
    since_ms = None if since is None else moment_before(since)
    with opened(settings_of(config, data)) as database:
        counts = export(database, table, to, since_ms, load_pack(pack).policy.name if pack else None)
    found = {"table": table, "file": str(to), "rows": counts.total(), "policies": dict(counts)}
    answer(json_wanted, found, f"{counts.total()} rows of {table}{by_policy(counts)} written to {to}")


@app.command("forget")
def forget_command(
    user: Annotated[str | None, typer.Argument(help="The end user, as requests name them.")] = None,
    tenant: Annotated[
        str, typer.Option(help="The tenant of their requests: the API key's, or its name.")
    ] = LOCAL.tenant,
    conversation: Annotated[
        str | None, typer.Option(help="Instead of a user, one conversation, by the id that requests give it.")
    ] = None,
    stored: Annotated[
        str | None, typer.Option(help="Instead of a user, one conversation, as a stored decision names it.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Remove all that is stored about an end user, or about one conversation.

    What levels were tuned by stays as numbers that belong to nobody.
    """
    if sum(bool(given) for given in (user, conversation, stored)) != 1:
        raise SettingsError("name one of these: a user, --conversation, or --stored")
    settings = settings_of(config, data)
    with opened(settings) as database:
        if user:
            gone = forget_unit(database, tenant, _identifier(settings).unit_of(tenant, user))
        else:
            key = stored or _identifier(settings).conversation_of(tenant, conversation or "")
            gone = forget_conversation(database, tenant, key)
    answer(json_wanted, {"forgotten": gone._asdict()}, _words(gone, tenant))


def _identifier(settings: Settings) -> Identifier:
    """Return what hashes names as the server does. Raises SettingsError where its secret is not at hand."""
    if settings.salt is None and not (settings.data / "salt").is_file():
        raise SettingsError(
            f"there is no salt in {settings.data}, and without it nobody can be found: run this with the server's"
            " settings, and its data folder (--data)"
        )
    return Identifier(load_salt(settings))


def _words(gone: Removed, tenant: str) -> str:
    if gone == Removed():
        return f"nothing of them is stored for the tenant {tenant}"
    return (
        f"removed: {gone.decisions} decisions, {gone.feedback} pieces of feedback, {gone.assignments} assigned levels,"
        f" {gone.pins} running conversations; {gone.outcomes} outcomes belong to nobody now"
    )
