"""Open a database: SQLite or PostgreSQL by its address, with the newest schema. The only place that runs Alembic.

Databases of releases before the revisions say their version in `schema_version`. What the first revision makes is
exactly what such a database holds, and it leaves alone what is there, so it is brought up to date from the beginning.
Drivers, and Alembic, which takes a tenth of a second to import, are imported when they are needed.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, OperationalError

from router.core.errors import SettingsError
from router.stores.database import FAILURES_OF_DRIVERS, MIGRATE_WITHIN_S, WITHIN_S, Database, cause, lock
from router.stores.schema import RELEASED_VERSION, REVISION, schema_version

log = logging.getLogger("router.stores")

POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")
"""How addresses of PostgreSQL may begin; all go by asyncpg."""


def open_database(url: str, *, within_s: float = WITHIN_S, set_aside: bool = False) -> Database:
    """Return the database at `url`, with the newest schema: made, or brought up to date, where it is not.

    `url` is `sqlite:///` with a path, `sqlite://` for one in memory, or `postgresql://user:password@host/name`.
    `within_s` bounds every call. With `set_aside` a damaged file of SQLite is given another name, and a new one begun;
    `Database.set_aside` then says so. Raises SettingsError when it cannot be opened, or was written by a newer version.
    """
    try:
        place = make_url(url)
        if place.drivername in POSTGRESQL:
            kind: type[Database] = import_module("router.stores.postgres").PostgresDatabase
        elif place.get_backend_name() == "sqlite":
            kind = import_module("router.stores.sqlite").SqliteDatabase
        else:
            raise ArgumentError(f'"{place.drivername}" is neither sqlite nor postgresql')
    except ArgumentError as error:
        raise SettingsError(f"the database's address cannot be used: {cause(error)}") from error
    try:
        try:
            database = _opened(kind, place, within_s, examine=set_aside)
        except FAILURES_OF_DRIVERS as error:
            if not set_aside or not _is_damaged(error):
                raise
            said = _set_aside(place, error)
            database = _opened(kind, place, within_s)
            database.set_aside = said
    except (*FAILURES_OF_DRIVERS, TypeError, ValueError) as error:
        hint = (
            "Check that its folder exists and may be written to, or name another folder with --data."
            if place.get_backend_name() == "sqlite"
            else "Check that the server is running, that the address is right, and that the user may create tables."
        )
        raise SettingsError(
            f"the database {place.render_as_string()} cannot be opened: {cause(error)}. {hint}"
        ) from error
    return database


def _opened(kind: type[Database], place: URL, within_s: float, *, examine: bool = False) -> Database:
    database = kind(place, within_s)
    try:
        if examine and place.get_backend_name() == "sqlite":
            _examine(database)
        _bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return database


EXAMINE_WITHIN_S = 2.0
"""How long a file of SQLite is examined at the start of a server: some hundred megabytes."""


def _examine(database: Database) -> None:
    """Look for damage in a file of SQLite, for a while. Raises sqlite3.DatabaseError where there is any."""
    try:
        found = database.run_read(
            lambda connection: connection.exec_driver_sql("PRAGMA quick_check(1)").scalar(), EXAMINE_WITHIN_S
        )
    except OperationalError:  # it took too long, or is locked
        return
    if found != "ok":
        raise sqlite3.DatabaseError(f"database disk image is malformed: {found}")


def _is_damaged(error: BaseException) -> bool:
    """Say whether SQLite cannot read a file: https://www.sqlite.org/rescode.html (SQLITE_CORRUPT, SQLITE_NOTADB)."""
    driver = getattr(error, "orig", None) or error
    return isinstance(driver, sqlite3.DatabaseError) and bool(_DAMAGED.search(str(driver)))


_DAMAGED = re.compile("is malformed|malformed database schema|is not a database")


def _set_aside(place: URL, error: BaseException) -> str:
    """Give a damaged file, and those that belong to it, another name, and say so. Raises OSError."""
    file = Path(place.database or "")
    to = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    for end in ("-wal", "-shm", ""):
        part = file.with_name(file.name + end)
        if part.exists():
            part.rename(to.with_name(to.name + end))
    said = f"{file} was damaged ({cause(error)}); it is set aside as {to}, and a new one was begun"
    log.error("database %s", said)
    return said


def revisions() -> list[str]:
    """Return the revisions of the schema that this program knows, the newest first."""
    scripts = import_module("alembic.script").ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()]


def _bring_up_to_date(database: Database) -> None:
    """Migrate a database, unless it has the newest revision. Raises SettingsError when it is newer than the program."""

    def change(connection: Connection) -> None:
        lock(connection, "schema")
        if not _is_newest(connection, database.place):  # another process may just have done it
            logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each step it takes
            import_module("alembic.command").upgrade(_config(connection), "head")
            log.info("database %s: its schema is now at revision %s", database.place.render_as_string(), REVISION)

    if not database.run_read(lambda connection: _is_newest(connection, database.place), MIGRATE_WITHIN_S):
        database.run_write(change, durable=True, within_s=MIGRATE_WITHIN_S)


def _is_newest(connection: Connection, place: URL) -> bool:
    """Say whether a database has the newest revision. Raises SettingsError when it is newer than the program."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if found == REVISION or found is None:
            return found is not None
        if found in revisions():
            return False
        raise _newer(place, found)
    if tables.has_table(schema_version.name):
        version = connection.scalar(select(schema_version.c.version))
        if version is not None and version > RELEASED_VERSION:
            raise _newer(place, str(version))
    return False


def _config(connection: Connection | None = None) -> Any:
    """Return Alembic's configuration as a file would hold it, for this connection."""
    config = import_module("alembic.config").Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _newer(place: URL, found: str) -> SettingsError:
    return SettingsError(
        f"the database {place.render_as_string()} has schema version {found}, newer than the {REVISION} that this"
        " program knows. Start the newer program that wrote it, or name another database."
    )
