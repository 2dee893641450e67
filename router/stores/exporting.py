"""Tables as Parquet files, for notebooks and warehouses (https://parquet.apache.org/docs/file-format/).

Read page by page, each page a row group, so a table of any size takes little memory and holds nobody up. The file
appears when it is whole. Needs the extra `parquet` (`pyarrow`), imported when something is exported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import BigInteger, Column, Float, Integer, Table, select

from router.core.errors import SettingsError, did_you_mean
from router.stores.database import Database
from router.stores.paging import SEARCH_WITHIN_S, pages
from router.stores.schema import assignments, audits, compliance, decisions, experiments, feedback, outcomes

CODE = "export_failed"

GROUP_ROWS = 20_000
"""Rows of a row group: of decisions, some 20 MB while it is put together."""

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


def export(database: Database, name: str, path: Path, since_ms: int | None = None) -> int:
    """Write a table to a Parquet file, in place of one that is there, and return how many rows it has.

    `since_ms` leaves out rows from before. Columns are as in the schema: 64-bit integers, doubles, text; JSON is text.
    Raises SettingsError for a table that is not known, a file that cannot be written, or without `pyarrow`, and
    Degraded when the database cannot be read.
    """
    if name not in EXPORTED:
        raise SettingsError(f'there is no table "{name}" to export: {did_you_mean(name, EXPORTED)}')
    table, keys = EXPORTED[name]
    query = select(table)
    if since_ms is not None:
        if "at_ms" not in table.c:
            raise SettingsError(f"the rows of {name} have no time: export it without --since")
        query = query.where(table.c.at_ms >= since_ms)
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise SettingsError(f"exporting needs pyarrow: {EXTRA}") from error
    schema = arrow.schema([arrow.field(c.name, _type(arrow, c), bool(c.nullable)) for c in table.columns])
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    try:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            failing = f"{name} cannot be read"
            for page in pages(database, query, keys, CODE, failing, rows=GROUP_ROWS, within_s=SEARCH_WITHIN_S):
                writer.write_table(arrow.Table.from_pylist(page, schema=schema))
                count += len(page)
        os.replace(part, path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _type(arrow: Any, column: Column[Any]) -> Any:
    if isinstance(column.type, Integer | BigInteger):
        return arrow.int64()
    return arrow.float64() if isinstance(column.type, Float) else arrow.string()
