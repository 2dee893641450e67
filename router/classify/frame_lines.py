"""What a line of a framed turn is: a label, a line of somebody who speaks, a line of the head of a ticket or a form.

Of each line a bounded part is looked at, by searches that nest no repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from router.classify.frame_names import AGENTS, ASKED, CUSTOMERS, IGNORED, SAID, Kind, kind_of_field, kind_of_name
from router.classify.frame_shapes import (
    BANNER,
    FIRST_PERSON,
    HEAD_BESIDE,
    HEAD_WORDS,
    LETTER_KEYS,
    PASSAGE_WORDS,
    PROMPT_VOICE,
    SAID_LEAD,
    SUBJECT_KEYS,
    TICKET,
)

LINE_CHARACTERS = 240
"""Of each line so many characters tell what it is. It bounds every search here."""

LABEL_CHARACTERS = 60
LABEL_WORDS = 6
FIELD_WORDS = 8
HEAD_LINES = 40
FIELD_CHARACTERS = 120
"""A value that is longer is what somebody says."""

NAME_WORDS = 4
LEAST_CELLS = 2
LEAST_FIELDS = 3
"""So many fields are a head where one of them is known."""

BOXES = "─━═│║┌┐└┘╭╮╰╯├┤"
RULE = re.compile(rf"(?:[-=_*~#+{BOXES}] ?){{3,}}$")
_DRESS = " .?\t#*=_-–[](){}<>|\"'`~•:：" + BOXES
_NUMBER = re.compile(r"[#(]?\d{1,4}[.)\]]?$|h\d$")
_FIELD = re.compile(
    r"(?:[-*•|>│║] ?|\d{1,2}[.)] )?\*{0,2}(?P<key>[^\W\d_][^\n:：*|=\t]{0,38}?)\*{0,2}"
    r"(?: ?：\*{0,2}\s*| ?:\*{0,2}(?:\s+|$)| ?(?:\t|\|(?: |$))|(?<=\w)=(?!=)| = (?=\"))(?P<value>.*)"
)
_ASSIGNED = re.compile(
    r"(?:\{\{(?:\d{1,3}\.)?)?(?P<key>[^\W\d_][\w .-]{0,38}?)(?:\}\})? (?:=>?|->|→) [\"']*(?P<value>.*)"
)
_ARROW = re.compile(r"(?P<key>[^\W\d_][\w -]{1,30})> (?P<value>\S.*)")
_SPLIT = re.compile(r"[\s_]+|(?<=\b[ld])['’]|(?<=[a-z])\.(?=[a-z]{3})|(?<=[a-zA-Z][a-z])(?=[A-Z])")
_ASIDES = re.compile(r"(?<=\w) ?\([^()]{0,60}\)")
TITLE_CHARACTERS = 40
"""A heading without any mark is no longer."""
_ADDRESS = re.compile(r"[^\n<>@:]{0,60}<[^<>\s@]{1,60}@[^<>\s@]{1,60}>")
_ENDS_HEAD = frozenset({"ask", "answer", "passage"})
_TIME = r"\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?:\s?[AaPp]\.?[Mm]\.?)?(?: ?(?:UTC|GMT|CET))?"
_DAY = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{2,4}|\d{1,2}[./]\d{1,2}|(?:[A-Z][a-z]{2,8},? )?(?:[A-Z][a-z]{2,8}\.? \d{1,2}"
    r"|\d{1,2}\.? [A-Z][a-z]{2,8})(?:,? \d{4})?|[Tt]oday|[Yy]esterday|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)"
)
_STAMP = rf"(?:{_DAY}(?:,| -|T| at| um)?\s{{0,2}})?{_TIME}"
_WHO = r"(?P<who>[^\W\d_][^:：\n<>{}/=]{0,48}?)"
_SPEAKERS = (
    re.compile(rf"[\[(]{_STAMP}[\])]\s{{0,3}}(?:[-–|]\s)?{_WHO}\s?:\s?(?P<said>.*)"),
    re.compile(rf"{_STAMP}\s{{0,3}}[-–—|]\s{{1,3}}{_WHO}\s?:\s?(?P<said>.*)"),
    re.compile(rf"[\[(]{_STAMP}[\])]\s{{1,3}}{_WHO}(?P<said>)$"),
    re.compile(rf"{_WHO}(?:,|\s[-–—|•·])?\s{{0,3}}[\[(]{_STAMP}[\])]\s?:?(?P<said>(?:\s.*)?)$"),
    re.compile(rf"{_WHO}(?:,|\s[-–—|•·])?\s{{1,3}}{_STAMP}\s?:?(?P<said>)$"),
)
_STAMP_FIRST = re.compile(
    rf"{_STAMP}\s{{1,3}}(?P<dash>[-–]\s)?(?P<who>[^\W\d_][^\s:]{{1,20}}(?: [^\s:]{{1,20}}){{0,3}})$"
)
_WIKI = frozenset(f"{level}." for level in range(1, 7))
_CELLS = re.compile(r"\t| \| ")
"""A line of a pasted conversation: WhatsApp, live chats, Teams, Telegram and Discord, Slack."""

STAMPED = re.compile(rf"[-–—]? ?{_STAMP}$")
_INLINE = re.compile(
    r"(?<=[.!?…\"'”)\]]) +(?=(?i:(?:user|customer|visitor|kunden)?[ -]?(?:question|query|context|answer|frage|kontext"
    r"|antwort|visitor|customer|user|q)): ?)"
    r"|(?<=\w) +(?=(?:User |Customer )?(?:Question|QUESTION|Query|QUERY|Context|CONTEXT|Frage|Kontext): ?)"
)
_PIPES = re.compile(r" \| | -> ")
_ASSIGNMENTS = re.compile(r"[;&]\w+=")
_LEVELS = frozenset("trace debug info notice warn warning error fatal critical severe exception".split())


class Label(NamedTuple):
    """What begins with a line: a piece of this kind, which says something on the line already."""

    kind: Kind
    tells: bool
    said: str = ""
    who: str = ""
    alone: bool = False
    """Whether the piece is this line and no more."""
    form: str = ""
    """How the label is marked. Below one of a form, the next of that form begins something else, whatever its name."""


def read_label(line: str, bare: str) -> Label | None:
    """Return the label that a line begins with, or is."""
    if not bare:
        return None
    field = _field(bare) or (_ARROW.match(bare) if "> " in bare[:LABEL_CHARACTERS] else None)
    form = form_of(bare)
    if field and field["key"]:
        head, said = field["key"], field["value"].strip()
    elif form and bare[-1] not in ".!,;":
        head, _, said = bare.partition(":") if ":" in bare[:LABEL_CHARACTERS] else (bare, "", "")
    elif ": " in bare[: LABEL_CHARACTERS + 20] or bare[-1] == ":":
        head, _, said = bare.partition(":")
    else:
        return None
    if len(head) > LABEL_CHARACTERS + 20:
        return None
    words, said = words_of_label(head), said.strip().lstrip("*_ ").strip()
    said = "" if said in ("|", ">", "|-", ">-", '"""', "│", "║") else said + beyond(line, bare, said)
    found = kind_of_name(words)
    if found is None:
        titled = form or (not said and ":" in bare[-2:])
        if titled and not PASSAGE_WORDS.isdisjoint(words) and ASKED.isdisjoint(words):
            return Label("passage", True, said, form=form)
        return None
    kind, tells = found
    if kind == "ask" and "@" in said[: NAME_WORDS * 10] and not {"mail", "email"}.isdisjoint(words):
        return None  # the address, not the mail
    who = " ".join(words) if kind in ("customer", "agent") else ""
    return Label(kind, tells and "=" not in bare[len(head) : len(head) + 2], said, who, form=form)


def _field(bare: str) -> re.Match[str] | None:
    """Return the name and the value of a line that has the form of a field."""
    marked = ":" in bare or "=" in bare or "|" in bare or "\t" in bare or "：" in bare
    return _FIELD.match(bare) if marked else None


def form_of(bare: str) -> str:
    """Return how a heading is marked: by its first mark, or by capitals; nothing where it is not."""
    if bare[0] in "#*=[<-" or bare[0] in BOXES or (bare[0] == "h" and bare[1:3] in _WIKI):
        return bare[0]
    return "A" if bare.isupper() and len(bare) > NAME_WORDS else ""


def read_title(lines: Sequence[str], at: int, bare: str) -> Label | None:
    """Return the label that is a short line by itself, between a gap and a text, without any mark."""
    if not is_title(lines, at, bare):
        return None
    words = words_of_label(bare.rstrip("?"))
    found = kind_of_name(words) if AGENTS.isdisjoint(words) else None
    return Label(*found, form="title") if found and (found[1] or found[0] == "ask") else None


def is_title(lines: Sequence[str], at: int, bare: str) -> bool:
    """Return whether a line could be a heading that nothing marks."""
    return (
        len(bare) <= TITLE_CHARACTERS
        and bare[0].isupper()
        and (bare[-1].isalpha() or bare[-1] in "?)")
        and len(bare.split()) <= NAME_WORDS + 2
        and (not at or not lines[at - 1].strip() or bool(RULE.match(lines[at - 1].strip())))
        and any(line.strip() for line in lines[at + 1 : at + 3])
    )


def field_of(bare: str) -> tuple[str, str] | None:
    """Return name and value of a line that has the form of a field, whatever it is called: "Last page: ..."."""
    found = _field(bare) or (_ASSIGNED.match(bare) if " =" in bare or "> " in bare or " → " in bare else None)
    if found is None or SAID_LEAD.match(found["key"]):
        return None
    key = found["key"]
    words = [word for word in key.split() if word.strip(".")]
    named = key[0].isupper() or len(words) == 1 or "=" in bare[: len(key) + 4] or _is_known(_name_of_key(key))
    if not named or len(words) > FIELD_WORDS or FIRST_PERSON.search(key):
        return None
    return key, found["value"].strip()


def beyond(line: str, bare: str, said: str) -> str:
    """Return what lies beyond the characters of a line that are looked at, where it says anything."""
    return line.strip()[len(bare) :] if said else ""


def words_of_label(head: str) -> list[str]:
    """Return the words of a label without what it is dressed up with.

    >>> words_of_label("### Here is the user's **Question** 2"), words_of_label("customer_message")
    (['question'], ['customer', 'message'])
    """
    if "(" in head[1:]:
        head = _ASIDES.sub(" ", head)
    words = [word.strip(_DRESS).lower().removesuffix("'s").removesuffix("’s") for word in _SPLIT.split(head)]
    words = [word for word in words if word]
    kept = [word for word in words if word not in IGNORED and not _NUMBER.match(word)] or words[:1]
    if "for" in kept[1:]:  # "my request for Codex", "AGENTS.md instructions for /app"
        kept = kept[: kept.index("for", 1)]
        if kept == ["request"]:
            return ["my", "request"]
    if len(kept) > 1 and kept[0] in ("ticket", "email", "mail") and kept[-1] in ("message", "body", "description"):
        kept = kept[-1:]
    return kept if len(kept) <= LABEL_WORDS else []


def is_spoken(line: str) -> bool:
    """Return whether a line says something in a conversation, by its label."""
    label = read_label(line, line[:LINE_CHARACTERS].strip())
    return label is not None and label.kind in ("customer", "agent", "answer") and bool(label.said)


def speaker(bare: str) -> tuple[str, str] | None:
    """Return who speaks in a line of a pasted conversation, and what."""
    if not any(map(str.isdigit, bare[:80])) or STAMPED.match(bare):
        return None
    if "\t" in bare or " | " in bare:  # a row of a table
        cells = [cell.strip() for cell in _CELLS.split(bare.strip("| "))]
        who = next((cell for cell in cells[:-1] if cell.lower() in CUSTOMERS or cell.lower() in AGENTS), "")
        if who and len(cells) > LEAST_CELLS:
            return who, cells[-1]
    found = _STAMP_FIRST.match(bare)
    if found and found["dash"]:
        return found["who"], ""
    if found and not (CUSTOMERS | AGENTS).isdisjoint(found["who"].lower().split()):
        return found["who"], ""
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
        field = _field(bare)
        key = _name_of_key(field["key"]) if field else ""
        value = field["value"].strip() if field else ""
        is_short = len(bare) < FIELD_CHARACTERS
        if is_short and BANNER.match(bare):
            announced, known = True, known + 1
        elif is_short and TICKET.match(bare) and key not in SUBJECT_KEYS:
            known += 1
        elif known and _ADDRESS.fullmatch(bare):
            fields += 1
        elif not field or len(value) > FIELD_CHARACTERS or SAID_LEAD.match(field["key"]):
            break
        elif key in CUSTOMERS or key in AGENTS:  # "Customer: Kim Lee", but not "Customer: where is it?"
            if not ("@" in value or (value.istitle() and len(value.split()) <= NAME_WORDS)):
                break
            fields += 1
        elif (not _is_known(key) or ("mail" in key and not value)) and _ends_head(field["key"], value):
            asked = True
            break
        else:
            below = ""
            if not value:
                below = _below(lines, number)
                if not _is_known(key) and key not in LETTER_KEYS and below and not _field(below):
                    break  # what stands below it is no field
            fields += 1
            known += _is_known(key)
            letters += key in LETTER_KEYS
            if not value:  # it has a line of its own
                below = lines[number + 1][:LINE_CHARACTERS].strip() if number + 1 < len(lines) else ""
                number += bool(_is_known(key) and below and not _FIELD.match(below) and len(below) < LABEL_CHARACTERS)
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


def _below(lines: Sequence[str], at: int) -> str:
    """Return the next line that says anything."""
    return next((bare for line in lines[at + 1 : at + 4] if (bare := line[:LINE_CHARACTERS].strip())), "")


def _ends_head(key: str, value: str) -> bool:
    """Return whether a field holds more than a line of a head: the message, or what stands beside it."""
    named = kind_of_field if len(value.split()) >= NAME_WORDS else kind_of_name
    found = named(words_of_label(key))
    return found is not None and found[0] in _ENDS_HEAD and (found[0] == "ask" or not value)


def _is_known(key: str) -> bool:
    """Return whether only a help desk or a form says such a thing of a message."""
    words = key.split()
    if not words or (words[-1] in SAID and words[-1] not in HEAD_WORDS):
        return False
    return not HEAD_WORDS.isdisjoint(words) and all(word in HEAD_WORDS or word in HEAD_BESIDE for word in words)


def _name_of_key(key: str) -> str:
    words = re.split(r"[\s_.]+", key.lower().strip())
    return " ".join(words[1:] if len(words) > 2 and words[0] in ("ticket", "sla") else words)


def subject_of(line: str) -> str:
    """Return what a head says in the user's words: the subject, unless it is that of an older mail."""
    field = _field(line[:LINE_CHARACTERS].strip())
    if not field or _name_of_key(field["key"]) not in SUBJECT_KEYS:
        return ""
    return "" if re.match(r"(?:re|aw|sv|fwd?|wg|tr|rv|antw)\s?:|\(no ", field["value"], re.I) else field["value"]


def one_label_a_line(text: str) -> str:
    """Return a text with each label of a frame, and each field of a line of fields, at the beginning of a line."""
    if " | " in text:
        lines = text.split("\n")
        fields = [len(_PIPES.findall(line)) > 2 and line.count(": ") > 2 for line in lines]
        if any(fields):
            text = "\n".join(
                _PIPES.sub("\n", line) if is_row else line for line, is_row in zip(lines, fields, strict=True)
            )
    if "=" in text and (";" in text or "&" in text):
        text = "\n".join(
            re.sub(r"[;&](?=\w+=)", "\n", line) if len(_ASSIGNMENTS.findall(line)) > 1 else line
            for line in text.split("\n")
        )
    if ":" not in text or not _INLINE.search(text):
        return text
    return "\n".join(
        _INLINE.sub("\n", line)
        if PROMPT_VOICE.match(line) or read_label(line, line[:LINE_CHARACTERS].strip())
        else line
        for line in text.split("\n")
    )
