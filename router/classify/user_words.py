"""What is read of a user turn: the user's own words, and nothing that stands around them.

In this order: what the pack says is the user's (`user_words`), HTML as text, frames of apps and help desks, what the
pack says is boilerplate, quoted mail and logs, greetings and thanks around a request. A chat message of one short line
is none of these and passes at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import re2

from router.classify import frames, html_mail
from router.classify.cleaning import PLAIN_CHARACTERS, clean
from router.classify.small_talk import small_talk
from router.classify.text import STRIP_CHARACTERS, Boilerplate, clip, sentences

SHORTEST_FRAME = 24
"""A shorter text is no frame: "Q: a" is not worth a look."""


class UserWords:
    """Reads user turns by what a pack says of them: RE2 patterns of `boilerplate`, and `user_words`.

    Of the latter each is a tag (`<ticket_body>`) or a pattern with one group. Raises re2.error for a pattern that RE2
    refuses.
    """

    def __init__(self, boilerplate: Sequence[str] = (), user_words: Sequence[str] = ()) -> None:
        self._boilerplate = Boilerplate(boilerplate)
        self._named = [re2.compile(pattern_of(word)) for word in user_words]

    def read(self, text: str, parts: Sequence[str] = ()) -> tuple[str, list[str]]:
        """Return a user turn as it is read, and its `sentences`; "" where others alone speak in it.

        `parts` are its text parts where it has several.

        >>> UserWords().read("Hello there. I want my money back. Thank you very much.")
        ('I want my money back.', [])
        """
        if parts or len(text) >= PLAIN_CHARACTERS or "\n" in text or ":" in text or "<" in text or self._named:
            found = self._find(text, parts)
            if found is not None:
                if not found:
                    return "", []
                text = found
        text = self._boilerplate.strip(text)
        if len(text) >= PLAIN_CHARACTERS or "\n" in text:
            text = clip(clean(text))
        said = sentences(text)
        if said:
            asking = [part for part in said if not small_talk(part)]
            if 0 < len(asking) < len(said):
                text = " ".join(asking)
                said = sentences(text)
        return text, said

    def _find(self, text: str, parts: Sequence[str]) -> str | None:
        """Return the user's own words where something says which they are; None where nothing does."""
        named = self._named_words(text) if self._named else None
        if named is not None:
            text, parts = named, ()
        shown = [html_mail.as_text(part) if html_mail.is_html(part) else part for part in parts or (text,)]
        found = frames.find(shown)
        if found is not None:
            return found
        return "\n".join(shown) if named is not None or shown != list(parts or (text,)) else None

    def _named_words(self, text: str) -> str | None:
        """Return what the first of the pack's patterns that matches holds last; None where none does."""
        text = text if len(text) <= STRIP_CHARACTERS else clip(text, STRIP_CHARACTERS)
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode("utf-8")  # RE2 reads UTF-8, which has no lone surrogates
        for pattern in self._named:
            words = None
            for match in pattern.finditer(text):
                words = match.group(1) or ""
            if words is not None:
                return words.strip()
        return None


def pattern_of(word: str) -> str:
    """Return the pattern of a key `user_words`: of a tag what stands in it, else the pattern itself.

    >>> pattern_of("<ticket_body>")
    '(?is)<ticket_body(?:\\\\s[^<>]*)?>(.*?)</ticket_body\\\\s*>'
    """
    if word.startswith("<") and word.endswith(">") and word[1:-1].replace("-", "_").replace(".", "_").isidentifier():
        name = word[1:-1].replace(".", r"\.")
        return rf"(?is)<{name}(?:\s[^<>]*)?>(.*?)</{name}\s*>"
    return word


_PLAIN = UserWords()


def own_words(text: str) -> tuple[str, list[str]]:
    """Return a message as it is read where no pack says more, and its `sentences`."""
    return _PLAIN.read(text)
