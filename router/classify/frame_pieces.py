"""Cut a user turn into the pieces that apps, harnesses, help desks and messengers make it of.

Tags cut a text first, and what stands in them is taken whole. The lines between them are read one by one: a label, a
head, a rule, a file's name or a speaker begins a new piece, every other line belongs to the piece it stands in.
Linear in the text: of each line a bounded part is looked at, by searches that nest no repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from router.classify.frame_shapes import (
    AGENTS,
    ASIDE_LINE,
    ASK_LEAD,
    ASK_NOUNS,
    ASK_TAGS,
    ASKERS,
    BANNER,
    CUSTOMERS,
    END_MARK,
    FILE_HEAD,
    FIRST_PERSON,
    HANDED_OVER,
    HEAD_KEYS,
    HTML_TAGS,
    IGNORED,
    LABELS,
    LEAD,
    LETTER_KEYS,
    NOT_ASKED,
    NUMBERED,
    PASSAGE_NOUNS,
    PASSAGE_WORDS,
    PROMPT_NOUNS,
    PROMPT_VOICE,
    SAID_LEAD,
    SAID_NOUNS,
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
LAST_LINES = 12
QUOTES = ("On ", "Am ", "Le ", "El ", "Em ", "Il ", "Op ", "W d")
"""How the line above a quoted mail begins: "On Monday, Shop wrote:"."""
LEAST_FIELDS = 3
"""So many fields are a head where one of them is known."""

CODE_SHARE = 1 / 25
"""Marks of code in code, and in prose fewer."""

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]{0,48})((?:[\s/][^<>]{0,300})?)>")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_RULE = re.compile(r"[-=_*~#+]{3,}$")
_FENCES = ("```", "~~~", '"""', "'''", "<<<", "[[[")
_CLOSING = {"<<<": ">>>", "[[[": "]]]", ">>>": "<<<"}
_PATH = re.compile(r"[\w.-]{0,60}[/\w.-]{0,100}\.[a-z]{1,5}\b")
_CODE_MARKS = "{}[]();=<>"
_DRESS = " \t#*=_-[](){}<>|\"'`~•:："
_NUMBER = re.compile(r"[#(]?\d{1,4}[.)\]]?$")
_FIELD = re.compile(
    r"(?:[-*•|>] ?)?\*{0,2}(?P<key>[^\W\d_][^\n:：*|=\t]{0,38}?)\*{0,2}"
    r"(?: ?[:：]\*{0,2}(?:\s+|$)| ?(?:\t|\|(?: |$))|(?<=\w)=(?!=))(?P<value>.*)"
)
_INLINE = re.compile(
    r"(?<=[.!?…\"'”)\]]) +(?=(?i:(?:user|customer|visitor|kunden)?[ -]?(?:question|query|context|answer|frage|kontext"
    r"|antwort|visitor|customer|user|q)): ?)"
    r"|(?<=\w) +(?=(?:User |Customer )?(?:Question|QUESTION|Query|QUERY|Context|CONTEXT|Frage|Kontext): ?)"
)
_HANDS_OVER = (":", "：", "ago", "commented", "wrote")
_ADDRESS = re.compile(r"[^\n<>@:]{0,60}<[^<>\s@]{1,60}@[^<>\s@]{1,60}>")
_ENDS_HEAD = frozenset({"ask", "answer", "passage"})
_INSTRUCTED = re.compile(r"[^\n:]{0,100}\b(?:answer|respond|reply|question|query|message)\b[^\n:]{0,30}: (?=\S)", re.I)
_PIPES = re.compile(r" \| | -> ")

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

_STAMPED = re.compile(rf"[-–—]? ?{_STAMP}$")
_NAMED = re.compile(r"[^\W\d_][\w'’.-]{0,30}(?: [\w'’.()-]{1,30}){0,3}$")
_LEVELS = frozenset("trace debug info notice warn warning error fatal critical severe exception".split())


class TurnPiece(NamedTuple):
    """A piece of a user turn. `tells` says that it tells a frame by itself, `who` who speaks in a conversation.

    `closed` says that its end is marked: an open passage ends where the turn does, and the user's words may follow.
    """

    kind: Kind
    text: str
    tells: bool = False
    closed: bool = False
    who: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing."""
        return not any(map(str.isalnum, self.text))


def cut(text: str) -> list[TurnPiece]:
    """Return the pieces of one text part of a user turn.

    >>> [tuple(piece)[:2] for piece in cut("<context>It takes 3 days.</context>\\nQuestion: where is it?")]
    [('passage', 'It takes 3 days.'), ('ask', 'where is it?')]
    """
    pieces: list[TurnPiece] = []
    at = 0
    for start, end, inner, kind in _blocks(text):
        if text[at:start].strip():
            pieces += _Lines(text[at:start], pieces).pieces
        pieces.append(TurnPiece(kind, inner, True, True))
        at = end
    if text[at:].strip():
        pieces += _Lines(text[at:], pieces).pieces
    return pieces


# --------------------------------------------------------------------------------------------------------------- tags


def _blocks(text: str) -> Iterator[tuple[int, int, str, Kind]]:
    """Yield where the outermost blocks in tags stand, what they hold, and of which kind it is.

    A block around others is looked into, unless it is a passage: `<request><context>...</context>...</request>`.
    """
    if "<" not in text:
        return
    tags = [tag for tag in _TAG.finditer(text) if tag[2].lower() not in HTML_TAGS and not tag[3].endswith("/")]
    if not tags:
        return
    kinds = [_kind_of_tag(tag[2]) for tag in tags]
    closing: dict[int, int] = {}
    opened: dict[str, list[int]] = {}
    for number, tag in enumerate(tags):
        name = tag[2].lower()
        if not tag[1]:
            opened.setdefault(name, []).append(number)
        elif opened.get(name):
            closing[opened[name].pop()] = number
    following = _next_blocks(kinds, closing)
    number = 0
    while number < len(tags):
        tag, kind, end = tags[number], kinds[number], closing.get(number)
        if kind is not None and end is not None and tag.end() == tags[end].start():
            number = end  # "inside <context></context> tags" only speaks of them
        elif kind is not None and end is not None and (kind == "passage" or following[number] > end):
            yield tag.start(), tags[end].end(), text[tag.end() : tags[end].start()].strip(), kind
            number = end
        elif kind is not None and end is None and not tag[1] and _is_alone(text, tag):
            yield tag.start(), len(text), text[tag.end() :], "passage" if kind == "ask" else kind
            return
        number += 1


def _next_blocks(kinds: Sequence[Kind | None], closing: dict[int, int]) -> list[int]:
    """Return for each tag the number of the next one that opens the user's words or a passage."""
    found, nearest = [0] * len(kinds), len(kinds) + 1
    for number in range(len(kinds) - 1, -1, -1):
        found[number] = nearest
        if kinds[number] in ("ask", "passage") and number in closing:
            nearest = number
    return found


def _is_alone(text: str, tag: re.Match[str]) -> bool:
    """Return whether a tag has a line of its own."""
    before = text[max(tag.start() - 3, 0) : tag.start()].rstrip(" \t")
    return (not before or before[-1] == "\n") and text[tag.end() : tag.end() + 2].lstrip(" \t\r")[:1] in ("", "\n")


def _kind_of_tag(name: str) -> Kind | None:
    """Return what stands in a tag of this name; None where the tag frames nothing.

    >>> [_kind_of_tag(name) for name in ("user_query", "retrieved_context", "system-reminder", "MyButton")]
    ['ask', 'passage', 'prompt', None]
    """
    words = [word.lower() for word in _NAME_PARTS.findall(name)]
    if not words:
        return None
    if NOT_ASKED.isdisjoint(words):
        asked = words[-1] in ASK_NOUNS or (words[0] in ASKERS and words[-1] in SAID_NOUNS)
        if name.lower() in ASK_TAGS or asked:
            return "ask"
    if not PROMPT_NOUNS.isdisjoint(words):
        return "prompt"
    if not PASSAGE_NOUNS.isdisjoint(words):
        return "passage"
    return "aside" if len(words) > 1 and ("_" in name or "-" in name or name[0].islower()) else None


# -------------------------------------------------------------------------------------------------------------- lines


class _Label(NamedTuple):
    """What begins with a line: a piece of this kind, which says something on the line already."""

    kind: Kind
    tells: bool
    said: str = ""
    who: str = ""
    alone: bool = False
    """Whether the piece is this line and no more."""


class _Lines:
    """Reads the lines of a text without tags into `pieces`. `before` are the pieces in front of it."""

    def __init__(self, text: str, before: Sequence[TurnPiece]) -> None:
        self.pieces: list[TurnPiece] = []
        self._looked_up = any(piece.kind == "passage" for piece in before)
        self._headed = any(piece.kind == "head" for piece in before)
        self._no_head_before = 0
        self._begin(_Label("plain", False))
        lines = _one_label_a_line(text).split("\n")
        self._last_closing = max((n for n, line in enumerate(lines) if line.rstrip().endswith("<<<")), default=0)
        at = 0
        while at < len(lines):
            at = self._read(lines, at)
        self._end()

    def _begin(self, label: _Label) -> None:
        self._label = label
        self._kept = [label.said] if label.said else []
        self._looked_up = self._looked_up or label.kind == "passage"

    def _end(self, closed: bool = False) -> None:
        """End the piece; what follows is plain."""
        label, text = self._label, "\n".join(self._kept).strip()
        if text or label.kind != "plain":
            self.pieces.append(TurnPiece(label.kind, text, label.tells, closed, label.who))
        self._begin(_Label("plain", False))

    def _read(self, lines: Sequence[str], at: int) -> int:
        """Read from line `at` on, and return the number of the next line to read."""
        line = lines[at]
        bare = line[:LINE_CHARACTERS].strip()
        kind = self._label.kind
        if not bare:
            self._kept.append("")
            return at + 1
        if bare.startswith(_FENCES) or (bare == ">>>" and at < self._last_closing):  # else it is quoted mail
            return self._read_fence(lines, at, bare)
        if _RULE.match(bare):
            return self._read_rule(lines, at, bare)
        if kind == "passage" and END_MARK.match(bare):
            self._end(closed=True)
            return at + 1
        if at >= self._no_head_before and (kind in ("plain", "head") or (kind == "ask" and self._headed)):
            length, self._no_head_before = _find_head(lines, at, first=not at and not self.pieces)
            if length:
                self._end()
                said = "\n".join(value for each in lines[at : at + length] if (value := _subject(each)))
                self._begin(_Label("head", True, said))
                self._end(closed=True)
                self._headed = True
                return at + length
        label = self._find_label(lines, at, bare)
        if label is None:
            self._kept.append(line)
            return at + 1
        if label.who and not label.said and _STAMPED.match(bare):  # the name stood on the line before
            while self._kept and not self._kept[-1].strip():
                self._kept.pop()
            self._kept = self._kept[: -2 if self._kept[-1].strip().isupper() and len(self._kept) > 1 else -1]
        self._end()
        self._begin(label)
        if label.alone:
            self._end(closed=True)
        return at + 1

    def _read_fence(self, lines: Sequence[str], at: int, bare: str) -> int:
        """Read a block in fences: below a label what it holds, else a passage where it holds prose or names a file."""
        mark = _CLOSING.get(bare[:3], bare[:3])
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip().endswith(mark)), len(lines))
        if len(bare) > 6 and lines[at].rstrip().endswith(mark):
            end = at
        inside = list(lines[at : end + 1])
        label, below = self._label, not any(map(str.strip, self._kept))
        named = bool(self._kept) and bool(_PATH.fullmatch(self._kept[-1].strip()))
        if label.kind == "passage" and below:
            self._kept += inside
            self._end(closed=True)
        elif label.kind == "ask" and below:
            self._kept += [each.replace(mark, "").replace(bare[:3], "") for each in inside]
        elif label.kind in ("plain", "head", "aside") and (
            named or _PATH.match(bare[3:].strip()) or _is_prose(inside[1:-1] or inside)
        ):
            if named:
                self._kept.pop()
            self._end()
            self._begin(_Label("passage", True, "\n".join(inside)))
            self._end(closed=True)
        else:
            self._kept += inside
        return end + 1

    def _read_rule(self, lines: Sequence[str], at: int, bare: str) -> int:
        """Read a rule: below the label of a passage it opens it, up to the last rule that is the same."""
        if self._label.kind == "passage" and not any(map(str.strip, self._kept)):
            last = next((n for n in range(len(lines) - 1, at, -1) if lines[n].strip() == bare), 0)
            if last:
                self._kept += lines[at + 1 : last]
                self._end(closed=True)
                return last + 1
        self._kept.append("")
        return at + 1

    def _find_label(self, lines: Sequence[str], at: int, bare: str) -> _Label | None:
        """Return what begins with a line, None where it goes on with the piece before.

        Inside a passage, or the user's words, only what cannot be their own begins anything.
        """
        kind, line = self._label.kind, lines[at]
        outside = kind not in ("passage", "ask")
        if outside or kind == "ask":
            spoken = _speaker(bare) or self._named_above(bare)
            if spoken and (outside or self._label.who):
                return _Label("customer", True, spoken[1] + _beyond(line, bare, spoken[1]), spoken[0])
        if ASIDE_LINE.match(bare):
            return _Label("aside", True, alone=True)
        if FILE_HEAD.match(bare):
            return _Label("passage", True)
        if NUMBERED.match(bare) and len(bare) > LABEL_CHARACTERS:
            return _Label("passage", False, line)
        label = _read_label(line, bare) or self._read_sentence(line, bare)
        if label and (label.tells or outside or label.kind in ("answer", "prompt")):
            return label
        if kind == "passage" and label and label.kind in ("ask", "customer"):
            last = len(lines) - at < LAST_LINES and not any(_is_spoken(each) for each in lines[at + 1 :])
            if last or not lines[at - 1].strip():
                return label  # a weak label, but a paragraph of its own, or the end of a conversation
        if (
            bare.endswith(_HANDS_OVER)
            and ASK_LEAD.match(bare)
            and not HANDED_OVER.search(bare)
            and not FIRST_PERSON.search(bare)
        ):
            # "On Monday, Shop wrote:" stands above an older mail.
            return None if bare.startswith(QUOTES) or (bare[-1] != ":" and self._says()) else _Label("ask", True)
        if self._looked_up and (found := _INSTRUCTED.match(bare)) and PROMPT_VOICE.match(bare):
            return _Label("ask", True, bare[found.end() :] + _beyond(line, bare, "said"))
        if LEAD.match(bare) and not FIRST_PERSON.search(bare):
            return _Label("prompt", True, alone=True) if self._looked_up else _Label("passage", True)
        if kind == "ask" and self._headed and bare[0] == bare[-1] == "*":
            return _Label("aside", False)  # the next field of a form
        return None

    def _read_sentence(self, line: str, bare: str) -> _Label | None:
        """Return the label that is a sentence, unless a person tells what another has said."""
        head, colon, said = bare.replace("：", ":").partition(":")
        if not colon or not SAID_LEAD.match(head) or FIRST_PERSON.search(head):
            return None
        above = "\n".join(self._kept[:LAST_LINES])[: 4 * LINE_CHARACTERS]
        if self._label.kind == "plain" and not self._looked_up and FIRST_PERSON.search(above):
            return None
        said = said.strip()
        return _Label("ask", True, said + _beyond(line, bare, said))

    def _says(self) -> bool:
        """Return whether words that may be the user's stand before this line."""
        plain = self._label.kind == "plain" and any(map(str.strip, self._kept))
        return plain or any(piece.kind == "plain" for piece in self.pieces)

    def _named_above(self, bare: str) -> tuple[str, str] | None:
        """Return who speaks below a line that holds the time alone: the name stands above, with a badge between."""
        if not bare[-1].isalnum() or not _STAMPED.match(bare):
            return None
        above = [each.strip() for each in self._kept[-4:] if each.strip()][-2:]
        if len(above) == 2 and above[1].isupper():
            above.pop()
        return (above[-1], "") if above and _NAMED.match(above[-1]) else None


def _one_label_a_line(text: str) -> str:
    """Return a text with each label of a frame, and each field of a line of fields, at the beginning of a line."""
    if " | " in text:
        lines = text.split("\n")
        fields = [len(_PIPES.findall(line)) > 2 and line.count(": ") > 2 for line in lines]
        if any(fields):
            text = "\n".join(
                _PIPES.sub("\n", line) if is_row else line for line, is_row in zip(lines, fields, strict=True)
            )
    if ":" not in text or not _INLINE.search(text):
        return text
    return "\n".join(
        _INLINE.sub("\n", line)
        if PROMPT_VOICE.match(line) or _read_label(line, line[:LINE_CHARACTERS].strip())
        else line
        for line in text.split("\n")
    )


def _is_prose(lines: Sequence[str]) -> bool:
    """Return whether lines in fences are sentences, and no code."""
    text = " ".join(lines)[: 4 * LINE_CHARACTERS]
    longest = max(map(len, lines), default=0)
    return longest > LINE_CHARACTERS // 2 and sum(map(text.count, _CODE_MARKS)) < CODE_SHARE * len(text)


# ------------------------------------------------------------------------------------------------------------- labels


def _read_label(line: str, bare: str) -> _Label | None:
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
    said = "" if said in ("|", ">", "|-", ">-") else said + _beyond(line, bare, said)
    found = LABELS.get(name)
    if found is None:
        words = frozenset(name.split())
        titled = dressed or (not said and ":" in bare[-2:])
        if titled and not words.isdisjoint(PASSAGE_WORDS) and words.isdisjoint(ASK_NOUNS):
            return _Label("passage", True, said)
        return None
    kind, tells = found
    if kind == "ask" and "@" in said[: NAME_WORDS * 10] and "mail" in name:
        return None  # the address, not the mail
    return _Label(kind, tells, said, name if kind in ("customer", "agent") else "")


def _beyond(line: str, bare: str, said: str) -> str:
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


def _is_spoken(line: str) -> bool:
    """Return whether a line says something in a conversation, by its label."""
    label = _read_label(line, line[:LINE_CHARACTERS].strip())
    return label is not None and label.kind in ("customer", "agent", "answer") and bool(label.said)


def _speaker(bare: str) -> tuple[str, str] | None:
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


# -------------------------------------------------------------------------------------------------------------- heads


def _find_head(lines: Sequence[str], at: int, first: bool) -> tuple[int, int]:
    """Return how many lines of a help desk's or a form's head begin here, and before which line none begins.

    Two lines at least that say what only a help desk says, or one among others. `first` says that nothing was said
    before: then the line that something came is enough.
    """
    end = number = at
    known = letters = fields = 0
    announced = asked = False
    while number < min(len(lines), at + HEAD_LINES):
        bare = lines[number][:LINE_CHARACTERS].strip()
        if not bare or _RULE.match(bare):
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


def _subject(line: str) -> str:
    """Return what a head says in the user's words: the subject, unless it is that of an older mail."""
    field = _FIELD.match(line[:LINE_CHARACTERS].strip())
    if not field or _name_of_key(field["key"]) not in SUBJECT_KEYS:
        return ""
    return "" if re.match(r"(?:re|aw|sv|fwd?|wg|tr|rv|antw)\s?:|\(no ", field["value"], re.I) else field["value"]
