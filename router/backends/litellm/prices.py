"""What a call costs, by litellm's table of prices."""

from __future__ import annotations

from router.backends.litellm.library import load


def price_of(provider: str, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Return US dollars; None where litellm is not installed, or does not know the model at this provider.

    litellm is imported for it, which takes seconds.
    """
    try:
        table = load().litellm.model_cost
    except ImportError:
        return None
    for name in (f"{provider}/{model}", model):
        row = table.get(name, {})
        prices = [row.get(f"{kind}_cost_per_token") for kind in ("input", "output")]
        if row.get("litellm_provider") == provider and all(isinstance(price, int | float) for price in prices):
            return float(prompt_tokens * prices[0] + completion_tokens * prices[1])
    return None
