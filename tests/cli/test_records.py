"""`router export` and `router forget`: over the database of a server, as an operator runs them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from router.commands.main import app
from router.core.decision import Decision, Settled
from router.core.evidence import Evidence
from router.core.learning import Feedback
from router.core.trace import Trace
from router.engine.identity import Identifier
from router.server.settings_source import load_salt, load_settings
from router.stores import Database, SqlFeedbackStore, SqlTraceStore, open_database

Run = Callable[..., Result]
HOUR_MS = 3_600_000


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def identifier(data: Path) -> Identifier:
    """Return what hashes names as the server of this data folder does."""
    return Identifier(load_salt(load_settings(None, {}, {"data": data})))


@pytest.fixture
def database(data: Path, identifier: Identifier) -> Iterator[Database]:
    """A database with two decisions of ann, one of them old, one of bob, and a comment of ann's."""
    opened = open_database(f"sqlite:///{data / 'router.db'}")
    now_ms = time.time_ns() // 1_000_000
    talks = [("ann", "first", now_ms), ("ann", "second", now_ms - 48 * HOUR_MS), ("bob", "third", now_ms)]
    SqlTraceStore(opened).write([trace(identifier, n, *talk) for n, talk in enumerate(talks)])
    ann, first = identifier.unit_of("local", "ann"), identifier.conversation_of("local", "first")
    said = Feedback("f", now_ms, "local", "shop", first, ann, "dec_0", "solved", 1.0, "user", "Danke")
    SqlFeedbackStore(opened).record([said])
    yield opened
    opened.close()


def trace(identifier: Identifier, number: int, user: str, conversation: str, at_ms: int) -> Trace:
    return Trace(
        id=f"dec_{number}",
        at_ms=at_ms,
        policy="shop",
        tenant="local",
        conversation=identifier.conversation_of("local", conversation),
        unit=identifier.unit_of("local", user),
        turn=0,
        wire="chat",
        model="fast",
        backend="echo",
        stream=False,
        decision=Decision("rev", "classified", (Settled("/billing", 0.9, 0.5),)),
        evidence=Evidence(None),
        cues={},
    )


@pytest.fixture
def run(data: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*words: Any) -> Result:
        return CliRunner().invoke(app, [*map(str, words), "--data", str(data)])

    return invoke


def left(database: Database) -> list[str]:
    return sorted(row["id"] for row in SqlTraceStore(database).recent())


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("words", "rows"), [((), 3), (("--since", "1d"), 2), (("--since", "4w"), 3)])
def test_decisions_are_exported(run: Run, tmp_path: Path, words: tuple[str, ...], rows: int) -> None:
    file = tmp_path / "decisions.parquet"
    result = run("export", "decisions", "--to", file, *words, "--json")
    assert json.loads(result.stdout) == {
        "table": "decisions",
        "file": str(file),
        "rows": rows,
        "policies": {"shop": rows},
    }
    assert pyarrow.parquet.read_table(file).num_rows == rows
    assert (
        f"{rows} rows of decisions (shop {rows}) written to" in run("export", "decisions", "--to", file, *words).stdout
    )


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("feedbak",), 'did you mean "feedback"?'),
        (("feedback", "--since", "soon"), 'expected a number and a unit (m, h, d or w), such as "7d"'),
        (("compliance", "--since", "7d"), "without --since"),
    ],
    ids=str,
)
def test_what_cannot_be_exported_is_told(run: Run, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = run("export", *words, "--to", tmp_path / "rows.parquet", "--json")
    assert result.exit_code == 2
    assert said in json.loads(result.stdout)["error"]
    assert not (tmp_path / "rows.parquet").exists()


@pytest.mark.parametrize(
    ("words", "gone", "kept"),
    [
        (("ann",), {"decisions": 2, "feedback": 1}, ["dec_2"]),
        (("ann", "--tenant", "local"), {"decisions": 2, "feedback": 1}, ["dec_2"]),
        (("ann", "--tenant", "acme"), {}, ["dec_0", "dec_1", "dec_2"]),
        (("--conversation", "second"), {"decisions": 1}, ["dec_0", "dec_2"]),
        (("nobody",), {}, ["dec_0", "dec_1", "dec_2"]),
    ],
    ids=str,
)
def test_who_is_forgotten_is_gone(
    run: Run, database: Database, words: tuple[str, ...], gone: dict[str, int], kept: list[str]
) -> None:
    none = {"decisions": 0, "feedback": 0, "assignments": 0, "pins": 0, "outcomes": 0}
    result = run("forget", *words, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"forgotten": none | gone}
    assert left(database) == kept


def test_a_conversation_is_forgotten_as_a_decision_names_it(run: Run, database: Database) -> None:
    stored = SqlTraceStore(database).read("dec_1")["conversation"]
    result = run("forget", "--stored", stored)
    assert "removed: 1 decisions, 0 pieces of feedback" in result.stdout
    assert left(database) == ["dec_0", "dec_2"]
    assert "nothing of them is stored for the tenant local" in run("forget", "--stored", stored).stdout


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("words", [(), ("ann", "--conversation", "first"), ("--conversation", "x", "--stored", "y")])
def test_one_and_only_one_is_named(run: Run, words: tuple[str, ...]) -> None:
    result = run("forget", *words)
    assert result.exit_code == 2
    assert "name one of these" in result.stderr


def test_without_the_salt_nobody_can_be_found(run: Run, database: Database, data: Path) -> None:
    (data / "salt").unlink()
    result = run("forget", "ann")
    assert result.exit_code == 2
    assert "there is no salt in" in result.stderr
    assert not (data / "salt").exists() and len(left(database)) == 3


@pytest.mark.parametrize("words", [("forget", "ann"), ("export", "decisions", "--to", "rows.parquet")], ids=str)
def test_where_no_server_has_written_nothing_is_made(run: Run, data: Path, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "there is no database in" in result.stderr
    assert list(data.iterdir()) == []
