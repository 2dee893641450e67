"""Pins in a database: written in place of themselves, read while they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from router.core.errors import Degraded, SettingsError
from router.core.evidence import Belief, Evidence, Thresholds
from router.core.ports import PinRecord
from router.stores import SqlPinStore, SqlTraceStore

RECORD = PinRecord(
    policy="desk",
    conversation="c1",
    first="0",
    revision="rev-1",
    began_s=100.0,
    seen_s=200.0,
    idle_s=60.0,
    cues=((0, {"tier": "free"}), (3, {"tier": "pro", "seats": 4, "beta": True})),
    faulted={2: Evidence(Belief({"/a": 0.5}), {"tier": "pro"}, Thresholds((0.6,)), faults=("recogniser_late",))},
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'router.db'}"


def test_what_is_written_is_read_by_the_next_process(url: str) -> None:
    store = SqlPinStore(url)
    store.write([RECORD])
    store.close()
    assert SqlPinStore(url).read(200.0) == [RECORD]


def test_a_pin_takes_the_place_of_its_earlier_record(url: str) -> None:
    store = SqlPinStore(url)
    later, other = replace(RECORD, seen_s=230.0), replace(RECORD, first="1", seen_s=240.0)
    store.write([RECORD, later])
    store.write([later, other])
    assert store.read(240.0) == [later, other]  # the least recently used first


def test_what_is_void_is_forgotten(url: str) -> None:
    store = SqlPinStore(url)
    store.write([RECORD])
    assert store.read(260.1) == []
    assert store.read(200.0) == []
    store.write([RECORD])
    store.forget(260.0)
    assert store.read(200.0) == [RECORD]
    store.forget(260.1)
    assert store.read(200.0) == []


def test_a_store_that_is_gone_is_degraded(url: str) -> None:
    store = SqlPinStore(url)
    with create_engine(url).begin() as connection:
        connection.execute(text("DROP TABLE pins"))
    for use in (lambda: store.write([RECORD]), lambda: store.read(0.0), lambda: store.forget(0.0)):
        with pytest.raises(Degraded) as caught:
            use()
        assert caught.value.code == "pins_failed"


def test_a_database_of_the_version_before_is_brought_up_to_date(url: str) -> None:
    SqlTraceStore(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        for column in ("retry", "prompt_tokens", "cached_tokens", "written_tokens", "completion_tokens"):
            connection.execute(text(f"ALTER TABLE decisions DROP COLUMN {column}"))
        connection.execute(text("UPDATE schema_version SET version = 1"))
    for _ in range(2):
        store = SqlTraceStore(url)
        assert store.recent() == []
        store.close()
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT version FROM schema_version")) == 2
        connection.execute(text("UPDATE schema_version SET version = 3"))
    with pytest.raises(SettingsError, match="newer"):
        SqlPinStore(url)
