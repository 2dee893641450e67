"""Languages: which one a message is in, and a model for each that serves as if they were one.

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
from collections.abc import Mapping, Sequence

import numpy as np

from router.classify.encoder import Doubles, Floats, LinearModel, TokenizedText, softmax, tokenized
from router.classify.lexical import WordTable
from router.classify.text import tokens

MAIN = ""
"""The tag of what a pack's own files hold, whatever language that is."""

CAUTION = 4.0
"""Trigrams of one word overlap, so the sum of their logarithms is divided by this before it counts as a probability."""

MAIN_PRIOR = 1.0
"""What the pack's own language has ahead of each other one, as a logarithm."""

LIKELY = 0.05
"""A language of at least this probability has a say."""

MOST_WORDS = 60
"""Of the distinct words of a message so many tell its language."""

WORDS_MET = 8_000


class LanguageIdentifier:
    """Tells languages apart. Never changes but for what it remembers; safe to call from any thread.

    `weights` has a row for each trigram of `grams` and a column for each of `tags`, `MAIN` first.
    """

    def __init__(self, tags: Sequence[str], grams: Sequence[str], weights: Floats) -> None:
        if weights.shape != (len(grams), len(tags)):
            raise ValueError("the weights do not fit the languages")
        self.tags, self.grams, self.weights = tuple(tags), tuple(grams), weights
        self._at = {gram: row for row, gram in enumerate(grams)}
        self._words = WordTable(WORDS_MET, len(tags), self._rows)

    @classmethod
    def learn(cls, texts: Mapping[str, Sequence[str]]) -> LanguageIdentifier:
        """Return what tells these languages apart, by texts in each."""
        counts = [Counter(gram for text in said for word in tokens(text) for gram in _grams(word))
                  for said in texts.values()]  # fmt: skip
        grams = sorted(set().union(*counts))
        seen = np.array([[count[gram] for count in counts] for gram in grams], np.float64).reshape(-1, len(counts))
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
            known = [row for gram in _grams(word) if (row := self._at.get(gram)) is not None]
            found[at] = self.weights[known].sum(axis=0)
        return found


def _grams(word: str) -> list[str]:
    """Return the trigrams of a word between its spaces; none of a number or a mark."""
    if not word.isalpha():
        return []
    padded = f" {word[:40]} "
    return [padded[start : start + 3] for start in range(len(padded) - 2)]


class Polyglot(LinearModel):
    """The models of several languages, `MAIN` first, as one: each text is read by that of its language."""

    def __init__(self, models: Sequence[LinearModel], identifier: LanguageIdentifier) -> None:
        if len(models) != len(identifier.tags):
            raise ValueError("there is not one model for each language")
        main = models[0]
        super().__init__(main.scorers, np.zeros(0), 1.0)
        self._models = tuple(models)
        self._identifier = identifier

    def read(self, text: str) -> TokenizedText:
        """Return the text as the model of its likeliest language reads it."""
        found = tokens(text)
        likely = self._identifier.probabilities(found)
        return tokenized(text, self._models[int(likely.argmax())].spelling, found)._replace(likely=likely)

    def scores(self, reading: TokenizedText) -> Doubles | None:
        """Return scores whose softmax are the probabilities of all classes; None for unknown words."""
        likely = self._likely(reading)
        first = int(likely.argmax())
        found = self._models[first].scores(reading)
        if likely[first] > 1.0 - LIKELY:
            return found
        heard = [at for at in np.flatnonzero(likely >= LIKELY).tolist() if at != first]
        total, mixed = 0.0, 0.0
        for at in (first, *heard):
            scores = found if at == first else self._models[at].scores(self._models[at].read(reading.text))
            if scores is not None:
                mixed = mixed + likely[at] * softmax(scores)
                total += likely[at]
        return np.log(mixed / total) if total else None

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a sentence asks for something, and is not merely told beside a request."""
        return self._models[int(self._likely(reading).argmax())].asks(reading)

    def _likely(self, reading: TokenizedText) -> Doubles:
        return self._identifier.probabilities(reading.tokens) if reading.likely is None else reading.likely
