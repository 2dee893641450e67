"""Labelled turns from elsewhere: JSON Lines or YAML in, conversations out, every fault with its line.

A line is one message, or one conversation in the order of its turns:

    {"text": "where is my parcel?", "task": "/delivery/track"}
    {"turns": [{"user": "hi", "task": "/"}, {"assistant": "Hello!"}, {"user": "my parcel?", "task": "/delivery/track"}]}

`task` is a path of the pack; `/` says that none of its tasks answers; a list names several at once, an empty list none.
A user's turn without one stays with that of the turn before. Other keys are not read. Empty lines are skipped.

A pack's own forms are read as well: a bare list of turns for a dialogue, `{"ask": ..., "expect": {"task": ...}}` or
`{"talk": [...], "expect": ...}` for a test, and YAML files with a list of such items, or with `dialogues`, `tests` and
`tasks` as a pack has them. A test that expects nothing of the task is not judged.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from router.core.errors import Fault, RouterError, did_you_mean
from router.core.policy import ROOT
from router.packs.reading import YamlNode, plain, read_tree

Truth: TypeAlias = tuple[str, ...]
"""The paths that a turn is about; none for a turn that no task answers."""

STANDARD_INPUT = "-"

YAML = (".yaml", ".yml")

MOST_FAULTS = 20
"""Faults that are told of one file; reading stops there."""

MOST_NAMED = 20
"""Of a pack with more tasks not all are named when a label is unlike any."""

ONE_MESSAGE = '{"text": "...", "task": "/path"}'
ONE_CONVERSATION = '{"turns": [{"user": "...", "task": "/path"}, {"assistant": "..."}]}'


class LabelError(RouterError):
    """Labelled data cannot be used. Carries the faults that were found, each with file and line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class LabelledTurn:
    """One user turn: its words, the assistant's before it ("" for none), what it is about (None: not known here)."""

    text: str
    reply_before: str
    truth: Truth | None
    line: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file of conversations, each the user's turns in their order. `unknown` counts labels that were skipped."""

    name: str
    conversations: tuple[tuple[LabelledTurn, ...], ...]
    unknown: Counter[str]


class LineError(Exception):
    """What is wrong with one line, and the way out."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.fault = (message, hint)


def json_of(line: bytes, form: str) -> Any:
    """Return what one line of JSON Lines holds. Raises LineError, naming the form it should have."""
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LineError(f"not UTF-8 ({error.reason} at byte {error.start})", "save the file as UTF-8") from error
    except ValueError as error:
        raise LineError(f"not JSON ({error})", "write one JSON object on each line") from error
    except RecursionError as error:
        raise LineError("nested too deeply", f"write {form}") from error


def read_labelled(path: Path, paths: Collection[str], *, skip_unknown: bool = False) -> Labelled:
    """Read a file of labelled turns; `-` is standard input. `paths` are the tasks of the pack.

    With `skip_unknown` a turn whose label names no task of the pack is not judged, only counted; otherwise that is a
    fault. Raises LabelError.
    """
    name = str(path) if str(path) != STANDARD_INPUT else "standard input"
    unknown: Counter[str] = Counter()
    faults: list[Fault] = []
    conversations = []
    reader = _Reader(frozenset(paths), unknown if skip_unknown else None)
    try:
        for number, item in _yaml_items(path, faults) if path.suffix in YAML else _lines(path):
            try:
                conversations.append(reader.conversation(item, number))
            except LineError as wrong:
                faults.append(Fault(name, number, *wrong.fault))
                if len(faults) == MOST_FAULTS:
                    break
    except OSError as error:
        raise LabelError([Fault(name, 1, error.strerror or str(error), f"give lines like {ONE_MESSAGE}")]) from error
    if not faults and not any(turn.truth is not None for turns in conversations for turn in turns):
        known = "its labels are all unknown to this pack" if unknown else f"give lines like {ONE_MESSAGE}"
        faults.append(Fault(name, 1, "there is no labelled turn in it", known))
    if faults:
        raise LabelError(faults)
    return Labelled(name, tuple(conversations), unknown)


def _yaml_items(path: Path, faults: list[Fault]) -> Iterator[tuple[int, YamlNode]]:
    """Yield the dialogues and tests in a file of YAML, with their lines."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    root = read_tree(text, str(path), faults)
    if root is not None and not faults:
        yield from ((item.line, item) for item in _items_in(root))


def _items_in(node: YamlNode) -> Iterator[YamlNode]:
    if isinstance(node.value, list):
        yield from node.value
    elif isinstance(node.value, dict):
        for key in ("dialogues", "tests"):
            if key in node.value:
                yield from _items_in(node.value[key])
        tasks = node.value["tasks"].value if "tasks" in node.value else None
        for task in tasks.values() if isinstance(tasks, dict) else ():
            yield from _items_in(task)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that hold something, with their numbers."""
    if str(path) == STANDARD_INPUT:
        yield from _numbered(sys.stdin.buffer)
        return
    with path.open("rb") as file:
        yield from _numbered(file)


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, start=1):
        line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line  # some editors open a file with a mark
        if line.strip():
            yield number, line


class _Reader:
    """Turns lines into conversations. `unknown` counts labels that are to be skipped; None refuses them."""

    def __init__(self, paths: frozenset[str], unknown: Counter[str] | None) -> None:
        self._paths = paths
        self._unknown = unknown

    def conversation(self, item: bytes | YamlNode, line: int) -> tuple[LabelledTurn, ...]:
        """Return the user's turns of one item, which begins at this line. Raises LineError."""
        value = plain(item) if isinstance(item, YamlNode) else json_of(item, ONE_MESSAGE)
        if isinstance(value, list):
            return self._turns(value, lambda at: item.at(at).line if isinstance(item, YamlNode) else line)
        if not isinstance(value, dict):
            raise LineError(f"{_kind(value)}, not an object", f"write one JSON object on each line: {ONE_MESSAGE}")
        if "ask" in value or "talk" in value:
            return self._test(value, line)
        if "file" in value:
            raise LineError(f"it names the file {value['file']}", "name that file with --against instead")
        if ("text" in value) == ("turns" in value):
            both = 'both "text" and "turns"' if "text" in value else 'neither "text" nor "turns"'
            raise LineError(f"it has {both}", f"write {ONE_MESSAGE} or {ONE_CONVERSATION}")
        if "text" in value:
            return (LabelledTurn(_string(value, "text", ""), "", self._truth(value, ""), line),)
        return self._turns(value["turns"], lambda at: line)

    def _test(self, value: dict[str, Any], line: int) -> tuple[LabelledTurn, ...]:
        """Return the turns of a test of a pack, of which the last is labelled where the test expects a task."""
        talk = value["talk"] if "talk" in value else [value["ask"]]
        if not isinstance(talk, list) or not all(isinstance(text, str) for text in talk):
            raise LineError('"ask" is a text, and "talk" a list of texts', "write ask: the message")
        expected = value.get("expect")
        wanted = expected if isinstance(expected, dict) and not value.get("todo") else {}
        key = next((key for key in ("tasks", "task", "reach") if key in wanted), None)
        truth = None if key is None else self._truth({"task": wanted[key]}, "")
        last = len(talk) - 1
        return tuple(
            LabelledTurn(talk[at], talk[at - 1] if at else "", truth if at == last else None, line)
            for at in range(0, len(talk), 2)
        )

    def _turns(self, turns: Any, line_of: Callable[[int], int]) -> tuple[LabelledTurn, ...]:
        if not isinstance(turns, list):
            raise LineError(f'"turns" is {_kind(turns)}, not a list', f"write {ONE_CONVERSATION}")
        found: list[LabelledTurn] = []
        reply = ""
        for at, turn in enumerate(turns):
            where = f"turns[{at}]"
            if not isinstance(turn, dict):
                raise LineError(f"{where} is {_kind(turn)}, not an object", f"write {ONE_CONVERSATION}")
            if ("user" in turn) == ("assistant" in turn):
                both = 'both "user" and "assistant"' if "user" in turn else 'neither "user" nor "assistant"'
                raise LineError(f"{where} has {both}", f"write {ONE_CONVERSATION}")
            if "user" in turn:
                stays = "task" not in turn and found
                truth = found[-1].truth if stays else self._truth(turn, where)
                found.append(LabelledTurn(_string(turn, "user", where), reply, truth, line_of(at)))
                reply = ""
            else:
                reply = _string(turn, "assistant", where)
        return tuple(found)

    def _truth(self, value: dict[str, Any], where: str) -> Truth | None:
        place = f"{where}.task" if where else '"task"'
        if "task" not in value:
            raise LineError(f'{where or "it"} has no "task"', 'add the path of the task, or "/" for none of these')
        given = value["task"]
        labels = given if isinstance(given, list) else [given]
        for label in labels:
            if not isinstance(label, str):
                raise LineError(f"{place} is {_kind(label)}, not a string", 'give a path, or "/" for none of these')
        truth = []
        for label in labels:
            if label in self._paths:
                truth.append(label)
            elif self._unknown is None:
                raise LineError(
                    f'the pack has no task "{label}"',
                    f"{nearest(label, self._paths)}; --skip-unknown leaves such turns out",
                )
            else:
                self._unknown[label] += 1
        if labels and not truth:
            return None
        return tuple(dict.fromkeys(path for path in truth if path != ROOT))


def nearest(label: str, paths: Collection[str]) -> str:
    """Return the way out of an unknown label."""
    hint = did_you_mean(label, paths)
    return hint if hint.startswith("did") or len(paths) <= MOST_NAMED else "give a path of the pack"


def _string(value: dict[str, Any], key: str, where: str) -> str:
    text = value[key]
    if not isinstance(text, str):
        raise LineError(
            f"{where}.{key} is {_kind(text)}, not a string" if where else f'"{key}" is {_kind(text)}, not a string'
        )
    return text


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
