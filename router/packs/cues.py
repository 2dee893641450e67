"""Cues as an operator declares them, the values that each can have, and the conditions that name them.

A condition, a default or a test that names a value which a cue can never have is a mistake; this file knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from router.core.errors import Fault, did_you_mean
from router.core.policy import Condition, Cue, CueValue
from router.packs.reading import YamlNode
from router.packs.words import (
    LANGUAGES,
    ClosedModel,
    Fact,
    Header,
    Text,
    by_kind,
    did_you_mean_code,
    exactly_one,
    is_date,
    one_of,
    optional,
    unique,
    wrong,
)

COMPLEXITIES = ("simple", "standard", "complex")
"""The values of the complexity detector, and the keys of `settings.levels`."""

MAX_VALUES = 1_000
"""Values that a cue can have, and that a condition can name."""

CUE_KINDS = ("values", "type", "text", "detect")


class PresenceForm(ClosedModel):
    """A cue is there, or is not."""

    present: bool = Field(description="true: the cue has a value; false: it has none", examples=[True])


_Wanted: TypeAlias = Annotated[
    Annotated[Fact, Tag("<value>")]
    | Annotated[Annotated[list[Fact], Field(min_length=1, max_length=MAX_VALUES)], Tag("<list>")]
    | Annotated[PresenceForm, Tag("<presence>")],
    Discriminator(by_kind(**{"<value>": object, "<list>": list, "<presence>": dict})),
]
Clauses: TypeAlias = Annotated[dict[str, _Wanted], Field(min_length=1)]


class SourceForm(ClosedModel):
    """Where a cue's value comes from; the header is asked first."""

    header: Header | None = optional("HTTP header", example="customer-tier")
    metadata: Text | None = optional("Key of the body's metadata object", example="tier")


def _say(text: str) -> str:
    if "{value}" not in text:
        raise wrong("say does not hold {value}", 'for example "The customer\'s tier: {value}"')
    return text


_Saying: TypeAlias = Annotated[
    Text, AfterValidator(_say), WithJsonSchema({"type": "string", "pattern": "\\{value\\}", "minLength": 1})
]


class CueForm(ClosedModel):
    """A typed fact about a request; exactly one of values, type, text and detect."""

    model_config = ConfigDict(json_schema_extra=exactly_one(CUE_KINDS))

    values: Annotated[list[Text], AfterValidator(unique)] | None = optional(
        "One of these", example=["free", "pro"], min_length=1, max_length=MAX_VALUES
    )
    type: Literal["boolean", "number", "date"] | None = optional(
        "A typed value; dates are YYYY-MM-DD", example="boolean"
    )
    text: int | None = optional("Free text of at most this many characters", example=60, ge=1, le=500)
    detect: Literal["language", "complexity", "follow_up"] | None = optional(
        "Found in the user's words: language, complexity, follow_up. The router itself reads the cue called "
        "complexity, where levels are given by it",
        example="language",
    )
    from_: SourceForm | None = optional(
        "Where the value comes from", example={"header": "customer-tier", "metadata": "tier"}, alias="from"
    )
    default: Fact | None = optional("The value when none comes", example="free")
    say: _Saying | None = optional(
        "A line that states the cue as background; {value} is its value", example="The customer's tier: {value}"
    )
    required: bool | None = optional("true: a request without it is refused", example=True)
    volatile: bool | None = optional("true: changes from call to call, said at the newest turn only", example=True)

    @model_validator(mode="after")
    def _one_kind(self) -> CueForm:
        one_of(CUE_KINDS, self.model_fields_set, "a cue")
        if self.required and self.default is not None:
            raise wrong("a required cue has no default", "remove one of the two")
        if self.detect and (self.from_ or self.required):
            raise wrong("a detected cue comes from the user's words", "remove from and required, or detect")
        if self.required and not (self.from_ and self.from_.model_fields_set):
            raise wrong("a required cue needs a source", "add from: {header: ...} or from: {metadata: ...}")
        return self


def declare_cue(name: str, form: CueForm, node: YamlNode, faults: list[Fault]) -> Cue:
    """Return the cue that a form declares."""
    kind = "enum" if form.values else "text" if form.text else "detect" if form.detect else form.type
    assert kind is not None  # the form has exactly one of the four
    sources = form.from_.given() if form.from_ else {}
    cue = Cue(
        name=name,
        kind=kind,
        values=tuple(form.values or ()),
        limit=form.text or 0,
        detector=form.detect or "",
        sources=tuple((place, key.lower() if place == "header" else key) for place, key in sources.items()),
        default=form.default,
        say=form.say or "",
        required=bool(form.required),
        volatile=bool(form.volatile),
    )
    if form.default is not None:
        node.at("default").refuse(misfit(cue, form.default), faults)
    return cue


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


def conditions(
    clauses: Mapping[str, object] | None, node: YamlNode, cues: Mapping[str, Cue], faults: list[Fault]
) -> tuple[Condition, ...]:
    """Return the clauses of a `when` or `unless`, by the names of their cues; what can never hold is a fault."""
    found = []
    for name, wanted in sorted((clauses or {}).items()):
        here = node.at(name)
        if name not in cues:
            faults.append(unknown_cue(name, here, cues))
        elif isinstance(wanted, PresenceForm):
            found.append(Condition(name, present=wanted.present))
        else:
            values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
            for i, value in enumerate(values):
                here.at(i).refuse(misfit(cues[name], value), faults)
            found.append(Condition(name, tuple(dict.fromkeys(values))))
    return tuple(found)


def unknown_cue(name: str, node: YamlNode, cues: Iterable[str]) -> Fault:
    """Return the fault of naming a cue that the pack does not declare."""
    return node.fault(
        f'there is no cue "{name}"', did_you_mean(name, cues) or "declare it under cues: in the root file"
    )
