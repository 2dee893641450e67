"""From a tree of nodes to a form, with every fault at the line of what is wrong.

pydantic finds what is wrong and says where by a path through the value (`loc`); the tree knows the line of each step.
Steps that only name a branch of a union (`<text>`, `<list>`) lead nowhere and are passed over.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from router.core.errors import Fault, did_you_mean
from router.packs.forms import ExampleText, InstructionForm, PackForm, TaskForm
from router.packs.reading import YamlNode, nodes, plain
from router.packs.reference import kind_of
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


_BARE = "write one, or remove the key or the dash"
_IN_BRACKETS = "write one, or put the text before it in quotes: a comma in brackets ends it"


def read_form(node: YamlNode, form: type[F], faults: list[Fault]) -> F | None:
    """Return the form that a node holds, or None with the faults appended."""
    empty = [n for n in nodes(node) if n.value is None]
    if empty:
        faults += [n.fault("there is no value here", _IN_BRACKETS if n.flow else _BARE) for n in empty]
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


_ROUNDS = 8
"""How often what is wrong is taken out: an empty list, say, may remain, and is wrong itself."""

_NAMED = ("tasks", "cues", "metrics", "extends")
"""Keys below which things have names that other places of a pack use."""


def mended(node: YamlNode, form: type[F]) -> tuple[YamlNode, F | None, bool]:
    """Return a node without what is wrong in it and the form that it holds then; None where none is left.

    The third says whether all is still there that other places may name. For whoever looks for further faults: nothing
    of this is ever served.
    """
    names = _names(node)
    for _ in range(_ROUNDS):
        wrong = {id(each) for each in nodes(node) if each.value is None}
        try:
            found = form.model_validate(plain(node))
        except ValidationError as error:
            for loc in (detail["loc"] for detail in error.errors(include_url=False)):
                whole = loc[:2] if loc[:1] == ("settings",) else loc  # half a setting would be wrong in another way
                wrong.add(id(node.at(*whole)))
        else:
            if not wrong:
                return node, found, _names(node) == names
        if id(node) in wrong:
            break
        node = _without(node, wrong)
    return node, None, False


def _without(node: YamlNode, wrong: set[int]) -> YamlNode:
    """Return a node without some that lie below it. Safe to recurse: no tree is deeper than MAX_DEPTH."""
    if isinstance(node.value, dict):
        kept = {key: _without(below, wrong) for key, below in node.value.items() if id(below) not in wrong}
        return replace(node, value=kept)
    if isinstance(node.value, list):
        return replace(node, value=[_without(below, wrong) for below in node.value if id(below) not in wrong])
    return node


def _names(node: YamlNode) -> set[tuple[str, ...]]:
    """Return the names that a file gives, each with the way to it."""
    found: set[tuple[str, ...]] = set()
    stack: list[tuple[tuple[str, ...], YamlNode]] = [((), node)]
    while stack:
        way, here = stack.pop()
        for key in _NAMED if isinstance(here.value, dict) else ():
            named = here.value.get(key) if isinstance(here.value, dict) else None
            if named is None:
                continue
            found.add((*way, key))
            below = named.value if isinstance(named.value, dict) else {}
            found |= {(*way, key, name) for name in below}
            stack += [((*way, key, name), task) for name, task in below.items() if key == "tasks"]
    return found


def _fault(root: YamlNode, form: type[ClosedModel], detail: dict[str, Any]) -> Fault:
    loc, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    node = root.at(*loc)
    where = ".".join(str(step) for step in _real_steps(root, loc))
    if kind == FAULT:
        return node.fault(context["message"], context["hint"])
    if kind == "extra_forbidden":
        return node.fault(f'unknown key "{str(loc[-1])[:60]}"', _key_hint(root, form, str(loc[-1]), loc[:-1]))
    if kind == "missing":
        return node.fault(f'the key "{_key(loc[-1])}" is missing', f"add it to {where or 'the file'}")
    if kind == "literal_error":
        return node.fault(_not(node, f"one of {context['expected']}", where), _nearest(node, context))
    if kind in _EXPECTED:
        return node.fault(_not(node, _EXPECTED[kind], where), _shallow(root, form, loc) or _type_hint(node, kind))
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


NOT_BUILT: dict[tuple[str, ...], str] = {
    ("settings", "keep"): "remove it: a trace stores none of the user's words, and keeping some cannot be asked for yet"
}
"""Keys of earlier releases that never did anything, by where they stand, and what to do about them."""


def _misplaced(root: YamlNode, form: type[ClosedModel], word: str, loc: tuple[str | int, ...]) -> str:
    """Return how a key is indented wrongly that is known above the mapping at `loc` or below it; "" where it is not.

    Where nothing says which of several forms is meant, nothing is said.
    """
    here, levels = root.at(*loc), 0
    node = here
    for length in reversed(range(len(loc))):
        above = root.at(*loc[:length])
        if above is node or not isinstance(above.value, dict):
            continue
        node, levels = above, levels + 1
        for kind in forms_at(form, loc[:length]):
            if word in known_keys([kind]):
                return _indented(kind, word, f"{_times(levels)} too deep", _dotted(root, loc[:length], word))
    for key, below in here.value.items() if isinstance(here.value, dict) else ():
        for kind in forms_at(form, (*loc, key)):
            if key != word and word in known_keys([kind]) and isinstance(below.value, dict):
                return _indented(kind, word, "one level too shallow", _dotted(root, (*loc, key), word))
    value = here.at(word).value
    if (
        {TaskForm, PackForm} & forms_at(form, loc)
        and isinstance(value, dict)
        and value
        and value.keys() <= known_keys([TaskForm])
    ):
        if loc[-2:-1] == ("tasks",):
            return (
                f'"{word}" looks like a task: if it is one of its own, move it out to the column of "{loc[-1]}"; if it '
                f'belongs below "{loc[-1]}", put it under tasks: there'
            )
        meant = _dotted(root, loc, f"tasks.{word}")
        return f'"{word}" looks like a task, and stands one level too shallow; did you mean {meant}?'
    return ""


def _shallow(root: YamlNode, form: type[ClosedModel], loc: tuple[str | int, ...]) -> str:
    """Return how a key is indented wrongly that stands among names, such as `guided` among tasks; "" for none."""
    if not loc or not isinstance(word := loc[-1], str):
        return ""
    among = root.at(*loc[:-1]).value
    for kind in forms_at(form, loc):
        if word in known_keys([kind]) and isinstance(among, dict):
            names = [name for name in among if name not in known_keys([kind])]
            before = [name for name in names if list(among).index(name) < list(among).index(word)]
            meant = _dotted(root, loc[:-1], f"{(before or names or ['NAME'])[-1]}.{word}")
            return _indented(kind, word, "one level too shallow", meant)
    return ""


def _indented(kind: type[BaseModel], word: str, how: str, meant: str) -> str:
    kind = TaskForm if kind is PackForm and word in TaskForm.model_fields else kind
    return f'"{word}" is a key of {kind_of(kind)}, and stands {how}; did you mean {meant}?'


def _times(levels: int) -> str:
    return "one level" if levels == 1 else f"{levels} levels"


def _dotted(root: YamlNode, loc: tuple[str | int, ...], word: str) -> str:
    return ".".join([*map(str, _real_steps(root, loc)), word])


def _key_hint(root: YamlNode, form: type[ClosedModel], word: str, loc: tuple[str | int, ...]) -> str:
    """Return what to do about an unknown key: the nearest known one, or where the key belongs."""
    found = forms_at(form, loc)
    if hint := NOT_BUILT.get((*map(str, loc), word), "") or _misplaced(root, form, word, loc):
        return hint
    known = known_keys(found)
    if TaskForm in found and (word in PackForm.model_fields or not _near(word, known)):
        at_root = _near(word, PackForm.model_fields)
        if at_root:
            return f"{'' if word in PackForm.model_fields else at_root + ' '}only the root file of a pack holds it"
    if not _near(word, known) and (hint := _shallow(root, form, loc)):
        return hint
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
