"""Answers to what the assistant asked: turns that go on with the task at hand, whatever their words sound like.

"My order number is #4712" sounds like a request about an order, and "no, I lost the receipt" like one for an invoice. A
classifier of single messages cannot know better: what they are follows from the question before them. So a turn in
mid-conversation is read by a table of words (`answers.txt`):

- what consists of a number, an address, a date and words that stand beside them goes on, asked for or not;
- so does what consists of words that only point at what is at hand ("thanks, but when do I get it?");
- after a question for some kind of thing, a turn that gives such a thing and asks for nothing goes on.

A turn asks for something where a clause begins like a question or an order, where it has a wish of its own ("I want to
..."), and where it turns to something else ("actually", "also"). It is then read as any other. So is an answer to what
might open another task: to an offer of two ways, to "anything else?".

Bounded: a turn of up to `LONGEST` characters, and `QUESTION_CHARACTERS` of what the assistant said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from typing import Literal, NamedTuple, TypeAlias

from router.classify.text import QUESTION_CHARACTERS, last_question

LONGEST = 200
"""Characters; a longer turn is read as any other."""

Told: TypeAlias = Literal["answer", "account", "request", ""]
"""What a turn is by its form: an answer, an account of what happened after a question for it, a request, or neither."""

GOING_ON = ("answer", "account")

_ENDS = frozenset(',.;:!?…-–()"')
_MARKS = "".join(_ENDS) + "'’*“”„«»¿¡"
_VALUE = re.compile(r"\D{0,30}\d|[^@]+@[^@]+\.", re.ASCII)
_NOTHING: frozenset[str] = frozenset()


class Kind(NamedTuple):
    """A kind of thing that can be asked for.

    A turn gives it in up to `words` words: with a value in it (a number, an address of e-mail), with one of the words
    listed as giving it, or, where it is `free`, with any others. `denied` says that these may deny something.
    """

    name: str
    words: int
    value: bool = False
    free: bool = False
    denied: bool = False


KINDS = (
    Kind("number", 25, value=True),
    Kind("email", 25, value=True),
    Kind("phone", 25, value=True),
    Kind("date", 25, value=True),
    Kind("amount", 25, value=True),
    Kind("address", 25, value=True),
    Kind("photo", 10),
    Kind("name", 5, free=True),
    Kind("description", 40, free=True, denied=True),
    Kind("choice", 8, free=True),
)
"""Asked for by the words under `[asks ...]`, given by those under `[gives ...]`. "Yes" is apart: it stands first."""


class _Words(NamedTuple):
    """The shipped words, by what they do. `asked` and `given` map a word to the kinds as bits, places in `KINDS`."""

    bare: frozenset[str]
    pointing: frozenset[str]
    questions: frozenset[str]
    requests: frozenset[str]
    wants: frozenset[str]
    turns: frozenset[str]
    verbs: frozenset[str]
    subjects: frozenset[str]
    opens: frozenset[str]
    joints: frozenset[str]
    marks: frozenset[str]
    polite: frozenset[str]
    anything: frozenset[str]
    wish: frozenset[str]
    yes: frozenset[str]
    offers: frozenset[str]
    denials: frozenset[str]
    asked: Mapping[str, int]
    given: Mapping[str, int]


def told(text: str, reply: str = "") -> Told:
    """Return what a turn in mid-conversation is by its form, after what the assistant said.

    >>> told("Order number 4712"), told("no, I lost the receipt", "Do you still have the receipt?")
    ('answer', 'answer')
    >>> told("order 4712, please cancel it", "What is your order number?"), told("it never came")
    ('request', '')
    """
    if len(text) > LONGEST:
        return "request"
    known = _words()
    pieces = text.lower().split()
    words = [piece if piece.isalnum() else piece.strip(_MARKS) for piece in pieces]
    if not any(words):
        return ""
    bare = known.bare
    rest = [word for word in words if word not in bare]
    values = len(rest) - len([word for word in rest if word.isalpha() or not _VALUE.match(word)])
    if len(rest) == values:
        return "answer"
    if known.pointing.issuperset(words):
        # A "yes" without a question is left to what was asked: it may accept an offer.
        if words[0] not in known.yes or not reply or "?" in text or not known.questions.isdisjoint(words):
            return "answer"
    if "?" in text:
        return "request"
    question = _NOTHING
    mark = _mark(pieces, words, known)
    if mark:
        # What repeats a word of the question is no wish of its own, nor is it an order beside what was asked for.
        echoed = mark in known.wants or (values and mark not in known.questions)
        question = _asking(reply, known) if reply and echoed else question
        if mark not in question:
            return "request"
    question = question or (_asking(reply, known) if reply else question)
    return _given(words, rest, values, question, known) if question else ""


def _given(words: list[str], rest: list[str], values: int, question: frozenset[str], known: _Words) -> Told:
    """Return what a turn that asks for nothing tells after a question."""
    if words[0] in known.yes and not known.verbs.isdisjoint(question) and known.offers.isdisjoint(question):
        return "answer"
    if words[-1] in ("one", "ones") or words[:2] == ["the", "one"]:
        return "answer"
    asked = 0
    for word in question:
        asked |= known.asked.get(word, 0)
    given = 0
    for word in rest:
        given |= known.given.get(word, 0)
    open_to_others = not known.wish.isdisjoint(question)
    for place, kind in enumerate(KINDS):
        if not asked >> place & 1 or len(words) > kind.words:
            continue
        if (kind.value and values) or given >> place & 1:
            return "answer"
        if kind.free and not open_to_others and (kind.denied or known.denials.isdisjoint(words)):
            return "account" if kind.denied else "answer"
    return ""


def _asking(reply: str, known: _Words) -> frozenset[str]:
    """Return the words of the assistant's last question, or of what it asks for politely; none where it asks nothing,
    or leaves open what for.
    """
    question = last_question(reply)
    pieces = (question or reply[-QUESTION_CHARACTERS:]).lower().split()
    words = frozenset([piece if piece.isalnum() else piece.strip(_MARKS) for piece in pieces])
    if (not question and known.polite.isdisjoint(words)) or not known.anything.isdisjoint(words):
        return _NOTHING
    return words


def _mark(pieces: Sequence[str], words: Sequence[str], known: _Words) -> str:
    """Return the word by which a turn asks for something or turns to something else; empty for none."""
    begins = True
    for at, word in enumerate(words):
        if word in known.marks:
            after = words[at + 1] if at + 1 < len(words) else ""
            if word in known.turns or word in known.wants:
                return f"{word} to" if after == "to" else word
            if begins and word in known.requests and not (word == "when" and after in known.subjects):
                return word
            if begins and after in known.subjects and word in known.verbs:
                return word
        begins = pieces[at][-1] in _ENDS or (word in known.opens and (begins or word in known.joints))
    return ""


@lru_cache(maxsize=1)
def _words() -> _Words:
    lists: dict[str, set[str]] = {}
    name = ""
    for line in resources.files("router.classify").joinpath("answers.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line and not line.startswith("#"):
            lists.setdefault(name, set()).update(line.split())
    asked: dict[str, int] = {}
    given: dict[str, int] = {}
    for place, kind in enumerate(KINDS):
        for word in lists[f"asks {kind.name}"]:
            asked[word] = asked.get(word, 0) | 1 << place
        for word in lists.get(f"gives {kind.name}", ()):
            given[word] = given.get(word, 0) | 1 << place
    of = {name: frozenset(words) for name, words in lists.items()}
    return _Words(
        bare=of["bare"],
        pointing=of["pointing"],
        questions=of["questions"],
        requests=of["questions"] | of["requests"],
        wants=of["wants"],
        turns=of["turns"],
        verbs=of["asks yes"],
        subjects=of["subjects"],
        opens=of["opens"] | of["joints"],
        joints=of["joints"],
        marks=of["questions"] | of["requests"] | of["wants"] | of["turns"] | of["asks yes"],
        polite=of["asks politely"],
        anything=of["asks anything"],
        wish=of["asks wish"],
        yes=of["gives yes"],
        offers=of["offers"],
        denials=of["denies"],
        asked=asked,
        given=given,
    )
