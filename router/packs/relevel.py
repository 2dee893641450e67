"""Writes a task's level into its YAML file, and touches nothing else: comments, order and white space stay.

How a step that tuning has found goes back to where the operator's words are, as a change that can be reviewed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from router.core.policy import Level
from router.packs.cues import COMPLEXITIES

KEY = "level"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One key of a mapping with where key and value stand in the text, as offsets."""

    mapping: int
    key: str
    line: int
    start: int
    end: int


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come, and the key that waits for its value."""

    start: int
    is_map: bool
    flow: bool
    key: Any = None


def with_levels(text: str, line: int, levels: Mapping[str, Level]) -> str:
    """Return a pack file with the levels of the task at `line`: that of its key, or the file's first for its own task.

    `levels` is as in `Task.levels`: by complexity, "" for all. The file has been loaded before, so it is well formed.
    """
    start, flow, entries = _mapping_at(text, line)
    written = f"{KEY}: {_value(levels)}"
    for entry in entries:
        if entry.key == KEY:
            return text[: entry.start] + written + text[entry.end :]
    if flow:
        return text[: start + 1] + written + (", " if entries else "") + text[start + 1 :]
    # Before the first key: what follows it may be a block of text, which has no end that could be seen easily.
    column = start - (text.rfind("\n", 0, start) + 1)
    return text[:start] + written + "\n" + " " * column + text[start:]


def _value(levels: Mapping[str, Level]) -> str:
    if set(levels) == {""}:
        return levels[""].word
    each = {name: levels.get(name, levels.get("")) for name in COMPLEXITIES}
    return "{" + ", ".join(f"{name}: {level.word}" for name, level in each.items() if level is not None) + "}"


def _mapping_at(text: str, line: int) -> tuple[int, bool, list[_Entry]]:
    """Return where a task's mapping begins, whether it is in braces, and its entries."""
    events: list[Any] = list(yaml.parse(text, Loader=yaml.SafeLoader))
    entries = sorted(_entries(events), key=lambda entry: entry.start)
    begins: list[Any] = [event for event in events if isinstance(event, yaml.MappingStartEvent)]
    top = line <= begins[0].start_mark.line + 1
    parent = None if top else next((entry for entry in entries if entry.line == line), None)
    least, most = (parent.start, parent.end) if parent else (-1, len(text))
    here: Any = next(event for event in begins if least < _index(event) < most)
    start: int = here.start_mark.index
    return start, bool(here.flow_style), [entry for entry in entries if entry.mapping == start]


def _index(event: Any) -> int:
    return int(event.start_mark.index)


def _entries(events: list[Any]) -> Iterator[_Entry]:
    """Yield the keys of all mappings with the span from each key to the end of its value."""
    stack: list[_Open] = []
    end = 0  # of what was read last; a block's own end mark lies behind the white space that follows it
    for event in events:
        begin, after = event.start_mark, event.end_mark
        if isinstance(event, yaml.CollectionStartEvent):
            stack.append(_Open(begin.index, isinstance(event, yaml.MappingStartEvent), bool(event.flow_style)))
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            end = after.index if stack.pop().flow else end
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            end = after.index
            if stack and stack[-1].is_map and stack[-1].key is None:
                stack[-1].key = event
                continue
        if stack and stack[-1].key is not None:
            key, stack[-1].key = stack[-1].key, None
            yield _Entry(stack[-1].start, key.value, key.start_mark.line + 1, key.start_mark.index, end)
