"""The schema: made and brought up to date by revisions, whoever made the database, and however many open it at once."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from router.core.errors import SettingsError
from router.core.trace import Trace
from router.stores import Database, SqlAuditStore, SqlLearningStore, SqlPinStore, SqlTraceStore, open_database
from router.stores.opening import revisions
from router.stores.schema import REVISION, metadata
from tests.support.postgres import GROUP, PostgresServer

Traces = Callable[..., Trace]

# As the first release wrote it. Its databases gained `audits` and `pins` later, without a new version.
VERSION_1 = """
CREATE TABLE schema_version (part VARCHAR(40) NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (part));
CREATE TABLE decisions (
    id VARCHAR(64) NOT NULL, at_ms BIGINT NOT NULL, policy TEXT NOT NULL, revision VARCHAR(64) NOT NULL,
    tenant TEXT NOT NULL, conversation VARCHAR(64) NOT NULL, unit VARCHAR(64) NOT NULL, turn INTEGER NOT NULL,
    wire VARCHAR(40) NOT NULL, model TEXT NOT NULL, backend TEXT NOT NULL, stream INTEGER NOT NULL, task TEXT NOT NULL,
    tasks TEXT NOT NULL, level INTEGER NOT NULL, confidence FLOAT NOT NULL, outcome VARCHAR(40) NOT NULL,
    tokens INTEGER NOT NULL, mix TEXT NOT NULL, dropped TEXT NOT NULL, reasons TEXT NOT NULL, evidence TEXT NOT NULL,
    status INTEGER NOT NULL, error TEXT NOT NULL, response_id TEXT NOT NULL, attempts INTEGER NOT NULL,
    overhead_ms FLOAT NOT NULL, first_ms FLOAT NOT NULL, total_ms FLOAT NOT NULL, stages TEXT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_decisions_at_ms ON decisions (at_ms);
CREATE INDEX ix_decisions_task ON decisions (task);
CREATE INDEX ix_decisions_response_id ON decisions (response_id);
CREATE INDEX ix_decisions_conversation ON decisions (tenant, conversation);
INSERT INTO schema_version VALUES ('traces', 1);
INSERT INTO decisions VALUES ('dec_old', 7, 'shop', 'rev', 'acme', 'c1', 'u1', 1, 'chat', 'fast', 'openai', 0,
    '/billing', '["/billing"]', 2, 0.9, 'classified', 10, '[]', '[]', '[]',
    '{"belief":null,"cues":{},"thresholds":{"by_depth":[0.6],"soft":0.3,"by_task":{}},"levels":{},"faults":[]}',
    200, '', 'chatcmpl-1', 1, 0.1, 0.2, 0.3, '{}');
"""

LATER_TABLES = """
CREATE TABLE audits (
    number INTEGER NOT NULL, decision VARCHAR(64) NOT NULL, auditor VARCHAR(200) NOT NULL, at_ms BIGINT NOT NULL,
    policy TEXT NOT NULL, certificate VARCHAR(40) NOT NULL, thresholds TEXT NOT NULL, settled TEXT NOT NULL,
    label TEXT NOT NULL, PRIMARY KEY (number), UNIQUE (decision, auditor)
);
CREATE INDEX ix_audits_policy ON audits (policy);
CREATE TABLE pins (
    policy TEXT NOT NULL, conversation VARCHAR(64) NOT NULL, first VARCHAR(16) NOT NULL, revision VARCHAR(64) NOT NULL,
    began_s FLOAT NOT NULL, seen_s FLOAT NOT NULL, idle_s FLOAT NOT NULL, cues TEXT NOT NULL, faulted TEXT NOT NULL,
    PRIMARY KEY (policy, conversation, first)
);
INSERT INTO audits VALUES (1, 'dec_old', 'ann', 9, 'shop', 'cafe', '[0.6]', '["/billing"]', '["/billing"]');
INSERT INTO pins VALUES ('shop', 'c1', '0', 'rev', 1.0, 2.0, 60.0, '[]', '{}');
"""

VERSION_2 = """
ALTER TABLE decisions ADD COLUMN retry INTEGER NOT NULL DEFAULT '0';
ALTER TABLE decisions ADD COLUMN prompt_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN cached_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN written_tokens INTEGER;
ALTER TABLE decisions ADD COLUMN completion_tokens INTEGER;
UPDATE schema_version SET version = 2;
"""

HALF_WAY = VERSION_2.split(";")[0] + ";"


def differences(database: Database) -> list:
    """Return how a database's tables differ from what the program knows."""
    return database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection), metadata), "failed", "not compared"
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=GROUP)])
def empty(request: pytest.FixtureRequest, file: Path) -> str:
    """Return the address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{file}"
    return request.getfixturevalue("postgres").database()


def test_a_new_database_has_the_schema_that_the_program_knows(empty: str) -> None:
    database = open_database(empty)
    assert differences(database) == []
    assert revisions()[0] == REVISION
    database.close()


@pytest.mark.parametrize(
    "old",
    [VERSION_1, VERSION_1 + LATER_TABLES, VERSION_1 + HALF_WAY, VERSION_1 + LATER_TABLES + VERSION_2],
    ids=["1", "1 with later tables", "1 half way to 2", "2"],
)
def test_a_database_of_an_earlier_release_is_brought_up_to_date_with_what_it_holds(file: Path, old: str) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(old)
    connection.close()
    for _ in range(2):
        database = open_database(f"sqlite:///{file}")
        assert differences(database) == []
        row = SqlTraceStore(database).read("dec_old")
        assert (row["tenant"], row["tasks"], row["retry"], row["prompt_tokens"]) == ("acme", ["/billing"], 0, None)
        assert row["shortlist"] == []
        if LATER_TABLES in old:
            (audit,) = SqlAuditStore(database).read("shop")
            assert (audit.auditor, audit.shortlist) == ("ann", ())
            (pin,) = SqlPinStore(database).read(2.0)
            assert (pin.conversation, pin.moves, pin.drawn) == ("c1", None, False)
        database.close()


def test_the_dials_of_ordinary_requests_become_those_of_all(empty: str) -> None:
    written = text(
        "INSERT INTO experiments (at_ms, policy, kind, task, complexity, model, facts, words, author)"
        " VALUES (1, 'shop', :kind, '/billing', :complexity, 'm', '{}', :complexity, 'ann')"
    )
    complexities = ("", "*", "standard", "simple", "complex")

    def put_back(connection: Connection) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '0003'"))
        for table in ("rollouts", "shadow_differences"):
            connection.execute(text(f"DROP TABLE {table}"))
        for table in ("decisions", "audits"):
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN shortlist"))
        connection.execute(text("ALTER TABLE pins DROP COLUMN answer"))
        connection.execute(text("ALTER TABLE experiments ADD COLUMN complexity TEXT NOT NULL DEFAULT ''"))
        for kind in ("stepped", "frozen"):
            connection.execute(written, [{"kind": kind, "complexity": complexity} for complexity in complexities])

    database = open_database(empty)
    database.write(put_back, "failed", "no")
    database.close()
    database = open_database(empty)
    assert differences(database) == []
    events = SqlLearningStore(database).events("shop")
    database.close()
    assert {event.key for event in events} == {("/billing", "m")}
    assert [(event.kind, event.words) for event in events] == [
        *(("stepped", complexity) for complexity in complexities[:3]),
        *(("retired", complexity) for complexity in complexities[3:]),
        *(("frozen", complexity) for complexity in complexities),
    ]


def test_an_earlier_release_is_told_to_leave_the_database_alone(database: Database) -> None:
    told = text("SELECT version FROM schema_version WHERE part = 'traces'")
    assert database.read(lambda connection: connection.scalar(told), "failed", "no") > 2


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '9999'",
        "DROP TABLE alembic_version; UPDATE schema_version SET version = 4",
    ],
    ids=["revision", "version"],
)
def test_a_newer_database_is_refused_and_left_alone(file: Path, sqlite: Database, change: str) -> None:
    sqlite.close()
    connection = sqlite3.connect(file)
    connection.executescript(change)
    before = connection.execute("SELECT name, sql FROM sqlite_master").fetchall()
    with pytest.raises(SettingsError, match=rf"{file}.*version (9999|4), newer than .*{REVISION}"):
        open_database(f"sqlite:///{file}")
    assert connection.execute("SELECT name, sql FROM sqlite_master").fetchall() == before
    connection.close()


@GROUP
def test_a_newer_database_on_a_server_is_refused(postgres: PostgresServer) -> None:
    url = postgres.database()
    open_database(url).close()
    postgres.execute(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match=r"version 9999, newer than"):
        open_database(url)


def _open_and_write(url: str, number: int, trace: Traces, begin) -> None:
    begin.wait()
    database = open_database(url)
    SqlTraceStore(database).write([trace(number)])
    database.close()


def test_several_processes_open_a_new_database_at_once(empty: str, trace: Traces) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        begin = manager.Barrier(4)
        processes = [context.Process(target=_open_and_write, args=(empty, n, trace, begin)) for n in range(4)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    database = open_database(empty)
    assert differences(database) == []
    assert len(SqlTraceStore(database).recent()) == 4
    database.close()


def test_an_interrupted_migration_leaves_the_database_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = sqlite3.connect(file)
    connection.executescript(VERSION_1 + "CREATE TABLE experiments (other INTEGER)")
    before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    with pytest.raises(SettingsError, match="experiments already exists"):
        open_database(f"sqlite:///{file}")
    assert connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall() == before
    connection.close()


def test_nothing_is_imported_to_open_a_database_that_is_up_to_date(file: Path, sqlite: Database) -> None:
    opening = (
        "import sys; from router.stores import open_database; open_database(sys.argv[1]).close();"
        "print([name for name in ('alembic', 'asyncpg', 'pyarrow', 'sqlalchemy.ext.asyncio') if name in sys.modules])"
    )
    command = [sys.executable, "-c", opening, f"sqlite:///{file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"
