"""What a line of a framed turn is: a label, a line of somebody who speaks, a line of the head of a ticket or a form.

Of each line a bounded part is looked at, by searches that nest no repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from router.classify.frame_shapes import (
    AGENTS,
    ASK_NOUNS,
    BANNER,
    CUSTOMERS,
    HEAD_KEYS,
    IGNORED,
    LABELS,
    LETTER_KEYS,
    PASSAGE_WORDS,
    SUBJECT_KEYS,
    TICKET,
    Kind,
)

LINE_CHARACTERS = 240
"""Of each line so many characters tell what it is. It bounds every search here."""

LABEL_CHARACTERS = 60
LABEL_WORDS = 6
HEAD_LINES = 40
FIELD_CHARACTERS = 120
"""A value that is longer is what somebody says."""

NAME_WORDS = 4
LEAST_FIELDS = 3
"""So many fields are a head where one of them is known."""

RULE = re.compile(r"[-=_*~#+]{3,}$")
_DRESS = " \t#*=_-[](){}<>|\"'`~•:："
_NUMBER = re.compile(r"[#(]?\d{1,4}[.)\]]?$")
_FIELD = re.compile(
    r"(?:[-*•|>] ?)?\*{0,2}(?P<key>[^\W\d_][^\n:：*|=\t]{0,38}?)\*{0,2}"
    r"(?: ?[:：]\*{0,2}(?:\s+|$)| ?(?:\t|\|(?: |$))|(?<=\w)=(?!=))(?P<value>.*)"
)
_ADDRESS = re.compile(r"[^\n<>@:]{0,60}<[^<>\s@]{1,60}@[^<>\s@]{1,60}>")
_ENDS_HEAD = frozenset({"ask", "answer", "passage"})
_TIME = r"\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?:\s?[AaPp]\.?[Mm]\.?)?(?: ?(?:UTC|GMT|CET))?"
_DAY = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{2,4}|\d{1,2}[./]\d{1,2}|(?:[A-Z][a-z]{2,8},? )?(?:[A-Z][a-z]{2,8}\.? \d{1,2}"
    r"|\d{1,2}\.? [A-Z][a-z]{2,8})(?:,? \d{4})?|[Tt]oday|[Yy]esterday|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)"
)
_STAMP = rf"(?:{_DAY}(?:,| -|T| at| um)?\s{{0,2}})?{_TIME}"
_WHO = r"(?P<who>[^\W\d_][^:：\n\[\]<>{}/=]{0,48}?)"
_SPEAKERS = (
    re.compile(rf"[\[(]{_STAMP}[\])]\s{{0,3}}(?:[-–|]\s)?{_WHO}\s?:\s?(?P<said>.*)"),
    re.compile(rf"{_STAMP}\s{{0,3}}[-–—|]\s{{1,3}}{_WHO}\s?:\s?(?P<said>.*)"),
    re.compile(rf"[\[(]{_STAMP}[\])]\s{{1,3}}{_WHO}(?P<said>)$"),
    re.compile(rf"{_WHO}(?:,|\s[-–—|•·])?\s{{0,3}}[\[(]{_STAMP}[\])]\s?:?(?P<said>(?:\s.*)?)$"),
    re.compile(rf"{_WHO}(?:,|\s[-–—|•·])?\s{{1,3}}{_STAMP}\s?:?(?P<said>)$"),
)
"""A line of a pasted conversation: WhatsApp, live chats, Teams, Telegram and Discord, Slack."""

STAMPED = re.compile(rf"[-–—]? ?{_STAMP}$")
_LEVELS = frozenset("trace debug info notice warn warning error fatal critical severe exception".split())


class Label(NamedTuple):
    """What begins with a line: a piece of this kind, which says something on the line already."""

    kind: Kind
    tells: bool
    said: str = ""
    who: str = ""
    alone: bool = False
    """Whether the piece is this line and no more."""


def read_label(line: str, bare: str) -> Label | None:
    """Return the label that a line begins with, or is."""
    if not bare:
        return None
    field = _FIELD.match(bare)
    dressed = bare[0] in "#*=[<-" or (bare.isupper() and len(bare) > 4)
    if field and field["key"]:
        head, said = field["key"], field["value"].strip()
    elif dressed:
        head, _, said = bare.partition(":") if ":" in bare[:LABEL_CHARACTERS] else (bare, "", "")
    elif ":" in bare[: LABEL_CHARACTERS + 20]:
        head, _, said = bare.partition(":")
    else:
        return None
    if len(head) > LABEL_CHARACTERS + 20:
        return None
    name, said = _name_of_label(head), said.strip().lstrip("*_ ").strip()
    said = "" if said in ("|", ">", "|-", ">-") else said + beyond(line, bare, said)
    found = LABELS.get(name)
    if found is None:
        words = frozenset(name.split())
        titled = dressed or (not said and ":" in bare[-2:])
        if titled and not words.isdisjoint(PASSAGE_WORDS) and words.isdisjoint(ASK_NOUNS):
            return Label("passage", True, said)
        return None
    kind, tells = found
    if kind == "ask" and "@" in said[: NAME_WORDS * 10] and "mail" in name:
        return None  # the address, not the mail
    return Label(kind, tells, said, name if kind in ("customer", "agent") else "")


def beyond(line: str, bare: str, said: str) -> str:
    """Return what lies beyond the characters of a line that are looked at, where it says anything."""
    return line.strip()[len(bare) :] if said else ""


def _name_of_label(head: str) -> str:
    """Return a label without what it is dressed up with.

    >>> _name_of_label("### Here is the user's **Question** 2"), _name_of_label("customer_message")
    ('question', 'customer message')
    """
    words = [word.strip(_DRESS) for word in re.split(r"[\s_]+|(?<=\b[ld])['’]|(?<=[a-z])\.(?=[a-z]{3})", head.lower())]
    words = [word for word in words if word]
    kept = [word for word in words if word not in IGNORED and not _NUMBER.match(word)] or words[:1]
    if "for" in kept[1:]:  # "my request for Codex", "AGENTS.md instructions for /app"
        kept = kept[: kept.index("for", 1)]
        if kept == ["request"]:
            return "my request"
    if len(kept) > 1 and kept[0] in ("ticket", "email", "mail") and kept[-1] in ("message", "body", "description"):
        kept = kept[-1:]
    return " ".join(kept) if len(kept) <= LABEL_WORDS else ""


def is_spoken(line: str) -> bool:
    """Return whether a line says something in a conversation, by its label."""
    label = read_label(line, line[:LINE_CHARACTERS].strip())
    return label is not None and label.kind in ("customer", "agent", "answer") and bool(label.said)


def speaker(bare: str) -> tuple[str, str] | None:
    """Return who speaks in a line of a pasted conversation, and what."""
    if not any(map(str.isdigit, bare[:80])):
        return None
    for shape in _SPEAKERS:
        found = shape.match(bare)
        if found:
            who = found["who"].strip(" ,-–—|•·~")
            if who and who.split()[0].lower() not in _LEVELS and len(who.split()) <= NAME_WORDS:
                return who, found["said"].strip(" \u200e\u200f\u202a\u202c")
    return None


def find_head(lines: Sequence[str], at: int, first: bool) -> tuple[int, int]:
    """Return how many lines of a help desk's or a form's head begin here, and before which line none begins.

    Two lines at least that say what only a help desk says, or one among others. `first` says that nothing was said
    before: then the line that something came is enough.
    """
    end = number = at
    known = letters = fields = 0
    announced = asked = False
    while number < min(len(lines), at + HEAD_LINES):
        bare = lines[number][:LINE_CHARACTERS].strip()
        if not bare or RULE.match(bare):
            number += 1
            continue
        field = _FIELD.match(bare)
        key = _name_of_key(field["key"]) if field else ""
        value = field["value"].strip() if field else ""
        if BANNER.match(bare) and len(bare) < FIELD_CHARACTERS:
            announced, known = True, known + 1
        elif TICKET.match(bare) and len(bare) < FIELD_CHARACTERS and key not in SUBJECT_KEYS:
            known += 1
        elif known and _ADDRESS.fullmatch(bare):
            fields += 1
        elif not field or len(value) > FIELD_CHARACTERS:
            break
        elif key in CUSTOMERS or key in AGENTS:  # "Customer: Kim Lee", but not "Customer: where is it?"
            if not ("@" in value or (value.istitle() and len(value.split()) <= NAME_WORDS)):
                break
            fields += 1
        elif (key not in HEAD_KEYS or ("mail" in key and not value)) and LABELS.get(
            _name_of_label(field["key"]), ("", 0)
        )[0] in _ENDS_HEAD:
            asked = True
            break
        else:
            fields += 1
            known += key in HEAD_KEYS
            letters += key in LETTER_KEYS
            if not value:  # it has a line of its own
                below = lines[number + 1][:LINE_CHARACTERS].strip() if number + 1 < len(lines) else ""
                number += bool(key in HEAD_KEYS and below and not _FIELD.match(below) and len(below) < LABEL_CHARACTERS)
        number += 1
        end = number
    if (
        known > 1
        or (known and fields + letters >= LEAST_FIELDS)
        or (announced and first)
        or (asked and known + letters)
    ):
        return end - at, end
    return 0, max(number, at + 1)  # what is no head from here on is none from one of its later lines on either


def _name_of_key(key: str) -> str:
    words = re.split(r"[\s_.]+", key.lower().strip())
    return " ".join(words[1:] if len(words) > 2 and words[0] in ("ticket", "sla") else words)


def subject_of(line: str) -> str:
    """Return what a head says in the user's words: the subject, unless it is that of an older mail."""
    field = _FIELD.match(line[:LINE_CHARACTERS].strip())
    if not field or _name_of_key(field["key"]) not in SUBJECT_KEYS:
        return ""
    return "" if re.match(r"(?:re|aw|sv|fwd?|wg|tr|rv|antw)\s?:|\(no ", field["value"], re.I) else field["value"]
