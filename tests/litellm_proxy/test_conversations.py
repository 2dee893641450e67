"""Conversations through the LiteLLM proxy with the plug-in: nothing lost, nothing moved, nothing leaked."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.litellm_proxy.conftest import Proxy, Start
from tests.support.serving import StartError

REFUND, PARCEL = "Help the customer get a refund.", "Help the customer find the parcel."
PAYING = "offer a call back"
APP = {"role": "system", "content": "You are the assistant of a shop."}
TURNS = [
    {"role": "user", "content": "I want my money back"},
    {"role": "assistant", "content": "For which order?"},
    {"role": "user", "content": "Where is my parcel?"},
    {"role": "assistant", "content": "On its way."},
    {"role": "user", "content": "When will my delivery arrive?"},
]


def sent(proxy: Proxy, body: dict[str, Any], path: str = "/v1/chat/completions", **headers: str) -> dict[str, Any]:
    answer, asked = proxy.ask(path, body, **headers)
    assert answer.status_code == 200, answer.text
    assert asked is not None
    return asked.body


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_what_was_sent_once_is_the_beginning_of_what_is_sent_next(model: str, proxy: Proxy) -> None:
    said = [
        sent(proxy, {"model": model, "max_tokens": 9, "messages": [APP, *TURNS[:upto]]})["messages"]
        for upto in (1, 3, 5)
    ]
    for before, after in pairwise(said):
        assert after[: len(before)] == before
    assert PARCEL in json.dumps(said[1][-1])
    assert PARCEL not in json.dumps(said[2][-1])


def test_the_app_s_own_text_stays_in_front_and_as_it_was(proxy: Proxy) -> None:
    messages = sent(proxy, {"model": "gpt", "messages": [APP, TURNS[0]]})["messages"]
    assert messages[0]["content"].startswith(APP["content"] + "\n\n")
    assert messages[1:] == [TURNS[0]]


def test_a_stream_is_woven_and_told(proxy: Proxy) -> None:
    body = {"model": "gpt", "stream": True, "messages": TURNS[:1]}
    with proxy.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["x-router-task"] == "/refund"
    assert lines[-1] == "data: [DONE]"
    assert REFUND in json.dumps(proxy.upstream.asked[-1].body)


def test_the_rest_of_a_body_passes_and_nothing_of_ours_is_added(proxy: Proxy) -> None:
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
    rest = {"temperature": 0.9, "tools": tools, "seed": 7, "top_p": 0.5}
    body = sent(proxy, {"model": "gpt", "messages": TURNS[:1], "metadata": {"tier": "pro"}, **rest})
    assert {name: body.get(name) for name in rest} == rest
    assert "prompt_router" not in json.dumps(body)
    assert set(body) <= {"model", "messages", *rest}


def test_a_parameter_of_the_pack_is_set_where_the_client_set_none(proxy: Proxy) -> None:
    assert sent(proxy, {"model": "gpt", "messages": TURNS[:1]})["temperature"] == 0.1


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/chat/completions", {"messages": TURNS[:1], "metadata": {"tier": "pro"}}, {}),
        ("/v1/chat/completions", {"messages": TURNS[:1]}, {"x-tier": "pro"}),
        ("/v1/responses", {"input": TURNS[0]["content"], "metadata": {"tier": "pro"}}, {}),
        ("/v1/messages", {"messages": TURNS[:1], "max_tokens": 9}, {"x-tier": "pro"}),
    ],
)
def test_cues_are_read(path: str, body: dict[str, Any], headers: dict[str, str], proxy: Proxy) -> None:
    named = {"x-session-id": f"cues {path} {headers}"}  # a conversation of its own
    assert PAYING in json.dumps(sent(proxy, {"model": "gpt", **body}, path, **headers, **named))
    without = {name: value for name, value in body.items() if name != "metadata"}
    named = {"x-session-id": f"no cues {path}"}
    assert PAYING not in json.dumps(sent(proxy, {"model": "gpt", **without}, path, **named))


def test_a_conversation_that_the_provider_keeps_is_known_again(proxy: Proxy) -> None:
    first, _ = proxy.ask("/v1/responses", {"model": "gpt", "input": TURNS[0]["content"]})
    body = {"model": "gpt", "input": "and now?", "previous_response_id": first.json()["id"]}
    second, asked = proxy.ask("/v1/responses", body)
    assert second.headers["x-router-task"] == "/refund"
    assert asked is not None
    assert REFUND in asked.body["instructions"]
    assert asked.body["input"] == "and now?"


def test_a_body_that_is_none_is_refused_as_the_client_s_mistake(proxy: Proxy) -> None:
    answer, asked = proxy.ask("/v1/chat/completions", {"model": "gpt", "messages": [{"content": "who says this?"}]})
    assert answer.status_code == 400
    assert "messages[0]" in answer.text
    assert asked is None


def test_a_pack_that_cannot_be_used_stops_the_proxy_at_its_start(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: broken\nabout: x\ntaskz: {}\n")
    with pytest.raises(StartError, match=r"broken\.yaml:3"), start(broken):
        pass
