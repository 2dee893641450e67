"""How many tokens a text is likely to cost, without any model's vocabulary.

Budgets must hold for every provider, and no tokenizer may be fetched at run time; so tokens are estimated from the
shape of the text. `python -m tests.bench tokens` compares the estimate with cl100k_base; the bench prints the figures.
"""

from __future__ import annotations

import re

_PIECE = re.compile(r"[A-Za-z]+|\d{1,3}|[^\x00-\x7f]|[^\sA-Za-z\d]+|\n+")
_LETTERS_PER_TOKEN = 9  # English words of up to this many letters are mostly one token in cl100k_base


def count_tokens(text: str) -> int:
    """Estimate the tokens of `text`; 0 only for the empty text.

    >>> count_tokens("Ask for the order number.")
    6
    """
    total = 0
    for piece in _PIECE.findall(text):
        total += -(-len(piece) // _LETTERS_PER_TOKEN) if piece[0].isalpha() and piece[0].isascii() else 1
    return total or bool(text)
