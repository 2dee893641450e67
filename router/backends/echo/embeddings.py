"""The echo's embeddings. Source: OpenAI's API reference."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Callable
from typing import Any

from router.backends.echo.faults import refusal

_DIMENSIONS = 16
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048  # as the OpenAI API


def embeddings(body: dict[str, Any], count: Callable[[str], int]) -> dict[str, Any]:
    """Return a unit vector per input, drawn from its hash: equal inputs, equal vectors. Raises BackendError."""
    given = body.get("input")
    several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    inputs: list[Any] = given if isinstance(given, list) and several else [given]
    if len(inputs) > _MOST_INPUTS or not all(isinstance(each, str | list) and each for each in inputs):
        message = f"input must be a text or a list of up to {_MOST_INPUTS} texts, none of them empty"
        raise refusal(400, message, param="input")
    dimensions = body.get("dimensions", _DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise refusal(400, f"dimensions must be a whole number from 1 to {_MOST_DIMENSIONS}", param="dimensions")
    packed = body.get("encoding_format") == "base64"
    tokens = sum(count(each) if isinstance(each, str) else len(each) for each in inputs)
    return {
        "object": "list",
        "model": body.get("model"),
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(_vector(each, dimensions) for each in inputs)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(text: str | list[Any], dimensions: int) -> list[float]:
    """Return a vector of length 1 whose entries are exact in four bytes, so that both encodings say the same."""
    digest = hashlib.shake_256(str(text).encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(number * number for number in raw))
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(number / length for number in raw))))


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
