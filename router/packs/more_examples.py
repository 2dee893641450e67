"""More examples from a model: what it is asked, how its reply is read, and which of its lines are good enough.

It is asked in the simplest way there is, so that small models can follow: one task, plain words, numbered lines. What
comes back is a stranger's text. Only numbered lines are read, and none is taken before it has passed `objection`:

- it is in the script of the language, and in no other language as far as the detector can tell;
- it is no original over again, no refusal, no preamble, no mark-up, and about as long as a translation would be;
- it has the numbers, codes, addresses and {placeholders} of the original, and no others;
- the pack does not have it yet.

None of this sees whether a translation is right. A person has to read them; hence the mark `generated`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from router.packs.reading import CONTROL
from router.packs.words import LANGUAGES

Detect = Callable[[str], str | None]
"""Returns the language of a text where it is clear."""

_NAMES = """
ar Arabic, be Belarusian, bg Bulgarian, bn Bengali, ca Catalan, cs Czech, cy Welsh, da Danish, de German, el Greek,
en English, es Spanish, et Estonian, eu Basque, fa Persian, fi Finnish, fr French, ga Irish, gl Galician, gu Gujarati,
he Hebrew, hi Hindi, hr Croatian, hu Hungarian, hy Armenian, id Indonesian, is Icelandic, it Italian, ja Japanese,
ka Georgian, kk Kazakh, kn Kannada, ko Korean, lt Lithuanian, lv Latvian, mk Macedonian, ml Malayalam, mr Marathi,
ms Malay, mt Maltese, nb Norwegian, ne Nepali, nl Dutch, no Norwegian, pa Punjabi, pl Polish, pt Portuguese,
ro Romanian, ru Russian, sk Slovak, sl Slovenian, sq Albanian, sr Serbian, sv Swedish, sw Swahili, ta Tamil, te Telugu,
th Thai, tl Tagalog, tr Turkish, uk Ukrainian, ur Urdu, vi Vietnamese, zh Chinese
"""
NAMES = dict(entry.split() for entry in _NAMES.replace("\n", " ").split(","))

_OTHER_SCRIPTS = """
ARABIC: ar fa ps ug ur; CYRILLIC: be bg kk ky mk mn ru tg uk; HEBREW: he yi; DEVANAGARI: hi mr ne sa; GREEK: el;
THAI: th; HANGUL: ko; CJK: zh; HIRAGANA KATAKANA CJK: ja; BENGALI: bn as; TAMIL: ta; TELUGU: te; KANNADA: kn;
MALAYALAM: ml; GUJARATI: gu; GURMUKHI: pa; GEORGIAN: ka; ARMENIAN: hy; ETHIOPIC: am ti; KHMER: km; LAO: lo;
MYANMAR: my; SINHALA: si; TIBETAN: bo dz; LATIN CYRILLIC: sr bs uz az tk; LATIN ARABIC: ku sd ha
"""
SCRIPTS = {
    language: tuple(scripts.split())
    for scripts, languages in (entry.split(":") for entry in _OTHER_SCRIPTS.replace("\n", " ").split(";"))
    for language in languages.split()
}
"""The scripts of languages that are not written in Latin letters alone, by the first words of Unicode's names."""

_TAKEN_FOR = {
    **dict.fromkeys(("da", "no", "nb", "nn", "sv"), frozenset({"da", "no", "sv"})),
    **dict.fromkeys(("fa", "ur", "ps", "ug"), frozenset({"ar", "fa"})),
    **dict.fromkeys(("uk", "bg", "be", "mk", "sr", "kk", "ky", "mn", "tg"), frozenset({"uk", "bg", "ru"})),
}
"""What the detector may take a text for besides its own language: it goes by letters that not every sentence has."""

_KNOWN_TO_DETECTORS = frozenset(
    "ar bg cs da de el en es fa fi fr he hi hu id it ja ko nl no pl pt ro ru sv th tr uk vi zh".split()
)
_LEAST_OF_SCRIPT = 0.5
_HARDLY_CHANGED = 0.7
_SHORTEST, _LONGEST, _LEEWAY = 0.3, 3.0, 25
"""Of the original's letters, how few and how many a translation may have, and so many besides. Languages that write
a word in one or two characters may have a third of the few."""

_DENSE = frozenset({"zh", "ja", "ko"})

_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL | re.IGNORECASE)
_NUMBERED = re.compile(r"\s*(?:[-*]\s+)?(?:\*\*)?\(?(\d{1,3})(?:\*\*)?[.):](?:\*\*)?(?:\s+(.+)|\s*)")
_BROKEN = re.compile("[\ufffd-\uffff]")
_DASHED = re.compile(r"\s*[-*•]\s+(.+)")
_QUOTES = (('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("'", "'"))
_MARKUP = re.compile(r"\*\*|```|^#+\s|^\||</?\w+>|^[-*]\s|->|=>|→")
_CHATTER = re.compile(
    r"translat|paraphras|language model|\bas an ai\b"
    r"|^(?:sure|certainly|of course|okay)\b.{0,20}\bhere (?:is|are)\b"
    r"|^here (?:is|are) (?:the|some|\d+|\w+ more)\b.*\b(?:messages|lines|examples|versions|variations|sentences)\b"
    r"|\b(?:can(?:no|')t|unable to)\b.{0,20}\b(?:assist|fulfil|comply|provide)",
    re.IGNORECASE,
)
_KEPT = re.compile(
    r"\{[^{}]*\}|\[[^\[\]]*\]|<[^<>]*>|https?://[^\s,;!?]+|[\w.+-]+@[\w-]+\.[\w.]+|\b(?=[\w-]*[A-Z])[A-Za-z]+-?\d[\w-]*"
)
_THOUSANDS = re.compile(r"(?<=\d)[.,' \u00a0\u202f](?=\d{3}(?!\d))")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Wish:
    """One call: texts of one task that are to be translated, or, where `more` is not 0, so many more like them.

    `task` is a path, or `unrelated`. `language` is the one that is wanted; "" for that of the texts.
    """

    task: str
    language: str
    texts: tuple[str, ...]
    about: str = ""
    more: int = 0

    @property
    def lines(self) -> int:
        """How many lines are to come."""
        return self.more or len(self.texts)

    def prompt(self) -> str:
        """Return what the model is asked."""
        about = f" They are about this: {self.about}" if self.about else ""
        if not self.more:
            listed = "\n".join(f"{number}. {text}" for number, text in enumerate(self.texts, 1))
            return (
                f"Translate these messages into {language_name(self.language)}, as people write them in a chat.{about}"
                "\nKeep numbers, codes and everything in braces as they are. Write one line for each message, with its "
                f"number, and nothing else.\n\n{listed}"
            )
        listed = "\n".join(f"- {text}" for text in self.texts)
        where = f"in {language_name(self.language)}" if self.language else "in the same language"
        return (
            f"These are messages that people write in a chat.{about}\n\n{listed}\n\n"
            f"Write {self.more} other messages that ask for the same, {where}: some short, some long, in other words. "
            "Write one message a line, with its number, and nothing else."
        )

    def answered_by(self, said: str) -> bool | None:
        """Say whether an answer under way has all lines (True), or went on for so long that none will end it (False).

        None: it may go on.
        """
        ended = said[: said.rfind("\n") + 1]
        if len(read_lines(ended, self.lines)) == self.lines:
            return True
        most = 2_000 + 8 * self.lines * max(map(len, self.texts))
        return False if len(said) > (10 * most if "<think" in said[:100] else most) else None


def language_name(code: str) -> str:
    """Return the English name of a language.

    >>> language_name("de"), language_name("zu")
    ('German', 'the language with the ISO 639-1 code zu')
    """
    return NAMES.get(code) or f"the language with the ISO 639-1 code {code}"


def read_lines(reply: str, expected: int, *, cut: bool = False) -> dict[int, str]:
    """Return the lines of a reply by their numbers, from 1 to `expected`; the first with a number counts.

    A reply without any number is read in order where it has just as many lines, or lines with a dash, as were asked
    for. `cut` says that it breaks off: what may be half a line is left out.

    >>> read_lines("Sure!\\n1. Wo ist es?\\n2) \\"Und jetzt?\\"", 2)
    {1: 'Wo ist es?', 2: 'Und jetzt?'}
    """
    lines = [line for line in _THOUGHT.sub("", reply).splitlines() if line.strip()]
    if cut:
        lines = lines[:-1]
    numbered = [found for found in map(_NUMBERED.fullmatch, lines) if found]
    found: dict[int, str] = {}
    for match in numbered:
        if 1 <= int(match[1]) <= expected:
            found.setdefault(int(match[1]), _bare(match[2] or ""))
    for some in ([match[1] for match in map(_DASHED.fullmatch, lines) if match], lines):
        if not numbered and not found and len(some) == expected:
            found = {number: _bare(line) for number, line in enumerate(some, 1)}
    return {number: line for number, line in found.items() if line}


def _bare(line: str) -> str:
    line = " ".join(line.split())
    for left, right in _QUOTES:
        if len(line) > 1 and line.startswith(left) and line.endswith(right):
            return line[1:-1].strip()
    return line


def alike(text: str) -> str:
    """Return what two texts have in common that say the same letter by letter.

    >>> alike("Wo ist es?") == alike("wo ist  es")
    True
    """
    return " ".join(_WORD.findall(text.casefold())) or text


def objection(line: str, wish: Wish, original: str, taken: Collection[str], detect: Detect) -> str:
    """Return why a line is not taken; "" for one that is.

    `original` is the text that it translates, "" where it is one more. `taken` are the texts that are there, `alike`.
    """
    sources = (original,) if original else wish.texts
    if CONTROL.search(line) or _BROKEN.search(line):
        return "it holds characters that no text holds"
    if original and alike(line) == alike(original):
        return "it is not translated"
    if (_MARKUP.search(line) or _CHATTER.search(line)) and not any(
        _MARKUP.search(text) or _CHATTER.search(text) for text in sources
    ):
        return "the model speaks of its work, or marks up"
    if line.endswith(":") and not any(text.endswith(":") for text in sources):
        return "the model speaks of its work, or marks up"
    if why := _wrong_language(line, wish.language, detect):
        return why
    if original and (why := _unlike(line, original, wish.language)):
        return why
    if not original and (_fixed(line) - {part for text in sources for part in _fixed(text)}):
        return "it has numbers, codes or placeholders of its own"
    if not original and len(line) > _LONGEST * max(map(len, sources)) + _LEEWAY:
        return "it is much longer than the examples"
    if not _WORD.search(line):
        return "there are no words in it"
    return "the pack has it already" if alike(line) in taken else ""


def _wrong_language(line: str, language: str, detect: Detect) -> str:
    if not language:
        return ""
    letters = [letter for letter in line if letter.isalpha()]
    scripts = SCRIPTS.get(language, ("LATIN",))
    fitting = sum(unicodedata.name(letter, "").startswith(scripts) for letter in letters)
    if fitting < _LEAST_OF_SCRIPT * len(letters):
        return f"it is not in the script of {language_name(language)}"
    found = detect(line)
    if found in (None, language) or found in _TAKEN_FOR.get(language, ()):
        return ""
    if language not in _KNOWN_TO_DETECTORS and found != "en":
        return ""  # what the detector does not know, it takes for its nearest relative
    return f"it is in {language_name(str(found))}"


def _unlike(line: str, original: str, language: str) -> str:
    """Return why a line is no translation of its original."""
    words, before = set(alike(line).split()), set(alike(original).split())
    if len(before) > 2 and (before <= words or len(words & before) >= _HARDLY_CHANGED * len(words | before)):
        return "it repeats the original"
    shortest = _SHORTEST / 3 if language in _DENSE else _SHORTEST
    if not shortest * len(original) - 2 <= len(line) <= _LONGEST * len(original) + _LEEWAY:
        return "it is much longer or shorter than the original"
    missing, added = _fixed(original) - _fixed(line), _fixed(line) - _fixed(original)
    if missing:
        return f"{', '.join(sorted(missing))} is missing"
    return f"{', '.join(sorted(added))} is not in the original" if added else ""


def _fixed(text: str) -> set[str]:
    """Return what a translation keeps as it is: codes, addresses, placeholders, and the digits of numbers."""
    kept = set(_KEPT.findall(text))
    digits = "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in _KEPT.sub(" ", text)
    )
    return kept | set(re.findall(r"\d+", _THOUSANDS.sub("", digits)))


def known_languages(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return which words are codes of languages, each once, and which are none."""
    codes = list(dict.fromkeys(word.strip().lower() for word in words if word.strip()))
    return [code for code in codes if code in LANGUAGES], [code for code in codes if code not in LANGUAGES]
