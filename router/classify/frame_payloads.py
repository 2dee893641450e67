"""The user's words in JSON: what a help desk, a workflow or a log of a conversation sends as it is.

JSON says of whom a text is by its keys, and by what stands beside it: `role`, `author`, `direction`. What a user pastes
to ask about has neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from router.classify.frame_names import AGENTS, BEFORE, kind_of_name, words_of
from router.classify.frame_shapes import JSON_COMPANY, JSON_MESSAGES

JSON_DEPTH = 4
MOST_VALUES = 200
"""Objects of a text, and levels of each, that are looked at."""

_DECODER = json.JSONDecoder()
_SPACES = re.compile(r"[\s,]*")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SPEAKS = ("role", "author", "sender", "from", "type", "direction", "author_type", "sender_type", "message_type")
_OTHERS = AGENTS | words_of("developer tool function outgoing outbound operator note internal")


class Payload(NamedTuple):
    """What JSON at the beginning of a text says: the user's words or None, whether an app wrote it, what follows."""

    said: str | None
    is_of_app: bool
    rest: str


def read_payload(text: str) -> Payload | None:
    """Return what the JSON with which a text begins says; None where it begins with none.

    >>> read_payload('{"role": "assistant", "content": "Hello!"}\\n{"role": "user", "content": "where is it?"}').said
    'where is it?'
    """
    values: list[Any] = []
    at = _end_of_space(text, 0)
    while text[at : at + 1] in ("{", "[") and len(values) < MOST_VALUES:
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict) and not (
            isinstance(value, list) and any(isinstance(each, dict) for each in value)
        ):
            break
        values.append(value)
        at = _end_of_space(text, at)
    if not values:
        return None
    said, is_of_app = _read_values(values)
    return Payload(said, is_of_app, text[at:])


def _end_of_space(text: str, at: int) -> int:
    found = _SPACES.match(text, at)
    return found.end() if found else at


def _read_values(values: list[Any]) -> tuple[str | None, bool]:
    named: str | None = None
    said: str | None = None
    is_of_app = False
    level: list[Any] = list(reversed(values))
    for _ in range(JSON_DEPTH):
        objects = list(_objects(level))
        for each in objects:
            is_of_app = is_of_app or not JSON_COMPANY.isdisjoint(each) or any(map(_holds_message, each.items()))
            for key, value in each.items():
                if named is None and isinstance(value, str) and _names_words(key):
                    named = value.strip()
            for key in (*JSON_MESSAGES, *(key for key in each if _names_words(key, False))):
                if said is None and isinstance(each.get(key), str):
                    said = each[key].strip()
        level = [value for each in objects for key, value in each.items() if BEFORE.isdisjoint(_words(key))]
    return (said if named is None else named), is_of_app or named is not None


def _objects(level: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the objects of a level in which nobody else speaks, of a list the last first."""
    for each in level:
        for item in reversed(each) if isinstance(each, list) else (each,):
            if isinstance(item, dict) and not _is_by_others(item):
                yield item


def _is_by_others(item: dict[str, Any]) -> bool:
    if item.get("from_agent") is True or item.get("is_bot") is True:
        return True
    for key in _SPEAKS:
        value = item.get(key)
        if isinstance(value, dict):
            value = value.get("type") or value.get("role")
        if isinstance(value, str) and not _OTHERS.isdisjoint(re.split(r"[^a-z]+", value[:40].lower())):
            return True
    return False


def _names_words(key: str, tells: bool = True) -> bool:
    return kind_of_name(_words(key)) == ("ask", tells)


def _holds_message(item: tuple[str, Any]) -> bool:
    """Return whether an entry is an object that is called a message: `"input": {"text": ...}`."""
    return isinstance(item[1], dict) and (kind_of_name(_words(item[0])) or ("", 0))[0] == "ask"


def _words(key: str) -> list[str]:
    return [part.lower() for part in _PARTS.findall(key)]
