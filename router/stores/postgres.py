"""PostgreSQL for fleets, by asyncpg: an event loop in a thread of its own, which runs synchronous code all the same.

The functions that stores hand over are written for a synchronous connection. SQLAlchemy's `run_sync` runs them on the
loop, each in a greenlet that gives way whenever the driver waits
(https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#running-synchronous-methods-and-functions), so that one
code serves both databases.

The loop bounds every call: whoever waits is sent away in time, even if the server neither answers nor hangs up; the
call is cancelled, and its connection thrown away. A connection is tried before it is used, so a server that was
restarted costs nobody anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, literal_column, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from router.stores.database import Database
from router.stores.schema import metadata

T = TypeVar("T")

CONNECTIONS = 5
"""Connections of one process at most: the recorder's, the pins', feedback's, the tuner's, and one for readers."""

CLOSE_WITHIN_S = 2.0

AGAIN = frozenset({"40001", "40P01"})
"""Failures after which PostgreSQL asks to run the transaction again: serialization, deadlock.
https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html"""

TRIES = 3

SETTINGS = {"application_name": "prompt-router", "jit": "off", "plan_cache_mode": "force_custom_plan"}
"""Compiling helps queries that take seconds (https://www.postgresql.org/docs/current/jit-decision.html); none does.
A plan that is made once, without the values and while tables are small, reads a whole trial for every 500 units that
are looked for in it: with 20,000 outcomes 3 s instead of 0.05 s."""

_SAMPLED_ROWS = 500
_ROW_EXTRA_BYTES = 28
"""A row's header and its pointer. https://www.postgresql.org/docs/current/storage-page-layout.html"""


class PostgresDatabase(Database):
    """A database on a server that other replicas use as well."""

    def __init__(self, place: URL, within_s: float) -> None:
        super().__init__(place, within_s)
        self._engine = _engine(place, within_s)
        self.dialect = self._engine.dialect
        self._loop = _Loop()

    def _close(self) -> None:
        self._loop.close(self._engine.dispose())

    def used_bytes(self, connection: Connection) -> int:
        """Return about how much the rows of all tables take: their number, times the size of some.

        The files would tell more than that: they keep the room of deleted rows until it is used again.
        """
        used = 0
        for table in metadata.sorted_tables:
            sized = select(func.pg_column_size(literal_column(table.name)).label("size")).select_from(table)
            some = sized.limit(_SAMPLED_ROWS).subquery()
            size = connection.scalar(select(func.avg(some.c.size)))
            if size is not None:
                rows = connection.scalar(select(func.count()).select_from(table)) or 0
                used += int((float(size) + _ROW_EXTRA_BYTES) * rows)
        return used

    def give_back(self) -> None:
        """Do nothing: autovacuum makes the room of deleted rows usable again."""

    def _insert(self, table: Table) -> Any:
        return insert(table)

    def run_read(self, ask: Callable[[Connection], T], within_s: float) -> T:
        """Run in a transaction that sees one state."""

        async def run() -> T:
            async with self._engine.connect() as connection:
                # All statements of a call see the same state, as in SQLite.
                await connection.execution_options(isolation_level="REPEATABLE READ")
                async with connection.begin():
                    return await connection.run_sync(ask)

        return self._loop.run(run(), within_s)

    def run_write(self, change: Callable[[Connection], T], durable: bool, within_s: float) -> T:
        """Run in a transaction, once more where the server asks for it."""

        async def once(connection: AsyncConnection) -> T:
            async with connection.begin():
                if not durable:
                    # https://www.postgresql.org/docs/current/wal-async-commit.html
                    await connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
                return await connection.run_sync(change)

        async def run() -> T:
            tries = 0
            async with self._engine.connect() as connection:
                while True:
                    tries += 1
                    try:
                        return await once(connection)
                    except DBAPIError as error:
                        if tries == TRIES or getattr(error.orig, "sqlstate", None) not in AGAIN:
                            raise

        return self._loop.run(run(), within_s)


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="router-postgres", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], within_s: float) -> T:
        """Return what the work comes to. Raises TimeoutError when it takes longer, and cancels it."""
        if self._closed:
            work.close()
            raise ConnectionError("the database is closed")
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result(within_s)
        except TimeoutError:
            if doing.done():
                raise
            doing.cancel()
            raise TimeoutError(f"no answer within {within_s:g} s") from None

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Do a last piece of work and end the thread, once."""
        with self._closing:
            if self._closed:
                last.close()
                return
            with suppress(SQLAlchemyError, OSError, CancelledError):
                self.run(last, CLOSE_WITHIN_S)
            self._closed = True
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_WITHIN_S)

    def _serve(self) -> None:
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        if left:
            self._loop.run_until_complete(asyncio.wait(left))
        self._loop.close()


def _engine(place: URL, within_s: float) -> AsyncEngine:
    address = place.set(drivername="postgresql+asyncpg")
    if "sslmode" in address.query:  # the name that every other client of PostgreSQL has for it
        mode = address.query["sslmode"]
        address = address.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
    return create_async_engine(
        address,
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=within_s,
        pool_pre_ping=True,
        connect_args={"timeout": within_s, "server_settings": SETTINGS},
    )
