"""The pages of the documentation, and what can be read off them."""

from __future__ import annotations

import re
from functools import cache

from tests.support.serving import ROOT

DOCS = ROOT / "docs"
_CODE = re.compile(r"```.*?```", re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@cache
def page(name: str) -> str:
    """Return the text of a page in `docs/`."""
    return (DOCS / name).read_text(encoding="utf-8")


@cache
def everything() -> str:
    """Return the text of all pages of reference, one after another."""
    return "\n".join(page(file.name) for file in sorted(DOCS.glob("*.md")))


def spans(text: str) -> set[str]:
    """Return what stands in backticks, code blocks left out."""
    return set(_SPAN.findall(_CODE.sub("", text)))


def words(text: str) -> set[str]:
    """Return the words that stand in backticks, also where several share one pair."""
    return {word for span in spans(text) for word in re.split(r"[\s,:|=(){}\[\]\"]+", span)} | spans(text)


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one. Raises KeyError."""
    parts = re.split(r"^#{1,6} ", text, flags=re.MULTILINE)
    found = next((part for part in parts if part.partition("\n")[0] == heading), None)
    if found is None:
        raise KeyError(heading)
    return found


def rows(text: str) -> list[str]:
    """Return the rows of the tables in a text."""
    return [line for line in text.splitlines() if line.startswith("| ")]


def first_cells(text: str) -> set[str]:
    """Return what stands in backticks in the first cells of tables."""
    return {name for row in rows(text) for name in _SPAN.findall(row.split(" | ")[0])}


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(_CODE.sub("", text)))
    return {heading.replace(" ", "-") for heading in plain}
