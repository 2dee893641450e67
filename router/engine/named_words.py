"""The user's own words where a client names them: in `metadata.user_words`, for the newest user turn.

An app that puts a question into a text of its own knows the question best. Recognition then reads these words and
nothing else of the turn; what goes to the model is untouched. A conversation keeps them by what the turn says, so that
the next call, which resends the turn and names the words of another, decides about it as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

from router.core.conversation import Turn

KEY = "user_words"
"""Of the metadata of a request."""

UNFIT = ("user_words_invalid", "metadata.user_words is no text, so the whole turn was read")
"""The note about a request, by code: what its metadata has is no text."""

WORDS_CHARACTERS = 4_000
"""Of the words so many are kept; recognition reads no more of any turn than the half."""

TURNS_KEPT = 64
"""User turns of a conversation whose words are kept. Those before are read like any other turn."""

NamedWords: TypeAlias = Mapping[bytes, str]
"""The user's own words by a digest of the turn that holds them."""


def name_words(
    kept: NamedWords, turns: Sequence[Turn], metadata: Mapping[str, Any]
) -> tuple[NamedWords, tuple[tuple[str, str], ...]]:
    """Return the words that a conversation has been given with those of this request, and notes on what is amiss."""
    given = metadata.get(KEY)
    newest = next((turn for turn in reversed(turns) if turn.role == "user"), None)
    if given is None or newest is None:
        return kept, ()
    if not isinstance(given, str):
        return kept, (UNFIT,)
    words = given.strip()[:WORDS_CHARACTERS]
    if not words:
        return kept, ()
    named = {**kept, _digest(newest): words}
    return dict(list(named.items())[-TURNS_KEPT:]), ()


def words_of(turn: Turn, named: NamedWords) -> tuple[str, tuple[str, ...]]:
    """Return what recognition reads of a user turn: its text, and its parts where it has several."""
    words = named.get(_digest(turn))
    return (turn.text, turn.parts) if words is None else (words, ())


def _digest(turn: Turn) -> bytes:
    return blake2b(turn.text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
