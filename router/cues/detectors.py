"""What lies in the words of a user turn: how much it asks for at once, and whether it only goes on.

Rules that a person can check, and no model.
"""

from __future__ import annotations

import re

SHORT_WORDS = 8
LONG_WORDS = 45
VERY_LONG_WORDS = 110
COMPLEX_POINTS = 5
LOOKED_AT_CHARS = 4000

_CONDITIONS = frozenset(
    "if unless except although however but because since instead otherwise depend depends provided either".split()
)
_PARTS = frozenset("first firstly second secondly third thirdly finally also - * • 1. 2. 3. 4. 1) 2) 3) 4)".split())
_STOPS = (". ", "! ", "? ", ".) ", "… ")


def detect_complexity(text: str) -> str:
    """Return how much a user turn asks for at once: `simple`, `standard` or `complex`.

    Points are given for length, for several sentences, questions, conditions, enumerated parts, and things that must be
    compared; none or one is simple, five or more is complex.

    >>> detect_complexity("where is my parcel?")
    'simple'
    """
    text = text[:LOOKED_AT_CHARS]
    words = text.lower().replace(",", " ").replace(":", " ").split()
    if len(words) <= SHORT_WORDS:
        return "simple"
    line = " ".join(text.split()) + " "
    sentences = sum(map(line.count, _STOPS))
    points = 1 + (len(words) > LONG_WORDS) + (len(words) > VERY_LONG_WORDS)
    points += min(2, sentences // 3)
    points += min(2, max(0, text.count("?") - 1))
    points += min(2, sum(map(_CONDITIONS.__contains__, words)) // 2)
    points += min(2, sum(map(_PARTS.__contains__, words)) // 2)
    points += "```" in text or "{" in text
    if points >= COMPLEX_POINTS:
        return "complex"
    return "standard" if points > 1 else "simple"


FEW_WORDS = 6

_WORD = re.compile(r"[^\W_]+")
_NEW_REQUEST = re.compile(
    r"\b(how|what|where|when|why|who|which|can|could|would|i want|i need|i'd like|please (?!do)|help)\b", re.IGNORECASE
)


def detect_follow_up(text: str, turn: int) -> bool:
    """Say whether user turn number `turn` (0-based) answers or confirms rather than asks for something new.

    The first turn never does. A later one does when it is short and opens no request of its own.

    >>> detect_follow_up("Sure, it is 12345", 1), detect_follow_up("Sure, it is 12345", 0)
    (True, False)
    """
    if turn == 0:
        return False
    return len(_WORD.findall(text[:200])) <= FEW_WORDS and not _NEW_REQUEST.search(text)
