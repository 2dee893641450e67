"""Labelled dialogues: read from their files, and made into what the policy holds.

Rules. A user's turn without a task stays with the task of the user's turn before; the first one must name its own, `/`
where it is none of the tasks. The assistant may speak first, and either may speak twice in a row. A dialogue that is
written twice counts once. A dialogue that names a task which is `off` is left out, as the tests of that task are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.core.errors import Fault, did_you_mean
from router.core.policy import Dialogue, DialogueTurn, lineage
from router.packs.dialogue_forms import DialogueForm, TurnForm
from router.packs.reading import CONTROL, MAX_DEPTH, Node
from router.packs.validate import read_form


@dataclass(frozen=True, slots=True)
class WrittenDialogue:
    """A dialogue as written. `node` is its list of turns."""

    turns: tuple[TurnForm, ...]
    node: Node

    def is_about(self, tasks: set[str]) -> bool:
        """Say whether some turn names one of these tasks, or a task below one."""
        return any(turn.task is not None and tasks.intersection(lineage(turn.task)) for turn in self.turns)


def read_lines(text: str, file: str, faults: list[Fault]) -> Iterator[WrittenDialogue]:
    """Yield the dialogues of a file of JSON lines; a line that cannot be used becomes faults."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=_without_repeats, parse_constant=_no_number)
            node = _node(value, file, number)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} (column {error.colno})" if isinstance(error, json.JSONDecodeError) else str(error)
            hint = 'one dialogue a line: {"turns": [{"user": "...", "task": "/..."}, {"assistant": "..."}]}'
            faults.append(Fault(file, number, f"the line cannot be read as JSON: {reason}", hint))
            continue
        if isinstance(node.value, list):
            node = Node({"turns": node}, file, number)
        form = read_form(node, DialogueForm, faults)
        if form is not None:
            yield WrittenDialogue(tuple(form.turns), node.at("turns"))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'duplicate key "{key[:60]}"')
        found[key] = value
    return found


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is not a finite number")


def _node(value: Any, file: str, line: int, depth: int = 0) -> Node:
    if depth > MAX_DEPTH:
        raise ValueError(f"more than {MAX_DEPTH} levels inside of each other")
    if isinstance(value, dict):
        return Node({key: _node(part, file, line, depth + 1) for key, part in value.items()}, file, line)
    if isinstance(value, list):
        return Node([_node(part, file, line, depth + 1) for part in value], file, line)
    if isinstance(value, str) and CONTROL.search(value):
        raise ValueError("a text holds a control character, or half a surrogate pair")
    return Node(value, file, line)


def build_dialogues(
    written: Iterable[WrittenDialogue], tasks: Iterable[str], faults: list[Fault]
) -> Mapping[Dialogue, tuple[str, int]]:
    """Return the dialogues in their order, each with its place; a task that does not exist becomes a fault."""
    known = frozenset(tasks)
    found: dict[Dialogue, tuple[str, int]] = {}
    for dialogue in written:
        turns: list[DialogueTurn] = []
        task: str | None = None
        heard = False
        for i, form in enumerate(dialogue.turns):
            if form.user is None:
                turns.append(DialogueTurn("assistant", form.assistant or ""))
                continue
            node = dialogue.node.at(i)
            if form.task is not None and form.task not in known:
                faults.append(_unknown(form.task, node.at("task"), known))
            elif form.task is None and not heard:
                hint = "add task: the path, or / if it is none of the tasks"
                faults.append(Fault(*node.place, "the user's first turn has no task", hint))
            heard = True
            task = form.task or task
            turns.append(DialogueTurn("user", form.user, task or ""))
        if not heard:
            faults.append(Fault(*dialogue.node.place, "the user says nothing in this dialogue", "remove it"))
        found.setdefault(Dialogue(tuple(turns)), dialogue.node.place)
    return found


def _unknown(task: str, node: Node, known: frozenset[str]) -> Fault:
    return Fault(*node.place, f"there is no task {task}", did_you_mean(task, known))
