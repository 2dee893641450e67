"""SQLite: one connection writes, under a lock; every read takes its own. Neither blocks the other (write-ahead log).

One connection serves both kinds of write. `synchronous` is switched between transactions: FULL waits for the disk at
each commit, NORMAL does not, and loses at most the last commits when the machine dies
(https://www.sqlite.org/pragma.html#pragma_synchronous). Switching takes 3 microseconds. A second connection for the
durable ones was no faster, batches of both kinds alternating: 10 microseconds a trace, 3.5 ms a durable commit.

Transactions are begun by us, not by Python's driver, which begins them too late: a writer takes the lock of all
processes at once, so that what it has read still holds when it writes, and waiting for that lock is possible at all.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.pool import StaticPool

from router.stores.database import MIGRATE_WITHIN_S, Database

T = TypeVar("T")

LOOK_EVERY = 20_000
"""Steps of SQLite's machine between two looks at the clock: about a millisecond."""

RETRY_S = 0.01

GIVEN_BACK_PAGES = 2_000
"""Pages given back to the disk at once: eight megabytes, some milliseconds."""

_IN_MEMORY = ("", ":memory:")


class SqliteDatabase(Database):
    """A file, or with no path a database in memory that ends with this object."""

    def __init__(self, place: URL, within_s: float) -> None:
        super().__init__(place, within_s)
        self._in_memory = (place.database or "") in _IN_MEMORY
        self._engine = _engine(place, within_s, in_memory=self._in_memory)
        self.dialect = self._engine.dialect
        self._lock = threading.Lock()
        self._durable: bool | None = None
        try:
            self._writer = self._engine.connect().execution_options(writes=True)
            self._raw: sqlite3.Connection = self._writer.connection.driver_connection  # type: ignore[assignment]
            self._prepare()
            self._file = _identity(place)
        except BaseException:
            self._engine.dispose()
            raise

    def _close(self) -> None:
        with self._lock:
            self._writer.close()
            self._engine.dispose()

    def used_bytes(self, connection: Connection) -> int:
        """Return the pages in use, in bytes."""
        pages, free, size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def give_back(self) -> None:
        """Cut free pages off the file's end, if it was made so that they can be, and empty the log.

        What the pages held is gone already: deleted content is overwritten (`secure_delete`).
        """

        def cut(connection: Connection) -> int:
            # Each step frees a page, and SQLAlchemy takes none where no rows come.
            self._raw.execute(f"PRAGMA incremental_vacuum({GIVEN_BACK_PAGES})").fetchall()
            return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())

        free = -1
        while (left := self.write(cut, "retention_failed", "free pages cannot be given back")) != free:
            free = left
        with (
            self._lock,
            suppress(sqlite3.Error),
        ):  # where readers are at work, or the disk is full, the next one does it
            self._raw.execute("PRAGMA busy_timeout=0")
            self._raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _insert(self, table: Table) -> Any:
        return insert(table)

    def run_read(self, ask: Callable[[Connection], T], within_s: float) -> T:
        """Run in a transaction that sees one state."""
        if self._in_memory:
            return self.run_write(ask, False, within_s)
        self._require_file()
        with self._engine.connect() as connection:
            raw: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            with _bounded(raw, time.monotonic() + within_s), connection.begin():
                return ask(connection)

    def run_write(self, change: Callable[[Connection], T], durable: bool, within_s: float) -> T:
        """Run in a transaction of the only writer."""
        until = time.monotonic() + within_s
        self._require_file()
        if not self._lock.acquire(timeout=within_s):
            raise TimeoutError(f"database is locked: an earlier write was not done within {within_s:g} s")
        try:
            if durable is not self._durable:
                self._raw.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            try:
                with _bounded(self._raw, until), self._writer.begin():
                    return change(self._writer)
            finally:
                # A commit that failed, for want of room say, leaves the transaction open.
                if not self._writer.closed and self._raw.in_transaction:
                    self._raw.rollback()
        finally:
            self._lock.release()

    def _require_file(self) -> None:
        """See that the file is still the one that was opened.

        Where it was deleted, SQLite would go on writing into what nobody will find again. Raises OSError.
        """
        if not self._in_memory and _identity(self.place) != self._file:
            raise FileNotFoundError(
                f"the file {self.place.database} was deleted or replaced while it was in use; put it back, or restart"
                " the server"
            )

    def _prepare(self) -> None:
        """Set the file up for a writer beside readers.

        Other processes may be doing the same. SQLite does not wait for them while it changes the mode of the file.
        """
        until = time.monotonic() + MIGRATE_WITHIN_S
        while True:
            try:
                if self._raw.execute("PRAGMA page_count").fetchone() == (0,):
                    self._raw.execute("PRAGMA auto_vacuum=INCREMENTAL")  # for `give_back`; later is too late
                self._raw.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(RETRY_S)


def _identity(place: URL) -> tuple[int, int] | None:
    """Return what tells a database's file from another that takes its name; None where there is none."""
    name = place.database or ""
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _engine(place: URL, within_s: float, *, in_memory: bool) -> Engine:
    if in_memory:
        engine = create_engine(place, poolclass=StaticPool, connect_args={"check_same_thread": False})
    else:
        engine = create_engine(place, pool_timeout=within_s)

    @event.listens_for(engine, "connect")
    def own_transactions(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=0")
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _bounded(connection: sqlite3.Connection, until: float) -> Iterator[None]:
    """Bound what is done on a connection: waits for the locks of other processes, and statements."""
    left_ms = max(0, int((until - time.monotonic()) * 1000))
    connection.execute(f"PRAGMA busy_timeout={left_ms}")
    connection.set_progress_handler(lambda: time.monotonic() > until, LOOK_EVERY)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
