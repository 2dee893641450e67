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

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from router.classify.frame_pieces import TurnPiece, cut
from router.classify.frame_shapes import (
    AGENTS,
    CUSTOMERS,
    FIRST_PERSON,
    GREETS,
    JSON_COMPANY,
    JSON_MESSAGES,
    OWN_VOICE,
    PROMPT_ALONE,
    PROMPT_TOPIC,
    PROMPT_VOICE,
    REPLY_ABOVE,
    Kind,
)
from router.classify.text import STRIP_CHARACTERS

MOST_PARTS = 8
"""Parts of a turn that are looked at: of more the first four and the last four."""

LONG_PASSAGE = 200
"""A paragraph or part with so many characters may be a passage, though nothing says so."""

SAID_IN_PASSING = 1
"""Words in the first person that a passage may have: "the page My plans"."""

SENTENCE_CHARACTERS = 300
LEAST_WORDS = 4
"""Of the user's words without the subject of the mail. With fewer the subject belongs to them."""

JSON_DEPTH = 3
MOST_TURNS = 200

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
DRESS = " \t#*=_-\"'`~•"
_MODEL_MARKS = ("[INST]", "[/INST]")
_TURN = re.compile(r"([^\W\d_a-z][^\W\d_]{1,20}(?: [^\W\d_a-z][^\W\d_]{1,20})?): ?(.+)")
_TITLE = re.compile(r"[^\W\d_][^\n:]{1,40}:\s{0,3}\n")


def find(parts: Sequence[str]) -> str | None:
    """Return the user's own words in the text parts of a user turn, "" where a frame holds none; None without a frame.

    >>> find(["Context: Parcels arrive in 3 days.\\n\\nQuestion: where is mine?"])
    'where is mine?'
    >>> find(["<system-reminder>The plan is Pro.</system-reminder>"]), find(["where is my parcel?"])
    ('', None)
    """
    parts = list(_bounded(parts))
    if len(parts) == 1:
        typed = _above_the_line(parts[0]) or _below_json(parts[0])
        if typed:
            return typed
        said = _in_json(parts[0])
        if said is not None:
            return said
    pieces = _with_sides([piece for part in parts for piece in cut(part)])
    if not _is_frame(pieces) and len(parts) == 1 and (talk := _talk(parts[0])):
        pieces = _with_sides(talk)
    if not _is_frame(pieces):
        texts = parts if len(parts) > 1 else parts[0].split("\n\n")
        found = _among_passages(texts)
        return "" if found is None and _is_all_looked_up(texts) else found
    return _choose(pieces)


def _bounded(parts: Sequence[str]) -> Iterator[str]:
    """Yield the first and last parts, each by its beginning and end."""
    if len(parts) > MOST_PARTS:
        parts = (*parts[: MOST_PARTS // 2], *parts[-MOST_PARTS // 2 :])
    half = STRIP_CHARACTERS // 2 // min(len(parts) or 1, 4)
    for part in parts:
        for mark in _MODEL_MARKS:
            part = part.replace(mark, " ") if mark in part else part
        yield part if len(part) <= 2 * half else f"{part[:half]}\n{part[-half:]}"


def _talk(text: str) -> list[TurnPiece]:
    """Return what two people say by turns, line by line, if a text is nothing else."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    found = [_TURN.match(line) for line in lines] if 2 < len(lines) < MOST_TURNS else []
    turns = [turn for turn in found if turn]
    if not turns or len(turns) < len(lines) or len({turn[1] for turn in turns}) != 2:
        return []
    return [TurnPiece("customer", turn[2], True, True, turn[1]) for turn in turns]


def _above_the_line(text: str) -> str:
    """Return what a user has typed above the line of a help desk's mail, if anything."""
    found = REPLY_ABOVE.search(text)
    above = text[: found.start()].strip() if found else ""
    return above if any(map(str.isalnum, above)) else ""


def _below_json(text: str) -> str:
    """Return what a user asks below a long piece of JSON, if a text is that."""
    if text.lstrip()[:1] not in ("{", "["):
        return ""
    end = max(text.rfind("}\n"), text.rfind("]\n")) + 1
    below = text[end:].strip()
    return below if end > 2 * LONG_PASSAGE and (OWN_VOICE.search(below) or len(below.split()) > LEAST_WORDS) else ""


def _in_json(text: str) -> str | None:
    """Return the message in the JSON of a help desk or a workflow; None where a text is nothing of the kind."""
    text = text.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return None
    try:
        level: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        return None
    company = False
    said: str | None = None
    for _ in range(JSON_DEPTH):
        lists = [item for each in level if isinstance(each, list) for item in reversed(each)]
        objects = [each for each in (*level, *lists) if isinstance(each, dict) and each.get("role", "user") == "user"]
        for each in objects:
            company = company or not JSON_COMPANY.isdisjoint(each)
            for key in JSON_MESSAGES:
                if said is None and isinstance(each.get(key), str):
                    said = each[key].strip()
        level = [value for each in objects for value in each.values()]
    return said if company else None


# ----------------------------------------------------------------------------------------------------------- choosing


def _with_sides(pieces: list[TurnPiece]) -> list[TurnPiece]:
    """Return the pieces with all who speak in a conversation told apart: the customer, and who answers.

    They are told by the words of their names, else by how they speak; of those that nothing tells apart, who spoke last
    is the customer: a conversation is handed over when there is something to answer.
    """
    names = list(dict.fromkeys(piece.who for piece in pieces if piece.who))
    if not names:
        return pieces
    sides: dict[str, Kind] = {}
    for piece in pieces:  # "Visitor: Kamila" says who Kamila is
        if piece.who.lower() in CUSTOMERS and piece.text.strip() in names:
            sides[piece.text.strip()] = "customer"
            pieces = [each for each in pieces if each is not piece]
    for name in names:
        words = frozenset(re.findall(r"[^\W\d_]+", name.lower()))
        said = [piece.text[:SENTENCE_CHARACTERS] for piece in pieces if piece.who == name]
        if name in sides:
            continue
        if not words.isdisjoint(AGENTS) or name.lower().endswith("bot") or any(map(GREETS.search, said)):
            sides[name] = "agent"
        elif not words.isdisjoint(CUSTOMERS):
            sides[name] = "customer"
    unknown = [piece.who for piece in pieces if piece.who and piece.who not in sides]
    customer = unknown[-1] if unknown and "customer" not in sides.values() else ""
    sides |= {name: "customer" if name == customer else "agent" for name in unknown}
    return [piece._replace(kind=sides[piece.who]) if piece.who else piece for piece in pieces]


def _is_frame(pieces: Sequence[TurnPiece]) -> bool:
    """Return whether the pieces are those of a frame: one tells it, or several do together."""
    kinds = [piece.kind for piece in pieces if not piece.is_empty]
    if any(piece.tells for piece in pieces):
        return not _is_prose_of_a_user(pieces)
    if "passage" in kinds and kinds[-1] == "customer":
        return True
    if kinds.count("passage") > 1 or ("passage" in kinds and "ask" in kinds) or kinds.count("answer") > 1:
        return True
    if "customer" in kinds and ("agent" in kinds or kinds[0] == "customer"):
        return True
    before = sum(len(piece.text) for piece in pieces[:-1])
    return bool(pieces) and pieces[-1].kind == "customer" and before >= LONG_PASSAGE


def _is_prose_of_a_user(pieces: Sequence[TurnPiece]) -> bool:
    """Return whether the one label is a user's own, who tells a story below it: "Context: my mum turned 80, I ..."."""
    said = [piece for piece in pieces if not piece.is_empty]
    return (
        len(said) == 1
        and said[0].kind == "passage"
        and not said[0].closed
        and len(said[0].text) < 2 * LONG_PASSAGE
        and "\n\n" not in said[0].text
        and len(FIRST_PERSON.findall(said[0].text)) > SAID_IN_PASSING
    )


def _choose(pieces: Sequence[TurnPiece]) -> str:
    """Return the user's own words among the pieces of a frame."""
    subject = "\n".join(piece.text for piece in pieces if piece.kind == "head" and not piece.is_empty)
    words = _choose_words(pieces)
    return f"{subject}\n{words}".strip() if subject and words and len(words.split()) < LEAST_WORDS else words


def _choose_words(pieces: Sequence[TurnPiece]) -> str:
    asked = [
        piece.text
        for piece, behind in zip(pieces, (*pieces[1:], None), strict=True)
        if piece.kind == "ask" and not (behind and behind.kind == "answer" and not behind.is_empty)
    ]
    own = [text for text in asked if any(map(str.isalnum, text))]
    first = next((piece for piece in pieces if not piece.is_empty), None)
    if not own and first is not None and first.kind == "ask" and first.tells:  # an answer is there, to be made better
        own = [first.text]
    if own:
        return _without_prompt(own[-1], first=1)
    said, talks = _newest(pieces), any(piece.who for piece in pieces)
    framed = talks or any(piece.kind in ("passage", "prompt", "answer") for piece in pieces)
    plain = [(n, _without_prompt(piece.text) if framed else piece.text) for n, piece in enumerate(pieces)]
    plain = [(n, text) for n, text in plain if pieces[n].kind == "plain" and any(map(str.isalnum, text))]
    if talks:
        spoken = [text for _, text in plain if OWN_VOICE.search(text)]
        return spoken[-1] if spoken else said
    if asked and not framed:  # the field for the message is there, and empty
        return ""
    passages = [n for n, piece in enumerate(pieces) if piece.kind in ("passage", "answer")]
    if not passages:
        return "\n".join(text for _, text in plain)
    last = pieces[-1]
    behind = "\n\n".join(text for n, text in plain if n > passages[-1])
    before = "\n\n".join(text for n, text in plain if n < passages[0])
    tail = "" if last.closed or last.kind not in ("passage", "answer") else _last_paragraph(last.text)
    candidates = [_from_own_voice(text) for text in (behind, before, tail) if text]
    return next((text for text in candidates if OWN_VOICE.search(text)), behind or before)


def _newest(pieces: Sequence[TurnPiece]) -> str:
    """Return what the customer said last in a conversation, up to what somebody else said before.

    What stands a paragraph below the last line of somebody who answers was typed by the one who pasted all of it.
    """
    last = pieces[-1] if pieces else None
    if last is not None and last.kind == "agent" and (typed := _last_paragraph(last.text)):
        return typed
    said: list[str] = []
    for piece in reversed(pieces):
        if piece.kind == "customer" and not piece.is_empty:
            said.append(piece.text)
        elif said and piece.kind == "agent":
            break
    return "\n".join(reversed(said))


def _last_paragraph(text: str) -> str:
    """Return the last paragraph of a passage, where a customer speaks in it; else nothing."""
    above, gap, last = text.rpartition("\n\n")
    return last.strip() if gap and above.strip() and OWN_VOICE.search(last) else ""


def _from_own_voice(text: str) -> str:
    """Return a text from the first paragraph on in which a customer speaks; all of it where none does."""
    paragraphs = text.split("\n\n")
    first = next((n for n, paragraph in enumerate(paragraphs) if OWN_VOICE.search(paragraph)), 0)
    return "\n\n".join(paragraphs[first:])


def _without_prompt(text: str, first: int = 0) -> str:
    """Return a text without the sentences in which an app speaks to a model. The `first` paragraphs are left alone."""
    paragraphs = text.split("\n\n")
    kept = [_without_last_prompt(paragraph) for paragraph in paragraphs[:first]]
    for paragraph in paragraphs[first:]:
        sentences = _SENTENCE.split(paragraph)
        own = [sentence for sentence in sentences if not _is_prompt(sentence)]
        kept.append("\n".join(own) if len(own) < len(sentences) else paragraph)
    return "\n\n".join(part for part in kept if part.strip()).strip().strip('"`').removeprefix("--\n").strip()


def _without_last_prompt(paragraph: str) -> str:
    """Return the user's words without the lines below them in which an app speaks: "Reply in the user's language."."""
    lines = paragraph.split("\n")
    while len(lines) > 1 and (not lines[-1].strip() or _is_instruction(lines[-1])):
        lines.pop()
    return "\n".join(lines)


def _is_prompt(sentence: str) -> bool:
    start = sentence[:SENTENCE_CHARACTERS].strip(DRESS)
    if OWN_VOICE.search(start):
        return False
    return _is_instruction(start) or bool(start.endswith(":") or PROMPT_ALONE.search(start))


def _is_instruction(sentence: str) -> bool:
    start = sentence[:SENTENCE_CHARACTERS].strip(DRESS)
    return bool(PROMPT_VOICE.match(start) and PROMPT_TOPIC.search(start)) and not OWN_VOICE.search(start)


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
    """Return the one part or paragraph in which a customer speaks, at either end of long ones in which nobody does.

    None where that is not so: people write long texts, too, but about themselves.
    """
    texts = [text for text in texts if any(map(str.isalnum, text))]
    if len(texts) < 2:
        return None
    own = [n for n, text in enumerate(texts) if len(text) < 2 * LONG_PASSAGE and OWN_VOICE.search(text)]
    others = [text for n, text in enumerate(texts) if n not in own]
    if len(own) != 1 or not any(len(text) >= LONG_PASSAGE for text in others):
        return None
    strange = [
        (len(text) >= LONG_PASSAGE and len(FIRST_PERSON.findall(text)) <= SAID_IN_PASSING) or not _without_prompt(text)
        for text in others
    ]
    return texts[own[0]].strip() if all(strange) else None
