"""Pins in a database: written in place of themselves, read while they hold."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import text

from router.core.errors import Degraded
from router.core.evidence import Belief, Evidence, Thresholds
from router.core.policy import Level
from router.core.store_ports import PinRecord
from router.stores import Database, SqlPinStore, open_database

RECORD = PinRecord(
    policy="desk",
    conversation="c1",
    first="0",
    revision="rev-1",
    began_s=100.0,
    seen_s=200.0,
    idle_s=60.0,
    cues=((0, {"tier": "free"}), (3, {"tier": "pro", "seats": 4, "beta": True})),
    faulted={2: Evidence(Belief({"/a": 0.5}), {"tier": "pro"}, Thresholds(0.6), faults=("recogniser_late",))},
)


@pytest.fixture
def store(database: Database) -> SqlPinStore:
    return SqlPinStore(database)


def test_what_is_written_is_read_by_the_next_process(database: Database, store: SqlPinStore, url: str) -> None:
    store.write([RECORD])
    database.close()
    reopened = open_database(url)
    assert SqlPinStore(reopened).read(200.0) == [RECORD]
    reopened.close()


def test_a_pin_takes_the_place_of_its_earlier_record(store: SqlPinStore) -> None:
    later, other = replace(RECORD, seen_s=230.0), replace(RECORD, first="1", seen_s=240.0)
    store.write([RECORD, later])
    store.write([other, later])
    assert store.read(240.0) == [later, other]  # the least recently used first


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize(
    "moves",
    [None, {}, {"/a": 0, "/a/b": -1, "/c": 2}],
    ids=["nothing tuned", "none yet", "some"],
)
def test_the_moves_of_a_conversation_come_back_as_they_were(
    store: SqlPinStore, moves: dict[str, int] | None, drawn: bool
) -> None:
    record = replace(RECORD, moves=moves, drawn=drawn)
    store.write([record])
    assert store.read(200.0) == [record]


@pytest.mark.parametrize("stored", ['{"": {"/a": 0, "/a/b": 3}, "high": {"/a": 1}}', '{"": {}}'])
def test_the_levels_that_earlier_releases_stored_by_complexity_are_read(
    database: Database, store: SqlPinStore, stored: str
) -> None:
    store.write([replace(RECORD, moves={})])
    change = text("UPDATE pins SET levels = :stored").bindparams(stored=stored)
    database.write(lambda connection: connection.execute(change), "failed", "no")
    (found,) = store.read(200.0)
    assert found.moves == {}
    assert found.levels == json.loads(stored)
    assert all(isinstance(level, Level) for given in found.levels.values() for level in given.values())


def test_what_is_void_is_forgotten(store: SqlPinStore) -> None:
    store.write([RECORD])
    assert store.read(260.1) == []
    assert store.read(200.0) == []
    store.write([RECORD])
    store.forget(260.0)
    assert store.read(200.0) == [RECORD]
    store.forget(260.1)
    assert store.read(200.0) == []


def test_a_store_that_is_gone_is_degraded(database: Database, store: SqlPinStore) -> None:
    database.write(lambda connection: connection.exec_driver_sql("DROP TABLE pins"), "failed", "no")
    for use in (lambda: store.write([RECORD]), lambda: store.read(0.0), lambda: store.forget(0.0)):
        with pytest.raises(Degraded) as caught:
            use()
        assert caught.value.code == "pins_failed"
