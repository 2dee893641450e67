"""Who speaks in a line, by what stands in front of it, whatever marks part the two.

Exports, digests and hand-overs write `(visitor) ...`, `Turn 4 - user - ...`, `#1 customer, web: ...`, `2) Client says`.
No list holds their forms. But what stands in front is short, its words say whose the line is, and others' lines stand
beside it in the same text: then the last that the customer says is what is asked.
"""

from __future__ import annotations

import re

from router.classify.frame_lines import LINE_CHARACTERS, RULE, words_of_label
from router.classify.frame_names import AGENTS, ANSWERS, ASKED, ASKERS, BEFORE, FRESH, LOOKED_UP, SAID, words_of
from router.classify.frame_shapes import FIRST_PERSON

MOST_LINES = 400
FRONT_CHARACTERS, FRONT_WORDS = 80, 8
TITLE_CHARACTERS, TITLE_WORDS = 48, 5
"""Of what stands in front of a line, or above others."""

_FRONT = re.compile(
    r"(?:(?:\d{4}-\d\d-\d\d[ T])?\d{1,2}[:.]\d\d(?:[:.]\d\d)? ?[-–|]? ?"
    r"|[#*•-]{1,6} ?|#?\d{1,3}[.)/]? ?\d{0,3} ?|[^\W\d_]{3,10} \d{1,3} ?[-–:|] ?)?(?:"
    r"[\[(<«](?P<bracketed>[^\[\]()<>\n]{1,40})[\])>»]:?|(?P<named>[^\W\d_][^:：\n=>|]{0,60}?)"
    r"(?: ?[:：=>]| [-–—](?= )))"
    r"\s{1,3}(?P<said>\S.*)"
)
_TITLE = re.compile(r"(?:[#*•-]{1,6} ?|\d{1,3}[.)] ?)?(?P<named>[^\W\d_][^:：\n.!?]{0,40}?)\*{0,2} ?[:：]?$")
_PEOPLE = ASKERS | words_of("buyer sender you")
_SAYS = words_of(
    "says said asks asked wrote writes told reported types typed sends sent commented reports schreibt schrieb fragt"
    " sagt écrit demande dit escribe pregunta dice scrive chiede escreve pergunta schrijft vraagt pisze pyta"
)
_BESIDE = words_of(
    "web chat email sms phone app at us what now via in on unknown verified mobile online desk only just"
)
_DASHES = (" - ", " – ", " — ")
_ROLES = words_of("from role author speaker sender who by direction")
"""Fields whose value says whose the text below is."""

_SERVICE = frozenset({"service", "support", "care"})


def last_of_customer(text: str) -> str | None:
    """Return what the customer says last in a text of lines that say whose they are; None where it is none.

    >>> last_of_customer("(bot) Need a refund?\\n(visitor) where is my parcel?")
    'where is my parcel?'
    """
    lines = text.split("\n")
    if not 1 < len(lines) <= MOST_LINES:
        return None
    own: list[list[str]] = []
    others = answering = 0
    kept: list[str] | None = None
    inline, speaks = False, ""
    for line in lines:
        bare = line[:LINE_CHARACTERS].strip()
        if not bare or RULE.match(bare):
            kept = None if inline else kept
            continue
        front = bare[:FRONT_CHARACTERS]
        marked = (
            ":" in front or "=" in front or ">" in front or front[0] in "[(<" or any(dash in front for dash in _DASHES)
        )
        found = _FRONT.match(bare) if marked else None
        name = (found["bracketed"] or found["named"]) if found else ""
        inline = bool(name)
        if (
            not name
            and len(bare) <= TITLE_CHARACTERS
            and len(bare.split()) <= TITLE_WORDS
            and (title := _TITLE.match(bare))
        ):
            name = title["named"] if bare[-1] in ":：" or not bare[0].isalpha() or bare[0].isupper() else ""
        side = _side(name) if name else ""
        if found and inline and name.lower() in _ROLES and (side := _side(found["said"])):  # "from: customer"
            inline, found, speaks = False, None, side
        elif speaks and inline and not side and not SAID.isdisjoint(words_of_label(name)):
            side = speaks
        answering += side == "other"
        if side == "own" and (answering or not _is_field(found, name)):
            kept = [line.strip()[found.start("said") :]] if found and inline else []
            own.append(kept)
        elif side or inline:
            kept, others = None, others + 1
        elif kept is not None:
            kept.append(line)
    said = ["\n".join(each).strip() for each in own]
    said = [each for each in said if _is_said(each)]
    return said[-1].strip('"“”„ ') if said and others else None


def _is_field(found: re.Match[str] | None, name: str) -> bool:
    """Return whether a line may be a field about somebody, in a text in which nobody else speaks: "Caller: Ann"."""
    return found is not None and found.start("named") == 0 and words_of(name.lower()) <= _PEOPLE


def _is_said(text: str) -> bool:
    """Return whether a text is no name, no address, and nothing that a program wrote."""
    words = text.split()
    return len(words) > 1 and text[0] not in "{[<" and not (text.istitle() and len(words) < TITLE_WORDS)


def _side(name: str) -> str:
    """Return whose the words behind a name are: "own", "other", or nothing where it does not say."""
    words = words_of_label(re.split(r"→|->", name)[0].replace(",", " "))  # "customer → shop"
    said = frozenset(words)
    if not said or len(words) > FRONT_WORDS or (len(words) > 1 and FIRST_PERSON.search(name)):
        return ""
    if said & _PEOPLE and said.isdisjoint(_SERVICE | BEFORE - AGENTS):
        if said & (SAID | ASKED | _SAYS) or said <= _PEOPLE | _BESIDE:
            return "own"
    if said <= FRESH:
        return "own"
    return "other" if said & (AGENTS | BEFORE | ANSWERS | LOOKED_UP) else ""
