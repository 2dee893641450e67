"""What may be wrong with an installation: each part is tried for real, and what fails says what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from router import __version__
from router.assembly import shipped_pack
from router.core.errors import PolicyError, SettingsError
from router.packs import check, load_pack
from router.server.keys import require_safe_binding
from router.server.settings import Settings
from router.server.settings_source import load_settings
from router.stores import open_database

REQUIRED_PYTHON = (3, 11)
REACH_S = 3.0


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing that was looked at: what, what was found, and what to do if that is not good."""

    what: str
    good: bool
    found: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return asdict(self)


def examine(config: Path | None, environ: Mapping[str, str], overrides: Mapping[str, Any]) -> Iterator[Examined]:
    """Yield what was found, cheapest first; settings that cannot be read end the examination."""
    version = sys.version_info
    yield Examined(
        "python",
        version >= REQUIRED_PYTHON,
        f"{version.major}.{version.minor}.{version.micro}",
        "" if version >= REQUIRED_PYTHON else "install Python 3.11 or newer",
    )
    yield Examined("prompt-router", True, __version__)
    try:
        settings = load_settings(config, environ, overrides)
        require_safe_binding(settings)
    except SettingsError as error:
        yield Examined("settings", False, str(error), "correct what it names")
        return
    yield Examined("settings", True, str(config or "defaults and environment"))
    for path in settings.packs or (shipped_pack(),):
        yield _pack(path)
    yield _data(settings.data)
    if settings.database is not None:
        yield _database(settings.database.get_secret_value())
    yield _port(settings)
    for name, backend in settings.backends.items():
        if backend.type == "litellm":
            yield _litellm(name)
        if backend.base_url:
            yield _reach(name, backend.base_url)


def _pack(path: Path) -> Examined:
    try:
        pack = load_pack(path)
    except PolicyError as error:
        return Examined(f"pack {path}", False, str(error), "correct what it names, then: router check " + str(path))
    worst = [finding for finding in check(pack) if finding.severity == "error"]
    said = f"{pack.policy.name}@{pack.policy.revision}, {len(pack.policy.tasks)} tasks"
    return Examined(f"pack {path}", not worst, said, f"router check {path}" if worst else "")


def _data(folder: Path) -> Examined:
    """Try to write, and to open a database, where the proxy would."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"doctor-{os.getpid()}.db"
        with sqlite3.connect(probe) as database:
            database.execute("create table probe (x)")
        database.close()
        probe.unlink()
    except (OSError, sqlite3.Error) as error:
        return Examined(f"data folder {folder}", False, str(error), "name a folder that can be written with --data")
    return Examined(f"data folder {folder}", True, "can be written")


def _database(url: str) -> Examined:
    """Open the database as the proxy would: it is brought up to date on the way."""
    shown = make_url(url).render_as_string(hide_password=True)
    try:
        open_database(url).close()
    except SettingsError as error:
        return Examined(f"database {shown}", False, str(error), "start the server, or correct `database`")
    return Examined(f"database {shown}", True, "can be opened, with the newest schema")


def _port(settings: Settings) -> Examined:
    host, port = settings.listen.host, settings.listen.port
    what = f"port {host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Examined(
            what, False, error.strerror or str(error), "end the program that has it, or choose another --port"
        )
    return Examined(what, True, "free")


def _litellm(name: str) -> Examined:
    if importlib.util.find_spec("litellm") is None:
        return Examined(f"backend {name}", False, "litellm is not installed", 'pip install "prompt-router[litellm]"')
    return Examined(f"backend {name}", True, f"litellm {importlib.metadata.version('litellm')}")


def _reach(name: str, base_url: str) -> Examined:
    """Open a connection, without sending anything."""
    scheme, _, rest = base_url.partition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    if not host or not port.isdigit():
        host, port = rest.partition("/")[0], "443" if scheme == "https" else "80"
    return _tried(
        f"backend {name}",
        lambda: socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close(),
        f"{host}:{port} can be reached",
        f"start the server at {base_url}, or correct base_url",
    )


def _tried(what: str, attempt: Callable[[], None], good: str, fix: str) -> Examined:
    try:
        attempt()
    except OSError as error:
        return Examined(what, False, error.strerror or str(error), fix)
    return Examined(what, True, good)
