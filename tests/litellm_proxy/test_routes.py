"""Which routes of the LiteLLM proxy carry instructions, measured: did the provider get the words?

What is not woven passes as it came. `count_tokens` never reaches a callback, so our words are not in its count; legacy
completions, Gemini's own format and the files of batches reach one in forms that have no place for instructions, or
none that we know; of a relayed body nothing but the route is told.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.litellm_proxy.conftest import KEY, Proxy

REFUND = "Help the customer get a refund."
WISH = "I want my money back"
SAID: dict[str, Any] = {"messages": [{"role": "user", "content": WISH}]}
CHAT = {"model": "gpt", **SAID}
CLAUDE = {"model": "claude", "max_tokens": 9, **SAID}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": WISH}]}]}

WOVEN = [
    ("/chat/completions", CHAT),
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", {**CHAT, "model": "claude"}),
    ("/engines/gpt/chat/completions", SAID),
    ("/openai/deployments/gpt/chat/completions", SAID),
    ("/openai/v1/chat/completions", {**CHAT, "model": "gpt-x"}),
    ("/relayed/chat/completions", {**CHAT, "model": "gpt-x"}),
    ("/v1/messages", CLAUDE),
    ("/v1/messages", {**CLAUDE, "model": "gpt"}),
    ("/anthropic/v1/messages", {**CLAUDE, "model": "claude-x"}),
    ("/responses", {"model": "gpt", "input": WISH}),
    ("/v1/responses", {"model": "gpt", "input": WISH}),
    ("/v1/responses", {"model": "claude", "input": WISH}),
    ("/openai/v1/responses", {"model": "gpt", "input": WISH}),
]
AS_IT_CAME = [
    ("/relayed", {**CHAT, "model": "gpt-x"}),
    ("/v1/messages/count_tokens", {"model": "claude", **SAID}),
    ("/v1/completions", {"model": "gpt", "prompt": WISH}),
    ("/v1/embeddings", {"model": "gpt", "input": WISH}),
    ("/v1/responses/compact", {"model": "gpt", "input": WISH}),
    ("/v1/moderations", {"model": "gpt", "input": WISH}),
    ("/v1beta/models/gemini:generateContent", CONTENTS),
    ("/gemini/v1beta/models/gemini-x:generateContent", CONTENTS),
]


@pytest.mark.parametrize(("path", "body"), WOVEN)
def test_the_provider_gets_the_instructions(path: str, body: dict[str, Any], proxy: Proxy) -> None:
    answer, asked = proxy.ask(path, body)
    assert answer.status_code == 200, answer.text
    assert asked is not None
    assert REFUND in json.dumps(asked.body)
    assert WISH in json.dumps(asked.body)
    assert answer.headers["x-router-task"] == "/refund"
    assert answer.headers["x-router-outcome"] == "classified"


@pytest.mark.parametrize(("path", "body"), AS_IT_CAME)
def test_other_routes_pass_as_they_came(path: str, body: dict[str, Any], proxy: Proxy) -> None:
    answer, asked = proxy.ask(path, body, **{"x-goog-api-key": KEY})  # the one that Gemini's clients send
    assert answer.status_code == 200, answer.text
    assert asked is not None
    assert WISH in json.dumps(asked.body)
    assert REFUND not in json.dumps(asked.body)
    assert "x-router-task" not in answer.headers
