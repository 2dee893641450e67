"""What checks and signals ask of a text: its patterns, phrases, words, sentences and last mark.

Every function takes any text there is, in time that grows with its length only. Fenced blocks of code are not prose:
`prose` leaves them out, and words and sentences are counted in what is left.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import re2

LOOKED_AT_CHARS = 256 * 1024
"""So much of a text is looked at; a model's longest answers have about half (128 k characters are 32 k tokens)."""

_QUOTES = str.maketrans("‘’ʼ“”„‚", "'''\"\"\"'")
_NORMALISED_AT_ONCE = 1_000
"""Characters. Sorting the marks on one letter takes time with the square of their number; 256 k of them take a minute.
A letter that loses its mark at a seam is not found as part of a phrase, which is rare enough."""

_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Scripts without spaces between words: each character counts as a word, as word processors count them."""

_STOP = re.compile("(?<![.!?…])[.!?…]++[\"'”’»)\\]*_]*+(?=\\s|$)|[。！？]")
"""Ends a sentence. The look-behind keeps a long run of dots from being tried again at each of them."""

_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,3}[.)]|#{1,6})[ \t]")
_NEVER_LAST = frozenset("dr e.g i.e mr mrs ms prof vs z.b bzw".split())
_BEFORE_NUMBERS = frozenset("approx art ca fig no nr p tel".split())
_QUESTION_MARKS = frozenset("?？؟;՞")
_ENDS = _QUESTION_MARKS | frozenset(".!…。！,:;")


def compiled(patterns: Iterable[str]) -> tuple[Any, ...]:
    """Return patterns that the pack's loader has accepted, compiled with RE2. They take no half surrogate pairs.

    RE2 (https://github.com/google/re2) is linear in the text, whatever the pattern.
    """
    options = re2.Options()
    options.log_errors = False
    return tuple(re2.compile(pattern, options) for pattern in patterns)


def clean(text: str) -> tuple[str, bool]:
    """Return as much of a text as is looked at, without halves of surrogate pairs, and whether that is all of it."""
    cut = text[:LOOKED_AT_CHARS]
    return cut.encode("utf-8", "replace").decode(), len(cut) == len(text)


def folded(text: str) -> str:
    """Return a text as phrases are looked for in it: upper and lower case, kinds of quotes and of spaces are alike.

    >>> folded("The  Customer’s\\nName")
    "the customer's name"
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    stretches = (text[at : at + _NORMALISED_AT_ONCE] for at in range(0, len(text), _NORMALISED_AT_ONCE))
    normal = "".join(unicodedata.normalize("NFC", stretch) for stretch in stretches)
    return " ".join(normal.translate(_QUOTES).casefold().split())


def prose(text: str) -> str:
    """Return a text without its fenced blocks of code (https://spec.commonmark.org/0.31.2/#fenced-code-blocks)."""
    if "```" not in text and "~~~" not in text:
        return text
    kept: list[str] = []
    fence = ""
    for line in text.split("\n"):
        start = line.lstrip()[:3]
        if fence:
            fence = "" if start == fence else fence
        elif start in ("```", "~~~"):
            fence = start
        else:
            kept.append(line)
    return "\n".join(kept)


def count_words(text: str) -> int:
    """Return how many words a text has; marks and emoji are none.

    >>> count_words("- It's **done**, thanks 🙂"), count_words("谢谢你 ok")
    (3, 4)
    """
    cjk = len(_CJK.findall(text))
    return cjk + sum(map(_speaks, (_CJK.sub(" ", text) if cjk else text).split()))


def count_sentences(text: str) -> int:
    """Return how many sentences a text has. Items of a list and headings are one at least, whatever they end with.

    >>> count_sentences("Thanks! Dr. Lee costs 3.50 today, e.g. now. Bye 🙂")
    3
    """
    return sum(_in_paragraph(paragraph) for paragraph in _paragraphs(text))


def ends_with_question(text: str) -> bool:
    """Say whether the last mark of a text is a question mark; emoji, quotes and emphasis behind it do not count."""
    for character in reversed(text):
        if character in _ENDS or character.isalnum():
            return character in _QUESTION_MARKS
    return False


def _speaks(token: str) -> bool:
    return any(map(str.isalnum, token))


def _paragraphs(text: str) -> list[str]:
    """Return the stretches of a text in which a line break is only a space."""
    found: list[list[str]] = [[]]
    for line in text.split("\n"):
        item = _ITEM.match(line)
        if item or not line.strip():
            found.append([])
        found[-1].append(line[item.end() :] if item else line)
        if item and "#" in item[0]:
            found.append([])
    return [" ".join(lines) for lines in found]


def _in_paragraph(text: str) -> int:
    sentences = begin = 0
    for stop in _STOP.finditer(text):
        if not _goes_on(text, stop):
            sentences += _speaks(text[begin : stop.start()])
            begin = stop.end()
    return sentences + _speaks(text[begin:])


def _goes_on(text: str, stop: re.Match[str]) -> bool:
    """Say whether dots end no sentence: before a small letter, after an initial or a known abbreviation."""
    if stop[0].strip(".…"):
        return False
    after = text[stop.end() : stop.end() + 2].strip()[:1]
    word = text[max(0, stop.start() - 8) : stop.start()].split(" ")[-1].casefold().lstrip("(\"'")
    if after.islower() or word in _NEVER_LAST:
        return True
    if after.isdigit():
        return word in _BEFORE_NUMBERS
    return len(word) == 1 and word.isalpha() and bool(after)
