"""Small talk: greetings, thanks, farewells and bare answers, turns that ask for nothing, whatever the pack is about.

A turn that consists of nothing else says nothing about the task: it must not move a belief, nor open one. A classifier
cannot know that: the words of such turns stand in examples of all kinds ("yes please, book it", "thanks, but where is
my parcel"), and in a language that the pack does not speak they are no words at all. So they are told by a list of
phrases, shipped for some thirty languages. A turn is one of these when it can be cut into such phrases without a rest;
any other message is left at its first word that stands in none of them, which is one of its first few.

A pack may have tasks for just that (`/small_talk/thanks`). A kind of phrase that many examples of some task consist of
is *hosted*: a conversation may then open with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from router.classify.shipped import shipped_lists
from router.classify.text import tokens

SHIPPED = "small_talk.txt"

KINDS = ("thanks", "farewell", "greeting", "answer")
"""In order of strength: "ok thanks, bye" is told by its thanks. Beside them the list has a kind "filler"."""

LONGEST = 160
"""Characters; a longer turn is not looked at. "Thank you very much for all your help, have a wonderful day" has 58."""

HOSTING_SHARE = 0.2
"""A task hosts a kind when this share of its examples are such phrases and nothing else, and no fewer than two. Of the
shipped help desk's tasks, those for greetings, thanks and farewells have 75 to 90 %, all others none; of CLINC150,
"yes" has 33 % and "goodbye" 25 %. Among the openings of Schema-Guided Dialogue, where "yes, please" accepts an offer,
no task has more than 14 %."""

_WORD = re.compile(r"[\w']+")
_DRAWN_OUT = re.compile(r"(.)\1+")


class _List(NamedTuple):
    """The shipped phrases.

    `words` maps each word that stands in one to itself, and each with its drawn-out letters written once to the word;
    `phrases` maps a phrase, its words joined by spaces, to the bit of its kind, 0 for filler.
    """

    words: dict[str, str]
    phrases: dict[str, int]
    longest: int


def small_talk(text: str) -> str:
    """Return the kind of phrase that a text consists of; the empty string when it says anything else.

    >>> small_talk("Hi there!"), small_talk("ok, thaaanks a lot :)"), small_talk("hi, where is it")
    ('greeting', 'thanks', '')
    """
    if len(text) > LONGEST:
        return ""
    known = _list()
    words: list[str] = []
    for word in _words(text):
        same = known.words.get(word) or known.words.get(_DRAWN_OUT.sub(r"\1", word))
        if same is None:
            return ""
        words.append(same)
    found = _cut(words, known)
    return next((kind for bit, kind in enumerate(KINDS) if found >> bit & 1), "")


def hosted(examples: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the kinds for which a pack has tasks, by its examples: pairs of path and text."""
    sizes: Counter[str] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for path, text in examples:
        sizes[path] += 1
        kind = small_talk(text)
        if kind:
            found[path, kind] += 1
    return tuple(
        kind for kind in KINDS if any(found[path, kind] >= max(2.0, HOSTING_SHARE * n) for path, n in sizes.items())
    )


def _words(text: str) -> list[str]:
    """Return the words, no marks."""
    if text.isascii():
        # Not by `tokens`, which is slower: most messages are left at their first words.
        found = _WORD.findall(text.lower())
        return [word for mark in found if (word := mark.strip("'"))] if "'" in text else found
    return [word for word in tokens(text) if len(word) > 1 or word.isalnum()]


def _cut(words: list[str], known: _List) -> int:
    """Return the kinds, as bits, of the fewest phrases that follow each other from the first word to the last."""
    reached: list[tuple[int, int] | None] = [(0, 0)] + [None] * len(words)
    for start in range(len(words)):
        here = reached[start]
        if here is None:
            continue
        for end in range(start + 1, min(start + known.longest, len(words)) + 1):
            kind = known.phrases.get(" ".join(words[start:end]))
            before = reached[end]
            if kind is not None and (before is None or here[0] + 1 < before[0]):
                reached[end] = (here[0] + 1, here[1] | kind)
    last = reached[-1]
    return last[1] if last else 0


@lru_cache(maxsize=1)
def _list() -> _List:
    words: dict[str, str] = {}
    phrases: dict[str, int] = {}
    for kind, lines in shipped_lists(SHIPPED).items():
        bit = 1 << KINDS.index(kind) if kind in KINDS else 0
        for phrase in map(_words, lines):
            joined = " ".join(phrase)
            phrases[joined] = phrases.get(joined, 0) | bit
            for word in phrase:
                words[word] = word
    for word in list(words):
        words.setdefault(_DRAWN_OUT.sub(r"\1", word), word)
    return _List(words, phrases, max(phrase.count(" ") + 1 for phrase in phrases))
