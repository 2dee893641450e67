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
from router.classify.frame_choice import DRESS, LEAST_WORDS, SENTENCE_CHARACTERS
from router.classify.frame_names import LABEL_ENDS
from router.classify.frame_shapes import PROMPT_VOICE
from router.classify.small_talk import small_talk
from router.classify.text import STRIP_CHARACTERS, Boilerplate, clip, sentences, well_formed


class UserWords:
    """Reads user turns by what a pack says of them: RE2 patterns of `boilerplate`, and of `user_words`.

    The latter have one group each, the user's own words. Raises re2.error for a pattern that RE2 refuses.
    """

    def __init__(self, boilerplate: Sequence[str] = (), user_words: Sequence[str] = ()) -> None:
        self._boilerplate = Boilerplate(boilerplate)
        self._named = [re2.compile(pattern) for pattern in user_words]

    def read(self, text: str, parts: Sequence[str] = ()) -> tuple[str, list[str]]:
        """Return a user turn as it is read, and its `sentences`; "" where others alone speak in it.

        `parts` are its text parts where it has several.

        >>> UserWords().read("Hello there. I want my money back. Thank you very much.")
        ('I want my money back.', [])
        """
        if parts or self._named or may_be_framed(text):
            found = self._find(text, parts)
            if found is not None:
                if not found:
                    return "", []
                text = found
        if len(text) >= PLAIN_CHARACTERS or "\n" in text:
            text = clip(clean(text))
            if not text:
                return "", []
        text = self._boilerplate.strip(text)
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
        """Return what stands last where the pack says that the user's words stand; None where nothing does."""
        if len(text) > STRIP_CHARACTERS:
            text = f"{text[: STRIP_CHARACTERS // 2]}\n{text[-STRIP_CHARACTERS // 2 :]}"
        text = well_formed(text)
        found = [match for pattern in self._named for match in pattern.finditer(text)]
        last = max(found, key=lambda match: match.start(1), default=None)
        return None if last is None else (last.group(1) or "").strip()


def may_be_framed(text: str) -> bool:
    """Return whether a text may be framed; false for nearly all single lines that people write, in a few hundred ns.

    A short one that begins with an instruction ("Answer from the text: ...") is what a person asks of an assistant.
    """
    if "\n" in text or "<" in text or " | " in text or text[:1] in ("[", "(", "{"):
        return True
    if ":" not in text:
        return False
    if len(text) >= SENTENCE_CHARACTERS:
        return True
    words = text[: text.index(":")].split()
    may = bool(words) and (words[-1].lower().strip(DRESS) in LABEL_ENDS or text[0].isdigit())
    return may and (len(words) < LEAST_WORDS or not PROMPT_VOICE.match(text))


_PLAIN = UserWords()


def own_words(text: str) -> tuple[str, list[str]]:
    """Return a message as it is read where no pack says more, and its `sentences`."""
    return _PLAIN.read(text)
