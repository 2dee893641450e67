"""Languages: which one a message is in. Each has a model of its own (`encoder.Polyglot`).

Examples in another language than the pack's own (`language:` in a file of examples) are fitted for themselves. A few
dozen rows tell tasks apart better alone than beside thousands in languages that share no word with them: on the shipped
help desk at 12 examples a task the likeliest task was right for 81 to 97 % of messages in German, French, Spanish,
Italian, Portuguese, Dutch and Polish, with one model for all of them for 52 to 72 %, and in English for 50 instead of
72 %. Eight small fits also cost a third of the time of a large one.

Which language it is shows in trigrams of letters, by naive Bayes (Cavnar and Trenkle 1994 ranked them; here their
logarithms are added): of the 460 messages above none was taken for another language. A message of two languages, or too
short to tell ("Storno bitte"), is read by the model of each that is likely, and their probabilities are averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from router.classify.encoder import Doubles, Floats, softmax
from router.classify.lexical import WORD_LETTERS, WordTable
from router.classify.text import tokens

CAUTION = 4.0
"""Trigrams of one word overlap, so the sum of their logarithms is divided by this before it counts as a probability."""

MAIN_PRIOR = 1.0
"""What the pack's own language has ahead of each other one, as a logarithm."""

MOST_WORDS = 60
"""Of the distinct words of a message so many tell its language."""

WORDS_MET = 8_000


class LanguageIdentifier:
    """Tells languages apart. Never changes but for what it remembers; safe to call from any thread.

    `weights` has a row for each trigram of `grams` and a column for each of `tags`, the pack's own language first.
    """

    def __init__(self, tags: Sequence[str], grams: Sequence[str], weights: Floats) -> None:
        if weights.shape != (len(grams), len(tags)):
            raise ValueError("the weights do not fit the languages")
        self.tags, self.grams, self.weights = tuple(tags), tuple(grams), weights
        self._at = {tuple(gram): row for row, gram in enumerate(grams, 1)}
        self._table = np.concatenate([np.zeros_like(weights[:1]), weights])
        self._words = WordTable(WORDS_MET, len(tags), self._rows)

    @classmethod
    def learn(cls, texts: Mapping[str, Sequence[str]]) -> LanguageIdentifier:
        """Return what tells these languages apart, by texts in each."""
        counts = [Counter(gram for text in said for word in tokens(text) for gram in _grams(word))
                  for said in texts.values()]  # fmt: skip
        grams = sorted("".join(gram) for gram in set().union(*counts))
        seen = np.array([[count[tuple(gram)] for count in counts] for gram in grams], np.float64).reshape(
            -1, len(counts)
        )
        shares = np.log((seen + 0.5) / (seen.sum(axis=0) + 0.5 * len(grams)))
        return cls(list(texts), grams, (shares - shares.mean(axis=1, keepdims=True)).astype(np.float32))

    def probabilities(self, words: Sequence[str]) -> Doubles:
        """Return how likely each language is, in the order of `tags`."""
        summed = np.add.reduce(self._words.take(list(dict.fromkeys(words))[:MOST_WORDS] or [""]), 0, np.float64)
        summed /= CAUTION
        summed[0] += MAIN_PRIOR
        return softmax(summed)

    def _rows(self, words: list[str]) -> Floats:
        found = np.zeros((len(words), len(self.tags)), np.float32)
        for at, word in enumerate(words):
            known = list(filter(None, map(self._at.get, _grams(word))))
            np.add.reduce(self._table.take(known, 0), 0, out=found[at])
        return found


def _grams(word: str) -> Iterator[tuple[str, ...]]:
    """Return the trigrams of a word between its spaces, letter by letter; none of a number or a mark."""
    padded = f" {word[:WORD_LETTERS]} " if word.isalpha() else ""
    return zip(padded, padded[1:], padded[2:], strict=False)
