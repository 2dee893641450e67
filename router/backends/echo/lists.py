"""The echo's models and moderations. Source: OpenAI's API reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.backends.echo.faults import refusal

MODELS = ("echo", "echo-fail-503", "echo-stall-2s", "echo-slow-50ms", "echo-cut-3", "echo-garbage")

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
