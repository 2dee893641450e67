"""Read the cues that a policy declares, from headers and metadata, typed; and detect those that lie in the words.

What a client sends is never trusted to be what the pack expects: a value that does not fit falls to the cue's default
and is counted, and only a cue that the pack calls required makes it an error. Free text is cleaned before anything sees
it. All look-ups are laid out when the policy is loaded.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from router.core.errors import RequestError
from router.core.policy import Cue, CueValue, Policy
from router.cues.detectors import DETECTORS

_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # zero width and bidirectional marks
    "\U000e0000-\U000e0fff]+"  # tag characters and variation selectors, which hide text from people
)
"""Characters that a person does not see but a model may read."""

_SPACE = re.compile(r"\s+")


class _Unfit(ValueError):
    """A value is not what its cue declares. The message says what was expected."""


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
            raise _Unfit("expected one of " + ", ".join(values))
        return value

    return read


def _text_of(limit: int) -> Callable[[Any], CueValue]:
    def read(given: Any) -> CueValue:
        if not isinstance(given, str):
            raise _Unfit("expected a text")
        text = clean_text(given, limit)
        if not text:
            raise _Unfit("expected a text that can be seen")
        return text

    return read


def _boolean(given: Any) -> CueValue:
    if isinstance(given, bool):
        return given
    word = str(given).strip().lower() if isinstance(given, str | int) else ""
    if word not in _TRUTH:
        raise _Unfit("expected true or false")
    return _TRUTH[word]


def _number(given: Any) -> CueValue:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise _Unfit("expected a number")
    try:
        value = float(given)
    except (ValueError, OverflowError):
        raise _Unfit("expected a number") from None
    if not math.isfinite(value):
        raise _Unfit("expected a finite number")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _date(given: Any) -> CueValue:
    if not isinstance(given, str):
        raise _Unfit("expected a date such as 2026-11-22")
    try:  # a moment is a date too: its own, in its own time zone
        return datetime.datetime.fromisoformat(given.strip()).date().isoformat()
    except ValueError:
        raise _Unfit("expected a date such as 2026-11-22") from None


_READERS: Mapping[str, Callable[[Cue], Callable[[Any], CueValue]]] = {
    "enum": lambda cue: _enum_of(cue.values),
    "text": lambda cue: _text_of(cue.limit),
    "boolean": lambda cue: _boolean,
    "number": lambda cue: _number,
    "date": lambda cue: _date,
}
"""By the kind of a cue, what makes the function that types its values; that raises _Unfit."""


class DeclaredCues:
    """Implements `core.ports.CueReader` for one policy."""

    def __init__(self, policy: Policy) -> None:
        self._sourced = [(cue, _READERS[cue.kind](cue)) for cue in policy.cues.values() if cue.kind != "detect"]
        self._detected = [
            (cue.name, DETECTORS[cue.detector], cue.default) for cue in policy.cues.values() if cue.kind == "detect"
        ]

    def read(
        self, headers: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> tuple[dict[str, CueValue], tuple[str, ...]]:
        """Return the cues of a request by name, and the codes of those that fell to their default.

        Raises RequestError (400) when a required cue is missing or does not fit.
        """
        values: dict[str, CueValue] = {}
        faults: list[str] = []
        for cue, read in self._sourced:
            given = place = None
            for kind, name in cue.sources:
                given = headers.get(name) if kind == "header" else metadata.get(name)
                if given is not None and given != "":
                    place = _place(kind, name)
                    break
            if given is None or place is None:
                if cue.required:
                    raise _missing(cue)
            else:
                try:
                    values[cue.name] = read(given)
                    continue
                except _Unfit as why:
                    if cue.required:
                        raise RequestError(f"{place}: {why}.", code="invalid_cue", param=place) from None
                    faults.append(f"cue_invalid:{cue.name}")
            if cue.default is not None:
                values[cue.name] = cue.default
        return values, tuple(faults)

    def detect(self, text: str, turn: int) -> dict[str, CueValue]:
        """Return the cues that were found in the words of user turn number `turn`."""
        values: dict[str, CueValue] = {}
        for name, detector, default in self._detected:
            value = detector(text, turn)
            if value is None:
                value = default
            if value is not None:
                values[name] = value
        return values


def _place(kind: str, name: str) -> str:
    """Return the place of a value as an error's `param` names it."""
    return name if kind == "header" else f"metadata.{name}"


def _missing(cue: Cue) -> RequestError:
    places = " or ".join(f"the header {name}" if kind == "header" else f"metadata.{name}" for kind, name in cue.sources)
    return RequestError(
        f'This policy needs the cue "{cue.name}": send it as {places}.',
        code="missing_cue",
        param=_place(*cue.sources[0]) if cue.sources else f"metadata.{cue.name}",
    )
