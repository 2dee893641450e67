"""The small types of the policy format: texts, names, durations, patterns, and what is said when one is wrong.

Each is a pydantic annotation that carries its rule, its JSON Schema and its own error text, so that the file that an
operator writes, the editor that completes it and the fault that points into it agree.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from router.packs.languages import LANGUAGES

FAULT = "fault"
"""The pydantic error type of faults that are worded here; `hint` in their context is the way out."""

NAME = r"[a-z0-9][a-z0-9_-]*"
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Form(BaseModel):
    """A mapping with a closed set of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def exactly_one(keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON Schema of a mapping that has exactly one of some keys."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def wrong(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error that becomes a Fault with this message and hint."""
    return PydanticCustomError(FAULT, "{message}", {"message": message, "hint": hint})


def seconds(duration: str) -> float:
    """Return the seconds of a duration as operators write it.

    >>> seconds("72h"), seconds("45s")
    (259200.0, 45.0)
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(duration)
    return float(int(match[1]) * _SECONDS[match[2]])


def is_date(text: str) -> bool:
    """Say whether a text is a date as cues hold it: YYYY-MM-DD (RFC 3339, full-date)."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _name(word: str) -> str:
    if not re.fullmatch(NAME, word):
        near = re.sub(r"[^a-z0-9_-]+", "_", word.lower()).lstrip("_-")
        hint = f'for example "{near}"' if near else "for example refund_status"
        raise wrong(f'the name "{word[:60]}" holds more than a-z, 0-9, _ and -, or begins with _ or -', hint)
    return word


def _identity(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", word) or word == "soft":
        raise wrong(f'the id "{word[:60]}" cannot be used', "letters, digits, . _ and -, at most 80; not the word soft")
    return word


def _duration(word: str) -> str:
    if not _DURATION.fullmatch(word):
        raise wrong(f'"{word[:60]}" is not a duration', "a whole number and s, m, h or d: 45s, 60m, 72h, 7d")
    return word


def _language(word: str) -> str:
    if word not in LANGUAGES:
        raise wrong(f'"{word[:60]}" is no language code of ISO 639-1', did_you_mean_code(word))
    return word


def did_you_mean_code(word: str) -> str:
    """Return a hint for a wrong language code: of a longer tag (de-AT), its first part."""
    first = re.split(r"[-_]", word.lower())[0]
    return f'did you mean "{first}"?' if first in LANGUAGES else "two letters, such as de, en, fr"


def _pattern(pattern: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        hint = "RE2 has no look-around and no back-references: https://github.com/google/re2/wiki/Syntax"
        raise wrong(f"RE2 refuses the pattern: {reason}", hint) from error
    return pattern


def _alias(word: str) -> str:
    if not re.fullmatch(r"\S{1,200}", word):
        raise wrong(f'"{word[:60]}" is no model alias', "one word without spaces, as router.yaml names it")
    return word


def _header(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", word):
        raise wrong(f'"{word[:60]}" is no header name', "letters, digits and -, for example x-channel")
    return word


def _task_path(word: str) -> str:
    if not re.fullmatch(rf"/|(?:/{NAME})+", word):
        raise wrong(f'"{word[:60]}" is no path of a task', "for example /billing/refund; / is the root")
    return word


def _fact(value: Any) -> Any:
    if isinstance(value, str):
        value = value.strip()
    if not isinstance(value, str | int | float) or value == "":
        raise wrong("a value must be a text, a number, true or false", "write one value")
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 1.0 and 1 are one value


def _value(value: Any) -> bool | float:
    if not isinstance(value, int | float):
        raise wrong("the value of a metric is a number, true or false", "write it without quotes")
    return value


def _say(text: str) -> str:
    if "{value}" not in text:
        raise wrong("say does not hold {value}", 'for example "The customer\'s tier: {value}"')
    return text


def one_of(keys: tuple[str, ...], given: set[str], what: str) -> None:
    """Raise unless exactly one of the keys is given."""
    found = [key for key in keys if key in given]
    if len(found) != 1:
        listed = ", ".join(keys)
        said = f"has {' and '.join(found)}" if found else "has none of them"
        raise wrong(f"{what} needs exactly one of {listed}, and {said}", f"{'keep' if found else 'add'} one of them")


def unique(values: list[str]) -> list[str]:
    """Raise when a list names something twice; case makes no difference, since requests are read without it."""
    seen: set[str] = set()
    for value in values:
        if value.lower() in seen:
            raise wrong(f'"{value}" is listed twice', "remove one of them; upper and lower case count as the same")
        seen.add(value.lower())
    return values


def by_kind(**tags: type) -> Callable[[Any], str]:
    """Return a chooser among the branches of a union by the Python type of the value; the first tag when none fits."""
    first, *rest = tags

    def choose(value: Any) -> str:
        return next((tag for tag in rest if isinstance(value, tags[tag])), first)

    return choose


Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name: TypeAlias = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Identity: TypeAlias = Annotated[
    str, AfterValidator(_identity), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"})
]
Duration: TypeAlias = Annotated[
    str, AfterValidator(_duration), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}[smhd]$"})
]
Language: TypeAlias = Annotated[
    str, AfterValidator(_language), WithJsonSchema({"type": "string", "enum": sorted(LANGUAGES)})
]
Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_pattern)]
Saying: TypeAlias = Annotated[
    Text, AfterValidator(_say), WithJsonSchema({"type": "string", "pattern": "\\{value\\}", "minLength": 1})
]
Alias: TypeAlias = Annotated[str, AfterValidator(_alias), WithJsonSchema({"type": "string", "pattern": "^\\S{1,200}$"})]
Header: TypeAlias = Annotated[
    str, AfterValidator(_header), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9-]{1,64}$"})
]
TaskPath: TypeAlias = Annotated[
    str, AfterValidator(_task_path), WithJsonSchema({"type": "string", "pattern": f"^(/|(/{NAME})+)$"})
]
Value: TypeAlias = Annotated[bool | float, BeforeValidator(_value), WithJsonSchema({"type": ["number", "boolean"]})]
"""The value of a metric."""

Fact: TypeAlias = Annotated[
    Any, BeforeValidator(_fact), WithJsonSchema({"type": ["string", "number", "boolean"], "minLength": 1})
]
Texts: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[list[Text], Tag("<list>")],
    Discriminator(by_kind(**{"<text>": str, "<list>": list})),
]
Patterns: TypeAlias = Annotated[
    Annotated[Pattern, Tag("<text>")] | Annotated[Annotated[list[Pattern], Field(min_length=1)], Tag("<list>")],
    Discriminator(by_kind(**{"<text>": str, "<list>": list})),
]
