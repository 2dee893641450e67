"""Tables as files of CSV, JSON Lines and Parquet: every row, every column, whole or not at all."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import select

from router.core.errors import Degraded, SettingsError
from router.core.learning import Assignment, Compliance, DialKey, ExperimentEvent, Feedback, Outcome
from router.core.trace import Trace
from router.stores import (
    EXPORTED,
    Database,
    SqlFeedbackStore,
    SqlLearningStore,
    SqlTraceStore,
    export,
    exporting,
    schema,
)

Traces = Callable[..., Trace]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "rows.parquet"


@pytest.fixture
def full(
    trace: Traces,
    feedback: Callable[..., Feedback],
    assignment: Callable[..., Assignment],
    database: Database,
    target: Path,
) -> Database:
    target.parent.mkdir()
    given = [assignment(n, conversation=f"c{n}") for n in range(5)]
    SqlTraceStore(database).write([trace(n, at_ms=1_000 + n // 2, assignment=given[n]) for n in range(5)])
    SqlFeedbackStore(database).record([feedback(n, comment="Grüße") for n in range(5)])
    learning = SqlLearningStore(database)
    learning.settle([Outcome(given[0], 0.5), Outcome(given[1], None, {"slow": 1.0})])
    learning.append([ExperimentEvent(1, "shop", "started", DialKey("/", "fast"))], 0)
    learning.tally([Compliance("shop", f"i{n}", "t", "m", n % 2 == 0, True, 2, 1) for n in range(5)])
    return database


def written(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("name", EXPORTED)
@pytest.mark.parametrize("rows", [1, 2, 20_000])
def test_every_row_is_written_page_by_page(
    full: Database, target: Path, monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    monkeypatch.setattr(exporting, "GROUP_ROWS", rows)
    table, keys = EXPORTED[name]
    stored = full.read(
        lambda c: [dict(row) for row in c.execute(select(table).order_by(*keys)).mappings()], "failed", "unread"
    )
    assert export(full, name, target).total() == len(stored)
    found = written(target)
    if full.dialect.name == "sqlite":  # a server sorts text by its language
        assert found == stored
    assert sorted(map(str, found)) == sorted(map(str, stored))
    assert pyarrow.parquet.read_metadata(target).num_row_groups == -(-len(stored) // rows)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_types_are_those_of_the_schema_even_where_nothing_is_stored(database: Database, tmp_path: Path) -> None:
    assert export(database, "outcomes", tmp_path / "none.parquet").total() == 0
    schema = pyarrow.parquet.read_schema(tmp_path / "none.parquet")
    kinds = {name: str(schema.field(name).type) for name in ("number", "reward", "task", "challenger", "at_ms")}
    assert kinds == {"number": "int64", "reward": "double", "task": "string", "challenger": "int64", "at_ms": "int64"}
    assert schema.field("unit").nullable and not schema.field("task").nullable


def test_rows_from_before_are_left_out(full: Database, target: Path) -> None:
    assert export(full, "decisions", target, 1_001) == {"shop": 3}
    assert {row["at_ms"] for row in written(target)} == {1_001, 1_002}
    assert export(full, "feedback", target, 2_004).total() == 1


@pytest.mark.parametrize(
    ("name", "since_ms", "said"),
    [
        ("decision", None, r'no table "decision".*did you mean "decisions"'),
        ("pins", None, r'no table "pins"'),
        ("compliance", 5, r"compliance have no time.*without --since"),
    ],
)
def test_what_cannot_be_exported_is_told(
    database: Database, tmp_path: Path, name: str, since_ms: int | None, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        export(database, name, tmp_path / "rows.parquet", since_ms)
    assert not (tmp_path / "rows.parquet").exists()


def test_csv_and_json_lines_need_no_pyarrow(full: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(exporting, "GROUP_ROWS", 2)
    with pytest.raises(SettingsError, match=r"pip install 'prompt-router\[parquet\]'"):
        export(full, "decisions", tmp_path / "rows.parquet")
    lines, table = tmp_path / "rows.jsonl", tmp_path / "rows.CSV"
    assert export(full, "feedback", lines) == export(full, "feedback", table) == {"shop": 5}
    stored = full.read(
        lambda c: [
            dict(row) for row in c.execute(select(schema.feedback).order_by(schema.feedback.c.number)).mappings()
        ],
        "f",
        "u",
    )
    assert [json.loads(line) for line in lines.read_text("utf-8").splitlines()] == stored
    with table.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [{name: "" if value is None else str(value) for name, value in row.items()} for row in stored]
    assert {row["comment"] for row in found} == {"Grüße"}


def test_no_spreadsheet_takes_what_a_user_wrote_for_a_formula(
    database: Database, feedback: Callable[..., Feedback], tmp_path: Path
) -> None:
    said = ['=HYPERLINK("http://x", "a")', "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "a = b,\nc", "'quoted'"]
    SqlFeedbackStore(database).record([feedback(n, comment=text, value=-1.0) for n, text in enumerate(said)])
    export(database, "feedback", tmp_path / "rows.csv")
    export(database, "feedback", tmp_path / "rows.jsonl")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        found = [(row["comment"], row["value"]) for row in csv.DictReader(file)]
    assert found == [*((f"'{text}", "-1.0") for text in said[:6]), *((text, "-1.0") for text in said[6:])]
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["comment"] for line in lines] == said, "programs get what was written"


def test_the_ending_says_the_format(full: Database, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ends in \.csv, \.jsonl, \.parquet"):
        export(full, "decisions", tmp_path / "rows.txt")
    assert export(full, "decisions", tmp_path / "rows.csv", policy="bank") == {}
    assert not (tmp_path / "rows.txt").exists() and (tmp_path / "rows.csv").read_text().count("\n") == 1


def test_a_folder_that_is_not_there_is_named(sqlite: Database, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent/rows\.parquet cannot be written"):
        export(sqlite, "decisions", tmp_path / "absent" / "rows.parquet")


def test_a_store_that_fails_on_the_way_leaves_the_file_that_was_there(
    full: Database, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(full, "feedback", target)
    before = target.read_bytes()
    monkeypatch.setattr(exporting, "GROUP_ROWS", 2)
    reads = iter(range(99))
    read = full.read

    def fail_later(*args: Any, **options: Any) -> Any:
        if next(reads) == 1:
            full.close()
        return read(*args, **options)

    monkeypatch.setattr(full, "read", fail_later)
    with pytest.raises(Degraded, match="feedback cannot be read"):
        export(full, "feedback", target)
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == [target.name]
