"""What the commands share: options, the server's settings and database, how they print, and how they end.

Exit codes: 0 good, 1 something was found, 2 could not run. A command raises a RouterError where it cannot run; its
`App` says it, for a person or as JSON for a program.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import RenderableType
from sqlalchemy import make_url
from typer.core import TyperCommand, TyperGroup

from router.assembly import shipped_pack
from router.classify.loading import watched
from router.commands.show import console_for, plain, waiting
from router.core.errors import PolicyError, RouterError, SettingsError
from router.evaluate import LabelError
from router.server.composition import database_url
from router.server.served import served_packs
from router.server.settings import Settings
from router.server.settings_source import load_settings
from router.stores import Database, open_database

FINDINGS = 1
COULD_NOT_RUN = 2

DataOption = Annotated[Path | None, typer.Option(help="Folder of the server's database.")]
ConfigOption = Annotated[Path | None, typer.Option(help="Settings (router.yaml).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
PackOption = Annotated[
    Path | None,
    typer.Option(
        help="A pack: a folder with policy.yaml, or a single YAML file. [dim]default: what the data folder was served"
        " with, else the shipped one[/dim]"
    ),
]
PackArgument = Annotated[Path | None, typer.Argument(metavar="[PACK]", help="The same, without --pack.")]
PacksOption = Annotated[
    list[Path] | None, typer.Option("--pack", help="A pack; repeat for several. [dim]default: those served[/dim]")
]
DetailsOption = Annotated[bool, typer.Option("--details", help="Show the figures that the words rest on.")]
SinceOption = Annotated[str, typer.Option(help="How far back: 30m, 12h, 7d, 4w.")]

_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class _Command(TyperCommand):
    """A command that ends with what its RouterError says."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RouterError as error:
            fail(error, ctx.params.get("json_wanted", False))


class _Group(TyperGroup):
    """The same for what a group does without a command."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RouterError as error:
            fail(error, ctx.params.get("json_wanted", False))


class App(typer.Typer):
    """Commands that raise a RouterError where they cannot run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=_Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Return the decorator that makes a function a command."""
        return super().command(name, cls=_Command, **options)


def settings_of(config: Path | None, data: Path | None, packs: list[Path] | None = None) -> Settings:
    """Return the settings as a server would have them. Raises SettingsError."""
    return load_settings(config, os.environ, {"data": data, "packs": packs or None})


def packs_of(settings: Settings) -> tuple[Path, ...]:
    """Return where the packs lie: as named, else those that the data folder was served with, else the shipped one."""
    return tuple(settings.packs) or tuple(served_packs(settings.data).values()) or (shipped_pack(),)


def pack_of(config: Path | None, data: Path | None, *named: Path | None) -> tuple[Path, Settings]:
    """Return the pack that a command is about, and the settings. Where none is named, say which it is.

    Raises SettingsError.
    """
    given = [path for path in named if path is not None]
    if len(given) > 1:
        raise SettingsError(f"name one pack, not {given[0]} and {given[1]}")
    settings = settings_of(config, data)
    if given:
        return given[0], settings
    if data is not None and not data.is_dir():
        raise SettingsError(f"there is no folder {data}: name the server's data folder with --data, or a --pack")
    packs = packs_of(settings)
    others = f"; also served: {', '.join(map(str, packs[1:]))} (--pack)" if packs[1:] else ""
    note(f"pack: {packs[0]}{others}")
    return packs[0], settings


def cache_of(settings: Settings) -> Path | None:
    """Return the server's folder of fitted recognisers where there is one: then nothing is fitted twice."""
    cache = settings.data / "recognisers"
    return cache if cache.is_dir() else None


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


@contextmanager
def fits_shown() -> Iterator[None]:
    """Show a bar while a recogniser is fitted for this command."""
    with waiting("fitting the recogniser") as progress, watched(progress):
        yield


def now_ms() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000_000


def moment_before(span: str) -> int:
    """Return the moment that lies a span such as `7d`, `12h` or `30m` back, in milliseconds. Raises SettingsError."""
    found = re.fullmatch(r"([0-9]{1,5})([mhdw])", span)
    if found is None:
        raise SettingsError(f'--since {span}: expected a number and a unit (m, h, d or w), such as "7d"')
    return now_ms() - int(found[1]) * _UNITS_S[found[2]] * 1000


def by_policy(counts: Mapping[str, int]) -> str:
    """Return how many of something belong to which policy, in brackets; nothing where there is none.

    >>> by_policy({"shop": 3, "bank": 2})
    ' (bank 2, shop 3)'
    """
    return f" ({', '.join(f'{name} {count:,}' for name, count in sorted(counts.items()))})" if counts else ""


def write_file(path: Path, text: str, option: str = "") -> None:
    """Write a file; `option` is the one that names it. Raises SettingsError."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{option}{path}: {error.strerror or error}") from error


def fail(error: RouterError, json_wanted: bool = False, code: int = COULD_NOT_RUN) -> NoReturn:
    """Say what is wrong, for a person or a program, and end."""
    if json_wanted:
        faults = error.faults if isinstance(error, PolicyError | LabelError) else ()
        rows = [{"file": each.file, "line": each.line, "message": each.message, "hint": each.hint} for each in faults]
        print_json({"error": str(error), "faults": rows})
    else:
        note(str(error), "red")
    raise typer.Exit(code)


def answer(json_wanted: bool, data: Mapping[str, Any], *shown: RenderableType, found: bool = False) -> None:
    """Write what a command found: `data` as JSON for a program, else what is `shown`; end with 1 where `found`.

    Strings are shown as they are, without markup.
    """
    if json_wanted:
        print_json(data)
    else:
        console = console_for(False)
        for each in shown:
            console.print(plain(each) if isinstance(each, str) else each)
    if found:
        raise typer.Exit(FINDINGS)


def note(text: str, style: str = "dim") -> None:
    """Say something to people on standard error."""
    console_for(True).print(plain(text), style=style)


def print_json(value: Any) -> None:
    """Write JSON to standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))
