"""Find the user's own words in a user turn that an app, a harness or a help desk has framed.

    retrieved context    in tags, below labels and headings, behind file headers, in parts of its own
    harness blocks       <system-reminder>, <environment_context>, AGENTS.md and the like
    help desks           `Name:`, `Inbox:`, `Ticket #5` above the message, or the message in JSON
    conversations        `Customer: ... / Agent: ...`, pasted lines of messengers: the customer's newest words count

Three steps, each linear in the text:

1. *Cut*: a turn is cut into pieces of a kind (`router.classify.frame_pieces`) by declared shapes
   (`router.classify.frame_shapes`).
2. *Seen?* A label may be anybody's word ("Note:", "Message:"). Where none of the pieces tells a frame the turn is none,
   and nothing is changed.
3. *Choose* among the pieces: what an app says is the user's; else what nobody says is anybody else's.

Where a frame is seen and no words of the user are found in it, there are none: what was looked up is never taken for
what is asked. Only words that the user turn holds are ever chosen, and of several questions the last, so that a
customer who types a frame can hide words from recognition, as by not writing them, and do nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from email import message_from_string

from router.classify.frame_choice import (
    LEAST_WORDS,
    LONG_PASSAGE,
    SAID_IN_PASSING,
    SENTENCE_CHARACTERS,
    choose,
    tells_frame,
    without_prompt,
)
from router.classify.frame_lines import field_of, read_label
from router.classify.frame_names import AGENTS, CUSTOMERS, Kind
from router.classify.frame_payloads import read_payload
from router.classify.frame_pieces import TurnPiece, cut
from router.classify.frame_records import in_record
from router.classify.frame_shapes import (
    AUTOMATIC,
    FILE_HEAD,
    FIRST_PERSON,
    GENERATED,
    GREETS,
    OF_CUSTOMER,
    OWN_VOICE,
    REPLY_ABOVE,
    SERVED,
)
from router.classify.frame_sides import last_of_customer
from router.classify.text import STRIP_CHARACTERS

MOST_PARTS = 8
"""Parts of a turn that are looked at: of more the first four and the last four."""

MOST_TURNS = 200
MOST_NESTED = 2
"""Frames in a frame: a mail with an older one in the JSON of a help desk."""

LEAST_MARKS = 3
"""So many lines with marks of web pages tell that a block is from one."""

_MODEL_MARKS = (
    (re.compile(r"\[/?INST\]|</?s>"), " "),
    (re.compile(r"<(/?)<SYS>>|<<(/)SYS>>"), r"<\1\2system_prompt>"),
    (re.compile(r"<\|(?:im_start|start_header_id)\|>\s{0,2}(\w{1,20})(?:<\|end_header_id\|>)?"), r"\n\1:"),
    (re.compile(r"<\|[a-z_]{1,24}\|>"), "\n"),
    (re.compile(r"<v(?:\.\w{1,20})? ([^<>\n]{1,40})>"), r"\1: "),
)
"""Marks of models' own templates and of subtitles, and what they say in the marks that are read here."""

_TURN = re.compile(r"([^\W\d_a-z][^\W\d_]{1,20}(?: [^\W\d_a-z][^\W\d_]{1,20})?): ?(.+)")
_GAP = re.compile(r"\n[ \t]*(?:[-=_*]{3,}[ \t]*)?\n|\n[-=_*]{3,}[ \t]*\n")
_PAGE = re.compile(r"^[ \t]*(?:[✓✔★☆•›»€$£]|\[[^\]\n]{1,30}\]|[^\n>]{1,30} > )", re.M)
_LISTED = re.compile(r"(?:^|[.;,] )[^\W\d_][\w ]{2,30}: |[\"“„][^\"“”„\n]{3,60}[\"”“](?=[,;/]|\.? ?$)| \| ")
"""Fields in a line, and titles in quotes one after the other: a list of what others wrote."""

_JSON = re.compile(r"^(?:\{|\[\{)\"", re.M)
_MIME = re.compile(r"^(?:MIME-Version: |Content-Type: (?:text|multipart)/)", re.M)
_TITLE = re.compile(r"[^\W\d_][^\n:]{1,40}:\s{0,3}\n")


def find(parts: Sequence[str]) -> str | None:
    """Return the user's own words in the text parts of a user turn, "" where a frame holds none; None without a frame.

    >>> find(["Context: Parcels arrive in 3 days.\\n\\nQuestion: where is mine?"])
    'where is mine?'
    >>> find(["<system-reminder>The plan is Pro.</system-reminder>"]), find(["where is my parcel?"])
    ('', None)
    """
    return _find(list(_bounded(parts)), MOST_NESTED)


def _find(parts: Sequence[str], nested: int) -> str | None:
    if len(parts) == 1 and (typed := _above_the_line(parts[0])):
        return typed
    lined = len(parts) > 1 or "\n" in parts[0]
    if lined and len(parts) == 1 and (body := _body_of_mail(parts[0])):
        return (_find([body], nested - 1) or body) if nested else body
    pieces = _with_sides([piece for part in parts for piece in _cut(part, len(parts) == 1)], parts)
    if not tells_frame(pieces) and len(parts) == 1 and (talk := _talk(parts[0])):
        pieces = _with_sides(talk, parts)
    if len(parts) > 1 and not any(piece.kind == "ask" and piece.tells for piece in pieces):
        unmarked = [part for part in parts if not _is_marked(part)]
        if len(unmarked) == 1:
            return unmarked[0].strip()
    told = any((piece.kind == "ask" and not piece.is_empty) or piece.who for piece in pieces) and tells_frame(pieces)
    if lined and not told and len(parts) == 1 and (said := last_of_customer(parts[0])) is not None:
        return said
    if tells_frame(pieces):
        found = choose(pieces)
        inner = _find([found], nested - 1) if nested and "\n" in found else None
        return "" if found and _is_by_nobody([found]) else inner or found
    if not lined:
        return "" if AUTOMATIC.match(parts[0]) else None
    if len(parts) == 1 and (said := in_record(parts[0])) is not None:
        return said
    texts = parts if len(parts) > 1 else _GAP.split(parts[0])
    among = _among_passages(texts)
    return "" if among is None and (_is_all_looked_up(texts) or _is_by_nobody(parts)) else among


def _cut(part: str, alone: bool) -> list[TurnPiece]:
    """Return the pieces of a text part, of which JSON at its beginning is one."""
    payload = read_payload(part)
    if payload is None:
        begin = next((found.start() for found in _JSON.finditer(part)), -1)  # a line above it says what it is
        below = read_payload(part[begin:]) if begin > 0 and "<" not in part[:begin] else None
        if below is None or not below.is_of_app or below.said is None:
            return cut(part)
        return [*cut(part[:begin]), TurnPiece("ask", below.said, True, True)]
    rest = cut(payload.rest) if payload.rest.strip() else []
    if not rest and alone and payload.said is None and not payload.is_of_app:
        return []
    whole = alone and not rest and len((payload.said or "").split()) >= LEAST_WORDS
    if payload.said is not None and (payload.is_of_app or whole) and not (rest and OWN_VOICE.search(payload.rest)):
        return [TurnPiece("ask", payload.said, True, True), *rest]
    return [TurnPiece("passage", part[: len(part) - len(payload.rest)], True, True), *rest]


def _is_marked(part: str) -> bool:
    """Return whether a part begins as what an app adds: with a label, a tag, a file's name, JSON, or a heading."""
    first = part.lstrip().split("\n", 1)[0][:SENTENCE_CHARACTERS].strip()
    return (
        first[:1] in ("{", "[", "<", "#")
        or first[-1:] in (":", "：")
        or bool(FILE_HEAD.match(first))
        or read_label(first, first) is not None
    )


def _is_by_nobody(parts: Sequence[str]) -> bool:
    """Return whether no customer wrote a text: an automatic reply, or a report of what customers and agents did."""
    if AUTOMATIC.match(parts[0].lstrip()):
        return True
    if any(map(FIRST_PERSON.search, parts)):
        return False
    if any(map(GENERATED.search, parts)):
        return True
    if "\n" in parts[0].strip() and sum(len(SERVED.findall(part)) for part in parts) > 1:
        return True  # a shop's own mail
    return not any(map(OWN_VOICE.search, parts)) and sum(len(OF_CUSTOMER.findall(part)) for part in parts) > 1


def _bounded(parts: Sequence[str]) -> Iterator[str]:
    """Yield the first and last parts, each by its beginning and end."""
    if len(parts) > MOST_PARTS:
        parts = (*parts[: MOST_PARTS // 2], *parts[-MOST_PARTS // 2 :])
    half = STRIP_CHARACTERS // 2 // min(len(parts) or 1, 4)
    for part in parts:
        if "<" in part or "[INST]" in part:
            for mark, shown in _MODEL_MARKS:
                part = mark.sub(shown, part)
        yield part if len(part) <= 2 * half else f"{part[:half]}\n{part[-half:]}"


def _talk(text: str) -> list[TurnPiece]:
    """Return what two people say by turns, line by line, if a text is nothing else."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    found = [_TURN.match(line) for line in lines] if 2 < len(lines) < MOST_TURNS else []
    turns = [turn for turn in found if turn]
    if not turns or len(turns) < len(lines) or len({turn[1] for turn in turns}) != 2:
        return []
    return [TurnPiece("customer", turn[2], True, True, turn[1]) for turn in turns]


def _body_of_mail(text: str) -> str:
    """Return the first text of a mail in its raw form, with its headers and the marks between its parts."""
    if not _MIME.search(text[: SENTENCE_CHARACTERS * 4]):
        return ""
    for part in message_from_string(text.lstrip()).walk():
        if part.get_content_maintype() == "text":
            return str(part.get_payload()).strip()
    return ""


def _above_the_line(text: str) -> str:
    """Return what a user has typed above the line of a help desk's mail, if anything."""
    found = REPLY_ABOVE.search(text)
    above = text[: found.start()].strip() if found else ""
    return above if any(map(str.isalnum, above)) else ""


# ----------------------------------------------------------------------------------------------------------- choosing


def _with_sides(pieces: list[TurnPiece], parts: Sequence[str]) -> list[TurnPiece]:
    """Return the pieces with all who speak in a conversation told apart: the customer, and who answers.

    They are told by the words of their names, else by how they speak; of those that nothing tells apart, who spoke last
    is the customer: a conversation is handed over when there is something to answer.
    """
    names = list(dict.fromkeys(piece.who for piece in pieces if piece.who))
    if not names:
        return pieces
    sides: dict[str, Kind] = {}
    asking = [
        field[1]
        for part in parts
        for line in part.split("\n")
        if ":" in line and (field := field_of(line[:SENTENCE_CHARACTERS].strip())) and field[0].lower() in CUSTOMERS
    ][:MOST_PARTS]
    sides |= {name: "customer" for name in names for said in asking if said.startswith(name.split(" (")[0])}
    for piece in pieces:  # "Visitor: Kamila" says who Kamila is
        if piece.who.lower() in CUSTOMERS and piece.text.strip() in names:
            sides[piece.text.strip()] = "customer"
            pieces = [each for each in pieces if each is not piece]
    for name in names:
        words = frozenset(re.findall(r"[^\W\d_]+", name.lower()))
        said = [piece.text[:SENTENCE_CHARACTERS] for piece in pieces if piece.who == name]
        if name in sides:
            continue
        if not words.isdisjoint(AGENTS) or name.lower().endswith("bot"):
            sides[name] = "agent"
        elif not words.isdisjoint(CUSTOMERS):
            sides[name] = "customer"
        elif any(map(GREETS.search, said)):
            sides[name] = "agent"
    unknown = [piece.who for piece in pieces if piece.who and piece.who not in sides]
    customer = unknown[-1] if unknown and "customer" not in sides.values() else ""
    sides |= {name: "customer" if name == customer else "agent" for name in unknown}
    return [piece._replace(kind=sides[piece.who]) if piece.who else piece for piece in pieces]


def _is_all_looked_up(texts: Sequence[str]) -> bool:
    """Return whether labels of two kinds, whatever they say, stand above a long passage and something shorter.

    And nobody asks or speaks of themselves. What people write below titles of their own has shorter lines.
    """
    if len(texts) < 2 or any(map(OWN_VOICE.search, texts)):
        return False
    longest = max(map(len, texts[0].split("\n")))
    titled = _TITLE.match(texts[0].strip()) and _TITLE.match(texts[-1].strip())
    return bool(titled) and longest >= LONG_PASSAGE and len(texts[-1]) < longest


def _among_passages(texts: Sequence[str]) -> str | None:
    """Return the parts or paragraphs in which a customer speaks, at either end of others in which nobody does.

    None where that is not so: people write long texts, too, but about themselves.
    """
    texts = [text for text in texts if len(text.split()) >= LEAST_WORDS or OWN_VOICE.search(text)]
    own = [n for n, text in enumerate(texts) if len(text) < 2 * LONG_PASSAGE and OWN_VOICE.search(text)]
    if any(FIRST_PERSON.search(texts[n]) for n in own):  # a shop asks as well: "Need help? You can return it."
        own = [n for n in own if FIRST_PERSON.search(texts[n]) or not SERVED.search(texts[n])]
    others = [text for n, text in enumerate(texts) if n not in own]
    if not own or not others or own[-1] - own[0] >= len(own):
        return None
    foreign = [_is_foreign(text) for text in others]
    if len(own) > 1 or not any(len(text) >= LONG_PASSAGE for text in others):
        strange = any(foreign) and all(foreign)
    else:
        strange = all(
            (len(text) >= LONG_PASSAGE and len(FIRST_PERSON.findall(text)) <= SAID_IN_PASSING)
            or is_foreign
            or not without_prompt(text)
            for text, is_foreign in zip(others, foreign, strict=True)
        )
    return "\n\n".join(texts[own[0] : own[-1] + 1]).strip() if strange else None


def _is_foreign(text: str) -> bool:
    """Return whether a paragraph by itself is none of a customer's: a shop speaks in it, or it is a page's."""
    if FIRST_PERSON.search(text):
        return False
    if SERVED.search(text) or OF_CUSTOMER.search(text):
        return True
    return len(_PAGE.findall(text)) >= LEAST_MARKS or len(_LISTED.findall(text)) > 1
