"""What token counts would cost: published prices, from the map of models that litellm carries in its package.

A request pays the read price for what the cache served, and for all else the price of input, or of writing the cache
where a provider charges for that. A cached prefix shorter than the model's minimum counts as not cached.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.cache_arms import Spent

MODELS = ("gpt-5-mini", "gpt-5.6", "claude-sonnet-5", "claude-opus-5")
USUAL_MINIMUM = 1024
"""Tokens of the shortest prefix that OpenAI caches (developers.openai.com, "Prompt caching"); for models of which the
map says nothing."""
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Dollars for a million tokens of input, and the shortest prefix that is cached."""

    model: str
    input: float
    read: float
    write: float
    minimum: int

    def bill(self, spent: Iterable[Spent]) -> float:
        """Return what requests cost, in dollars, without their answers."""
        total = 0.0
        for request in spent:
            cached = request.cached if request.cached >= self.minimum else 0
            total += cached * self.read + (request.prompt - cached) * self.write
        return total / _MILLION


def prices() -> tuple[list[Prices], str]:
    """Return the prices of the models that the map knows, and where they come from. Raises LookupError."""
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        raise LookupError("no prices: litellm, whose map of models names them, is not installed")
    # Read as a file: to import litellm takes seconds and a hundred megabytes.
    told = Path(package.origin).with_name("model_prices_and_context_window_backup.json")
    known: dict[str, dict[str, Any]] = json.loads(told.read_text(encoding="utf-8"))
    found = [_prices(model, known[model]) for model in MODELS if model in known]
    return found, f"litellm {importlib.metadata.version('litellm')}, {told.name}"


def _prices(model: str, told: dict[str, Any]) -> Prices:
    plain = told["input_cost_per_token"] * _MILLION
    return Prices(
        model,
        plain,
        told.get("cache_read_input_token_cost", told["input_cost_per_token"]) * _MILLION,
        told.get("cache_creation_input_token_cost", told["input_cost_per_token"]) * _MILLION,
        told.get("prompt_cache_min_tokens", USUAL_MINIMUM),
    )
