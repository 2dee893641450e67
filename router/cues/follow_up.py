"""Whether a user turn only goes on with what was said before."""

from __future__ import annotations

import re

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
