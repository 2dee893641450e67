"""Answers to what the assistant asked: turns that go on with the task at hand, whatever their words sound like.

"My order number is #4712" sounds like a request about an order, and "no, I lost the receipt" like one for an invoice. A
classifier of single messages cannot know better: what they are follows from the question before them. So a turn in
mid-conversation is read by a table of words (`answers.txt`):

- what consists of a number, an address, a date and words that stand beside them goes on, asked for or not;
- so does what consists of words that only point at what is at hand ("thanks, but when do I get it?");
- after a question for some kind of thing, a turn that gives such a thing and asks for nothing goes on. Where it does so
  in free words, what these are clearly about by themselves is told beside the task (`recogniser`).

A turn asks for something where a clause begins like a question or an order, where it has a wish of its own ("I want to
..."), and where it turns to something else ("actually", "also"). It is then read as any other. So is an answer to what
might open another task: to an offer of two ways, to "anything else?".

Bounded: a turn of up to `LONGEST` characters, and `QUESTION_CHARACTERS` of what the assistant said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from router.classify.shipped import shipped_lists
from router.classify.text import QUESTION_CHARACTERS, last_question

SHIPPED = "answers.txt"

LONGEST = 200
"""Characters; a longer turn is read as any other."""

Told: TypeAlias = Literal["answer", "account", "request", ""]
"""What a turn is by its form: an answer, words that may be one (an account of what happened after a question for it, a
name, a thing), a request, or none of them."""

GOING_ON = ("answer", "account")

_ENDS = frozenset(',.;:!?…-–()"')
_MARKS = "".join(_ENDS) + "'’*“”„«»¿¡"
_VALUE = re.compile(r"\D{0,30}\d|[^@]+@[^@]+\.", re.ASCII)
_NOTHING: frozenset[str] = frozenset()


MOST_WORDS = 25
"""In a turn with a value, or a word, of the kind that was asked for."""


FEW_WORDS = 4
"""So many beside those that say nothing more: what is longer may tell of something else as well."""


class Kind(NamedTuple):
    """A kind of thing that can be asked for.

    A turn gives it with a number or an address of e-mail in it (`value`), with one of the words listed as giving it, or
    in up to `words` words of any kind. `denied` says that these may deny something.
    """

    name: str
    value: bool = False
    words: int = 0
    denied: bool = False


KINDS = (
    Kind("number", value=True),
    Kind("email", value=True),
    Kind("phone", value=True),
    Kind("date", value=True),
    Kind("amount", value=True),
    Kind("address", value=True),
    Kind("photo"),
    Kind("name", words=5),
    Kind("description", words=40, denied=True),
    Kind("choice", words=8),
)
"""Asked for by the words under `[asks ...]`, given by those under `[gives ...]`. "Yes" is apart: it stands first. Of
several that a question names the first one must be given: "which" and "what" stand in questions for all of them."""


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
    reason: frozenset[str]
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
    plain = [word for word in rest if word.isalpha() or not _VALUE.match(word)]
    values = len(rest) - len(plain)
    if all(word in known.given for word in plain):
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
    here = [kind for place, kind in enumerate(KINDS) if asked >> place & 1]
    if given & asked or (values and any(kind.value for kind in here)):
        if len(words) > MOST_WORDS:
            return ""
        return "answer" if len(rest) <= FEW_WORDS else "account"
    if not known.wish.isdisjoint(question) and known.reason.isdisjoint(question):
        return ""  # what the customer would like may be another task
    # "What" and "which" ask for anything only where nothing else is named.
    asked_for = here[0] if here else None
    if asked_for is None or len(words) > asked_for.words:
        return ""
    return "account" if asked_for.denied or known.denials.isdisjoint(words) else ""


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
    of = {name: frozenset(" ".join(lines).split()) for name, lines in shipped_lists(SHIPPED).items()}
    asked: dict[str, int] = {}
    given: dict[str, int] = {}
    for place, kind in enumerate(KINDS):
        for word in of[f"asks {kind.name}"]:
            asked[word] = asked.get(word, 0) | 1 << place
        for word in of.get(f"gives {kind.name}", ()):
            given[word] = given.get(word, 0) | 1 << place
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
        reason=of["asks reason"],
        yes=of["gives yes"],
        offers=of["offers"],
        denials=of["denies"],
        asked=asked,
        given=given,
    )
