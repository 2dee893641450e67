"""The user's words in a record: lines of which most are fields, whatever they are called.

Tickets, forms and CRMs write a field a line: `Mood: annoyed`. Nobody who made them is known here, but their form is: so
many lines of one form are none of a person's sentences. The message is the field named like one, else what stands
free among them, else the one value in which somebody asks or speaks of themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from router.classify.frame_lines import LINE_CHARACTERS, RULE, field_of, words_of_label
from router.classify.frame_names import kind_of_field
from router.classify.frame_shapes import ASKING, FIRST_PERSON

LEAST_FIELDS = 3
"""So many lines of the form of fields make a record."""

LEAST_WORDS = 3
"""What stands free among fields and has fewer words is a title, or a name."""


NAME_CHARACTERS = 30
"""Of the name of a column."""

SHORT_VALUE = 5
"""A value with fewer words is what somebody chose or counted."""


_CELL_MARKS = ("\t", ";", "|", ",")
_PAIR = re.compile(r"\*{0,2}([^\W\d_][^\n:.!*]{1,60}?)\*{0,2}[ \t]*\n(?=\S)([^\n]+(?:\n[^\n]+)*)")


class _Unit(NamedTuple):
    """A field, by what its name says it holds, or a text that stands free between fields."""

    kind: str
    tells: bool
    text: str


def in_record(text: str) -> str | None:
    """Return the message in a record; None where a text is none, or nothing in it tells which words are the message.

    >>> in_record("Mood: annoyed\\nLast intent: return\\nWidget: web\\n\\nwhere is my parcel?")
    'where is my parcel?'
    """
    if "\n" not in text:
        return None
    if (cell := _in_table(text)) is not None:
        return cell
    if text.count("\n\n") >= LEAST_FIELDS - 1 and text.count("\n") - 2 * text.count("\n\n") >= LEAST_FIELDS:
        text = _pairs_as_fields(text)
    if text.count(":") + text.count("=") + text.count("\t") < LEAST_FIELDS:
        return None
    units = list(_units(text.split("\n")))
    fields = [unit for unit in units if unit.kind != "free"]
    free = [unit.text for unit in units if unit.kind == "free" and len(unit.text.split()) >= LEAST_WORDS]
    if len(fields) < LEAST_FIELDS or len(free) > len(fields):
        return None
    asked = [unit for unit in fields if unit.kind == "ask" and len(unit.text.split()) >= LEAST_WORDS]
    spoken = [each for each in free if ASKING.search(each)]
    voiced = [unit.text for unit in fields if unit.kind == "" and ASKING.search(unit.text)]
    for named in ([unit for unit in asked if unit.tells], [unit for unit in asked if ASKING.search(unit.text)]):
        if named:
            return named[-1].text
    if spoken:  # of a letter with some fields in it all is the user's
        return spoken[0] if len(spoken) == 1 else None
    if len(voiced) == 1 and FIRST_PERSON.search(voiced[0]):
        return voiced[0]
    return asked[-1].text if asked else None


def _in_table(text: str) -> str | None:
    """Return what the last row of a table has in the column of messages; None where a text is no table."""
    head = text[:LINE_CHARACTERS].strip().partition("\n")[0].strip("| ")
    mark = next((mark for mark in _CELL_MARKS if head.count(mark) >= LEAST_FIELDS - 1), "")
    if not mark or max(map(len, head.split(mark))) > NAME_CHARACTERS:
        return None
    lines = [line.strip().strip("|") for line in text.strip().split("\n") if line.strip(" |-:\t")]
    names = lines[0].split(mark)
    if any(line.count(mark) != len(names) - 1 for line in lines):
        return None
    kinds = [kind_of_field(words_of_label(name)) for name in names]
    column = next((at for at, kind in enumerate(kinds) if kind is not None and kind[0] == "ask"), None)
    return lines[-1].split(mark)[column].strip() if column is not None and len(lines) > 1 else None


def _pairs_as_fields(text: str) -> str:
    """Return a text in which paragraphs of a title and what stands below it, where they repeat, are fields."""
    paragraphs = text.split("\n\n")
    pairs = [_PAIR.fullmatch(paragraph.strip("\n")) for paragraph in paragraphs]
    if sum(pair is not None for pair in pairs) < LEAST_FIELDS:
        return text
    return "\n\n".join(
        f"{pair[1].strip()}: {pair[2]}" if pair else paragraph
        for pair, paragraph in zip(pairs, paragraphs, strict=True)
    )


def without_fields(text: str) -> str:
    """Return what stands free beside the fields of a text; all of it where nothing does, or where there are none.

    One by itself is the user's own way to write ("A suggestion: ..."), unless its name says who else speaks.
    """
    lines = text.split("\n")
    found = {at: field for at, line in enumerate(lines) if (field := field_of(line[:LINE_CHARACTERS].strip()))}
    found = {at: field for at, field in found.items() if not ASKING.search(field[1])}
    if len(found) == 1 and not any(map(_is_no_word_of_a_user, found.values())):
        return text
    free = "\n".join(line for at, line in enumerate(lines) if at not in found).strip()
    return free if len(free.split()) >= LEAST_WORDS else text


def _is_no_word_of_a_user(field: tuple[str, str]) -> bool:
    kind = kind_of_field(words_of_label(field[0]))
    short = field[0][0].isupper() and len(field[1].split()) < SHORT_VALUE
    return short or (kind is not None and kind[0] != "ask")


def _units(lines: Sequence[str]) -> Iterator[_Unit]:
    """Yield the fields and the texts between them. What is set in below a field belongs to it."""
    kind, tells, kept, edge = "free", False, [""], 0
    for line in lines:
        bare = line[:LINE_CHARACTERS].strip()
        inset = len(line) - len(line.lstrip())
        field = field_of(bare) if bare and not RULE.match(bare) else None
        if field is not None and not (kind != "free" and inset > edge):
            yield _Unit(kind, tells, "\n".join(kept).strip())
            found = kind_of_field(words_of_label(field[0]))
            kind, tells = found or ("", False)
            kept, edge = [field[1]], inset
        elif kind != "free" and kind != "ask" and not bare and kept != [""]:
            yield _Unit(kind, tells, "\n".join(kept).strip())
            kind, tells, kept = "free", False, [""]
        elif bare and not RULE.match(bare):
            kept.append(line)
        elif kind == "free" and not bare:
            yield _Unit(kind, tells, "\n".join(kept).strip())
            kept = [""]
    yield _Unit(kind, tells, "\n".join(kept).strip())
