"""Read one YAML file into a tree of nodes that know their lines.

Rules. PyYAML supplies parser events and nothing else: no constructor, no object, no recursion. Words are resolved by
the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) in lower case only: `true`, `false` and
`null` are values, while `off`, `yes`, `no` and `True` are texts. Refused, each with its line: duplicate keys, keys that
are not words, tags, merge keys, infinity and not-a-number, numbers longer than 18 digits, control characters, a second
document, more than 32 levels or 20,000 nodes, and aliases beyond a small bound (32 of them, or 10,000 nodes once
expanded), measured before anything is expanded.

A node under a key bears the line of the key, since that is what an operator looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from router.core.errors import Fault

MAX_DEPTH = 32
MAX_ALIASES = 32
MAX_EXPANSION = 10_000
MAX_NODES = 20_000  # the largest shipped file has 379; this many take about 0.2 s to be read and refused

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LOOKS_RESOLVED = frozenset("-+.0123456789tfn~")
_DASH = re.compile(r"\n[ ]*-[ ]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that no text of a pack holds; half a surrogate pair cannot even be written to a file."""
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_MAX_DIGITS = 18  # what fits a signed 64-bit integer, whatever its value

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class YamlNode:
    """A value and where it stands. `value` is a scalar, a list of nodes, or a dict of nodes by key.

    `flow` says that a list or a mapping is written in brackets, or that a text stands in some without quotes: a comma
    ends it there. `cut` is what a text without quotes may not have meant: "#", where one space and a comment end it,
    or "-", where it goes on in a line that begins with a dash.
    """

    value: Scalar | list[YamlNode] | dict[str, YamlNode]
    file: str
    line: int
    flow: bool = False
    cut: str = ""

    @property
    def place(self) -> tuple[str, int]:
        """File and line."""
        return self.file, self.line

    def fault(self, message: str, hint: str = "") -> Fault:
        """Return what is wrong here."""
        return Fault(self.file, self.line, message, hint)

    def refuse(self, why: tuple[str, str] | None, faults: list[Fault]) -> None:
        """Append what is wrong here, a message and a hint; None when nothing is."""
        if why is not None:
            faults.append(self.fault(*why))

    def at(self, *steps: str | int) -> YamlNode:
        """Return the node that the steps lead to, or the last one on the way that exists."""
        node = self
        for step in steps:
            value = node.value
            if isinstance(value, dict) and isinstance(step, str):
                node = value.get(step, node)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                node = value[step]
        return node


def plain(node: YamlNode) -> Any:
    """Return the value without its places. Safe to recurse: no tree is deeper than MAX_DEPTH."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [plain(child) for child in value]
    return value


def nodes(node: YamlNode) -> Iterator[YamlNode]:
    """Yield a node and all below it, top down."""
    stack = [node]
    while stack:
        here = stack.pop()
        yield here
        if isinstance(here.value, dict):
            stack += here.value.values()
        elif isinstance(here.value, list):
            stack += here.value


def read_tree(text: str, file: str, faults: list[Fault]) -> YamlNode | None:
    """Return the tree of a file; an empty file is an empty mapping. None, with faults appended, when it has none.

    Faults that leave the tree usable (a duplicate key, say) are appended and the tree is returned.
    """
    builder = _Builder(text, file, faults)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except _Stop:
        return None
    except yaml.YAMLError as error:
        faults.append(_syntax_fault(error, text, file))
        return None
    return builder.root or YamlNode({}, file, 1)


class _Stop(Exception):
    """The rest of the file is not worth reading; the fault is noted already."""


@dataclass(slots=True)
class _Measured:
    """A finished node, how many nodes it expands to, and how deep it goes."""

    node: YamlNode
    size: int = 1
    height: int = 0


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come. `key` is the key that waits for its value."""

    value: list[YamlNode] | dict[str, YamlNode]
    line: int
    anchor: str | None
    flow: bool
    key: str | None = None
    key_line: int = 0
    size: int = 1
    height: int = 1
    lines: dict[str, int] = field(default_factory=dict)


class _Builder:
    def __init__(self, text: str, file: str, faults: list[Fault]) -> None:
        self.root: YamlNode | None = None
        self._text = text
        self._file = file
        self._faults = faults
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Measured | None] = {}  # None while the anchored collection is still open
        self._aliases = 0
        self._expanded = 0
        self._documents = 0
        self._nodes = 0

    def take(self, event: Any) -> None:
        self._nodes += isinstance(event, yaml.NodeEvent)
        if self._nodes > MAX_NODES:
            hint = "keep examples in a text file: {file: examples.txt}"
            self._stop(_line(event), f"the file holds more than {MAX_NODES:,} values", hint)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._stop(_line(event), "a second document begins here", "one file holds one document; remove the ---")

    def _fault(self, line: int, message: str, hint: str = "") -> None:
        self._faults.append(Fault(self._file, line, message, hint))

    def _stop(self, line: int, message: str, hint: str = "") -> None:
        self._fault(line, message, hint)
        raise _Stop

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _place(self, event: Any) -> int:
        """The line that a value is known by: that of its key, if it has one."""
        top = self._stack[-1] if self._stack else None
        return top.key_line if top is not None and top.key is not None else _line(event)

    def _scalar(self, event: Any) -> None:
        line = _line(event)
        if event.tag is not None:
            self._fault(line, f"the tag {event.tag} is not allowed", "remove it: values are typed by how they look")
        if event.style == '"' and CONTROL.search(event.value):
            self._fault(line, "the text holds a control character", "remove the escape")
        if self._awaits_key():
            self._key(event, line)
            return
        value = event.value if event.style else self._resolve(event.value, line)
        flow = not event.style and bool(self._stack) and self._stack[-1].flow
        cut = "" if event.style else self._cut(event.start_mark, event.end_mark)
        self._add(_Measured(YamlNode(value, self._file, self._place(event), flow, cut)), event.anchor)

    def _cut(self, start: Any, end: Any) -> str:
        """Return what of the file around a plain text is easily not meant, as in `YamlNode.cut`."""
        if self._text.startswith(" #", end.index):
            return "#"
        return "-" if end.line > start.line and _DASH.search(self._text, start.index, end.index) else ""

    def _key(self, event: Any, line: int) -> None:
        top = self._stack[-1]
        key = event.value
        if key == "<<" and not event.style:
            self._fault(line, "merge keys (<<) are not allowed", "write the keys out, or use extends")
        elif key in top.lines:
            self._fault(line, f'duplicate key "{key[:60]}"', f"it stands already in line {top.lines[key]}")
        if event.anchor:
            self._anchors[event.anchor] = _Measured(YamlNode(key, self._file, line))
        top.key, top.key_line = key, line
        top.lines.setdefault(key, line)

    def _resolve(self, word: str, line: int) -> Scalar:
        """Return the value of a plain (unquoted) scalar."""
        if word and word[0] not in _LOOKS_RESOLVED:
            return word
        if word in _WORDS:
            return _WORDS[word]
        if _INT.fullmatch(word):
            if len(word.lstrip("+-")) > _MAX_DIGITS:
                self._fault(line, f"the number has more than {_MAX_DIGITS} digits", "put it in quotes if it is a text")
                return 0
            return int(word, 0) if word[:2] in ("0o", "0x") else int(word)
        if _FLOAT.fullmatch(word):
            number = float(word)
            if number not in (float("inf"), float("-inf")):
                return number
        elif not _NOT_FINITE.fullmatch(word):
            return word
        self._fault(line, f"{word[:20]} is not a finite number", "put it in quotes if it is a text")
        return 0

    def _open(self, event: Any) -> None:
        line = _line(event)
        if event.tag is not None:
            self._fault(line, f"the tag {event.tag} is not allowed", "remove it: values are typed by how they look")
        if self._awaits_key():
            self._stop(line, "a key must be a word", "put text in quotes if it starts with { or [")
        if len(self._stack) >= MAX_DEPTH:
            self._stop(line, f"more than {MAX_DEPTH} levels inside of each other", "use folders for deep trees")
        if event.anchor:
            self._anchors[event.anchor] = None
        is_map = isinstance(event, yaml.MappingStartEvent)
        self._stack.append(_Open({} if is_map else [], self._place(event), event.anchor, bool(event.flow_style)))

    def _close(self) -> None:
        done = self._stack.pop()
        self._add(
            _Measured(YamlNode(done.value, self._file, done.line, done.flow), done.size, done.height), done.anchor
        )

    def _alias(self, event: Any) -> None:
        line = _line(event)
        if event.anchor not in self._anchors:
            hint = "put text in quotes if it starts with *"
            self._stop(line, f"*{event.anchor} refers to nothing", hint)
        target = self._anchors[event.anchor]
        if target is None:
            self._stop(line, f"*{event.anchor} lies inside of what it refers to", "write the values out")
            return
        self._aliases += 1
        self._expanded += target.size
        if self._aliases > MAX_ALIASES or self._expanded > MAX_EXPANSION:
            limit = f"more than {MAX_ALIASES} aliases, or {MAX_EXPANSION:,} nodes through aliases"
            self._stop(line, f"the file expands too far: {limit}", "write the values out")
        if len(self._stack) + target.height > MAX_DEPTH:
            self._stop(line, f"more than {MAX_DEPTH} levels inside of each other, through aliases")
        if self._awaits_key():
            self._stop(line, "a key must be a word, not an alias", "write the key out")
        self._add(target, None)

    def _add(self, new: _Measured, anchor: str | None) -> None:
        """Put a finished node into the collection that is open, or make it the root."""
        if anchor:
            self._anchors[anchor] = new
        if not self._stack:
            self.root = new.node
            return
        top = self._stack[-1]
        top.size += new.size
        top.height = max(top.height, new.height + 1)
        if isinstance(top.value, list):
            top.value.append(new.node)
        else:
            assert top.key is not None
            top.value.setdefault(top.key, new.node)
            top.key = None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


_HINTS = (
    (
        "mapping values are not allowed",
        "put the text in quotes if it holds a colon and a space; indent the line less if it is a key of its own",
    ),
    ("cannot start any token", "indent with spaces, and put text in quotes if it starts with @, ` or %"),
    ("did not find expected key", "see the indentation, and the quotes of the lines above"),
    (
        "did not find expected '-' indicator",
        "indent the line less if it is a key of its own, and not of the list above",
    ),
    ("could not find expected ':'", "see the indentation, and put long texts in quotes"),
    ("found unexpected end of stream", "a quote or bracket is not closed"),
    ("did not find expected ',' or", "a bracket is not closed, or a comma is missing"),
    ("did not find expected alphabetic", "put text in quotes if it starts with * or &"),
)


def _syntax_fault(error: yaml.YAMLError, text: str, file: str) -> Fault:
    """Turn the parser's complaint into a fault with its line and, where the cause is a common one, the way out."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        message = str(getattr(error, "problem", None) or "the file ends too early")
        context, begun = getattr(error, "context", None), getattr(error, "context_mark", None)
        if context and begun is not None:
            since = f" that begins in line {begun.line + 1}" if begun.line < mark.line else ""
            message = f"{context}{since}: {message}"
        hint = next((hint for part, hint in _HINTS if part in message), "see the indentation and the quotes")
        last = text.count("\n") + (not text.endswith("\n"))  # the parser counts the end as a line of its own
        return Fault(file, min(mark.line + 1, max(last, 1)), f"broken YAML: {message}", hint)
    at = getattr(error, "position", 0)  # a character that no YAML file may hold
    line = text.count("\n", 0, at if isinstance(at, int) else 0) + 1
    hint = "remove control characters; if there are none, save the file with the encoding UTF-8"
    return Fault(file, line, "broken YAML: a character that YAML does not allow", hint)
