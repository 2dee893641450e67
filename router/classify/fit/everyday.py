"""Everyday text: what attention learns to fade, and the stories that some certifying rows are told in.

People wrap a request in a story. Examples seldom do, so thresholds that were certified on examples alone would promise
nothing for stories: every third of the rows is judged as a message that has everyday sentences around it. The
attention which judges them has not seen these sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np

from router.classify.attention import LEAST_SQUARED, Attention
from router.classify.encoder import Floats
from router.classify.fit.training import TrainingSet
from router.classify.shipped import MAIN, background
from router.classify.static import StaticTable, vector_once
from router.classify.text import tokens

EVERY = 3
"""One row of so many is told in a story."""

AROUND = 3
"""Sentences that stand around a request, before or behind it."""

LEAST_TEXTS = 20
"""With fewer examples nobody knows what asking sounds like, and all words count alike."""

MOST_TEXTS = 1_500
"""Of more examples so many, evenly drawn, tell what asking sounds like."""

WINDOWS = ((5, 3), (8, 3))
"""Words of the windows that attention learns from, and how far they stand apart."""

STRENGTH = 1.0
"""Inverse penalty (scikit-learn's C). 1, 5 and 20 measured within a point of each other."""


def attention_to(asking: Sequence[str], everyday: Sequence[str]) -> Attention:
    """Return an attention fitted to windows of texts that ask and of texts that do not; what is in both does not."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    told = frozenset(everyday)
    asking = [text for text in asking if text not in told]
    drawn = asking[:: -(-len(asking) // MOST_TEXTS)]
    windows: list[str] = []
    labels: list[int] = []
    for label, texts in enumerate((drawn, everyday)):
        found = [window for text in texts for window in _windows(text)]
        windows += found
        labels += [label] * len(found)
    rows = np.array([_direction(window) for window in windows])
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300).fit(rows, labels)
    numbers = np.concatenate([model.coef_[0], model.intercept_]).astype(np.float32)
    return Attention(numbers, StaticTable.load().vectors)


@lru_cache(maxsize=20_000)  # 20 MB: of one language, whose folds have most windows in common
def _direction(window: str) -> Floats:
    """Return the vector of a window as attention reads it."""
    vectors = np.array([vector_once(word) for word in tokens(window) or [""]])
    direction: Floats = vectors.sum(axis=0) / max(float(np.einsum("ij,ij", vectors, vectors)), LEAST_SQUARED) ** 0.5
    return direction


def _windows(text: str) -> Iterator[str]:
    words = text.split()
    yield text
    for size, step in WINDOWS:
        for start in range(0, len(words) - size, step):
            yield " ".join(words[start : start + size])


def halves(language: str = MAIN) -> tuple[list[str], list[str]]:
    """Return the shipped everyday sentences to learn from and those to tell stories with."""
    lines = background("everyday", language)
    return lines[::2], lines[1::2]


def stories(rows: TrainingSet, sentences: Sequence[str]) -> Mapping[int, str]:
    """Return some of the rows as they read within a story, by row."""
    found: dict[int, str] = {}
    seen = [0] * (len(rows.classes) + 2)
    for at, label in enumerate(rows.labels.tolist()):
        if not (rows.held[at] and rows.opening[at] and rows.own[at]):
            continue
        seen[label] += 1
        if (seen[label] + label) % EVERY == 0:
            found[at] = _story(rows.texts[at], at, sentences)
    return found


def _story(text: str, number: int, sentences: Sequence[str]) -> str:
    """Return a text with sentences around it, other ones and elsewhere for each number."""
    around = [sentences[(number * AROUND + at) % len(sentences)] for at in range(AROUND)]
    before = number % (AROUND + 1)
    ended = text if text.endswith((".", "?", "!")) else f"{text}."
    return " ".join([*around[:before], ended, *around[before:]])
