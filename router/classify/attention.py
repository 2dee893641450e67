"""Attention: which words of a long message ask for something; the others fade.

The request is one clause in a long text: what the weather was like, who is ill and how patient one has been stand
around it, and each of these words is evidence for some task or other. So a linear model of two classes, fitted to
windows of the pack's examples and to windows of everyday text, says of each window of five and of eight words how much
it asks. A word counts as much as the window that asks most among those it stands in, and the message is scored once, by
all its words with their weights: nothing is cut, and a word that repeats what was asked still adds to it.

A window is read by the static table: its vector is the sum of its words' vectors, divided by the root of the sum of
their squared lengths. So two numbers of each word are all that has to be known; with the length of the sum itself, for
which it takes all vectors, all measured alike (within .2 points). Messages of up to `SHORT` tokens are scored as they
are; with 12, 16 and 20 data sets measured alike, and the shipped pack's own mails lost a point with 20.

Measured on 500 test messages each of CLINC150 and Banking77 at 10 examples a task, likeliest task right, in %:

                                                    as it is       within a story   twenty words behind it
    the whole message                               91.4   83.6    31.6   31.6      67.8   66.0
    mean with windows, weighted by their likeliest  91.4   83.0    66.6   68.0      80.4   78.2
    the same, weighted by how much they ask, too    91.4   83.0    78.8   73.0      83.8   79.8
    this                                            91.4   83.4    77.6   77.8      85.0   81.2

The probabilities of long messages are as well calibrated as those of short ones, with the same sharpness.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from router.classify.encoder import Doubles, Floats, TokenizedText
from router.classify.lexical import WordTable
from router.classify.static import StaticTable

SHORT = 16
"""Tokens of a message that is read as it is."""

POWER = 3.0
"""Of the probability that a window asks. Between 2 and 3 all measured alike; with one, stories lose 2 to 10 points."""

RATHER = 0.8**POWER
"""What a window weighs that surely asks. Where none does all words count alike: thanks and praise are heard as such."""

MOST_ODDS = 20.0
"""Logarithm of odds beyond which a window is no more everyday: some word must remain in a text of nothing else."""

LEAST_SQUARED = 1e-12
"""Of a window of which no word is known: nothing is divided by zero."""

WORDS_MET = 20_000
"""Words whose numbers are kept, more than one text can have."""


class Attention:
    """A linear model that tells windows which ask from everyday ones. Never changes but for what it remembers; safe to
    call from any thread.

    `numbers` has one entry for each dimension of the static table and one more: the product of the first ones with the
    vector of a window plus the last one is the logarithm of the odds that the window is everyday talk. `vectors`
    returns the vectors of distinct words, one a row.
    """

    def __init__(self, numbers: Floats, vectors: Callable[[list[str]], Floats]) -> None:
        self.numbers = numbers
        self.short = SHORT
        self._direction = numbers[:-1]
        self._offset = float(numbers[-1])
        self._vectors = vectors
        self._words = WordTable(WORDS_MET, 2, self._rows)

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a text as a whole rather asks for something."""
        everyday, squared = np.add.reduce(self._words.take(reading.words), 0).tolist()
        odds: float = everyday + self._offset * squared**0.5
        return odds <= 0.0

    def attend(self, reading: TokenizedText) -> TokenizedText:
        """Return a text whose words occur as often as the squares of their weights say; a short one as it is."""
        tokens = reading.tokens
        if len(tokens) <= SHORT:
            return reading
        weights = self._weights(self._words.take(tokens))
        most = float(weights.max())
        if most < RATHER:  # nothing asks: thanks and praise, or a message of another kind than the examples
            return reading
        squares = ((weights / most) ** 2).tolist()
        if reading.counts is None:
            return reading._replace(counts=squares, squares=squares)
        counts = dict.fromkeys(reading.words, 0.0)
        for token, square in zip(tokens, squares, strict=True):
            counts[token] += square
        return reading._replace(counts=list(counts.values()), squares=squares)

    def _weights(self, words: Floats) -> Doubles:
        """Return how much each word asks, up to 1; the two numbers of each stand in a row, in their order."""
        count = len(words)
        sums = np.zeros((count + 1, 2))
        np.add.accumulate(words, 0, np.float64, out=sums[1:])
        windows = np.concatenate([sums[5:] - sums[:-5], sums[8:] - sums[:-8]])
        everyday = windows[:, 0] / np.sqrt(np.maximum(windows[:, 1], LEAST_SQUARED)) + self._offset
        asking = (1.0 + np.exp(np.minimum(everyday, MOST_ODDS))) ** -POWER
        # Each window speaks for all words that stand in it.
        padded = np.zeros((2, count + 7))
        padded[0, 4:count] = asking[: count - 4]
        padded[1, 7:count] = asking[count - 4 :]
        twos = np.maximum(padded[:, :-1], padded[:, 1:])
        fours = np.maximum(twos[:, :-2], twos[:, 2:])
        fives = np.maximum(fours[0, :count], padded[0, 4 : count + 4])
        weights: Doubles = np.maximum(fives, np.maximum(fours[1, :count], fours[1, 4 : count + 4]))
        return weights

    def _rows(self, words: list[str]) -> Floats:
        vectors = self._vectors(words)
        return np.stack([vectors @ self._direction, np.einsum("ij,ij->i", vectors, vectors)], axis=1)


def attention_of(numbers: Floats) -> Attention | None:
    """Return the attention of a model with these numbers; None where there are none.

    Raises ValueError when they do not fit the static table.
    """
    if not len(numbers):
        return None
    table = StaticTable.load()
    if numbers.shape != (table.dimensions + 1,):
        raise ValueError("the attention does not fit the static table")
    return Attention(numbers, table.vectors)
