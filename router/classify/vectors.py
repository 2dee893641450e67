"""Vectors of texts by an encoder that is not part of this package, as a block of features.

Whatever makes the vectors (`sentence_encoder`, `remote`), the block is the same: a text is one vector of length one,
and its scores are the product with a matrix of weights. Nothing is learned from the training texts.

A vector costs milliseconds or a call over the network, so each is made once: a `VectorCache` keeps the newest, by a
digest of the text, and never on disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from router.classify.encoder import Doubles, Floats, TokenizedText
from router.core.errors import Degraded

FITTING_BYTES = 256 << 20
"""Vectors remembered while fitting, which reads each text a dozen times: 160,000 of 384 numbers."""

SERVING_BYTES = 16 << 20
"""Vectors remembered while serving: 10,000 of 384 numbers."""


class EncoderFailed(Degraded):
    """An encoder gave no vectors. The message names the encoder and the cause."""

    def __init__(self, encoder: str, cause: str) -> None:
        super().__init__("encoder_failed", f"{encoder}: {cause}")


class VectorSource(Protocol):
    """What makes vectors. `name` is the encoder as a pack names it."""

    name: str

    @property
    def digest(self) -> str:
        """Names what is asked, so that a model fitted to other vectors is told apart."""
        ...

    def open(self) -> None:
        """Do what the first question would else have to wait for. Raises EncoderFailed."""
        ...

    def vectors(self, texts: Sequence[str], limit_s: float | None = None) -> Floats:
        """Return a vector for each text, of any length, in `limit_s` seconds if it can. Raises EncoderFailed."""
        ...


class VectorCache:
    """Vectors by text, the least recently used dropped first. Safe to call from any thread."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._entries: OrderedDict[bytes, Floats] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, text: str) -> Floats | None:
        """Return a text's vector, if it is remembered."""
        key = _key(text)
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def __contains__(self, text: str) -> bool:
        return _key(text) in self._entries

    def put(self, text: str, vector: Floats) -> None:
        """Remember a vector."""
        key = _key(text)
        with self._lock:
            if key not in self._entries:
                self._bytes += vector.nbytes
            self._entries[key] = vector
            self._shrink()

    def bound(self, most_bytes: int) -> None:
        """Remember no more than this from now on."""
        with self._lock:
            self.most_bytes = most_bytes
            self._shrink()

    def _shrink(self) -> None:
        while self._bytes > self.most_bytes and len(self._entries) > 1:
            self._bytes -= self._entries.popitem(last=False)[1].nbytes


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class VectorEncoder:
    """The encoder of this module: the vectors of one source, remembered."""

    def __init__(self, source: VectorSource) -> None:
        self.name = source.name
        self.source = source
        self._memory = VectorCache(SERVING_BYTES)

    def knows(self, texts: Sequence[str]) -> bool:
        """Say whether the vectors of all these texts are remembered."""
        return all(text in self._memory for text in texts)

    def of(self, texts: Sequence[str], limit_s: float | None = None) -> Floats:
        """Return the vectors of some texts, of length one, a row each. Raises EncoderFailed."""
        found = {text: self._memory.get(text) for text in texts}
        missing = [text for text, vector in found.items() if vector is None]
        if missing:
            made = _of_length_one(self.source.vectors(missing, limit_s), len(missing), self.name)
            for text, vector in zip(missing, made, strict=True):
                found[text] = vector
                self._memory.put(text, vector)
        rows = [vector for vector in (found[text] for text in texts) if vector is not None]
        if len({len(row) for row in rows}) > 1:
            raise EncoderFailed(self.name, "its vectors are not all of one length")
        return np.array(rows, np.float32)

    def learn(self, texts: Sequence[str]) -> _VectorFeatures:
        """Make the vectors of training texts. Raises EncoderFailed."""
        self._memory.bound(FITTING_BYTES)
        self.of(texts)
        return _VectorFeatures(self)

    def restore(self, arrays: Mapping[str, NDArray[Any]], words: Mapping[str, Any]) -> VectorScorer:
        """Return the scorer that gave these. Raises KeyError, TypeError or ValueError when they do not fit."""
        self._memory.bound(SERVING_BYTES)
        if words["digest"] != self.source.digest:
            raise ValueError(f"the model was fitted with another {self.name}")
        return VectorScorer(arrays["weights"], self)


class _VectorFeatures:
    """The vectors of texts as a training matrix."""

    def __init__(self, encoder: VectorEncoder) -> None:
        self._encoder = encoder

    def rows(self, readings: Sequence[TokenizedText]) -> Doubles:
        """Return the vectors, of shape (texts, dimensions). Raises EncoderFailed."""
        return self._encoder.of([reading.text for reading in readings]).astype(np.float64)

    def fold(self, coefficients: Doubles) -> VectorScorer:
        """Return the scorer of these weights."""
        return VectorScorer(coefficients.astype(np.float32), self._encoder)


class VectorScorer:
    """Weights of shape (dimensions, classes) over the vectors of an encoder."""

    def __init__(self, weights: Floats, encoder: VectorEncoder) -> None:
        if weights.ndim != 2:
            raise ValueError("the weights of vectors are no matrix")
        self.width = int(weights.shape[1])
        self._weights = weights
        self._encoder = encoder

    def open(self) -> None:
        """Do what the first text would else have to wait for. Raises EncoderFailed."""
        self._encoder.source.open()

    def knows(self, texts: Sequence[str]) -> bool:
        """Say whether scoring these texts takes no time."""
        return self._encoder.knows(texts)

    def prepare(self, texts: Sequence[str], limit_s: float | None = None) -> None:
        """Make the vectors of several texts at once, so that scoring them costs next to nothing.

        Raises EncoderFailed.
        """
        self._encoder.of(texts, limit_s)

    def score(self, reading: TokenizedText) -> Floats | None:
        """Return the scores of the text's vector. Raises EncoderFailed."""
        vector = self._encoder.of([reading.text])[0]
        if len(vector) != len(self._weights):
            raise EncoderFailed(
                self._encoder.name, f"a vector has {len(vector)} numbers, the fitted model {len(self._weights)}"
            )
        scores: Floats = vector @ self._weights
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the weights."""
        return {"weights": self._weights}

    def words(self) -> dict[str, Any]:
        """Return what the weights belong to."""
        return {"digest": self._encoder.source.digest}


def _of_length_one(vectors: Floats, count: int, name: str) -> Floats:
    """Return the vectors at length one. Raises EncoderFailed for what is no matrix of `count` finite rows."""
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise EncoderFailed(name, f"it gave an array of shape {vectors.shape} for {count} texts")
    if not np.isfinite(vectors).all():
        raise EncoderFailed(name, "it gave a vector that holds no finite numbers")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled
