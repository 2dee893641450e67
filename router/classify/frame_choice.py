"""Which pieces of a user turn are the user's own words, and whether the pieces are those of a frame at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from router.classify.frame_lines import field_of
from router.classify.frame_pieces import TurnPiece
from router.classify.frame_records import without_fields
from router.classify.frame_shapes import (
    ASKING,
    FIRST_PERSON,
    OWN_VOICE,
    PROMPT_ALONE,
    PROMPT_TOPIC,
    PROMPT_VOICE,
)

LONG_PASSAGE = 200
"""A paragraph or part with so many characters may be a passage, though nothing says so."""

SAID_IN_PASSING = 1
"""Words in the first person that a passage may have: "the page My plans"."""

SENTENCE_CHARACTERS = 300
LEAST_WORDS = 4
"""Of the user's words without the subject of the mail. With fewer the subject belongs to them."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
DRESS = " \t#*=_-\"'`~•"


def tells_frame(pieces: Sequence[TurnPiece]) -> bool:
    """Return whether the pieces are those of a frame: one tells it, or several do together."""
    kinds = [piece.kind for piece in pieces if not piece.is_empty]
    last = pieces[-1] if pieces else None
    if last is not None and last.is_empty and last.kind in ("agent", "answer") and {"ask", "customer"} & {*kinds}:
        return True  # the place for the answer
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


def choose(pieces: Sequence[TurnPiece]) -> str:
    """Return the user's own words among the pieces of a frame."""
    subject = "\n".join(piece.text for piece in pieces if piece.kind == "head" and not piece.is_empty)
    words = _choose_words(pieces)
    return f"{subject}\n{words}".strip() if subject and words and len(words.split()) < LEAST_WORDS else words


def _choose_words(pieces: Sequence[TurnPiece]) -> str:
    asked = [
        piece
        for piece, behind in zip(pieces, (*pieces[1:], None), strict=True)
        if piece.kind == "ask" and not (behind and behind.kind == "answer" and not behind.is_empty)
    ]
    own = [piece.text for piece in asked if piece.tells and not piece.is_empty]
    first = next((piece for piece in pieces if not piece.is_empty), None)
    if not own and first is not None and first.kind == "ask" and first.tells:  # an answer is there, to be made better
        own = [first.text]
    if not own:  # fields of a form: one of them is the message
        own = [piece.text for piece in asked if not piece.is_empty]
        own.sort(key=lambda text: bool(OWN_VOICE.search(text)))
    if not own and not any(piece.kind == "plain" for piece in pieces):  # nobody asks anything else
        answered = [piece.text for piece in pieces if piece.kind == "ask" and not piece.is_empty]
        own = answered if len(answered) == 1 else []
    if own:
        return without_prompt(own[-1], first=1)
    said, talks = _newest(pieces), any(piece.who for piece in pieces)
    framed = talks or any(piece.kind in ("passage", "prompt", "answer") for piece in pieces)
    plain = [(n, without_prompt(piece.text) if framed else piece.text) for n, piece in enumerate(pieces)]
    plain = [(n, text) for n, text in plain if pieces[n].kind == "plain" and any(map(str.isalnum, text))]
    headed = next((n for n, piece in enumerate(pieces) if piece.kind == "head"), 0)
    if any(n > headed for n, _ in plain):  # a line above the head is its title
        plain = [(n, text) for n, text in plain if n > headed or "\n" in text or OWN_VOICE.search(text)]
    if talks:
        spoken = [text for _, text in plain if OWN_VOICE.search(text)]
        return spoken[-1] if spoken else said
    if asked and not framed:  # the field for the message is there, and empty
        return ""
    passages = [n for n, piece in enumerate(pieces) if piece.kind in ("passage", "answer")]
    if not passages:
        between = pieces[0].kind == "head" and any(piece.kind == "head" for piece in pieces[1:])
        spoken = [text for _, text in plain if FIRST_PERSON.search(text)] if between else []
        if spoken:  # below a second head stands what a page adds to every message
            return "\n".join(spoken)
        return without_fields("\n".join(text for _, text in plain))
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
    if last is not None and last.kind == "agent":
        typed = _last_paragraph(last.text)
        if typed and OWN_VOICE.search(typed) and not field_of(last.text.rpartition("\n\n")[2].strip()):
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
    if not gap or not above.strip():
        return ""
    if (field := field_of(last.strip())) and ASKING.search(field[1]):
        return field[1]
    return last.strip() if OWN_VOICE.search(last) else ""


def _from_own_voice(text: str) -> str:
    """Return a text from the first paragraph on in which a customer speaks; all of it where none does."""
    paragraphs = text.split("\n\n")
    first = next((n for n, paragraph in enumerate(paragraphs) if OWN_VOICE.search(paragraph)), 0)
    return "\n\n".join(paragraphs[first:])


def without_prompt(text: str, first: int = 0) -> str:
    """Return a text without the sentences in which an app speaks to a model. The `first` paragraphs are left alone."""
    paragraphs = text.split("\n\n")
    kept = [_without_last_prompt(paragraph) for paragraph in paragraphs[:first]]
    for paragraph in paragraphs[first:]:
        sentences = _SENTENCE.split(paragraph)
        if _is_instruction(sentences[0]) and not OWN_VOICE.search(paragraph):
            continue
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
