"""Typed values out of what clients send: strings from headers, JSON values from metadata."""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from router.core.policy import Cue, CueValue

TRUE = frozenset({"true", "1", "yes"})
FALSE = frozenset({"false", "0", "no"})

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width and bidirectional marks
    "\U000e0000-\U000e0fff]+"  # tag characters and variation selectors, which hide text from people
)
"""Characters that a person does not see but a model may read."""

_SPACE = re.compile(r"\s+")


class Unfit(ValueError):
    """A value is not what its cue declares. The message says what was expected."""


def reader_of(cue: Cue) -> Callable[[Any], CueValue]:
    """Return the function that types a value for this cue; it raises Unfit."""
    if cue.kind == "enum":
        return _enum_of(cue.values)
    if cue.kind == "text":
        return _text_of(cue.limit)
    return {"boolean": _boolean, "number": _number, "date": _date}[cue.kind]


def clean_text(text: str, limit: int) -> str:
    """Return free text as it may be shown to a model: one line of visible characters, at most `limit` of them.

    >>> clean_text("Ann\\u200b\\n  Lee", 40)
    'Ann Lee'
    """
    visible = _HIDDEN.sub(" ", unicodedata.normalize("NFC", text[: 8 * limit]))
    visible = "".join(c for c in visible if unicodedata.category(c) != "Cs")  # half a character is none
    return _SPACE.sub(" ", visible).strip()[:limit].rstrip()


def _enum_of(values: tuple[str, ...]) -> Callable[[Any], CueValue]:
    known = {value.lower(): value for value in values}

    def read(given: Any) -> CueValue:
        value = known.get(str(given).strip().lower()) if isinstance(given, str | int | float) else None
        if value is None:
            raise Unfit("expected one of " + ", ".join(values))
        return value

    return read


def _text_of(limit: int) -> Callable[[Any], CueValue]:
    def read(given: Any) -> CueValue:
        if not isinstance(given, str):
            raise Unfit("expected a text")
        text = clean_text(given, limit)
        if not text:
            raise Unfit("expected a text that can be seen")
        return text

    return read


def _boolean(given: Any) -> CueValue:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower() if isinstance(given, str | int) else ""
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise Unfit("expected true or false")


def _number(given: Any) -> CueValue:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise Unfit("expected a number")
    try:
        value = float(given)
    except (ValueError, OverflowError):
        raise Unfit("expected a number") from None
    if not math.isfinite(value):
        raise Unfit("expected a finite number")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _date(given: Any) -> CueValue:
    if not isinstance(given, str):
        raise Unfit("expected a date such as 2026-11-22")
    try:  # a moment is a date too: its own, in its own time zone
        return datetime.datetime.fromisoformat(given.strip()).date().isoformat()
    except ValueError:
        raise Unfit("expected a date such as 2026-11-22") from None
