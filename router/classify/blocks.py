"""Which blocks a model is made of: the recipes to choose from for each setting of `encoder`, and the blocks by name.

    lexical    what the words are                         always in
    static     what they mean, by the shipped table       the default; English
    structure  how the message begins, ends, how long     where it pays
    onnx:PATH, litellm:MODEL                              the second model of a cascade

Why `static` is the default: `docs/decisions/14-static-encoder.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np

from router.classify.embedding import Static
from router.classify.encoder import Doubles, Encoder, Features, Matrix, Rows, Scorer
from router.classify.lexical import Lexical
from router.classify.remote import LiteLLMSource
from router.classify.sentence_encoder import OnnxSource
from router.classify.structure import Structure
from router.classify.vectors import Vectors

Recipe: TypeAlias = tuple[tuple[str, float], ...]
"""Names of blocks, each with its weight: how long its part of a text's vector is."""

STRUCTURE_WEIGHT = 0.7
"""Out of fold on the shipped `assistant` pack: log-loss .56 at .3, .53 at .5, .50 at .7."""

LEXICAL: Recipe = (("lexical", 1.0),)
STATIC: Recipe = (("lexical", 1.0), ("static", 1.0))
"""Weights of .7, 1 and 1.4 measured within half a point of each other on Banking77 and CLINC150 at 10 examples."""

_BLOCKS: dict[str, Encoder] = {block.name: block for block in (Lexical(), Static(), Structure())}


def recipes(encoder: str) -> tuple[Recipe, ...]:
    """Return what to choose from for a setting of `encoder`, the preferred one first. Raises ValueError."""
    if encoder == "lexical":
        plain: tuple[Recipe, ...] = (LEXICAL,)
    elif encoder == "static":
        plain = (STATIC, LEXICAL)
    else:
        raise ValueError(f'no encoder is called "{encoder}"')
    return plain + tuple((*recipe, ("structure", STRUCTURE_WEIGHT)) for recipe in plain)


def second_recipes(encoder: str) -> tuple[Recipe, ...]:
    """Return what to choose from for the second model of a cascade. The words are the first model's business."""
    return ((encoder, 1.0),), ((encoder, 1.0), ("structure", STRUCTURE_WEIGHT))


@lru_cache(maxsize=8)
def sentence_vectors(encoder: str) -> Vectors:
    """Return the one encoder for `onnx:PATH` or `litellm:MODEL`: whoever uses it shares what it remembers.

    Raises ValueError.
    """
    kind, _, model = encoder.partition(":")
    if kind == "onnx" and model:
        return Vectors(OnnxSource(Path(model)))
    if kind == "litellm" and model:
        return Vectors(LiteLLMSource(model))
    raise ValueError(f'no block of features is called "{encoder}"')


def block(name: str) -> Encoder:
    """Return a block by name. Raises ValueError."""
    if ":" in name:
        return sentence_vectors(name)
    try:
        return _BLOCKS[name]
    except KeyError:
        raise ValueError(f'no block of features is called "{name}"') from None


class Learned:
    """The learned vocabularies of some blocks, by name."""

    def __init__(self, names: Iterable[str], texts: Sequence[str]) -> None:
        self._features: dict[str, Features] = {name: block(name).learn(texts) for name in names}

    def matrices(self, texts: Sequence[str]) -> dict[str, Matrix]:
        """Return each block's part of the training matrix, before its weight."""
        return {name: features.rows(texts) for name, features in self._features.items()}

    def fold(self, recipe: Recipe, coefficients: Sequence[Doubles]) -> dict[str, Scorer]:
        """Return a scorer for each block, for weights fitted to its weighted part."""
        return {
            name: self._features[name].fold(part * weight)
            for (name, weight), part in zip(recipe, coefficients, strict=True)
        }


def weighted(matrices: Mapping[str, Matrix], recipe: Recipe) -> list[Matrix]:
    """Return the parts a recipe names, each times its weight."""
    return [_times(matrices[name], weight) for name, weight in recipe]


def _times(matrix: Matrix, weight: float) -> Matrix:
    if weight == 1.0:
        return matrix
    if isinstance(matrix, np.ndarray):
        return matrix * weight
    return Rows(matrix.starts, matrix.columns, matrix.values * weight, matrix.width)
