"""The small types of the policy format: texts, names, durations, patterns, and what is said when one is wrong.

Each is a pydantic annotation that carries its rule, its JSON Schema and its own error text, so that the file that an
operator writes, the editor that completes it and the fault that points into it agree. Some also carry what the word
means to the policy: a duration becomes seconds, a level a `Level`, one text or a list of them a tuple.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    StringConstraints,
    Tag,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from router.core.policy import Level

FAULT = "fault"
"""The pydantic error type of faults that are worded here; `hint` in their context is the way out."""

NAME = r"[a-z0-9][a-z0-9_-]*"
PATH = rf"(/|(/{NAME})+)"
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_TAG = re.compile(r"<[A-Za-z][A-Za-z0-9_.:-]{0,63}>")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

_CODES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
LANGUAGES = frozenset(_CODES.split())
"""The two-letter codes of ISO 639-1 (https://www.loc.gov/standards/iso639-2/php/code_list.php)."""


class ClosedModel(BaseModel):
    """A mapping with a closed set of keys, types not coerced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def given(self) -> dict[str, Any]:
        """Return the keys that were given, and no default; mappings below it as dicts as well."""
        fields = {name: field.alias or name for name, field in type(self).model_fields.items()}
        values = {key: getattr(self, name) for name, key in fields.items() if name in self.model_fields_set}
        return {key: value.given() if isinstance(value, ClosedModel) else value for key, value in values.items()}


def optional(description: str, *, example: Any, **rules: Any) -> Any:
    """Return a key that may be left out; `rules` are those of pydantic's `Field`."""
    return Field(default=None, description=description, examples=[example], **rules)


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


def did_you_mean_code(word: str) -> str:
    """Return a hint for a wrong language code: of a longer tag (de-AT), its first part."""
    first = re.split(r"[-_]", word.lower())[0]
    return f'did you mean "{first}"?' if first in LANGUAGES else "two letters, such as de, en, fr"


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


def several(written: str | list[str]) -> tuple[str, ...]:
    """Return one text or a list of them as a tuple."""
    return (written,) if isinstance(written, str) else tuple(written)


@dataclass(frozen=True)
class _Word:
    """A pydantic rule: the word that a pattern must match as a whole. `message` follows the word in the fault.

    `make` is what the word comes to be.
    """

    pattern: str
    message: str
    hint: str
    make: Callable[[str], Any] = str

    def _checked(self, word: str) -> Any:
        if not re.fullmatch(self.pattern, word):
            raise wrong(f'"{word[:60]}" {self.message}', self.hint)
        return self.make(word)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, core_schema.str_schema())

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


def _name(word: str) -> str:
    if not re.fullmatch(NAME, word):
        near = re.sub(r"[^a-z0-9_-]+", "_", word.lower()).lstrip("_-")
        hint = f'for example "{near}"' if near else "for example refund_status"
        raise wrong(f'the name "{word[:60]}" holds more than a-z, 0-9, _ and -, or begins with _ or -', hint)
    return word


def _language(word: str) -> str:
    if word not in LANGUAGES:
        raise wrong(f'"{word[:60]}" is no language code of ISO 639-1', did_you_mean_code(word))
    return word


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


def _place_of_words(text: str) -> str:
    """Return the pattern by which the user's words are found. A tag stands for what is in it."""
    if _TAG.fullmatch(text):
        name = re.escape(text[1:-1])
        return rf"(?is)<{name}(?:\s[^<>]*)?>(.*?)</{name}\s*>"
    if re2.compile(_pattern(text)).groups != 1:
        raise wrong("the pattern must have one group: the user's own words", "for example (?s)Question: (.*)")
    return text


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


Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Name: TypeAlias = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME}$"})]
Duration: TypeAlias = Annotated[
    float,
    _Word("[0-9]{1,6}[smhd]", "is not a duration", "a whole number and s, m, h or d: 45s, 60m, 72h, 7d", seconds),
]
"""A number of seconds."""

LevelName: TypeAlias = Annotated[
    Literal["off", "brief", "guided", "detailed"], AfterValidator(lambda word: Level[word.upper()])
]
Language: TypeAlias = Annotated[
    str, AfterValidator(_language), WithJsonSchema({"type": "string", "enum": sorted(LANGUAGES)})
]
Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_pattern)]
WordsPlace: TypeAlias = Annotated[str, StringConstraints(min_length=1), AfterValidator(_place_of_words)]
Alias: TypeAlias = Annotated[
    str, _Word(r"\S{1,200}", "is no model alias", "one word without spaces, as router.yaml names it")
]
Header: TypeAlias = Annotated[
    str, _Word("[A-Za-z0-9-]{1,64}", "is no header name", "letters, digits and -, for example x-channel")
]
TaskPath: TypeAlias = Annotated[str, _Word(PATH, "is no path of a task", "for example /billing/refund; / is the root")]
Value: TypeAlias = Annotated[bool | float, BeforeValidator(_value), WithJsonSchema({"type": ["number", "boolean"]})]
"""The value of a metric."""

Fact: TypeAlias = Annotated[
    Any, BeforeValidator(_fact), WithJsonSchema({"type": ["string", "number", "boolean"], "minLength": 1})
]
"""The value of a cue."""

TEXT_OR_LIST = Discriminator(by_kind(**{"<text>": str, "<list>": list}))

Texts: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[list[Text], Tag("<list>")], TEXT_OR_LIST, AfterValidator(several)
]
Patterns: TypeAlias = Annotated[
    Annotated[Pattern, Tag("<text>")] | Annotated[Annotated[list[Pattern], Field(min_length=1)], Tag("<list>")],
    TEXT_OR_LIST,
    AfterValidator(several),
]
TaskPaths: TypeAlias = Annotated[Annotated[list[TaskPath], Field(min_length=1)], AfterValidator(several)]
