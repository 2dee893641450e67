"""The linear model and its blocks: how texts become features, and fitted weights become something that scores fast.

A model is a sum of *blocks*: what the words are (`lexical`), what they mean (`static`, or a sentence encoder), how the
message is built (`structure`). Each block has one class, its `Scorer`: arrays and words, stored in the artefact and
brought back by `restore`. What it takes to fit one is apart from it: `learn` returns `Features`, which know the
vocabulary of the training texts, give the block's part of the training matrix (`rows`), and make a scorer of the fitted
weights (`fold`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.classify.text import Spelling, tokens

Floats: TypeAlias = NDArray[np.float32]
Doubles: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]


class TokenizedText(NamedTuple):
    """A text as all blocks read it: its tokens, the distinct ones in their order, and how often each occurs.

    `counts` is None where each occurs once, as in most messages. In a long message, where words count more or less
    (`attention`), each token occurs as often as `squares`, in the order of the tokens, says. `likely` is how likely
    each language is, where there are several.
    """

    text: str
    tokens: list[str]
    words: list[str]
    counts: list[float] | None
    squares: list[float] | None = None
    likely: Doubles | None = None


def tokenized(text: str, spelling: Spelling | None = None, found: list[str] | None = None) -> TokenizedText:
    """Return a text, clipped before, with its tokens (`found`, if they are at hand), read as they were meant."""
    found = tokens(text) if found is None else found
    if spelling is not None:
        found = spelling.read(found)
    if len(set(found)) == len(found):
        return TokenizedText(text, found, found, None)
    counted = Counter(found)
    return TokenizedText(text, found, list(counted), list(counted.values()))


@dataclass(frozen=True, slots=True)
class SparseMatrix:
    """A sparse matrix of texts by features, in compressed rows; equal columns of one row add up."""

    starts: Integers
    columns: Integers
    values: Doubles
    width: int

    def __len__(self) -> int:
        return len(self.starts) - 1


Matrix: TypeAlias = SparseMatrix | Doubles
"""One block's part of the training matrix: sparse, or dense of shape (texts, features)."""


class Scorer(Protocol):
    """Fitted weights as they serve, for `width` classes. Safe to call from any thread."""

    width: int

    def score(self, reading: TokenizedText) -> Floats | None:
        """Return the sum of weights per class, without intercepts; None when nothing in the text is known."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs, as arrays."""
        ...

    def words(self) -> dict[str, Any]:
        """Return what `restore` needs, as JSON-ready data."""
        ...


class Attends(Protocol):
    """Knows which words ask for something. Safe to call from any thread.

    A text of up to `short` tokens is read as it is.
    """

    short: int

    def attend(self, reading: TokenizedText) -> TokenizedText:
        """Return a text whose other words count less."""
        ...

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a text as a whole rather asks for something."""
        ...


class Features(Protocol):
    """A vocabulary learned from training texts."""

    def rows(self, readings: Sequence[TokenizedText]) -> Matrix:
        """Return the features of each text; they need not be texts that were learned from."""
        ...

    def fold(self, coefficients: Doubles) -> Scorer:
        """Return a scorer for weights of shape (features, classes)."""
        ...


class LinearModel:
    """A fitted linear softmax model: the sum of its blocks' scores, calibrated.

    `spelling` mends slips before the blocks read a text; `attention` gives the words of a long one their weights.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        intercepts: Doubles,
        sharpness: float = 1.0,
        spelling: Spelling | None = None,
        attention: Attends | None = None,
    ) -> None:
        self.scorers = tuple(scorers)
        self.spelling = spelling
        self._attention = attention
        self._sharpness = sharpness
        self._intercepts = intercepts * sharpness

    def read(self, text: str) -> TokenizedText:
        """Return a text as this model reads it."""
        return tokenized(text, self.spelling)

    def scores(self, reading: TokenizedText) -> Doubles | None:
        """Return the calibrated scores of all classes, whose softmax is their probabilities; None for unknown words."""
        if self._attention is not None and len(reading.tokens) > self._attention.short:
            reading = self._attention.attend(reading)
        found: Doubles | None = None
        for scorer in self.scorers:
            scores = scorer.score(reading)
            if scores is not None:
                found = scores.astype(np.float64) if found is None else found + scores
        return None if found is None else found * self._sharpness + self._intercepts

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a sentence asks for something, and is not merely told beside a request."""
        return self._attention is None or self._attention.asks(reading)

    def probabilities(self, text: str) -> Doubles | None:
        """Return the probabilities of all classes; None when nothing in the text is known."""
        scores = self.scores(self.read(text))
        return None if scores is None else softmax(scores)

    def probabilities_of(self, reading: TokenizedText) -> Doubles | None:
        """Return the same of a text that was read."""
        scores = self.scores(reading)
        return None if scores is None else softmax(scores)


LIKELY = 0.05
"""A language of at least this probability has a say."""


class Polyglot(LinearModel):
    """The models of several languages, the pack's own first, as one: each text is read by that of its language.

    `identify` returns how likely each is, by the tokens of a text. A text of which the pack's own model knows every
    word is its own: most messages of most packs are, and cost no more than with one language.
    """

    def __init__(self, models: Sequence[LinearModel], identify: Callable[[Sequence[str]], Doubles]) -> None:
        super().__init__(models[0].scorers, np.zeros(0))
        self._models = tuple(models)
        self._identify = identify

    def read(self, text: str) -> TokenizedText:
        """Return the text as the model of its likeliest language reads it."""
        found = tokens(text)
        own = self._models[0].spelling
        if own is not None and own.knows(found):
            return tokenized(text, None, found)
        likely = self._identify(found)
        return tokenized(text, self._models[int(likely.argmax())].spelling, found)._replace(likely=likely)

    def probabilities(self, text: str) -> Doubles | None:
        """Return the probabilities of all classes; None when nothing in the text is known."""
        reading = self.read(text)  # nearly always for the pack's own model, which is asked without a step between
        scores = self._models[0].scores(reading) if reading.likely is None else self.scores(reading)
        return None if scores is None else softmax(scores)

    def scores(self, reading: TokenizedText) -> Doubles | None:
        """Return scores whose softmax are the probabilities of all classes; None for unknown words."""
        likely = reading.likely
        if likely is None:
            return self._models[0].scores(reading)
        first = int(likely.argmax())
        found = self._models[first].scores(reading)
        if likely[first] > 1.0 - LIKELY:
            return found
        total, mixed = 0.0, np.zeros(0)
        for at in np.flatnonzero(likely >= LIKELY).tolist():
            scores = found if at == first else self._models[at].scores(self._models[at].read(reading.text))
            if scores is not None:
                part = likely[at] * softmax(scores)
                mixed = mixed + part if total else part
                total += likely[at]
        return np.log(mixed / total) if total else None

    def asks(self, reading: TokenizedText) -> bool:
        """Say whether a sentence asks for something, and is not merely told beside a request."""
        return self._models[0 if reading.likely is None else int(reading.likely.argmax())].asks(reading)


def softmax(scores: Doubles) -> Doubles:
    """Return probabilities along the last axis."""
    powers = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    powers /= np.add.reduce(powers, axis=-1, keepdims=True)
    return powers
