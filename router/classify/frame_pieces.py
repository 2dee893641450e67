"""Cut a user turn into the pieces that apps, harnesses, help desks and messengers make it of.

Tags cut a text first, and what stands in them is taken whole. The lines between them are read one by one: a label, a
head, a rule, a file's name or a speaker begins a new piece, every other line belongs to the piece it stands in.
Linear in the text: of each line a bounded part is looked at, by searches that nest no repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from router.classify.cleaning import WROTE_FIRST
from router.classify.frame_lines import (
    LABEL_CHARACTERS,
    LINE_CHARACTERS,
    RULE,
    STAMPED,
    Label,
    beyond,
    find_head,
    is_spoken,
    read_label,
    speaker,
    subject_of,
)
from router.classify.frame_shapes import (
    ASIDE_LINE,
    ASK_LEAD,
    ASK_NOUNS,
    ASK_TAGS,
    ASKERS,
    END_MARK,
    FILE_HEAD,
    FIRST_PERSON,
    HANDED_OVER,
    HTML_TAGS,
    LEAD,
    NOT_ASKED,
    NUMBERED,
    PASSAGE_NOUNS,
    PROMPT_NOUNS,
    PROMPT_VOICE,
    SAID_LEAD,
    SAID_NOUNS,
    Kind,
)

LAST_LINES = 12
CODE_SHARE = 1 / 25
"""Marks of code in code, and in prose fewer."""

_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]{0,48})((?:[\s/][^<>]{0,300})?)>")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_FENCES = ("```", "~~~", '"""', "'''", "<<<", "[[[")
_CLOSING = {"<<<": ">>>", "[[[": "]]]", ">>>": "<<<"}
_PATH = re.compile(r"[\w.-]{0,60}[/\w.-]{0,100}\.[a-z]{1,5}\b")
_CODE_MARKS = "{}[]();=<>"
_INLINE = re.compile(
    r"(?<=[.!?…\"'”)\]]) +(?=(?i:(?:user|customer|visitor|kunden)?[ -]?(?:question|query|context|answer|frage|kontext"
    r"|antwort|visitor|customer|user|q)): ?)"
    r"|(?<=\w) +(?=(?:User |Customer )?(?:Question|QUESTION|Query|QUERY|Context|CONTEXT|Frage|Kontext): ?)"
)
_HANDS_OVER = (":", "：", "ago", "commented", "wrote")
_INSTRUCTED = re.compile(r"[^\n:]{0,100}\b(?:answer|respond|reply|question|query|message)\b[^\n:]{0,30}: (?=\S)", re.I)
_PIPES = re.compile(r" \| | -> ")
_NAMED = re.compile(r"[^\W\d_][\w'’.-]{0,30}(?: [\w'’.()-]{1,30}){0,3}$")


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


class _Lines:
    """Reads the lines of a text without tags into `pieces`. `before` are the pieces in front of it."""

    def __init__(self, text: str, before: Sequence[TurnPiece]) -> None:
        self.pieces: list[TurnPiece] = []
        self._looked_up = any(piece.kind == "passage" for piece in before)
        self._headed = any(piece.kind == "head" for piece in before)
        self._no_head_before = 0
        self._begin(Label("plain", False))
        lines = _one_label_a_line(text).split("\n")
        self._last_closing = max((n for n, line in enumerate(lines) if line.rstrip().endswith("<<<")), default=0)
        at = 0
        while at < len(lines):
            at = self._read(lines, at)
        self._end()

    def _begin(self, label: Label) -> None:
        self._label = label
        self._kept = [label.said] if label.said else []
        self._looked_up = self._looked_up or label.kind == "passage"

    def _end(self, closed: bool = False) -> None:
        """End the piece; what follows is plain."""
        label, text = self._label, "\n".join(self._kept).strip()
        if text or label.kind != "plain":
            self.pieces.append(TurnPiece(label.kind, text, label.tells, closed, label.who))
        self._begin(Label("plain", False))

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
        if RULE.match(bare):
            return self._read_rule(lines, at, bare)
        if kind == "passage" and END_MARK.match(bare):
            self._end(closed=True)
            return at + 1
        if at >= self._no_head_before and (kind in ("plain", "head") or (kind == "ask" and self._headed)):
            length, self._no_head_before = find_head(lines, at, first=not at and not self.pieces)
            if length:
                self._end()
                said = "\n".join(value for each in lines[at : at + length] if (value := subject_of(each)))
                self._begin(Label("head", True, said))
                self._end(closed=True)
                self._headed = True
                return at + length
        label = self._find_label(lines, at, bare)
        if label is None:
            self._kept.append(line)
            return at + 1
        if label.who and not label.said and STAMPED.match(bare):  # the name stood on the line before
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
            self._begin(Label("passage", True, "\n".join(inside)))
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

    def _find_label(self, lines: Sequence[str], at: int, bare: str) -> Label | None:
        """Return what begins with a line, None where it goes on with the piece before.

        Inside a passage, or the user's words, only what cannot be their own begins anything.
        """
        kind, line = self._label.kind, lines[at]
        outside = kind not in ("passage", "ask")
        if outside or kind == "ask":
            spoken = speaker(bare) or self._named_above(bare)
            if spoken and (outside or self._label.who):
                return Label("customer", True, spoken[1] + beyond(line, bare, spoken[1]), spoken[0])
        if ASIDE_LINE.match(bare):
            return Label("aside", True, alone=True)
        if FILE_HEAD.match(bare):
            return Label("passage", True)
        if NUMBERED.match(bare) and len(bare) > LABEL_CHARACTERS:
            return Label("passage", False, line)
        label = read_label(line, bare) or self._read_sentence(line, bare)
        if label and (label.tells or outside or label.kind in ("answer", "prompt")):
            return label
        if kind == "passage" and label and label.kind in ("ask", "customer"):
            last = len(lines) - at < LAST_LINES and not any(is_spoken(each) for each in lines[at + 1 :])
            if last or not lines[at - 1].strip():
                return label  # a weak label, but a paragraph of its own, or the end of a conversation
        if (
            bare.endswith(_HANDS_OVER)
            and ASK_LEAD.match(bare)
            and not HANDED_OVER.search(bare)
            and not FIRST_PERSON.search(bare)
        ):
            # "On Monday, Shop wrote:" stands above an older mail.
            return None if bare.startswith(WROTE_FIRST) or (bare[-1] != ":" and self._says()) else Label("ask", True)
        if self._looked_up and (found := _INSTRUCTED.match(bare)) and PROMPT_VOICE.match(bare):
            return Label("ask", True, bare[found.end() :] + beyond(line, bare, "said"))
        if LEAD.match(bare) and not FIRST_PERSON.search(bare):
            return Label("prompt", True, alone=True) if self._looked_up else Label("passage", True)
        if kind == "ask" and self._headed and bare[0] == bare[-1] == "*":
            return Label("aside", False)  # the next field of a form
        return None

    def _read_sentence(self, line: str, bare: str) -> Label | None:
        """Return the label that is a sentence, unless a person tells what another has said."""
        head, colon, said = bare.replace("：", ":").partition(":")
        if not colon or not SAID_LEAD.match(head) or FIRST_PERSON.search(head):
            return None
        above = "\n".join(self._kept[:LAST_LINES])[: 4 * LINE_CHARACTERS]
        if self._label.kind == "plain" and not self._looked_up and FIRST_PERSON.search(above):
            return None
        said = said.strip()
        return Label("ask", True, said + beyond(line, bare, said))

    def _says(self) -> bool:
        """Return whether words that may be the user's stand before this line."""
        plain = self._label.kind == "plain" and any(map(str.strip, self._kept))
        return plain or any(piece.kind == "plain" for piece in self.pieces)

    def _named_above(self, bare: str) -> tuple[str, str] | None:
        """Return who speaks below a line that holds the time alone: the name stands above, with a badge between."""
        if not bare[-1].isalnum() or not STAMPED.match(bare):
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
        if PROMPT_VOICE.match(line) or read_label(line, line[:LINE_CHARACTERS].strip())
        else line
        for line in text.split("\n")
    )


def _is_prose(lines: Sequence[str]) -> bool:
    """Return whether lines in fences are sentences, and no code."""
    text = " ".join(lines)[: 4 * LINE_CHARACTERS]
    longest = max(map(len, lines), default=0)
    return longest > LINE_CHARACTERS // 2 and sum(map(text.count, _CODE_MARKS)) < CODE_SHARE * len(text)
