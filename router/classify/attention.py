"""Attention: which words of a long message ask for something; the others fade.

The request is one clause in a long text: what the weather was like, who is ill and how patient one has been stand
around it, and each of these words is evidence for some task or other. So a linear model of two classes, fitted to
windows of the pack's examples and to windows of everyday text, says of each window of five and of eight words how much
it asks. A word counts as much as the window that asks most among those it stands in, and the message is scored once, by
all its words with their weights: nothing is cut, and a word that repeats what was asked still adds to it.

A window is read by the static table: its vector is the sum of its words' vectors, at length one. Messages of up to
`SHORT` words are scored as they are.

Measured on 500 test messages each of CLINC150 and Banking77 at 10 examples a task, likeliest task right, in %:

                                                    as it is       within a story   twenty words behind it
    the whole message                               91.4   83.6    31.6   31.6      67.8   66.0
    mean with windows, weighted by their likeliest  91.4   83.0    66.6   68.0      80.4   78.2
    the same, weighted by how much they ask, too    91.4   83.0    78.8   73.0      83.8   79.8
    this                                            91.4   83.4    77.6   77.8      85.0   81.2

The probabilities of long messages are as well calibrated as those of short ones, with the same sharpness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from router.classify.encoder import Floats, Scorer, TokenizedText
from router.classify.static import MOST_WORDS, StaticScorer, StaticTable, shared_vectors

SHORT = 12
"""Tokens of a message that is read as it is."""

POWER = 3.0
"""Of the probability that a window asks. Between 2 and 3 all measured alike; with one, stories lose 2 to 10 points."""

RATHER = 0.8**POWER
"""What a window weighs that surely asks. Where none does all words count alike: thanks and praise are heard as such."""

MOST_ODDS = 20.0
"""Logarithm of odds beyond which a window is no more everyday: some word must remain in a text of nothing else."""


class Attention:
    """A linear model that tells windows which ask from everyday ones. Never changes; safe to call from any thread.

    `numbers` has one entry for each dimension of the static table and one more: the product of the first ones with the
    vector of a window, at length one, plus the last are the logarithm of the odds that the window is everyday talk.
    `vectors` returns the vectors of distinct words, one a row.
    """

    def __init__(self, numbers: Floats, vectors: Callable[[list[str]], Floats]) -> None:
        self.numbers = numbers
        self.short = SHORT
        self._direction = numbers[:-1]
        self._offset = float(numbers[-1])
        self._vectors = vectors

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a text as a whole rather asks for something."""
        vector = np.add.reduce(self._vectors(reading.words[:MOST_WORDS]), 0)
        odds: float = float(vector @ self._direction) + self._offset * float(vector @ vector) ** 0.5
        return odds <= 0.0

    def attend(self, reading: TokenizedText) -> TokenizedText:
        """Return a text whose words occur as often as the squares of their weights say; a short one as it is."""
        tokens = reading.tokens
        if len(tokens) <= SHORT:
            return reading
        words = reading.words[:MOST_WORDS]
        vectors = self._vectors(words)
        if len(words) < len(tokens):
            place = {word: at for at, word in enumerate(words)}
            vectors = np.concatenate([vectors, np.zeros_like(vectors[:1])])[[place.get(word, -1) for word in tokens]]
        weights = self._weights(vectors)
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

    def _weights(self, vectors: Floats) -> Floats:
        """Return how much each word asks, up to 1; the vectors of the words stand in a row each, in their order."""
        # Sums of neighbours are added to sums of neighbours: for a few hundred words ten times as fast as prefix sums.
        pairs = vectors[:-1] + vectors[1:]
        fours = pairs[:-2] + pairs[2:]
        windows = np.concatenate([fours[:-1] + vectors[4:], fours[:-4] + fours[4:]])
        everyday = windows @ self._direction
        everyday /= np.maximum(np.sqrt(np.einsum("ij,ij->i", windows, windows)), np.finfo(np.float32).tiny)
        asking = (1.0 + np.exp(np.minimum(everyday + self._offset, MOST_ODDS))) ** -POWER
        # Each window speaks for all words that stand in it.
        padded = np.zeros((2, len(vectors) + 7), np.float32)
        padded[0, 4 : len(vectors)] = asking[: len(vectors) - 4]
        padded[1, 7 : len(vectors)] = asking[len(vectors) - 4 :]
        twos = np.maximum(padded[:, :-1], padded[:, 1:])
        fours = np.maximum(twos[:, :-2], twos[:, 2:])
        fives = np.maximum(fours[0, : len(vectors)], padded[0, 4 : len(vectors) + 4])
        weights: Floats = np.maximum(fives, np.maximum(fours[1, : len(vectors)], fours[1, 4 : len(vectors) + 4]))
        return weights


def attention_of(numbers: Floats, scorers: Sequence[Scorer]) -> Attention | None:
    """Return the attention of a model with these blocks; None where there are no numbers for it.

    Raises ValueError when they do not fit the static table.
    """
    if not len(numbers):
        return None
    static = next((scorer for scorer in scorers if isinstance(scorer, StaticScorer)), None)
    vectors = shared_vectors().take if static is None else static.vectors
    if numbers.shape != (StaticTable.load().dimensions + 1,):
        raise ValueError("the attention does not fit the static table")
    return Attention(numbers, vectors)
