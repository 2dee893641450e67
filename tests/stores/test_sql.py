"""What is special about the SQL store: files, versions, and a database that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from router.core.errors import Degraded, SettingsError
from router.core.trace import Trace
from router.stores.rows import RowMaker
from router.stores.schema import SCHEMA_VERSION, decisions
from router.stores.sql import SqlTraceStore

Traces = Callable[..., Trace]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "traces.db"


def url(place: Path) -> str:
    return f"sqlite:///{place}"


def test_traces_survive_a_restart(trace: Traces, place: Path) -> None:
    store = SqlTraceStore(url(place))
    store.write([trace(1)])
    store.close()
    again = SqlTraceStore(url(place))
    assert again.read("dec_1")["tenant"] == "acme"
    again.close()


def test_every_column_is_filled_by_the_row_maker(trace: Traces) -> None:
    assert list(RowMaker().row(trace(1))) == [column.name for column in decisions.columns]


def test_the_database_is_in_write_ahead_mode_and_indexed(place: Path) -> None:
    SqlTraceStore(url(place)).close()
    connection = sqlite3.connect(place)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    indexed = {
        tuple(row[2] for row in connection.execute(f"PRAGMA index_info('{name}')"))
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
    }
    assert indexed >= {("tenant", "conversation"), ("at_ms",), ("task",), ("response_id",), ("id",)}
    connection.close()


def test_a_newer_database_is_refused_and_left_alone(place: Path) -> None:
    SqlTraceStore(url(place)).close()
    connection = sqlite3.connect(place)
    with connection:
        connection.execute("UPDATE schema_version SET version = ?", (SCHEMA_VERSION + 1,))
    with pytest.raises(SettingsError, match=rf"{place}.*version {SCHEMA_VERSION + 1}.*newer"):
        SqlTraceStore(url(place))
    assert connection.execute("SELECT version FROM schema_version").fetchall() == [(SCHEMA_VERSION + 1,)]
    connection.close()


def _no_folder(place: Path) -> str:
    return url(place.parent / "absent" / "traces.db")


def _no_database(place: Path) -> str:
    place.write_bytes(b"this is not a database" * 100)
    return url(place)


def _another_table(place: Path) -> str:
    connection = sqlite3.connect(place)
    connection.execute("CREATE TABLE schema_version (other INTEGER)")
    connection.close()
    return url(place)


@pytest.mark.parametrize("spoil", [_no_folder, _no_database, _another_table])
def test_an_unusable_database_is_named_with_a_way_out(place: Path, spoil) -> None:
    with pytest.raises(SettingsError, match=r"traces\.db.*cannot be opened.*--data"):
        SqlTraceStore(spoil(place))


@pytest.mark.parametrize("address", ["", "nonsense", "nosuchdb://host/db"])
def test_an_unusable_address_is_a_settings_error(address: str) -> None:
    with pytest.raises(SettingsError, match="address cannot be used"):
        SqlTraceStore(address)


def test_a_password_in_the_address_is_in_no_error(place: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        SqlTraceStore("nosuchdb://router:hunter2@host/db")
    assert "hunter2" not in str(caught.value)


def test_a_failed_batch_is_degraded_whole_and_the_next_one_is_stored(trace: Traces, place: Path) -> None:
    store = SqlTraceStore(url(place))
    connection = sqlite3.connect(place)
    with connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON decisions WHEN new.id = 'dec_2'"
            " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(Degraded, match="2 traces were not stored: disk is full") as caught:
        store.write([trace(1), trace(2)])
    assert caught.value.code == "store_failed"
    assert store.read("dec_1") is None
    store.write([trace(1)])
    assert store.read("dec_1") is not None
    connection.close()
    store.close()


def test_reading_a_broken_database_is_degraded(place: Path) -> None:
    store = SqlTraceStore(url(place))
    connection = sqlite3.connect(place)
    connection.execute("DROP TABLE decisions")
    connection.close()
    with pytest.raises(Degraded, match="no such table"):
        store.recent()
    store.close()


def test_writing_after_closing_is_degraded(trace: Traces, place: Path) -> None:
    store = SqlTraceStore(url(place))
    store.close()
    with pytest.raises(Degraded):
        store.write([trace(1)])
