"""Long readings in short ones: a query's rows page by page, so that no reading lasts, and none fills the memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, literal, tuple_
from sqlalchemy.sql import Select

from router.stores.database import Database
from router.stores.rows import Row

SEARCH_WITHIN_S = 60.0
"""How long a page may take that is looked for in all rows, without an index: a second for each million."""

PAGE_ROWS = 5_000
"""Rows of a page: of traces, some megabytes and 30 ms."""


def pages(
    database: Database,
    query: Select[Any],
    keys: Sequence[Column[Any]],
    code: str,
    failing: str,
    *,
    rows: int = PAGE_ROWS,
    within_s: float | None = None,
) -> Iterator[list[Row]]:
    """Yield the rows of a query in the order of `keys`, columns of the query that together tell its rows apart.

    What is written meanwhile is there or not. `within_s` bounds a page. Raises Degraded.
    """
    ordered = query.order_by(*keys).limit(rows)
    page_query = ordered
    while True:

        def ask(connection: Connection, page_query: Select[Any] = page_query) -> list[Row]:
            return [dict(row) for row in connection.execute(page_query).mappings()]

        page = database.read(ask, code, failing, within_s=within_s)
        if page:
            yield page
        if len(page) < rows:
            return
        last = [literal(page[-1][key.name], key.type) for key in keys]
        page_query = ordered.where(keys[0] > last[0] if len(keys) == 1 else tuple_(*keys) > tuple_(*last))
