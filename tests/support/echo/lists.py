"""Models, moderations and embeddings of the echo. Source: OpenAI's API reference."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from router.backends.echo.formats import refusal

MODELS = ("echo", "echo-fail-503", "echo-stall-2s", "echo-slow-50ms", "echo-cut-3", "echo-garbage")

_DIMENSIONS = 16
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048  # as the OpenAI API

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def models(path: str) -> dict[str, Any]:
    """Return the list of models, or one of them. Raises BackendError (404)."""
    known = [{"id": name, "object": "model", "created": 0, "owned_by": "prompt-router"} for name in MODELS]
    if path == "/models":
        return {"object": "list", "data": known}
    for model in known:
        if path == f"/models/{model['id']}":
            return model
    raise refusal(404, f"nothing at {path[:128]}", code="not_found")


def moderations(body: Mapping[str, Any], number: str) -> dict[str, Any]:
    """Return one result per input, or one for a list of parts; nothing is ever flagged. Raises BackendError (400)."""
    given = body.get("input")
    inputs = given if isinstance(given, list) else [given]
    if not inputs or not all(isinstance(each, str | dict) for each in inputs):
        raise refusal(400, "input must be a text, a list of texts or a list of parts", param="input")
    parts = [each for each in inputs if isinstance(each, dict)]
    if parts and len(parts) < len(inputs):
        raise refusal(400, "input must hold either texts or parts, not both", param="input")
    kinds = sorted({"image" if part.get("type") == "image_url" else "text" for part in parts}) or ["text"]
    result = {
        "flagged": False,
        "categories": dict.fromkeys(CATEGORIES, False),
        "category_scores": dict.fromkeys(CATEGORIES, 0.0),
        "category_applied_input_types": {name: kinds for name in CATEGORIES},
    }
    results = [result] * (1 if parts else len(inputs))
    return {"id": f"modr-{number}", "model": body.get("model") or "echo", "results": results}


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
