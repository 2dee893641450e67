"""What the commands share: options, a server's settings and its opened database, how they end, JSON for programs.

Exit code 1 says that something was found, 2 that a command could not run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from sqlalchemy import make_url

from router.commands.show import console_for, plain
from router.core.errors import PolicyError, RouterError, SettingsError
from router.evaluate import LabelError
from router.server.composition import database_url
from router.server.settings import Settings
from router.server.settings_source import load_settings
from router.stores import Database, open_database

FINDINGS = 1
COULD_NOT_RUN = 2

DataOption = Annotated[Path | None, typer.Option(help="Folder of the server's database.")]
ConfigOption = Annotated[Path | None, typer.Option(help="Settings (router.yaml).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]


def settings_of(config: Path | None, data: Path | None, packs: list[Path] | None = None) -> Settings:
    """Return the settings as a server would have them. Raises SettingsError."""
    return load_settings(config, os.environ, {"data": data, "packs": packs or None})


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """Open the database of a server, and close it. Raises SettingsError where no server has ever written there."""
    url = database_url(settings)
    file = make_url(url).database
    if url.startswith("sqlite") and not (file and Path(file).is_file()):
        raise SettingsError(
            f"there is no database in {settings.data}: name the server's data folder with --data, or start"
            " `router serve` first"
        )
    database = open_database(url)
    try:
        yield database
    finally:
        database.close()


def fail(error: RouterError, json_wanted: bool = False, code: int = COULD_NOT_RUN) -> NoReturn:
    """Say what is wrong, for a person or a program, and end."""
    if json_wanted:
        faults = error.faults if isinstance(error, PolicyError | LabelError) else ()
        rows = [{"file": each.file, "line": each.line, "message": each.message, "hint": each.hint} for each in faults]
        print_json({"error": str(error), "faults": rows})
    else:
        console_for(True).print(plain(str(error)), style="red")
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Write JSON to standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))
