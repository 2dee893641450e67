"""A real model, asked directly and through the router: with a pack that says nothing, the same answer event by event.

Ids, times and speeds differ from call to call, and so does how much of a prompt was still in the model's cache; they
are made equal before the comparison. With a pack, what the model tells of its cache and of our text's tokens comes
through.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from router import Router
from tests.support.serving import serving_router

EMPTY = Path(__file__).parents[1] / "transparency" / "empty.yaml"
EXACT: dict[str, Any] = {"model": "smollm2", "temperature": 0, "seed": 1, "cache_prompt": False}
SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße! Which planet has rings?"}]
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}}
CHAT = {**EXACT, "messages": SAID, "max_tokens": 8}
RESPONSES = {**EXACT, "instructions": "Be brief.", "input": SAID[1]["content"], "max_output_tokens": 8}
MESSAGES = {**EXACT, "system": "Be brief.", "messages": SAID[1:], "max_tokens": 8}
CHAT_TOOLS = {"tools": [{"type": "function", "function": {"name": "find", "parameters": PARAMETERS}}]}
TOOLS = {"tools": [{"type": "function", "name": "find", "parameters": PARAMETERS}]}
ANTHROPIC_TOOLS = {"tools": [{"name": "find", "input_schema": PARAMETERS}], "tool_choice": {"type": "any"}}
WANTED = {"tool_choice": "required"}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/chat/completions", CHAT),
    "chat, logprobs": ("/chat/completions", {**CHAT, "logprobs": True, "top_logprobs": 2}),
    "chat, usage": ("/chat/completions", {**CHAT, "stream_options": {"include_usage": True}}),
    "chat, tools": ("/chat/completions", {**CHAT, **CHAT_TOOLS, **WANTED, "max_tokens": 40}),
    "chat, refused": ("/chat/completions", {**CHAT, "response_format": {"type": "json_schema"}}),
    "responses": ("/responses", RESPONSES),
    "responses, tools": ("/responses", {**RESPONSES, **TOOLS, **WANTED, "max_output_tokens": 40}),
    "messages": ("/messages", MESSAGES),
    "messages, tools": ("/messages", {**MESSAGES, **ANTHROPIC_TOOLS, "max_tokens": 40}),
    "completions": ("/completions", {**EXACT, "prompt": "Once upon a time", "max_tokens": 8}),
}
PASSING = frozenset({"id", "item_id", "call_id", "created", "created_at", "completed_at", "timings"})
PROMPT = ("input_tokens", "cache_read_input_tokens")


@pytest.fixture(scope="module")
def silent(local_model: str) -> Iterator[str]:
    """The base URL of a router whose pack says nothing."""
    with serving_router("--pack", str(EMPTY), "--backend", local_model) as server:
        yield f"{server.url}/v1"


def post(base_url: str, path: str, body: dict[str, Any]) -> httpx.Response:
    return httpx.post(base_url + path, json=body, timeout=60, trust_env=False)


def lasting(value: Any) -> Any:
    """Return a JSON value without what differs from call to call."""
    if isinstance(value, list):
        return [lasting(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: lasting(item) for key, item in value.items() if key not in PASSING}
    if PROMPT[1] in kept:  # the server takes no word of ours about its cache in this format
        kept["prompt"] = sum(kept.pop(key) for key in PROMPT)
    return kept


def shown(answer: httpx.Response) -> Any:
    """Return what a client sees: status, kind, and the body, or every line of a stream, as data where it is JSON."""
    kind = answer.headers["content-type"]
    if not kind.startswith("text/event-stream"):
        return answer.status_code, lasting(answer.json())
    lines = answer.text.split("\n")
    read = [lasting(json.loads(line[6:])) if line.startswith("data: {") else line for line in lines]
    return answer.status_code, kind, read


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_through_the_router_the_model_answers_as_it_does_directly(
    name: str, stream: bool, local_model: str, silent: str
) -> None:
    path, body = ASKED[name]
    if not stream:
        body = {key: value for key, value in body.items() if key != "stream_options"}
    mine, theirs = (shown(post(base_url, path, {**body, "stream": stream})) for base_url in (silent, local_model))
    assert mine == theirs
    assert not stream or "refused" in name or len(mine[2]) > 8


def test_tokens_are_counted_as_they_are_directly(local_model: str, silent: str) -> None:
    mine, theirs = (post(base_url, "/messages/count_tokens", MESSAGES) for base_url in (silent, local_model))
    assert mine.content == theirs.content


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
ANTHROPIC_PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
REFUSED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": [PICTURE]}]},
    "/messages": {"messages": [{"role": "user", "content": [ANTHROPIC_PICTURE]}], "max_tokens": 1},
    "/embeddings": {"input": "x"},
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_refusal_is_the_models(path: str, local_model: str, silent: str) -> None:
    body = {"model": "smollm2", **REFUSED[path]}
    mine, theirs = (post(base_url, path, body) for base_url in (silent, local_model))
    assert mine.status_code == theirs.status_code >= 400
    assert mine.json()["error"]["message"] == theirs.json()["error"]["message"]


# ---------------------------------------------------------------------------------------------------- with a pack

REFUND = "I want my money back, my blender arrived broken"
WITH_A_PACK: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": REFUND}], "max_tokens": 2}),
    "responses": ("/responses", {"input": REFUND, "max_output_tokens": 2}),
    "messages": ("/messages", {"messages": [{"role": "user", "content": REFUND}], "max_tokens": 2}),
}


def cached_tokens(wire: str, answer: httpx.Response) -> int:
    """Return how many tokens of the prompt the model says it had in its cache, whole or streamed."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: {")]
    else:
        events = [json.loads(text)]
    told = [holder["usage"] for event in events for holder in _holders(event) if holder.get("usage")]
    if wire == "messages":
        return told[0]["cache_read_input_tokens"]
    details = {"chat": "prompt_tokens_details", "responses": "input_tokens_details"}[wire]
    return told[-1][details]["cached_tokens"]


def _holders(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [event, *(event[key] for key in ("response", "message") if key in event)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WITH_A_PACK)
def test_what_the_model_had_in_its_cache_is_told(wire: str, stream: bool, proxy: str) -> None:
    path, body = WITH_A_PACK[wire]
    body = {"model": "smollm2", "temperature": 0, **body, "stream": stream}
    if wire == "chat" and stream:
        body["stream_options"] = {"include_usage": True}
    post(proxy, path, body)
    assert cached_tokens(wire, post(proxy, path, body)) > 20  # the prompt once more, our text in it


def test_the_count_of_tokens_holds_our_text(proxy: str, local_model: str, pack: Router) -> None:
    body = {"model": "smollm2", **WITH_A_PACK["messages"][1]}
    woven = pack.wrap(body, wire="messages").body
    through, bare, ours = (
        post(url, "/messages/count_tokens", asked).json()["input_tokens"]
        for url, asked in ((proxy, body), (local_model, body), (local_model, woven))
    )
    assert through - bare == ours - bare > 0
    usage = post(proxy, "/messages", body).json()["usage"]
    assert through == sum(usage[name] for name in PROMPT)  # what the request itself then costs
