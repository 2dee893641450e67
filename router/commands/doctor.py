"""The command `router doctor`: what may be wrong with an installation.

Each part is tried for real, and what fails says what to do about it.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib.metadata
import importlib.util
import json
import os
import socket
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text
from sqlalchemy import make_url

from router import __version__
from router.commands.frame import App, ConfigOption, DataOption, JsonOption, PacksOption, answer, packs_of
from router.core.errors import PolicyError, SettingsError
from router.core.policy import ROOT
from router.packs import check, load_pack
from router.server.backend_probe import probe
from router.server.keys import require_safe_binding
from router.server.served import served_at
from router.server.serving import shown_host
from router.server.settings import Settings
from router.server.settings_source import load_settings
from router.stores import open_database

app = App()

REQUIRED_PYTHON = (3, 11)

ANSWER_WITHIN_S = 2.0
"""How long whatever has our port may take to say what it is."""


@dataclass(frozen=True, slots=True)
class _Diagnosis:
    """One thing that was looked at: what, what was found, and what to do if that is not good."""

    what: str
    good: bool
    found: str
    fix: str = ""


@app.command("doctor")
def doctor_command(
    config: ConfigOption = None,
    pack: PacksOption = None,
    data: DataOption = None,
    json_wanted: JsonOption = False,
) -> None:
    """Say what is wrong with this installation, and what to do about it."""
    found = list(examine(config, os.environ, {"packs": pack or None, "data": data}))
    shown = []
    for each in found:
        line = Text.assemble(("ok   ", "green") if each.good else ("bad  ", "red"), f"{each.what}: {each.found}")
        shown.append(line.append(f"\n    {each.fix}") if each.fix else line)
    answer(json_wanted, {"checks": list(map(asdict, found))}, *shown, found=not all(each.good for each in found))


def examine(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Iterator[_Diagnosis]:
    """Yield what was found, cheapest first; settings that cannot be read end the examination."""
    version = sys.version_info
    yield _Diagnosis(
        "python",
        version >= REQUIRED_PYTHON,
        f"{version.major}.{version.minor}.{version.micro}",
        "" if version >= REQUIRED_PYTHON else "install Python 3.11 or newer",
    )
    yield _Diagnosis("prompt-router", True, __version__)
    try:
        settings = load_settings(config, environ, overrides)
        require_safe_binding(settings)
    except SettingsError as error:
        yield _Diagnosis("settings", False, str(error), "correct what it names")
        return
    yield _Diagnosis("settings", True, str(config or "defaults and environment"))
    for path in packs_of(settings):
        yield _pack(path)
    yield _data(settings.data)
    if settings.database is not None:
        yield _database(settings.database.get_secret_value())
    yield _port(settings)
    for name, backend in settings.backends.items():
        if backend.type == "litellm":
            yield (installed := _litellm(name))
            if not installed.good:
                continue
        if backend.type != "echo":
            found = asyncio.run(probe(name, backend, settings.models, call=True))
            yield _Diagnosis(f"backend {name}", found.good, found.found, found.fix)


def _pack(path: Path) -> _Diagnosis:
    try:
        pack = load_pack(path)
    except PolicyError as error:
        return _Diagnosis(f"pack {path}", False, str(error), "correct what it names, then: router check " + str(path))
    worst = [finding for finding in check(pack) if finding.severity == "error"]
    number = sum(not task.children for path, task in pack.policy.tasks.items() if path != ROOT)
    said = f"{pack.policy.name}@{pack.policy.revision}, {number} tasks"
    return _Diagnosis(f"pack {path}", not worst, said, f"router check {path}" if worst else "")


def _data(folder: Path) -> _Diagnosis:
    """Try to write, and to open a database, where the proxy would."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"doctor-{os.getpid()}.db"
        with sqlite3.connect(probe) as database:
            database.execute("create table probe (x)")
        database.close()
        probe.unlink()
    except (OSError, sqlite3.Error) as error:
        return _Diagnosis(f"data folder {folder}", False, str(error), "name a folder that can be written with --data")
    return _Diagnosis(f"data folder {folder}", True, "can be written")


def _database(url: str) -> _Diagnosis:
    """Open the database as the proxy would: it is brought up to date on the way."""
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        open_database(url).close()
    except SettingsError as error:
        return _Diagnosis(f"database {shown}", False, str(error), "start the server, or correct `database`")
    return _Diagnosis(f"database {shown}", True, "can be opened, with the newest schema")


def _port(settings: Settings) -> _Diagnosis:
    host, port = settings.listen.host, settings.listen.port
    what = f"port {host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        address = f"http://{shown_host(host)}:{port}"
        if not _is_router(address):
            fix = "end the program that has it, or choose another --port"
            return _Diagnosis(what, False, error.strerror or str(error), fix)
        if served_at(settings.data) == address:
            return _Diagnosis(what, True, "the server of this data folder listens here")
        fix = "name its data folder with --data, or choose another --port"
        return _Diagnosis(what, False, "a Prompt Router that serves another data folder listens here", fix)
    return _Diagnosis(what, True, "free")


def _is_router(address: str) -> bool:
    """Say whether a Prompt Router answers there. No proxy of the environment is asked."""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        with ask(f"{address}/health/live", timeout=ANSWER_WITHIN_S) as reply:
            return bool(json.loads(reply.read(100)) == {"status": "live"})
    except (OSError, ValueError, http.client.HTTPException):
        return False


def _litellm(name: str) -> _Diagnosis:
    if importlib.util.find_spec("litellm") is None:
        return _Diagnosis(f"backend {name}", False, "litellm is not installed", 'pip install "prompt-router[litellm]"')
    return _Diagnosis(f"backend {name}", True, f"litellm {importlib.metadata.version('litellm')}")
