"""Opening a SQL database: its tables made, its version known; SQLite set up for one writer beside many readers.

`synchronous=NORMAL` loses at most the last batches when the machine dies, never the database
(https://www.sqlite.org/pragma.html#pragma_synchronous): enough for traces. What must not be lost asks for `durable`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Engine, create_engine, event, insert, inspect, make_url, select, update
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateColumn

from router.core.errors import SettingsError
from router.stores.schema import ADDED, PART, SCHEMA_VERSION, metadata, schema_version

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another process's lock. The recorder's thread can wait; no request does."""


def open_database(url: str, *, durable: bool = False) -> tuple[Engine, Connection]:
    """Return the engine and the writing connection of a database with the right schema.

    Raises SettingsError when it cannot be opened, or was written by a newer version.
    """
    try:
        place = make_url(url)
        engine = create_engine(place)
    except (ArgumentError, ImportError) as error:
        raise SettingsError(f"the trace store's address cannot be used: {cause(error)}") from error
    if engine.dialect.name == "sqlite":
        pragmas = (
            f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
            "PRAGMA journal_mode=WAL",
            f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}",
        )

        @event.listens_for(engine, "connect")
        def set_pragmas(connection: Any, record: object) -> None:
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(pragma)
            cursor.close()

    try:
        metadata.create_all(engine)
        with engine.begin() as connection:
            _check_version(connection, place)
        return engine, engine.connect()
    except SQLAlchemyError as error:
        engine.dispose()
        raise SettingsError(
            f"the trace store {place.render_as_string()} cannot be opened: {cause(error)}. Check that its folder"
            " exists and may be written to, or name another folder with --data."
        ) from error
    except SettingsError:
        engine.dispose()
        raise


def _check_version(connection: Connection, place: URL) -> None:
    found = connection.scalar(select(schema_version.c.version).where(schema_version.c.part == PART))
    if found is None:
        connection.execute(insert(schema_version).values(part=PART, version=SCHEMA_VERSION))
    elif found < SCHEMA_VERSION:
        for version in range(found + 1, SCHEMA_VERSION + 1):
            for column in ADDED.get(version, ()):
                _add_column(connection, column)
        connection.execute(update(schema_version).where(schema_version.c.part == PART).values(version=SCHEMA_VERSION))
    elif found > SCHEMA_VERSION:
        raise SettingsError(
            f"the trace store {place.render_as_string()} has schema version {found}, newer than the {SCHEMA_VERSION}"
            " that this program knows. Start the newer program that wrote it, or name another folder with --data."
        )


def _add_column(connection: Connection, column: Column[Any]) -> None:
    """Add a column that a newer version brought, unless another process has just done so."""
    if column.name not in {known["name"] for known in inspect(connection).get_columns(column.table.name)}:
        written = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {column.table.name} ADD COLUMN {written}")


def cause(error: BaseException) -> str:
    """Return the driver's own words: SQLAlchemy's add the statement and its values, which belong in no log."""
    return str(getattr(error, "orig", None) or error)
