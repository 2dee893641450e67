"""What goes wrong with disks, processes and servers: nothing acknowledged is lost or counted twice, nobody hangs.

Each failure is Degraded, in the words of the driver, and over when its cause is.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from router.core.errors import Degraded, SettingsError
from router.core.learning import Feedback
from router.core.trace import Trace
from router.stores import Database, SqlFeedbackStore, SqlTraceStore, open_database
from router.stores.database import FAILURES
from router.stores.schema import feedback as said
from tests.support.postgres import GROUP, PostgresServer

Traces = Callable[..., Trace]
Said = Callable[..., Feedback]
KILLS = 200
CRASHES = 3


def ids(database: Database) -> Counter[str]:
    return database.read(lambda connection: Counter(connection.scalars(select(said.c.id))), "failed", "unread")


# ---------------------------------------------------------------------------------------------------- SQLite


def test_writers_that_are_killed_lose_nothing_acknowledged_and_count_nothing_twice(
    sqlite: Database, file: Path
) -> None:
    sqlite.close()
    script = Path(__file__).with_name("killed_writers.py")
    command = [sys.executable, str(script), f"sqlite:///{file}", str(KILLS), "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["acknowledged"]) > 10 * KILLS
    again = open_database(f"sqlite:///{file}")
    stored = ids(again)
    assert not set(told["acknowledged"]) - set(stored)
    assert set(stored.values()) == {1}
    assert set(told["new"].values()) == {1}
    assert again.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").all(), "failed", "unread") == [("ok",)]
    again.close()


def test_a_full_disk_costs_what_did_not_fit_and_is_over_when_there_is_room(
    feedback: Said, trace: Traces, sqlite: Database
) -> None:
    store = SqlFeedbackStore(sqlite)

    def room(pages: int) -> None:
        sqlite.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}"), "failed", "unset")

    room(sqlite.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one(), "failed", "unread") + 20)
    acknowledged = 0
    with pytest.raises(Degraded, match=r"100 pieces of feedback were not stored: database or disk is full"):
        for start in range(0, 10_000, 100):
            store.record([feedback(n, comment="x" * 200) for n in range(start, start + 100)])
            acknowledged = start + 100
    with pytest.raises(Degraded, match="traces were not stored: database or disk is full"):
        SqlTraceStore(sqlite).write([trace(n) for n in range(1_000)])
    assert len(ids(sqlite)) == acknowledged > 0
    room(1_000_000)
    assert all(store.record([feedback(n) for n in range(acknowledged, acknowledged + 100)]))
    SqlTraceStore(sqlite).write([trace(1)])
    assert len(ids(sqlite)) == acknowledged + 100


def test_a_file_that_another_program_has_locked_is_waited_for_in_vain_and_then_free(
    feedback: Said, file: Path, sqlite: Database
) -> None:
    hasty = open_database(f"sqlite:///{file}", within_s=0.1)
    store = SqlFeedbackStore(hasty)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for _ in range(FAILURES - 1):
        with pytest.raises(Degraded, match="1 pieces of feedback were not stored: database is locked"):
            store.record([feedback(1)])
    assert store.last_ms() == 0
    other.execute("COMMIT")
    assert store.record([feedback(1)]) == [True]
    other.close()
    hasty.close()


def test_a_file_that_may_only_be_read_is_read(feedback: Said, file: Path, sqlite: Database) -> None:
    SqlFeedbackStore(sqlite).record([feedback(1)])
    frozen = open_database(f"sqlite:///file:{file}?mode=ro&uri=true")
    store = SqlFeedbackStore(frozen)
    assert store.last_ms() == 2_001
    with pytest.raises(Degraded, match="not stored: attempt to write a readonly database"):
        store.record([feedback(2)])
    frozen.close()


def test_a_file_that_may_only_be_read_and_has_no_tables_is_the_operators_to_mend(file: Path) -> None:
    sqlite3.connect(file).close()
    file.write_bytes(b"")
    with pytest.raises(SettingsError, match="cannot be opened: attempt to write a readonly database"):
        open_database(f"sqlite:///file:{file}?mode=ro&uri=true")


def test_a_damaged_file_is_degraded_and_what_is_whole_is_still_read(
    trace: Traces, file: Path, sqlite: Database
) -> None:
    SqlTraceStore(sqlite).write([trace(n) for n in range(3_000)])
    sqlite.close()
    with file.open("r+b") as pages:
        pages.seek(file.stat().st_size // 2)
        pages.write(random.Random(1).randbytes(300_000))
    again = open_database(f"sqlite:///{file}")
    with pytest.raises(Degraded, match="the trace store cannot be read: "):
        SqlTraceStore(again).recent(3_000)
    assert SqlFeedbackStore(again).last_ms() == 0
    again.close()


# ------------------------------------------------------------------------------------------------ PostgreSQL


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that may be ill-treated: no other tests use it."""
    started = PostgresServer.start()
    yield started
    started.remove()


@pytest.fixture
def server(own_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, running again afterwards."""
    yield own_server
    own_server.thaw()
    own_server.restart()


@pytest.fixture
def fleet(server: PostgresServer) -> Iterator[Database]:
    opened = open_database(server.database(), within_s=2.0)
    yield opened
    server.thaw()
    opened.close()


@GROUP
def test_a_server_that_was_restarted_costs_nobody_anything(
    feedback: Said, server: PostgresServer, fleet: Database
) -> None:
    store = SqlFeedbackStore(fleet)
    for number in range(3):
        assert store.record([feedback(number)]) == [True]
        server.restart()
    assert store.last_ms() == 2_002


@GROUP
def test_a_connection_that_is_cut_while_it_is_used_is_replaced(server: PostgresServer, fleet: Database) -> None:
    own_end = text("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(Degraded, match=r"unread: .*(terminating connection|closed)"):
        fleet.read(lambda connection: connection.execute(own_end), "failed", "unread")
    assert ids(fleet) == {}


@GROUP
def test_a_server_that_is_gone_is_left_alone_until_it_is_back(
    feedback: Said, server: PostgresServer, fleet: Database
) -> None:
    store = SqlFeedbackStore(fleet)
    server.stop()
    for _ in range(FAILURES):
        with pytest.raises(Degraded, match=r"1 pieces of feedback were not stored: .*Connect call failed"):
            store.record([feedback(1)])
    server.begin()
    with pytest.raises(Degraded, match="1 pieces of feedback were not stored: left alone for 10 s"):
        store.record([feedback(1)])
    fleet._writing._clock = lambda: time.monotonic() + 11
    assert store.record([feedback(1)]) == [True]
    assert store.record([feedback(1)]) == [False]


@GROUP
def test_a_server_that_does_not_answer_holds_nobody_up(feedback: Said, server: PostgresServer, fleet: Database) -> None:
    store = SqlFeedbackStore(fleet)
    store.record([feedback(1)])
    server.freeze()
    with pytest.raises(Degraded, match=r"what feedback is about cannot be read: no answer within 0.05 s"):
        fleet.read(
            lambda connection: connection.execute(select(said)),
            "feedback_failed",
            "what feedback is about cannot be read",
            within_s=0.05,
        )
    with pytest.raises(Degraded, match=r"1 pieces of feedback were not stored: no answer within 2 s"):
        store.record([feedback(2)])
    server.thaw()
    store.record([feedback(2)])
    assert ids(fleet) == {"fb_1": 1, "fb_2": 1}


@GROUP
def test_closing_does_not_wait_for_a_server_that_does_not_answer(server: PostgresServer, fleet: Database) -> None:
    ids(fleet)
    server.freeze()
    fleet.close()
    with pytest.raises(Degraded, match="the database is closed"):
        ids(fleet)


@GROUP
def test_a_server_that_crashes_keeps_what_was_acknowledged(feedback: Said, server: PostgresServer) -> None:
    url = server.database()
    chance = random.Random(5)
    acknowledged: list[str] = []
    sent = iter(range(10**9))

    def write(store: SqlFeedbackStore, started: threading.Event) -> None:
        while True:
            rows = [feedback(next(sent)) for _ in range(20)]
            try:
                store.record(rows)
            except Degraded:
                return
            acknowledged.extend(row.id for row in rows)
            started.set()

    for _ in range(CRASHES):
        database = open_database(url)
        started = threading.Event()
        writer = threading.Thread(target=write, args=(SqlFeedbackStore(database), started))
        writer.start()
        started.wait(60)
        time.sleep(chance.uniform(0, 0.1))
        server.crash()
        writer.join()
        server.begin()
        database.close()
    database = open_database(url)
    stored = ids(database)
    assert len(acknowledged) >= 20 * CRASHES
    assert not set(acknowledged) - set(stored)
    assert set(stored.values()) == {1}
    database.close()


@pytest.mark.parametrize("replaced", [False, True], ids=["deleted", "replaced"])
def test_a_file_that_is_deleted_while_it_is_used_is_noticed(
    feedback: Said, file: Path, sqlite: Database, replaced: bool
) -> None:
    store = SqlFeedbackStore(sqlite)
    store.record([feedback(1)])
    away = file.with_name("away.db")
    file.rename(away)
    if replaced:
        file.write_bytes(b"")
    with pytest.raises(Degraded, match=r"1 pieces of feedback were not stored: .*deleted or replaced"):
        store.record([feedback(2)])
    with pytest.raises(Degraded, match="deleted or replaced while it was in use; put it back, or restart"):
        store.last_ms()
    assert file.exists() is replaced  # reading does not make an empty one
    away.replace(file)
    assert store.record([feedback(2)]) == [True] and store.last_ms() == 2_002


def _beginning(file: Path) -> None:
    file.write_bytes(b"no database at all" * 1000)


def _middle(file: Path) -> None:
    with file.open("r+b") as pages:
        pages.seek(file.stat().st_size // 2)
        pages.write(random.Random(1).randbytes(100_000))


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 3)


@pytest.mark.parametrize("damage", [_beginning, _middle, _cut])
def test_a_damaged_file_is_set_aside_where_that_is_asked_for(
    trace: Traces, feedback: Said, file: Path, sqlite: Database, damage: Callable[[Path], None]
) -> None:
    SqlTraceStore(sqlite).write([trace(n) for n in range(3_000)])
    sqlite.close()
    damage(file)
    damaged = file.read_bytes()
    again = open_database(f"sqlite:///{file}", set_aside=True)
    (aside,) = (each for each in file.parent.glob("router.db.damaged-*") if not each.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == damaged and str(aside) in again.set_aside
    assert SqlFeedbackStore(again).record([feedback(1)]) == [True]
    again.close()
    whole = open_database(f"sqlite:///{file}", set_aside=True)
    assert whole.set_aside == "" and SqlFeedbackStore(whole).last_ms() == 2_001
    whole.close()


def test_a_damaged_file_stays_where_nobody_asked_for_more(file: Path) -> None:
    _beginning(file)
    with pytest.raises(SettingsError, match="file is not a database"):
        open_database(f"sqlite:///{file}")
    assert [each.name for each in file.parent.iterdir()] == ["router.db"]
