"""One opened database for all stores, SQLite or PostgreSQL: short transactions, bounded in time, written one way.

A store hands over a function of a SQLAlchemy connection, and says what is lost if it fails:

    last = database.read(lambda connection: connection.scalar(query), "audits_failed", "the audits cannot be read")
    database.write(lambda connection: connection.execute(deletion), "pins_failed", "void pins cannot be removed")

The function runs in one transaction, all or nothing. `durable` writes are on the disk when `write` returns; of others
the last few may be lost when the machine dies, never the database. A function may be called a second time where the
database asks for it (a deadlock), so it changes nothing but the database.

Opening raises SettingsError, because a database that cannot be used is the operator's to mend. Afterwards every failure
is Degraded: within the time allowed, and after several failures in a row at once (`router.stores.breaker`). It has the
driver's words, never the statement nor its values: they belong in no log.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from hashlib import blake2b
from importlib import import_module
from types import ModuleType
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, inspect, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.sql.dml import Insert

from router.core.errors import Degraded, SettingsError
from router.stores.breaker import Breaker
from router.stores.schema import RELEASED_VERSION, REVISION, schema_version

T = TypeVar("T")

log = logging.getLogger("router.stores")

WITHIN_S = 5.0
"""How long a call may take unless told otherwise, waiting for locks included. No request waits for it."""

MIGRATE_WITHIN_S = 60.0
"""How long bringing the schema up to date may take, or waiting for another process that does."""

POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")
"""How addresses of PostgreSQL may begin; all go by asyncpg."""

_FAILURES = (SQLAlchemyError, sqlite3.Error, OSError, CancelledError, OverflowError, UnicodeError)
"""What drivers raise: their own errors, those of sockets and time-outs, and of values that no column can hold."""

_OF_THE_CALL = (IntegrityError, DataError, ProgrammingError, OverflowError, UnicodeError)

_QUOTED_VALUE = re.compile(r"(query argument \$\d+[^:]*): .*", re.DOTALL)
"""What asyncpg says of a value that does not fit; it goes on with the value."""


class Database(ABC):
    """A database with the newest schema. Safe to use from any thread; each call holds its thread until it is done."""

    dialect: Dialect
    """How this database spells SQL."""

    def __init__(self, place: URL, within_s: float) -> None:
        self.place = place
        self.within_s = within_s
        self._reading, self._writing = Breaker(), Breaker()
        self._closed = False

    def read(self, ask: Callable[[Connection], T], code: str, failing: str, *, within_s: float | None = None) -> T:
        """Return what `ask` does, in a transaction that sees one state of the database.

        Raises Degraded with this code, and `failing` in front of the cause.
        """
        return self._guarded(self._reading, lambda most_s: self._read(ask, most_s), code, failing, within_s)

    def write(
        self,
        change: Callable[[Connection], T],
        code: str,
        failing: str,
        *,
        durable: bool = False,
        within_s: float | None = None,
    ) -> T:
        """Return what `change` does, in a transaction that is committed then, durably if wanted.

        Raises Degraded as `read` does; then nothing is stored, except where the connection was lost while committing.
        """
        return self._guarded(
            self._writing, lambda most_s: self._write(change, durable, most_s), code, failing, within_s
        )

    def insert_new(self, table: Table) -> Insert:
        """Return the insertion of rows that leaves alone those that are stored already."""
        insertion: Insert = self._insert(table).on_conflict_do_nothing()
        return insertion

    def insert_adding(self, table: Table, counts: Sequence[str]) -> Insert:
        """Return the insertion of rows that adds their counts to those of a row that is stored already."""
        new = self._insert(table)
        added = {name: table.c[name] + new.excluded[name] for name in counts}
        insertion: Insert = new.on_conflict_do_update(index_elements=table.primary_key.columns, set_=added)
        return insertion

    @abstractmethod
    def used_bytes(self, connection: Connection) -> int:
        """Return how much room the rows take; rows that were deleted do not count, even if their room is kept."""

    @abstractmethod
    def give_back(self) -> None:
        """Give the room of deleted rows back to the disk, as far as that costs little. Raises Degraded."""

    def close(self) -> None:
        """Close all connections. Safe to call twice."""
        self._closed = True
        self._close()

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def _insert(self, table: Table) -> Any:
        """Return the dialect's own insertion: the two have no type in common that knows conflicts."""

    @abstractmethod
    def _read(self, ask: Callable[[Connection], T], within_s: float) -> T: ...

    @abstractmethod
    def _write(self, change: Callable[[Connection], T], durable: bool, within_s: float) -> T: ...

    def _guarded(
        self, breaker: Breaker, run: Callable[[float], T], code: str, failing: str, within_s: float | None
    ) -> T:
        refusal = "the database is closed" if self._closed else breaker.refusal()
        if refusal:
            raise Degraded(code, f"{failing}: {refusal}")
        try:
            done = run(self.within_s if within_s is None else within_s)
        except _FAILURES as error:
            words = cause(error)
            if _is_of_the_call(error):
                breaker.succeeded()
            else:
                breaker.failed(words)
            raise Degraded(code, f"{failing}: {words}") from error
        breaker.succeeded()
        return done


def open_database(url: str, *, within_s: float = WITHIN_S) -> Database:
    """Return the database at `url`, with the newest schema: made, or brought up to date, where it is not.

    `url` is `sqlite:///` with a path, `sqlite://` for one in memory, or `postgresql://user:password@host/name`.
    `within_s` bounds every call. Raises SettingsError when it cannot be opened, or was written by a newer version.
    """
    try:
        place = make_url(url)
        if place.drivername in POSTGRESQL:
            opened: type[Database] = import_module("router.stores.postgres").PostgresDatabase
        elif place.get_backend_name() == "sqlite":
            opened = import_module("router.stores.sqlite").SqliteDatabase
        else:
            raise ArgumentError(f'"{place.drivername}" is neither sqlite nor postgresql')
    except ArgumentError as error:
        raise SettingsError(f"the database's address cannot be used: {cause(error)}") from error
    try:
        return opened(place, within_s)
    except (*_FAILURES, TypeError, ValueError) as error:
        hint = (
            "Check that its folder exists and may be written to, or name another folder with --data."
            if place.get_backend_name() == "sqlite"
            else "Check that the server is running, that the address is right, and that the user may create tables."
        )
        raise SettingsError(
            f"the database {place.render_as_string()} cannot be opened: {cause(error)}. {hint}"
        ) from error


def is_newest(connection: Connection, place: URL) -> bool:
    """Return whether a database has the newest revision. Raises SettingsError when it is newer than the program."""
    tables = inspect(connection)
    if tables.has_table("alembic_version"):
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        if found == REVISION or found is None:
            return found is not None
        if found in _migrating().revisions():
            return False
        raise _newer(place, found)
    if tables.has_table(schema_version.name):
        version = connection.scalar(select(schema_version.c.version))
        if version is not None and version > RELEASED_VERSION:
            raise _newer(place, str(version))
    return False


def bring_up_to_date(connection: Connection, place: URL) -> None:
    """Migrate a database, unless another process has just done so. The caller holds the lock of all writers.

    Raises SettingsError when it is newer than the program.
    """
    if not is_newest(connection, place):
        _migrating().migrate(connection)
        log.info("database %s: its schema is now at revision %s", place.render_as_string(), REVISION)


def lock(connection: Connection, name: str) -> None:
    """Wait until no other transaction of the fleet holds this lock, and hold it to the end of this one.

    SQLite has one writer at a time as it is. https://www.postgresql.org/docs/current/explicit-locking.html
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(name)})


def try_lock(connection: Connection, name: str) -> bool:
    """Take the lock as `lock` does, but do not wait for it; return whether it was free."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _lock_key(name)}))


def cause(error: BaseException) -> str:
    """Return the driver's own words: SQLAlchemy's add the statement and its values, which belong in no log."""
    words = str(getattr(error, "orig", None) or error) or type(error).__name__
    return _QUOTED_VALUE.sub(r"\1 does not fit", words)


def _migrating() -> ModuleType:
    """Return what runs revisions; Alembic takes a tenth of a second to import, and tells of each step it takes."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return import_module("router.stores.migrating")


def _is_of_the_call(error: BaseException) -> bool:
    """Say whether a failure says nothing about the next call: its values or its statement were wrong."""
    if isinstance(error, _OF_THE_CALL):
        return True
    # asyncpg's errors of values come without a class of their own: class 22 is "data exception", and what it cannot
    # encode it does not send (https://www.postgresql.org/docs/current/errcodes-appendix.html).
    driver = getattr(error, "orig", None)
    return str(getattr(driver, "sqlstate", None) or "").startswith("22") or bool(_QUOTED_VALUE.search(str(driver)))


def _lock_key(name: str) -> int:
    return int.from_bytes(blake2b(f"prompt-router {name}".encode(), digest_size=8).digest(), "big", signed=True)


def _newer(place: URL, found: str) -> SettingsError:
    return SettingsError(
        f"the database {place.render_as_string()} has schema version {found}, newer than the {REVISION} that this"
        " program knows. Start the newer program that wrote it, or name another database."
    )
