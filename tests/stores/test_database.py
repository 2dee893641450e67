"""What an opened database promises, whichever it is: all or nothing, in time, Degraded without values, one lock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from router.core.errors import Degraded, SettingsError
from router.core.trace import Trace
from router.stores import Database, SqlTraceStore, open_database
from router.stores.database import FAILURES, lock, try_lock
from router.stores.schema import compliance, schema_version
from tests.support.postgres import GROUP

VERSIONS = select(schema_version.c.part).order_by(schema_version.c.part)


def add(part: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(insert(schema_version).values(part=part, version=1))


def parts(database: Database) -> list[str]:
    return database.read(lambda connection: list(connection.scalars(VERSIONS)), "failed", "unread")


def ask(statement: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(text(statement)).all()


@pytest.mark.parametrize("durable", [False, True])
def test_a_write_is_all_or_nothing(database: Database, durable: bool) -> None:
    def change(connection: Connection) -> None:
        add("one")(connection)
        add("one")(connection)

    with pytest.raises(Degraded, match="two were not stored: ") as caught:
        database.write(change, "some_code", "two were not stored", durable=durable)
    assert caught.value.code == "some_code"
    assert parts(database) == ["traces"]
    database.write(add("two"), "failed", "unwritten", durable=durable)
    assert parts(database) == ["traces", "two"]


@pytest.mark.parametrize("durable", [True, False])
def test_durable_writes_wait_for_the_disk_and_others_do_not(database: Database, durable: bool) -> None:
    asked, waits, waits_not = {
        "sqlite": ("PRAGMA synchronous", 2, 1),
        "postgresql": ("SHOW synchronous_commit", "on", "off"),
    }[database.dialect.name]
    for wanted in (not durable, durable):
        found = database.write(
            lambda connection: connection.exec_driver_sql(asked).scalar_one(), "failed", "no", durable=wanted
        )
        assert found == (waits if wanted else waits_not)


@GROUP
def test_a_server_plans_for_the_values_that_it_is_given(postgres_url: str) -> None:
    database = open_database(postgres_url)
    plans = database.read(lambda c: c.exec_driver_sql("SHOW plan_cache_mode").scalar_one(), "failed", "unread")
    assert plans == "force_custom_plan"
    database.close()


def test_a_commit_that_fails_leaves_nothing_behind(database: Database) -> None:
    if database.dialect.name == "sqlite":
        database._raw.execute("PRAGMA foreign_keys=ON")  # does nothing inside a transaction

    def change(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.exec_driver_sql("INSERT INTO child VALUES (1)")

    with pytest.raises(Degraded, match=r"unwritten: .*(FOREIGN KEY|foreign key) constraint"):
        database.write(change, "failed", "unwritten")
    database.write(add("one"), "failed", "unwritten")
    assert parts(database) == ["one", "traces"]
    with pytest.raises(Degraded, match=r"no such table|does not exist"):
        database.read(ask("SELECT * FROM child"), "failed", "unread")


def test_an_error_of_our_own_is_no_failure_of_the_database(database: Database) -> None:
    def change(connection: Connection) -> None:
        add("one")(connection)
        raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        database.write(change, "failed", "unwritten")
    assert parts(database) == ["traces"]


def test_all_that_one_call_reads_is_of_one_moment(database: Database, url: str) -> None:
    other = open_database(url)

    def look(connection: Connection) -> tuple[list[str], list[str]]:
        before = list(connection.scalars(VERSIONS))
        other.write(add("new"), "failed", "unwritten")
        return before, list(connection.scalars(VERSIONS))

    before, after = database.read(look, "failed", "unread")
    assert before == after == ["traces"]
    assert parts(database) == ["new", "traces"]
    other.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO schema_version VALUES ('traces', 4711)", r"UNIQUE constraint failed|duplicate key value"),
        ("SELECT * FROM nowhere WHERE part = 'secret'", r"no such table: nowhere|relation \"nowhere\" does not exist"),
        ("SELEC 'secret'", r"syntax error"),
    ],
    ids=["constraint", "table", "syntax"],
)
def test_a_failure_has_the_words_of_the_driver_and_no_values(database: Database, statement: str, said: str) -> None:
    with pytest.raises(Degraded, match=rf"unwritten: .*({said})") as caught:
        database.write(lambda connection: connection.execute(text(statement)), "failed", "unwritten")
    assert not any(private in str(caught.value) for private in ("4711", "secret", "[SQL"))


def test_what_no_column_can_hold_is_degraded_too(database: Database) -> None:
    with pytest.raises(Degraded, match="unwritten: ") as caught:
        database.write(
            lambda connection: connection.execute(insert(schema_version).values(part="x", version=2**77)),
            "failed",
            "unwritten",
        )
    assert str(2**77) not in str(caught.value)


def test_a_reading_that_takes_too_long_is_cut_and_the_next_is_served(database: Database) -> None:
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
        "postgresql": "SELECT pg_sleep(60)",
    }
    before = time.monotonic()
    with pytest.raises(Degraded, match=r"unread: (interrupted|no answer within 0.2 s)"):
        database.read(ask(slow[database.dialect.name]), "failed", "unread", within_s=0.2)
    assert time.monotonic() - before < 30
    assert parts(database) == ["traces"]


def test_a_writer_that_is_held_up_gives_up_in_time(database: Database, url: str) -> None:
    other = open_database(url)
    holding, done = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        lock(connection, "one")
        add("held")(connection)
        holding.set()
        done.wait(60)

    thread = threading.Thread(target=lambda: other.write(hold, "failed", "unwritten", within_s=60))
    thread.start()
    holding.wait(60)
    with pytest.raises(Degraded, match=r"unwritten: (database is locked|no answer within 0.2 s)"):
        database.write(lambda connection: lock(connection, "one"), "failed", "unwritten", within_s=0.2)
    assert parts(database) == ["traces"]  # who reads is not held up
    done.set()
    thread.join()
    database.write(lambda connection: lock(connection, "one"), "failed", "unwritten")
    assert parts(database) == ["held", "traces"]
    other.close()


def test_a_lock_is_held_by_one_and_tried_by_others(database: Database, url: str) -> None:
    if database.dialect.name == "sqlite":
        assert database.write(lambda connection: try_lock(connection, "one"), "failed", "unwritten")
        return
    other = open_database(url)

    def inside(connection: Connection) -> tuple[bool, bool]:
        lock(connection, "one")
        free = [
            other.write(lambda c, name=name: try_lock(c, name), "failed", "unwritten") for name in ("one", "another")
        ]
        return free[0], free[1]

    assert database.write(inside, "failed", "unwritten") == (False, True)
    assert other.write(lambda connection: try_lock(connection, "one"), "failed", "unwritten")
    other.close()


def test_many_threads_write_and_nothing_is_lost(database: Database) -> None:
    row = {"policy": "p", "instruction": "i", "text": "t", "model": "m", "said": 1, "drawn": 0, "answers": 1, "held": 1}
    adding = database.insert_adding(compliance, ("answers", "held"))

    def count(durable: bool) -> None:
        for _ in range(25):
            database.write(lambda c: c.execute(adding, [row]), "failed", "unwritten", durable=durable, within_s=60)

    threads = [threading.Thread(target=count, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read(lambda c: c.scalar(select(compliance.c.answers)), "failed", "unread") == 100


def test_after_several_failures_it_is_left_alone(database: Database) -> None:
    broken = {"sqlite": "SELECT * FROM nowhere", "postgresql": "SELECT pg_sleep(60)"}[database.dialect.name]
    for _ in range(FAILURES):
        with pytest.raises(Degraded, match=r"no such table|no answer within"):
            database.read(ask(broken), "failed", "unread", within_s=0.05)
    with pytest.raises(Degraded, match=r"unread: left alone for 10 s"):
        parts(database)
    database.write(add("one"), "failed", "unwritten")  # writing has a breaker of its own


@pytest.mark.parametrize(
    "change",
    [
        add("traces"),
        lambda connection: connection.execute(insert(schema_version).values(part="x", version=2**77)),
        lambda connection: connection.execute(insert(schema_version).values(part="\ud800", version=1)),
    ],
    ids=["twice", "too great", "no text"],
)
def test_values_that_do_not_fit_open_no_breaker(database: Database, change: Callable[[Connection], object]) -> None:
    for _ in range(FAILURES + 1):
        with pytest.raises(Degraded, match="unwritten: ") as caught:
            database.write(change, "failed", "unwritten")
        assert "left alone" not in str(caught.value)


def test_closing_twice_is_safe_and_then_all_is_degraded(database: Database) -> None:
    database.close()
    database.close()
    with pytest.raises(Degraded, match="unread: the database is closed"):
        parts(database)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "address cannot be used"),
        ("nonsense", "address cannot be used"),
        ("nosuchdb://router:hunter2@host/db", "neither sqlite nor postgresql"),
        ("mysql://router:hunter2@host/db", "neither sqlite nor postgresql"),
        ("postgresql://router:hunter2@127.0.0.1:1/db", r"cannot be opened: .*server is running"),
        ("postgresql://router:hunter2@127.0.0.1:1/db?nonsense=1", r"cannot be opened: .*nonsense.*address is right"),
    ],
)
def test_an_address_that_cannot_be_used_is_the_operators_to_mend(address: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        open_database(address, within_s=2)
    assert "hunter2" not in str(caught.value)


def _no_folder(place: Path) -> Path:
    return place.parent / "absent" / "router.db"


def _no_database(place: Path) -> Path:
    place.write_bytes(b"this is not a database" * 100)
    return place


def _a_folder(place: Path) -> Path:
    place.mkdir()
    return place


@pytest.mark.parametrize("spoil", [_no_folder, _no_database, _a_folder])
def test_an_unusable_file_is_named_with_a_way_out(file: Path, spoil: Callable[[Path], Path]) -> None:
    with pytest.raises(SettingsError, match=r"router\.db.*cannot be opened.*--data"):
        open_database(f"sqlite:///{spoil(file)}")


def test_a_database_in_memory_serves_all_stores_and_threads(trace: Callable[..., Trace]) -> None:
    database = open_database("sqlite://")
    store = SqlTraceStore(database)
    store.write([trace(1)])
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(SqlTraceStore(database).read("dec_1")["id"]))
    thread.start()
    thread.join()
    assert seen == ["dec_1"]
    database.close()
