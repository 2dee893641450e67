"""Sentences the static table is learned from: those of WordNet, and requests put together from its words.

WordNet (Fellbaum 1998; a licence that lets anybody use, copy and modify it) says what words mean, but nobody asks
anything in it. Requests are made: a template of `templates.txt` with nouns, verbs and adjectives in its slots,
often words that stand together in one gloss or example. What they say is mostly nonsense; how the encoder puts the
meaning of such words together is what the table learns from them.

Used by `build` alone. Deterministic: the same WordNet gives the same sentences.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Final

PARTS: Final = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
"""Files of WordNet and their letters (wndb(5WN))."""

_SENSE_LETTERS = "nvars"  # the number after the % of a sense key, from 1 on (senseidx(5WN))
_LONGEST_LEMMA = 3
_SLOTS = re.compile(r"(\{[nsvpiag]\})")
_QUESTION = re.compile(r"(?:how|what|wh|is|are|do|can|could|was|has)")
_JOINTS = (". ", ", ", " and ", " because ", " but ")
_FREQUENT = 120  # so many of the commonest words tell nothing about what a text is about

Forms = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class WordNet:
    """What is used of WordNet's files.

    `lemmas` has, for each part of speech, how often a lemma occurs in WordNet's tagged texts; `irregular` the irregular
    forms of nouns and verbs; `acts` the meanings of verbs, which can stand behind "I want to".
    """

    glosses: Sequence[str]
    examples: Sequence[str]
    acts: Sequence[str]
    lemmas: Mapping[str, Mapping[str, int]]
    irregular: Mapping[str, Forms]

    def words(self) -> list[str]:
        """Return lemmas as they are written: all but the nouns that occur nowhere, which are mostly species."""
        used = (w for part, counts in self.lemmas.items() for w in sorted(counts) if counts[w] or part != "noun")
        return list(dict.fromkeys(word.replace("_", " ") for word in used))


def read_wordnet(folder: Path) -> WordNet:
    """Read the files of WordNet 3. Raises FileNotFoundError when one is missing (Debian has them in `wordnet-base`)."""
    tagged: Counter[tuple[str, str]] = Counter()
    for line in (folder / "cntlist.rev").read_text("utf-8").splitlines():
        key, _, count = line.split()
        lemma, _, sense = key.partition("%")
        letter = _SENSE_LETTERS[int(sense[0]) - 1]
        tagged[lemma, "a" if letter == "s" else letter] += int(count)
    glosses: list[str] = []
    examples: list[str] = []
    acts: list[str] = []
    lemmas: dict[str, dict[str, int]] = {}
    for part, letter in PARTS.items():
        counts = lemmas[part] = {}
        for line in (folder / f"data.{part}").read_text("utf-8").splitlines():
            if line.startswith(" "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            found = [re.sub(r"\(\w+\)$", "", word) for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]
            counts.update({word: tagged[word, letter] for word in found if word == word.lower()})
            meaning = re.sub(r';?\s*"[^"]*"?.*$', "", gloss).strip(" ;")
            examples += (quoted.strip() for quoted in re.findall(r'"([^"]+)"', gloss) if len(quoted.split()) > 2)
            if meaning:
                glosses.append(f"{found[0].replace('_', ' ')}: {meaning}")
            if part == "verb" and 2 <= len(meaning.split()) <= 9 and not set(meaning) & set("(;"):
                acts.append(meaning)
    irregular = {part: _irregular(folder / f"{part}.exc") for part in ("noun", "verb")}
    return WordNet(_distinct(glosses), _distinct(examples), acts, lemmas, irregular)


def modern_words() -> list[str]:
    """Return words of everyday use that are younger than WordNet."""
    return _shipped()[0].split()


def whole_words(wordnet: WordNet, known: Container[str], number: int) -> list[str]:
    """Return the commonest words that the vocabulary cuts into pieces and that deserve a vector of their own."""
    in_examples = Counter(re.findall("[a-z]+", " ".join(wordnet.examples).lower()))
    in_glosses = Counter(re.findall("[a-z]+", " ".join(wordnet.glosses).lower()))
    # Glosses repeat the terms of botany and medicine, so they count up to a bound.
    worth = Counter({word: min(count, 8) + 3 * in_examples[word] for word, count in in_glosses.items()})
    for counts in wordnet.lemmas.values():
        worth.update({word: 3 * count for word, count in counts.items() if count and re.fullmatch("[a-z]+", word)})
    ranked = sorted(worth, key=lambda word: (-worth[word], word))
    return [w for w in _distinct([*modern_words(), *ranked]) if w not in known and 3 <= len(w) <= 20][:number]


class Requests:
    """Makes requests of words that `known` holds. The same arguments make the same requests."""

    def __init__(self, wordnet: WordNet, known: Container[str], seed: int = 1) -> None:
        self._draw = random.Random(seed)
        self._wordnet = wordnet
        self._templates = _shipped()[1].splitlines()
        self._words: dict[str, list[str]] = {}
        self._odds: dict[str, list[float]] = {}
        for part in ("noun", "verb", "adj"):
            usable = {word: n for word, n in sorted(wordnet.lemmas[part].items()) if _is_plain(word, known)}
            self._words[part] = [word.replace("_", " ") for word in usable]
            modern = modern_words() if part == "noun" else []
            self._words[part] += modern
            odds = (count**0.5 + 0.3 for count in usable.values())
            self._odds[part] = list(accumulate((*odds, *(3.0 for _ in modern))))
        self._forms: dict[str, tuple[str, Callable[[str], str]]] = {
            "{n}": ("noun", str),
            "{s}": ("noun", partial(_at_end, lambda word: self._form("noun", word, "", add_s))),
            "{v}": ("verb", str),
            "{p}": ("verb", partial(_at_start, lambda word: self._form("verb", word, "", add_ed))),
            "{i}": ("verb", partial(_at_start, lambda word: self._form("verb", word, "ing", add_ing))),
            "{a}": ("adj", str),
        }
        self._together = self._words_together()

    def make(self, single: int, double: int) -> list[str]:
        """Return up to `single` distinct requests, and `double` that are two of them in one."""
        ones = _distinct([self._one() for _ in range(single)])
        draw = self._draw.choice
        return ones + [f"{draw(ones)}{draw(_JOINTS)}{draw(ones)}" for _ in range(double)]

    def _one(self) -> str:
        near = self._draw.choice(self._together) if self._together and self._draw.random() < 0.6 else {}
        template = self._draw.choice(self._templates)
        text = "".join(self._fill(part, near) for part in _SLOTS.split(template))
        if self._draw.random() < 0.25:
            text += "?" if _QUESTION.match(text) else "."
        return text

    def _fill(self, slot: str, near: Mapping[str, Sequence[str]]) -> str:
        if slot == "{g}":
            return self._draw.choice(self._wordnet.acts)
        if slot not in self._forms:
            return slot
        part, form = self._forms[slot]
        if near.get(part):
            return form(self._draw.choice(near[part]))
        return form(self._draw.choices(self._words[part], cum_weights=self._odds[part])[0])

    def _form(self, part: str, word: str, ending: str, regular: Callable[[str], str]) -> str:
        forms = [form for form in self._wordnet.irregular[part].get(word, ()) if "_" not in form]
        if part == "verb":
            forms = [f for f in forms if (f.endswith("ing") if ending else not f.endswith(("ing", "s")))]
        return self._draw.choice(forms) if forms else regular(word)

    def _words_together(self) -> list[dict[str, list[str]]]:
        """Return, for each gloss and example, its nouns, verbs and adjectives; only where there are enough of them."""
        texts = [text.lower() for text in (*self._wordnet.glosses, *self._wordnet.examples)]
        words_of = [re.findall("[a-z]+", text) for text in texts]
        frequent = {word for word, _ in Counter(w for words in words_of for w in words).most_common(_FREQUENT)}
        bases = {f: b for forms in self._wordnet.irregular.values() for b, fs in forms.items() for f in fs}
        usable = {part: set(words) for part, words in self._words.items()}
        found = []
        for words in words_of:
            near: dict[str, list[str]] = {part: [] for part in usable}
            for word in words:
                if word in frequent:
                    continue
                guesses = (word, bases.get(word, ""), *_stems(word))
                for part, known in usable.items():
                    near[part] += [guess for guess in guesses if len(guess) > 2 and guess in known][:1]
            if len(near["noun"]) > 1 and near["verb"]:
                found.append(near)
        return found


def add_s(noun: str) -> str:
    """Return the regular plural.

    >>> add_s("box"), add_s("city"), add_s("day")
    ('boxes', 'cities', 'days')
    """
    if re.search("(?:s|x|z|ch|sh)$", noun):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if re.search("[^aeiou]y$", noun) else f"{noun}s"


def add_ed(verb: str) -> str:
    """Return the regular past.

    >>> add_ed("stop"), add_ed("cry"), add_ed("like")
    ('stopped', 'cried', 'liked')
    """
    if verb.endswith("e"):
        return f"{verb}d"
    return f"{verb[:-1]}ied" if re.search("[^aeiou]y$", verb) else f"{_doubled(verb)}ed"


def add_ing(verb: str) -> str:
    """Return the present participle.

    >>> add_ing("run"), add_ing("lie"), add_ing("make"), add_ing("see")
    ('running', 'lying', 'making', 'seeing')
    """
    if verb.endswith("ie"):
        return f"{verb[:-2]}ying"
    return f"{verb[:-1]}ing" if re.search("[^eyo]e$", verb) else f"{_doubled(verb)}ing"


def _doubled(verb: str) -> str:
    return verb + verb[-1] if re.fullmatch("[^aeiou]*[aeiou][bdgklmnprt]", verb) else verb


def _stems(word: str) -> Iterable[str]:
    for ending, base in (("s", ""), ("es", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e")):
        if word.endswith(ending):
            yield word.removesuffix(ending) + base


def _at_end(form: Callable[[str], str], phrase: str) -> str:
    rest, space, last = phrase.rpartition(" ")
    return f"{rest}{space}{form(last)}"


def _at_start(form: Callable[[str], str], phrase: str) -> str:
    first, space, rest = phrase.partition(" ")
    return f"{form(first)}{space}{rest}"


def _is_plain(lemma: str, known: Container[str]) -> bool:
    words = lemma.split("_")
    return len(words) <= _LONGEST_LEMMA and all(len(w) > 1 and w.isalpha() and w in known for w in words)


def _irregular(path: Path) -> dict[str, list[str]]:
    forms: dict[str, list[str]] = {}
    for line in path.read_text("utf-8").splitlines():
        form, *bases = line.split()
        for base in bases:
            forms.setdefault(base, []).append(form)
    return forms


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _shipped() -> tuple[str, str]:
    """Return the words and the templates of `templates.txt`, which an empty line divides."""
    words, _, templates = (Path(__file__).parent / "templates.txt").read_text("utf-8").partition("\n\n")
    return words, templates.strip()
