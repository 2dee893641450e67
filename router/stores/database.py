"""One opened database for all stores, SQLite or PostgreSQL: short transactions, bounded in time, written one way.

A store hands over a function of a SQLAlchemy connection, and says what is lost if it fails:

    last = database.read(lambda connection: connection.scalar(query), "audits_failed", "the audits cannot be read")
    database.write(lambda connection: connection.execute(deletion), "pins_failed", "void pins cannot be removed")

The function runs in one transaction, all or nothing. `durable` writes are on the disk when `write` returns; of others
the last few may be lost when the machine dies, never the database. A function may be called a second time where the
database asks for it (a deadlock), so it changes nothing but the database.

Opening raises SettingsError, because a database that cannot be used is the operator's to mend. Afterwards every failure
is Degraded: within the time allowed, and after several failures in a row at once (`CircuitBreaker`). It has the
driver's words, never the statement nor its values: they belong in no log.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Dialect, Table, literal, text, tuple_
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.sql import Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert

from router.core.errors import Degraded
from router.stores.rows import Row

T = TypeVar("T")

WITHIN_S = 5.0
"""How long a call may take unless told otherwise, waiting for locks included. No request waits for it."""

MIGRATE_WITHIN_S = 60.0
"""How long bringing the schema up to date may take, or waiting for another process that does."""

SEARCH_WITHIN_S = 60.0
"""How long a page may take that is looked for in all rows, without an index: a second for each million."""

PAGE_ROWS = 5_000
"""Rows of a page: of traces, some megabytes and 30 ms."""

FAILURES = 5
"""Failures in a row after which a circuit breaker opens."""

OPEN_S = 10.0
"""How long it stays open. Then one call tries again, and the next after as long if that fails as well."""

FAILURES_OF_DRIVERS = (SQLAlchemyError, sqlite3.Error, OSError, CancelledError, OverflowError, UnicodeError)
"""What drivers raise: their own errors, those of sockets and time-outs, and of values that no column can hold."""

_OF_THE_CALL = (IntegrityError, DataError, ProgrammingError, OverflowError, UnicodeError)

_QUOTED_VALUE = re.compile(r"(query argument \$\d+[^:]*): .*", re.DOTALL)
"""What asyncpg says of a value that does not fit; it goes on with the value."""


class CircuitBreaker:
    """Leaves alone for a while what has failed several times in a row, so that nobody waits for it in vain.

    Safe to use from any thread. `clock` gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._closed_at = 0.0
        self._cause = ""

    def refusal(self) -> str:
        """Return why a call should not even be tried, naming the last failure; empty where it may be tried."""
        if self._failures < FAILURES:
            return ""
        with self._lock:
            now = self._clock()
            if now >= self._closed_at:
                self._closed_at = now + OPEN_S  # this call tries; the others wait for what becomes of it
                return ""
            return f"left alone for {OPEN_S:g} s after {self._failures} failures, the last: {self._cause}"

    def failed(self, cause: str) -> None:
        """Count a failure."""
        with self._lock:
            self._failures += 1
            self._cause = cause
            if self._failures >= FAILURES:
                self._closed_at = self._clock() + OPEN_S

    def succeeded(self) -> None:
        """Forget the failures."""
        if self._failures:
            with self._lock:
                self._failures = 0


class Database(ABC):
    """A database with the newest schema. Safe to use from any thread; each call holds its thread until it is done."""

    dialect: Dialect
    """How this database spells SQL."""

    def __init__(self, place: URL, within_s: float) -> None:
        self.place = place
        self.within_s = within_s
        self._reading, self._writing = CircuitBreaker(), CircuitBreaker()
        self._closed = False
        self.set_aside = ""
        """Says where a damaged database lies that this one has taken the place of."""

    def read(self, ask: Callable[[Connection], T], code: str, failing: str, *, within_s: float | None = None) -> T:
        """Return what `ask` does, in a transaction that sees one state of the database.

        Raises Degraded with this code, and `failing` in front of the cause.
        """
        return self._guarded(self._reading, lambda most_s: self.run_read(ask, most_s), code, failing, within_s)

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
            self._writing, lambda most_s: self.run_write(change, durable, most_s), code, failing, within_s
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
    def run_read(self, ask: Callable[[Connection], T], within_s: float) -> T:
        """Do what `read` does, without its breaker. Raises what the driver raises."""

    @abstractmethod
    def run_write(self, change: Callable[[Connection], T], durable: bool, within_s: float) -> T:
        """Do what `write` does, without its breaker. Raises what the driver raises."""

    def _guarded(
        self, breaker: CircuitBreaker, run: Callable[[float], T], code: str, failing: str, within_s: float | None
    ) -> T:
        refusal = "the database is closed" if self._closed else breaker.refusal()
        if refusal:
            raise Degraded(code, f"{failing}: {refusal}")
        try:
            done = run(self.within_s if within_s is None else within_s)
        except FAILURES_OF_DRIVERS as error:
            words = cause(error)
            if _is_of_the_call(error):
                breaker.succeeded()
            else:
                breaker.failed(words)
            raise Degraded(code, f"{failing}: {words}") from error
        breaker.succeeded()
        return done


class Insertion:
    """Inserts rows of a table, given as mappings from column to value, where they are not stored already.

    Compiled once, and rows are handed to the driver as they are. That halves the time of a batch of 200 traces in
    SQLite: 29 to 14 microseconds a row.
    """

    def __init__(self, database: Database, table: Table, columns: Sequence[str] | None = None) -> None:
        compiled = database.insert_new(table).compile(
            dialect=database.dialect, column_keys=list(columns or table.columns.keys())
        )
        self._statement = str(compiled)
        in_order = compiled.positiontup if isinstance(compiled, SQLCompiler) else None
        self._arranged: Callable[[Row], Any] = itemgetter(*in_order) if in_order else dict

    def arrange(self, rows: Sequence[Row]) -> list[Any]:
        """Return rows as `run` takes them: what can be done before a connection is held."""
        return list(map(self._arranged, rows))

    def run(self, connection: Connection, arranged: list[Any]) -> None:
        """Insert arranged rows."""
        if arranged:
            connection.exec_driver_sql(self._statement, arranged)


def pages(
    database: Database,
    query: Select[Any],
    keys: Sequence[Column[Any]],
    code: str,
    failing: str,
    *,
    rows: int = PAGE_ROWS,
    within_s: float | None = None,
) -> Iterator[list[Row]]:
    """Yield the rows of a query in the order of `keys`, columns of the query that together tell its rows apart.

    What is written meanwhile is there or not. `within_s` bounds a page. Raises Degraded.
    """
    ordered = query.order_by(*keys).limit(rows)
    page_query = ordered
    while True:

        def ask(connection: Connection, page_query: Select[Any] = page_query) -> list[Row]:
            return [dict(row) for row in connection.execute(page_query).mappings()]

        page = database.read(ask, code, failing, within_s=within_s)
        if page:
            yield page
        if len(page) < rows:
            return
        last = [literal(page[-1][key.name], key.type) for key in keys]
        page_query = ordered.where(keys[0] > last[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*last))


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
