"""Cues as declared, and the values that each can have.

A condition, a default or a test that names a value which a cue can never have is a mistake; this file knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.core.errors import Fault, did_you_mean
from router.core.policy import Condition, Cue, CueValue
from router.packs.forms import CueForm, Presence
from router.packs.languages import LANGUAGES
from router.packs.reading import Node
from router.packs.words import did_you_mean_code, is_date

COMPLEXITIES = ("simple", "standard", "complex")
"""The values of the complexity detector, and the keys of `settings.levels`."""


def closed_values(cue: Cue) -> tuple[CueValue, ...] | None:
    """Return all values that a cue can have, or None where they cannot be listed."""
    if cue.kind == "enum":
        return cue.values
    if cue.kind == "boolean" or cue.detector == "follow_up":
        return (True, False)
    if cue.detector == "complexity":
        return COMPLEXITIES
    if cue.detector == "language":
        return tuple(sorted(LANGUAGES))
    return None


def misfit(cue: Cue, value: object) -> tuple[str, str] | None:
    """Return why a cue can never have this value, and a hint; None when it can.

    >>> misfit(Cue("tier", "enum", values=("free", "pro")), "por")
    ('tier is never "por"', 'did you mean "pro"?')
    """
    known = closed_values(cue)
    if known is not None:
        if any(value == v and type(value) is type(v) for v in known):
            return None
        message = f"{cue.name} is never {_shown(value)}"
        if known == (True, False):
            return message, "true or false, in lower case and without quotes"
        if not isinstance(value, str):
            return message, "put the value in quotes if it is a text"
        return message, did_you_mean_code(value) if cue.detector == "language" else did_you_mean(value, map(str, known))
    if cue.kind == "number":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"{cue.name} is a number, not {_shown(value)}", "write a number without quotes"
        return None
    if not isinstance(value, str):
        return f"{cue.name} is a text, not {_shown(value)}", "put it in quotes"
    if cue.kind == "date" and not is_date(value):
        return f'{cue.name} is a date, not "{value}"', "year, month and day: 2026-01-31"
    if cue.kind == "text" and len(value) > cue.limit:
        return f"{cue.name} has at most {cue.limit} characters", "shorten the value, or raise the limit of the cue"
    return None


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def declare(name: str, form: CueForm, node: Node, faults: list[Fault]) -> Cue:
    """Return the cue that a form declares."""
    kind = "enum" if form.values else "text" if form.text else "detect" if form.detect else form.type
    assert kind is not None  # the form has exactly one of the four
    source = form.from_
    named = {"header": source.header.lower() if source.header else None, "metadata": source.metadata} if source else {}
    cue = Cue(
        name=name,
        kind=kind,
        values=tuple(form.values or ()),
        limit=form.text or 0,
        detector=form.detect or "",
        sources=tuple((place, key) for place, key in named.items() if key),
        default=form.default,
        say=form.say or "",
        required=bool(form.required),
        volatile=bool(form.volatile),
    )
    wrong = misfit(cue, form.default) if form.default is not None else None
    if wrong:
        faults.append(Fault(*node.at("default").place, wrong[0], wrong[1]))
    return cue


def conditions(
    clauses: Mapping[str, object] | None, node: Node, cues: Mapping[str, Cue], faults: list[Fault]
) -> tuple[Condition, ...]:
    """Return the clauses of a `when` or `unless`, by the names of their cues; what can never hold is a fault."""
    found = []
    for name, wanted in sorted((clauses or {}).items()):
        here = node.at(name)
        cue = cues.get(name)
        if cue is None:
            faults.append(unknown_cue(name, here, cues))
        elif isinstance(wanted, Presence):
            found.append(Condition(name, present=wanted.present))
        else:
            values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            for i, value in enumerate(values):
                wrong = misfit(cue, value)
                if wrong:
                    faults.append(Fault(*here.at(i).place, wrong[0], wrong[1]))
            found.append(Condition(name, tuple(dict.fromkeys(values))))
    return tuple(found)


def unknown_cue(name: str, node: Node, cues: Mapping[str, Cue]) -> Fault:
    """Return the fault of naming a cue that the pack does not declare."""
    hint = did_you_mean(name, cues) or "declare it under cues: in the root file"
    return Fault(*node.place, f'there is no cue "{name}"', hint)
