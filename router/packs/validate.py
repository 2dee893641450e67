"""From a tree of nodes to a form, with every fault at the line of what is wrong.

pydantic finds what is wrong and says where by a path through the value (`loc`); the tree knows the line of each step.
Steps that only name a branch of a union (`<text>`, `<list>`) lead nowhere and are passed over.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from router.core.errors import Fault, did_you_mean
from router.packs.forms import ExampleText, InstructionForm, PackForm, TaskForm
from router.packs.reading import YamlNode, nodes, plain
from router.packs.words import FAULT, ClosedModel

F = TypeVar("F", bound=ClosedModel)

_MOST = 100
"""Faults of form that are reported of one file; who has more has written another format."""

_EXPECTED = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
}


def read_form(node: YamlNode, form: type[F], faults: list[Fault]) -> F | None:
    """Return the form that a node holds, or None with the faults appended."""
    empty = [n for n in nodes(node) if n.value is None]
    if empty:
        faults += [
            Fault(n.file, n.line, "there is no value here", "write one, or remove the key or the dash") for n in empty
        ]
    try:
        found = form.model_validate(plain(node))
        return None if empty else found
    except ValidationError as error:
        details: list[dict[str, Any]] = [dict(detail) for detail in error.errors(include_url=False)]
        unknown = {detail["loc"][:-1] for detail in details if detail["type"] == "extra_forbidden"}
        faults += dict.fromkeys(
            _fault(node, form, detail)
            for detail in details[:_MOST]
            # An empty value is reported above; a key that is missing beside an unknown one is most likely that one.
            if node.at(*detail["loc"]).value is not None
            and not (detail["type"] == "missing" and detail["loc"][:-1] in unknown)
        )
        return None


def _fault(root: YamlNode, form: type[ClosedModel], detail: dict[str, Any]) -> Fault:
    loc, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    node = root.at(*loc)
    where = ".".join(str(step) for step in _real_steps(root, loc))
    if kind == FAULT:
        return node.fault(context["message"], context["hint"])
    if kind == "extra_forbidden":
        return node.fault(f'unknown key "{str(loc[-1])[:60]}"', _key_hint(form, str(loc[-1]), loc[:-1]))
    if kind == "missing":
        return node.fault(f'the key "{_key(loc[-1])}" is missing', f"add it to {where or 'the file'}")
    if kind == "literal_error":
        return node.fault(_not(node, f"one of {context['expected']}", where), _nearest(node, context))
    if kind in _EXPECTED:
        return node.fault(_not(node, _EXPECTED[kind], where), _type_hint(node, kind))
    if kind in ("string_too_short", "too_short"):
        return node.fault(f"{where} is empty or too short", "write something, or remove the key or the dash")
    if kind == "too_long":
        return node.fault(f"{where} has more than {context['max_length']:,} entries", "keep fewer")
    return node.fault(f"{where}: {detail['msg'].replace('Input should', 'the value must')}")


def _real_steps(root: YamlNode, loc: tuple[str | int, ...]) -> Iterator[str | int]:
    """Yield the steps that exist in the file, list positions counted from 1."""
    node = root
    for step in loc:
        below = node.at(step)
        if below is not node:
            yield step + 1 if isinstance(step, int) else step
        node = below


def _key(step: object) -> str:
    return str(step).removesuffix("_")


def _not(node: YamlNode, expected: str, where: str) -> str:
    value = node.value
    if isinstance(value, dict):
        got = "a mapping"
    elif isinstance(value, list):
        got = "a list"
    elif isinstance(value, bool):
        got = "true" if value else "false"
    elif isinstance(value, str):
        got = f'the text "{value if len(value) <= 40 else value[:37] + "..."}"'
    else:
        got = f"the number {value}"
    return f"{where or 'the file'} must be {expected}, not {got}"


def _nearest(node: YamlNode, context: dict[str, Any]) -> str:
    words = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
    return _near(node.value, words) if isinstance(node.value, str) else ""


def _near(word: str, known: Iterable[str]) -> str:
    """Return the hint that names the nearest word, or nothing when none is near."""
    hint = did_you_mean(word, known)
    return hint if hint.startswith("did you mean") else ""


def _type_hint(node: YamlNode, kind: str) -> str:
    value = node.value
    if kind == "string_type":
        if isinstance(value, bool | int | float):
            return "put it in quotes"
        if isinstance(value, dict):
            return "put it in quotes if it is a text with a colon; a mapping with text: stands in a list"
        return "write one text"
    if kind == "bool_type" and isinstance(value, str):
        return "only true and false, in lower case and without quotes"
    if kind == "list_type":
        return "one entry a line, each with a dash, or [a, b]"
    if kind in ("dict_type", "model_type"):
        return "lines of the form key: value"
    return ""


def known_keys(found: Iterable[type[BaseModel]]) -> set[str]:
    """Return the keys of some forms, as they are written."""
    return {field.alias or name for form in found for name, field in form.model_fields.items()}


def _key_hint(form: type[ClosedModel], word: str, loc: tuple[str | int, ...]) -> str:
    """Return what to do about an unknown key: the nearest known one, or where the key belongs."""
    found = forms_at(form, loc)
    known = known_keys(found)
    if TaskForm in found and (word in PackForm.model_fields or not _near(word, known)):
        at_root = _near(word, PackForm.model_fields)
        if at_root:
            return f"{'' if word in PackForm.model_fields else at_root + ' '}only the root file of a pack holds it"
    if word in known:
        return "it does not go together with the other keys here"
    if found & {ExampleText, InstructionForm} and not _near(word, known):
        return f"put the text in quotes if it holds a colon; known keys: {', '.join(sorted(known))}"
    return did_you_mean(word, known)


def forms_at(form: type[BaseModel], loc: tuple[str | int, ...]) -> set[type[BaseModel]]:
    """Return the forms that may stand at a path, by following the annotations of the fields."""
    here: set[Any] = {form}
    for step in loc:
        below: set[Any] = set()
        for kind in here:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                fields = {field.alias or name: field for name, field in kind.model_fields.items()}
                below |= set(_branches(fields[step].annotation)) if step in fields else {kind}
            elif get_origin(kind) in (list, tuple) and isinstance(step, int):
                below |= set(_branches(get_args(kind)[0]))
            elif get_origin(kind) is dict and not str(step).startswith("<"):
                below |= set(_branches(get_args(kind)[1]))
            else:
                below.add(kind)
        here = below
    return {kind for kind in here if isinstance(kind, type) and issubclass(kind, BaseModel)}


def _branches(annotation: Any) -> Iterator[Any]:
    """Yield the plain types of an annotation: unions and Annotated taken apart."""
    stack = [annotation]
    while stack:
        kind = stack.pop()
        origin = get_origin(kind)
        if origin is Annotated:
            stack.append(get_args(kind)[0])
        elif origin is Union or origin is types.UnionType:
            stack += get_args(kind)
        else:
            yield kind
