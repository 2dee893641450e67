"""Exports: a table of what is stored as a file of CSV, JSON Lines or Parquet, as the ending of its name says.

A table is read page by page, so one of any size takes little memory and holds nobody up; the file appears when it is
whole. CSV is RFC 4180, with a line of names, where a null is an empty field, and a text that a spreadsheet would take
for a formula has a ' before it (https://owasp.org/www-community/attacks/CSV_Injection). Parquet
(https://parquet.apache.org/docs/file-format/) keeps types, a page a row group; it alone needs the extra `parquet`
(`pyarrow`), imported when something is exported.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from sqlalchemy import BigInteger, Column, Float, Integer, Table, select

from router.core.errors import SettingsError, did_you_mean
from router.stores.database import SEARCH_WITHIN_S, Database, pages
from router.stores.rows import Row
from router.stores.schema import assignments, audits, compliance, decisions, experiments, feedback, outcomes

GROUP_ROWS = 20_000
"""Rows of a page: of decisions, some 20 MB while it is put together."""

EXTRA = "pip install 'prompt-router[parquet]'"

EXPORTED: Mapping[str, tuple[Table, tuple[Column[Any], ...]]] = MappingProxyType(
    {
        "decisions": (decisions, (decisions.c.at_ms, decisions.c.id)),
        "feedback": (feedback, (feedback.c.number,)),
        "assignments": (assignments, (assignments.c.policy, assignments.c.conversation, assignments.c.task)),
        "outcomes": (outcomes, (outcomes.c.number,)),
        "experiments": (experiments, (experiments.c.number,)),
        "audits": (audits, (audits.c.number,)),
        "compliance": (compliance, tuple(compliance.primary_key.columns)),
    }
)
"""By name, the tables that may be exported, and in which order of rows. Pins are no record: they come and go."""

_Write: TypeAlias = Callable[[list[Row]], object]


def export(
    database: Database, name: str, path: Path, since_ms: int | None = None, policy: str | None = None
) -> Counter[str]:
    """Write a table to a file, in place of one that is there, and return how many rows it has of which policy.

    `since_ms` leaves out rows from before, `policy` those of other policies. Columns are as in the schema: integers,
    floats, text; JSON is text. Raises SettingsError for a table or an ending that is not known, a file that cannot be
    written, or Parquet without `pyarrow`, and Degraded when the database cannot be read.
    """
    if name not in EXPORTED:
        raise SettingsError(f'there is no table "{name}" to export: {did_you_mean(name, EXPORTED)}')
    opened = FORMATS.get(path.suffix.lower())
    if opened is None:
        raise SettingsError(f"{path}: give the file a name that ends in {', '.join(FORMATS)}: it says the format")
    table, keys = EXPORTED[name]
    query = select(table)
    if since_ms is not None:
        if "at_ms" not in table.c:
            raise SettingsError(f"the rows of {name} have no time: export it without --since")
        query = query.where(table.c.at_ms >= since_ms)
    if policy is not None:
        query = query.where(table.c.policy == policy)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    counts: Counter[str] = Counter()
    try:
        with opened(part, table) as write:
            failing = f"{name} cannot be read"
            for page in pages(
                database, query, keys, "export_failed", failing, rows=GROUP_ROWS, within_s=SEARCH_WITHIN_S
            ):
                write(page)
                counts.update(row["policy"] for row in page)
        os.replace(part, path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return counts


@contextmanager
def _csv(path: Path, table: Table) -> Iterator[_Write]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in table.columns])
        writer.writeheader()
        yield lambda page: writer.writerows({name: _as_text(value) for name, value in row.items()} for row in page)


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


@contextmanager
def _json_lines(path: Path, table: Table) -> Iterator[_Write]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda page: file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in page)


@contextmanager
def _parquet(path: Path, table: Table) -> Iterator[_Write]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise SettingsError(f"Parquet needs pyarrow: {EXTRA}; .csv and .jsonl need nothing") from error
    schema = arrow.schema([arrow.field(c.name, _type(arrow, c), bool(c.nullable)) for c in table.columns])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda page: writer.write_table(arrow.Table.from_pylist(page, schema=schema))


FORMATS: Mapping[str, Callable[[Path, Table], AbstractContextManager[_Write]]] = MappingProxyType(
    {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
)
"""What writes each format, by the ending of a file's name."""


def _type(arrow: Any, column: Column[Any]) -> Any:
    if isinstance(column.type, Integer | BigInteger):
        return arrow.int64()
    return arrow.float64() if isinstance(column.type, Float) else arrow.string()
