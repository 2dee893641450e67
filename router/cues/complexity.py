"""How much a user turn asks for at once: simple, standard or complex.

A rule that a person can check, and no model. Points are given for length, for several sentences, questions, conditions,
enumerated parts, and things that must be compared; none or one is simple, five or more is complex.
"""

from __future__ import annotations

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
    """Return `simple`, `standard` or `complex`.

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
