"""Adding to a file of examples without touching what stands there.

New lines go behind the last of their task; comments, order and what people wrote stay as they are. Each new line ends
with the text that it was made from, as a comment: for whoever reviews it, and for a later run, which asks only for what
is missing. What comes out is read again before it is handed on, and must hold what was there and what is new, and
nothing else; a file that is written in a way in which that does not work is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from router.core.errors import Fault, PolicyError
from router.packs.example_files import ExamplesForm
from router.packs.forms import Example, ExampleText
from router.packs.reading import read_tree
from router.packs.validate import read_form

UNRELATED = "unrelated"

_ORIGIN = re.compile(r"\s*- .*\S  # (.+?)\s*")
"""Texts hold no two spaces in a row, so the comment of a line cannot be mistaken for a part of it."""


def origin(line: str) -> str:
    """Return what a line of a file of examples was made from; "" where it does not say so.

    >>> origin("    - Wo ist mein Paket?  # where is my parcel")
    'where is my parcel'
    """
    found = _ORIGIN.fullmatch(line)
    return found[1] if found else ""


def form_of(text: str, name: str) -> ExamplesForm:
    """Return what a file of examples holds. Raises PolicyError."""
    faults: list[Fault] = []
    node = read_tree(text, name, faults)
    form = read_form(node, ExamplesForm, faults) if node is not None else None
    if form is None or faults:
        raise PolicyError(faults)
    return form


def new_file(language: str, title: str) -> str:
    """Return a file of examples without any, for what a model writes."""
    said = f"language: {language}\n" if language else ""
    return f"# {title}\n{said}generated: true\n"


def with_examples(text: str, name: str, task: str, lines: Sequence[tuple[str, str]]) -> str:
    """Return a file of examples with more of one task, or of `unrelated`: texts and what each was made from.

    They are marked as generated. Raises PolicyError where the file is written in another way than block style.
    """
    before = form_of(text, name)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    newline = "\r\n" if "\r\n" in text else "\n"
    try:
        after = mark + _added(text.removeprefix(mark), task, lines, before.generated, newline)
        found = form_of(after, name)
    except (PolicyError, ValueError, AttributeError, yaml.YAMLError):
        found = None
    wanted = [line for line, _ in lines]
    if (
        found is None
        or _texts(found, task) != _texts(before, task) + wanted
        or _rest(found, task) != _rest(before, task)
    ):
        hint = "write its examples one a line, each with a dash, or move the file away"
        raise PolicyError(
            [Fault(name, 1, f"nothing can be added to {task} in this file: it is not in block style", hint)]
        )
    return after


def _texts(form: ExamplesForm, task: str) -> list[Any]:
    """Return the examples of one task, the last ones, which may be in either form, as texts."""
    given: list[Example] = (form.unrelated if task == UNRELATED else (form.examples or {}).get(task)) or []
    return [example.text if isinstance(example, ExampleText) else example for example in given]


def _rest(form: ExamplesForm, task: str) -> Any:
    others = {path: given for path, given in (form.examples or {}).items() if path != task}
    return others, form.unrelated if task != UNRELATED else None, form.language, form.generated


def _added(text: str, task: str, lines: Sequence[tuple[str, str]], generated: bool, newline: str) -> str:
    items = [
        f"- {_item(line, generated)}" + (f"  # {' '.join(made_from.split())}" if made_from else "")
        for line, made_from in lines
    ]
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    steps = [UNRELATED] if task == UNRELATED else ["examples", task]
    node, column, key = root, 0, None
    for at, step in enumerate(steps):
        pairs = {} if node is None else {name.value: (name, value) for name, value in node.value}
        if step not in pairs:
            column = node.value[0][0].start_mark.column if pairs else column
            block = [f"{' ' * (2 * depth)}{name}:" for depth, name in enumerate(steps[at:])]
            block += [f"{' ' * (2 * len(block))}{item}" for item in items]
            return _inserted(text, _end(text, node, key), [" " * column + line for line in block], newline)
        key, node = pairs[step]
        column = key.start_mark.column + 2
    first = node.value[0].start_mark if node.value else None
    column = column if first is None else text.rfind("-", 0, first.index) - (text.rfind("\n", 0, first.index) + 1)
    return _inserted(text, _end(text, node, key), [" " * column + item for item in items], newline)


def _item(line: str, generated: bool) -> str:
    return _scalar(line) if generated else f"{{text: {json.dumps(line, ensure_ascii=False)}, generated: true}}"


def _scalar(line: str) -> str:
    """Return a text as YAML: bare where it is read as just that, else in quotes."""
    node = read_tree(f"- {line}  # x", "", [])
    bare = node is not None and isinstance(node.value, list) and node.value[0].value == line
    return line if bare else json.dumps(line, ensure_ascii=False)


def _end(text: str, node: Any, key: Any) -> int:
    """Return where a block ends: behind its last value, wherever comments and white space lead from there."""
    while node is not None and isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, node = last if isinstance(last, tuple) else (key, last)
    if node is None:
        return len(text)
    if isinstance(node, yaml.CollectionNode) and not node.value and node.flow_style:
        raise ValueError("an empty collection in braces or brackets has no lines to add to")
    return int(node.end_mark.index)


def _inserted(text: str, at: int, lines: list[str], newline: str) -> str:
    """Return the text with lines behind the line that a position is in, or at it where that is a line's beginning."""
    if at and text[at - 1] != "\n":
        found = text.find("\n", at)
        at = len(text) if found < 0 else found + 1
    head = text[:at] if not at or text[at - 1] == "\n" else text[:at] + newline
    return head + "".join(f"{line}{newline}" for line in lines) + text[at:]
