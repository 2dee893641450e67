"""Clients that try again do so through the router as they would without it."""

from __future__ import annotations

import pytest

from tests.clients.cases import ALL, Twice, raised, seen, spoken
from tests.clients.upstream import MODEL, RETRY_AFTER_S

CLOCK_S = 0.05
HEED_ADVICE = ("openai-python-2", "openai-python-3", "anthropic-python", "openai-node")
"""The SDKs that read `x-should-retry`; the libraries built on them do so too."""

DEAF_TO_ADVICE = {("litellm", "messages"), ("litellm", "responses")}
"""Where LiteLLM itself tries again, it does so after pauses of its own."""


@spoken()
@pytest.mark.parametrize("status", [408, 429, 503] if ALL else [429])
def test_a_passing_failure_is_survived(status: int, twice: Twice, name: str, wire: str) -> None:
    model = f"{MODEL}-once-{status}"
    seen(twice.through(twice.whole, model, retries=2))
    first, second = twice.upstream.taken
    assert first.body == second.body
    if status == 429 and (name, wire) not in DEAF_TO_ADVICE:
        assert second.at - first.at >= RETRY_AFTER_S - CLOCK_S


@spoken(only=HEED_ADVICE)
def test_what_is_final_is_not_tried_again(twice: Twice) -> None:
    raised(twice.through(twice.whole, f"{MODEL}-firm-503", retries=2))
    assert len(twice.upstream.taken) == 1


@spoken(only=HEED_ADVICE)
def test_a_refusal_of_the_router_s_own_is_final(twice: Twice) -> None:
    raised(twice.through(twice.whole, retries=2, key="sk-wrong"))
    assert not twice.upstream.taken
