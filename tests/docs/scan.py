"""What a reader may meet of this program, found in its code: codes of errors, headers, metrics, variables.

Codes are words that reach clients, traces and counters. They are found by where they stand: given to a parameter or a
field named `code`, noted as a fault, or listed in a table of codes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.serving import ROOT

CODE_WORD = re.compile(r"(?:\.\.\.|[a-z])[a-z0-9_]*(?::\.\.\.)?")
HEADER_WORD = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
METRIC_WORD = re.compile(r"router(?:_[a-z]+)+")
VARIABLE_WORD = re.compile(r"ROUTER(?:_[A-Z0-9]+)+|XDG(?:_[A-Z]+)+|[A-Z]+(?:_API)?_KEY|[A-Z]+_BASE_URL")
NOTED = frozenset({"note", "_note"})
"""Methods whose first argument is a code, whatever its parameter is called."""

TABLES = ("FAILURES",)
"""Names of tables whose keys are codes."""


class Module(NamedTuple):
    """A file of the program, parsed."""

    path: Path
    tree: ast.Module


@cache
def modules() -> tuple[Module, ...]:
    """Return the program's files."""
    files = sorted((ROOT / "router").rglob("*.py"))
    return tuple(Module(file, ast.parse(file.read_text(encoding="utf-8"))) for file in files)


def codes() -> set[str]:
    """Return every code that is written in the program; where it is made of parts, `...` stands for what varies."""
    places = _places_of("code")
    found: set[str] = set()
    for module in modules():
        constants = _constants(module.tree)
        for node in ast.walk(module.tree):
            for given in _given_codes(node, places):
                found |= set(_words(given, constants))
    return {code for code in found if CODE_WORD.fullmatch(code)}


def headers() -> set[str]:
    """Return every header that is read or written by name."""
    found: set[str] = set()
    for module in modules():
        for node in ast.walk(module.tree):
            found |= {word for word in _headers_at(node) if HEADER_WORD.fullmatch(word)}
    return found


def metrics() -> set[str]:
    """Return the names of all metrics, as Prometheus shows them: a counter's has `_total` at its end."""
    named: set[str] = set()
    counters: set[str] = set()
    for module in modules():
        for node in ast.walk(module.tree):
            if METRIC_WORD.fullmatch(_text(node)):
                named.add(_text(node))
            if isinstance(node, ast.Call) and "counter" in _called(node).lower() and node.args:
                counters.add(_text(node.args[0]))
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if "counter" in ast.unparse(target).lower():
                    counters |= {_text(each) for each in ast.walk(node.value)}
    return {f"{name}_total" if name in counters else name for name in named - codes()}


def variables() -> set[str]:
    """Return the variables of the environment that are read."""
    found: set[str] = set()
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE_WORD.fullmatch(node.value):
                found.add(node.value)
    return found


def _given_codes(node: ast.AST, places: dict[str, set[int]]) -> Iterator[ast.expr]:
    """Yield what a piece of code uses as a code."""
    if isinstance(node, ast.Call):
        name = _called(node)
        for at in places.get(name, ()):
            if at < len(node.args):
                yield node.args[at]
        if name in NOTED and node.args:
            yield node.args[0]
        if name in ("append", "add") and isinstance(node.func, ast.Attribute) and node.args:
            if "fault" in ast.unparse(node.func.value):
                yield node.args[0]
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "code")
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for part, value in pairs:
                named = ast.unparse(part).rpartition(".")[2].lstrip("_")
                if named.lower() in ("code", "faults"):
                    yield value
                if named in TABLES:
                    yield from (
                        key for each in ast.walk(value) if isinstance(each, ast.Dict) for key in each.keys if key
                    )
    elif isinstance(node, ast.keyword) and node.arg == "faults":
        yield node.value


def _places_of(parameter: str) -> dict[str, set[int]]:
    """Return, by the name of a function or class, at which place of a call the parameter stands."""
    found: dict[str, set[int]] = {}
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
                if parameter in names:
                    at = names.index(parameter) - (names[0] in ("self", "cls"))
                    found.setdefault(node.name, set()).add(at)
            if isinstance(node, ast.ClassDef):
                fields = [
                    each.target.id
                    for each in node.body
                    if isinstance(each, ast.AnnAssign | ast.Assign)
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
                ]
                if parameter in fields:
                    found.setdefault(node.name, set()).add(fields.index(parameter))
                for each in node.body:
                    if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                        names = [one.arg for one in each.args.args]
                        if parameter in names:
                            found.setdefault(node.name, set()).add(names.index(parameter) - 1)
    return found


def _words(node: ast.expr, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Yield the texts that an expression may be; `...` stands for what is filled in."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
    elif isinstance(node, ast.IfExp):
        yield from _words(node.body, constants)
        yield from _words(node.orelse, constants)
    elif isinstance(node, ast.BoolOp):
        for each in node.values:
            yield from _words(each, constants)
    elif isinstance(node, ast.BinOp):
        yield from _words(node.left, constants)
        yield from _words(node.right, constants)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for each in node.elts:
            yield from _words(each.value if isinstance(each, ast.Starred) else each, constants)
    elif isinstance(node, ast.Name) and node.id in constants:
        yield from _words(constants[node.id], {})


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    """Return the module's names for texts, tuples of names taken apart."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant):
                found[target.id] = node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                found |= {ast.unparse(name): value for name, value in zip(target.elts, node.value.elts, strict=True)}
    return found


def _headers_at(node: ast.AST) -> Iterator[str]:
    """Yield the names of headers at a piece of code."""
    if isinstance(node, ast.Constant) and _text(node).startswith("x-"):
        yield _text(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
        if "headers" in ast.unparse(node.func.value):
            yield _text(node.args[0])
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("headers"):
        yield _text(node.slice)
    elif isinstance(node, ast.keyword) and node.arg == "headers" and isinstance(node.value, ast.Dict):
        yield from (_text(key) for key in node.value.keys if key is not None)
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
        if isinstance(node.elts[0].value, bytes):
            yield _text(node.elts[0])
    elif isinstance(node, ast.Assign) and "HEADERS" in ast.unparse(node.targets[0]):
        for each in ast.walk(node.value):
            if isinstance(each, ast.Constant):
                yield from _text(each).replace("|", " ").split()


def _called(node: ast.Call) -> str:
    """Return the last name of what is called."""
    return ast.unparse(node.func).rpartition(".")[2]


def _text(node: ast.AST) -> str:
    """Return a constant as text, the empty string for anything else."""
    value = node.value if isinstance(node, ast.Constant) else ""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else ""
