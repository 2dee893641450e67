"""Pins in a database: written in place of themselves, read while they hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
    faulted={2: Evidence(Belief({"/a": 0.5}), {"tier": "pro"}, Thresholds((0.6,)), faults=("recogniser_late",))},
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
    "levels",
    [None, {}, {"": {"/a": Level.OFF, "/a/b": Level.DETAILED}, "high": {"/a": Level.BRIEF}}, {"": {}}],
    ids=["nothing tuned", "none yet", "some", "an empty one"],
)
def test_the_levels_of_a_conversation_come_back_as_they_were(
    store: SqlPinStore, levels: dict[str, dict[str, Level]] | None, drawn: bool
) -> None:
    record = replace(RECORD, levels=levels, drawn=drawn)
    store.write([record])
    (found,) = store.read(200.0)
    assert found == record
    assert all(isinstance(level, Level) for given in (found.levels or {}).values() for level in given.values())


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
