"""Cut a user turn into the pieces that apps, harnesses, help desks and messengers make it of.

Tags cut a text first, and what stands in them is taken whole. The lines between them are read one by one: a label, a
head, a rule, a file's name or a speaker begins a new piece, every other line belongs to the piece it stands in.
Linear in the text: of each line a bounded part is looked at, by searches that nest no repetitions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from router.classify.cleaning import WROTE_FIRST
from router.classify.frame_lines import (
    LABEL_CHARACTERS,
    LINE_CHARACTERS,
    RULE,
    STAMPED,
    TITLE_CHARACTERS,
    Label,
    beyond,
    field_of,
    find_head,
    form_of,
    is_spoken,
    is_title,
    one_label_a_line,
    read_label,
    read_title,
    speaker,
    subject_of,
)
from router.classify.frame_names import Kind
from router.classify.frame_shapes import (
    ASIDE_LINE,
    ASK_LEAD,
    END_MARK,
    FILE_HEAD,
    FIRST_PERSON,
    FORWARDED,
    HANDED_OVER,
    LEAD,
    LEAD_WORDS,
    NUMBERED,
    OF_CUSTOMER,
    OWN_VOICE,
    PERSONA,
    PROMPT_TOPIC,
    PROMPT_VOICE,
    SAID_LEAD,
)
from router.classify.frame_tags import blocks

LAST_LINES, MOST_LINES = 12, 400
CODE_SHARE = 1 / 25
"""Marks of code in code, and in prose fewer."""

_FENCES = ("```", "~~~", '"""', "'''", "<<<", "[[[")
_CLOSING = {"<<<": ">>>", "[[[": "]]]", ">>>": "<<<"}
_PATH = re.compile(r"[\w.-]{0,60}[/\w.-]{0,100}\.[a-z]{1,5}\b")
_CODE_MARKS = "{}[]();=<>"
_HANDS_OVER = (":", "：", "ago", "commented", "wrote")
_INSTRUCTED = re.compile(r"[^\n:]{0,100}\b(?:answer|respond|reply|question|query|message)\b[^\n:]{0,30}: (?=\S)", re.I)
_MESSAGE_LEAD = re.compile(
    r"(?:below|here|this|the following) (?:is|comes) (?:an?|the) (?:customer|user|visitor|client)s?['’]?s?"
    r" (?:message|question|request|mail|e-mail|query)",
    re.I,
)
_QUOTES = '"“”„«»'
_PREFIX = re.compile(r"\[[^\[\]\n]{0,100}(?:=|\|)[^\[\]\n]{0,140}(?:=|\|)[^\[\]\n]{0,100}\] ?(?=\S)")
_BETWEEN = re.compile(r"(#{3,8}|`{3}|\"{3}|'{3}|<{2,4}|\[{2,3}|\|{3}|~{3})(.{3,}?)[#`\"'>\]|~]{2,8}$")
LEAST_FIELDS = 3
"""So many lines of one form are the fields of a record."""
_PAIRS = re.compile(r"[\[(. ,;|][^\W\d_][\w ]{1,20}[:=] ?\S")
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
    for start, end, inner, kind in blocks(text):
        if text[at:start].strip():
            pieces += _Lines(text[at:start], pieces).pieces
        pieces.append(TurnPiece(kind, inner, True, True))
        at = end
    if text[at:].strip():
        pieces += _Lines(text[at:], pieces).pieces
    return pieces


# -------------------------------------------------------------------------------------------------------------- lines


class _Lines:
    """Reads the lines of a text without tags into `pieces`. `before` are the pieces in front of it."""

    def __init__(self, text: str, before: Sequence[TurnPiece]) -> None:
        self.pieces: list[TurnPiece] = []
        self._looked_up = any(piece.kind == "passage" for piece in before)
        self._headed = any(piece.kind == "head" for piece in before)
        self._no_head_before = 0
        self._fields = -1
        self._begin(Label("plain", False))
        lines = one_label_a_line(text).split("\n")
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

    def _read(self, lines: list[str], at: int) -> int:
        """Read from line `at` on, and return the number of the next line to read."""
        line = lines[at]
        bare = line[:LINE_CHARACTERS].strip()
        kind = self._label.kind
        if not bare:
            if kind in ("passage", "answer") and self._headed and not self._label.tells and self._label.said:
                self._end(closed=True)  # one more field of the head
            self._kept.append("")
            return at + 1
        if kind in ("plain", "prompt") and self._read_marked(lines, at, bare):
            return at if bare[0] == "[" else at + 1
        if bare.startswith(_FENCES) or (bare == ">>>" and at < self._last_closing):  # else it is quoted mail
            return self._read_fence(lines, at, bare)
        if RULE.match(bare):
            return self._read_rule(lines, at, bare)
        if (kind == "passage" or (kind != "plain" and self._label.form)) and END_MARK.match(bare):
            self._label = self._label._replace(tells=self._label.tells or kind == "ask")
            self._end(closed=True)
            return at + 1
        if length := self._read_head(lines, at):
            return at + length
        label = self._find_label(lines, at, bare)
        if label is None:
            if kind == "ask" and (field := field_of(bare)) and self._is_record(lines):
                if not field[1]:  # else a line beside the message
                    self._end()
                    self._begin(Label("aside", False))
            else:
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

    def _read_head(self, lines: Sequence[str], at: int) -> int:
        """Read the head of a help desk or a form, if one begins here, and return how many lines it has."""
        kind = self._label.kind
        if at < self._no_head_before or not (kind in ("plain", "head") or (kind == "ask" and self._headed)):
            return 0
        length, self._no_head_before = find_head(lines, at, first=not at and not self.pieces)
        if length:
            self._end()
            said = "\n".join(value for each in lines[at : at + length] if (value := subject_of(each)))
            self._begin(Label("head", True, said))
            self._end(closed=True)
            self._headed = True
        return length

    def _read_marked(self, lines: list[str], at: int, bare: str) -> bool:
        """Read what stands between marks below a prompt that told of it, or in brackets before a message."""
        if bare[0] == "[" and (prefix := _PREFIX.match(bare)):
            lines[at] = lines[at].lstrip()[prefix.end() :]
            said, label = "", Label("aside", True, prefix[0])
        elif bare[0] in "#`\"'<[|~" and self._is_told() and (between := _BETWEEN.match(lines[at].strip())):
            said, label = between[2], Label("ask", True, between[2])
        else:
            return False
        self._end()
        self._begin(label)
        self._end(closed=True)
        return bool(said) or label.kind == "aside"

    def _has_headings(self, lines: Sequence[str], form: str) -> bool:
        """Return whether several lines are headings of a form: then each says what stands below it."""
        return sum(each[:1] == form and form_of(each.strip()) == form for each in lines[:MOST_LINES]) > 1

    def _is_told(self) -> bool:
        """Return whether the last that was said is a prompt: what stands in marks below it is what it speaks of."""
        return bool(self.pieces) and self.pieces[-1].kind == "prompt" and not any(map(str.strip, self._kept))

    def _is_record(self, lines: Sequence[str]) -> bool:
        """Return whether so many lines have the form of fields that they are those of a record, or a form."""
        if self._fields < 0:
            self._fields = sum(field_of(each[:LINE_CHARACTERS].strip()) is not None for each in lines)
        return self._headed or self._fields >= LEAST_FIELDS

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
        elif below and (label.kind == "ask" or (label.kind in ("plain", "prompt") and self._is_told())):
            if label.kind != "ask":
                self._end()
                self._begin(Label("ask", True))
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
        if (marked := self._find_mark(lines, at, bare)) is not None:
            return marked
        label = read_label(line, bare) or self._read_sentence(line, bare) or read_title(lines, at, bare)
        if label and self._begins(label, lines):
            headed = label.kind == "ask" and label.form in ("#", "[", "h") and self._has_headings(lines, label.form)
            return label._replace(tells=True) if headed else label
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
        if is_lead(bare) and not FIRST_PERSON.search(bare):
            of_message = self._looked_up or _MESSAGE_LEAD.match(bare)
            return Label("prompt", True, alone=True) if of_message else Label("passage", True)
        if outside and is_prompt(bare):
            return Label("prompt", True, line, alone=True)
        if kind == "ask" and self._label.form and self._is_next(lines, at, bare):
            return Label("aside", False, form=self._label.form)
        if kind == "customer" and self._label.said and field_of(bare):
            return Label("aside", False)  # nobody who is known speaks, but not the customer
        if kind == "plain" and self._headed and bare[-1] == ":" and not self._says() and len(bare) < TITLE_CHARACTERS:
            return Label("ask", False)  # a label below a head, whatever it is called
        return None

    def _find_mark(self, lines: Sequence[str], at: int, bare: str) -> Label | None:
        """Return what a line begins by its marks alone: somebody speaks, an app adds something, a file begins."""
        kind = self._label.kind
        if kind != "passage":
            spoken = speaker(bare) or self._named_above(bare)
            if spoken and (kind != "ask" or self._label.who) and not (at + 1 < len(lines) and lines[at + 1][:1] == ">"):
                return Label("customer", True, spoken[1] + beyond(lines[at], bare, spoken[1]), spoken[0])
        if ASIDE_LINE.match(bare) or (bare[0] in "[(" and bare[-1] in ")]" and len(_PAIRS.findall(bare)) > 1):
            return Label("aside", True, alone=True)
        if FILE_HEAD.match(bare) or (len(bare) < TITLE_CHARACTERS * 2 and FORWARDED.match(bare)):
            return Label("passage", True)
        return Label("passage", False, lines[at]) if NUMBERED.match(bare) and len(bare) > LABEL_CHARACTERS else None

    def _begins(self, label: Label, lines: Sequence[str]) -> bool:
        """Return whether a label begins a piece here."""
        kind = self._label.kind
        if label.tells or kind not in ("passage", "ask") or label.kind in ("answer", "prompt"):
            return True
        if kind == "ask" and label.form and label.form == self._label.form:
            return True
        return kind == "ask" and label.kind in ("passage", "agent", "ask") and self._is_record(lines)

    def _is_next(self, lines: Sequence[str], at: int, bare: str) -> bool:
        """Return whether a line is a heading like the one that stands above the user's words."""
        form = self._label.form
        if not any(map(str.strip, self._kept)) or (lines[at - 1].strip() and form not in ("#", "[", "=")):
            return False
        if form == "title":
            return is_title(lines, at, bare)
        return form_of(bare) == form and (form != "*" or bare[-1] == "*") and (form != "-" or bare[-1] == "-")

    def _read_sentence(self, line: str, bare: str) -> Label | None:
        """Return the label that is a sentence, unless a person tells what another has said."""
        head, colon, said = bare.replace("：", ":").partition(":")
        if not colon or not SAID_LEAD.match(head) or FIRST_PERSON.search(head):
            return None
        above = "\n".join(self._kept[:LAST_LINES])[: 4 * LINE_CHARACTERS]
        if self._label.kind == "plain" and not self._looked_up and FIRST_PERSON.search(above):
            return None
        said = said.strip()
        quoted = len(said) > 1 and said[0] in _QUOTES and said[-1] in _QUOTES
        return Label("ask", True, said.strip(_QUOTES) if quoted else said + beyond(line, bare, said), alone=quoted)

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


def is_lead(bare: str) -> bool:
    """Return whether a line hands passages over to a model."""
    low = bare.lower()
    return any(word in low for word in LEAD_WORDS) and LEAD.match(bare) is not None


def is_prompt(bare: str) -> bool:
    """Return whether a line tells a model what to do with what a customer says."""
    start = bare.lstrip(" =#*([<-")
    told = PROMPT_VOICE.match(start) and (
        (PROMPT_TOPIC.search(start) and OF_CUSTOMER.search(start)) or PERSONA.match(start)
    )
    return bool(told) and not OWN_VOICE.search(bare)


def _is_prose(lines: Sequence[str]) -> bool:
    """Return whether lines in fences are sentences, and no code."""
    text = " ".join(lines)[: 4 * LINE_CHARACTERS]
    longest = max(map(len, lines), default=0)
    return longest > LINE_CHARACTERS // 2 and sum(map(text.count, _CODE_MARKS)) < CODE_SHARE * len(text)
