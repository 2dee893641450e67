"""Requests as clients send them, good and bad, through the whole application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from router.core.decide import decide
from router.stores import evidence_of
from tests.support.application import Start

GOOD = {
    "model": "echo",
    "messages": [{"role": "user", "content": "My blender arrived broken and I want my money back"}],
}


def deep(levels: int) -> bytes:
    return b'{"model":"echo","messages":[{"role":"user","content":"hi"}],"x":' + b"[" * levels + b"]" * levels + b"}"


BAD_BODIES: dict[str, tuple[bytes, int, str | None]] = {
    "empty": (b"", 400, None),
    "not json": (b"hello", 400, None),
    "half": (b'{"model":"echo","messages":[', 400, None),
    "no object": (b"[1,2]", 400, None),
    "too deep": (deep(65), 400, None),
    "absurdly deep": (deep(100_000), 400, None),
    "lone surrogate": (b'{"model":"echo","messages":[{"role":"user","content":"\\ud800"}]}', 400, None),
    "NaN": (b'{"model":"echo","temperature":NaN,"messages":[{"role":"user","content":"hi"}]}', 400, None),
    "bad utf-8": (b'{"model":"echo","messages":[{"role":"user","content":"\xff"}]}', 400, None),
    "model missing": (b'{"messages":[{"role":"user","content":"hi"}]}', 400, "model"),
    "model no string": (b'{"model":1,"messages":[{"role":"user","content":"hi"}]}', 400, "model"),
    "messages missing": (b'{"model":"echo"}', 400, "messages"),
    "messages no list": (b'{"model":"echo","messages":"hi"}', 400, "messages"),
    "no messages": (b'{"model":"echo","messages":[]}', 400, "messages"),
    "message no object": (b'{"model":"echo","messages":["hi"]}', 400, "messages[0]"),
    "role missing": (b'{"model":"echo","messages":[{"content":"hi"}]}', 400, "messages[0].role"),
    "content a number": (b'{"model":"echo","messages":[{"role":"user","content":5}]}', 400, "messages[0].content"),
    "stream no bool": (b'{"model":"echo","stream":"yes","messages":[{"role":"user","content":"hi"}]}', 400, "stream"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_body_is_a_clear_error_and_the_server_goes_on(name: str, start: Start) -> None:
    body, status, param = BAD_BODIES[name]
    running = await start()
    answer = await running.client.post("/v1/chat/completions", content=body)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["code"] and error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param
    assert (await running.ask("hello")).status_code == 200


KEYED = """
keys:
  - {name: shop, sha256: 029f744422cc5d9b22a511eeae393de4850cc5f373da2363fd36146dab3124fe, policies: [customer-support]}
models:
  fast: {backend: echo, model: echo}
backends:
  echo: {type: echo}
"""
SHOP = {"authorization": "Bearer pr-test-key-of-the-shop-0123456789"}


@pytest.mark.parametrize(
    ("headers", "change", "status", "code"),
    [
        ({}, {}, 401, "invalid_api_key"),
        ({"authorization": "Bearer wrong"}, {}, 401, "invalid_api_key"),
        ({"authorization": "Basic eA=="}, {}, 401, "invalid_api_key"),
        (SHOP, {"model": "slow"}, 404, "model_not_found"),
        ({**SHOP, "x-router-policy": "other"}, {}, 403, "policy_not_allowed"),
        ({**SHOP, "x-router": "off"}, {}, 403, "not_allowed"),
        ({**SHOP, "content-encoding": "compress"}, {}, 415, "unsupported_encoding"),
        ({**SHOP, "host": "evil.example"}, {}, 200, None),
        ({"x-api-key": SHOP["authorization"].removeprefix("Bearer ")}, {}, 200, None),
        (SHOP, {}, 200, None),
    ],
)
async def test_who_may_do_what(
    headers: dict[str, str], change: dict[str, Any], status: int, code: str | None, start: Start
) -> None:
    running = await start(KEYED)
    body = {**GOOD, "model": "fast", **change}
    answer = await running.client.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    if code:
        assert answer.json()["error"]["code"] == code
    if status in (401, 403):
        assert answer.headers["x-should-retry"] == "false"


async def test_without_keys_only_this_machine_is_answered(start: Start) -> None:
    running = await start()
    answer = await running.client.post("/v1/chat/completions", json=GOOD, headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "host_not_allowed")


async def test_unknown_policy_is_a_404(start: Start) -> None:
    running = await start()
    answer = await running.client.post("/v1/chat/completions", json=GOOD, headers={"x-router-policy": "nothing"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "policy_not_found")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(start: Start) -> None:
    running = await start()
    read = 0

    async def endless() -> Any:
        nonlocal read
        for _ in range(200):
            read += 1 << 20
            yield b"x" * (1 << 20)

    told = await running.client.post("/v1/chat/completions", content=b"x", headers={"content-length": str(200 << 20)})
    streamed = await running.client.post("/v1/chat/completions", content=endless())
    assert [told.status_code, streamed.status_code] == [413, 413]
    assert read <= running.parts.settings.limits.body_bytes + (2 << 20)


@pytest.mark.parametrize(
    "path",
    ["/v1/chat/completions", "/chat/completions", "//v1//chat/completions/", "/p/customer-support/v1/chat/completions"],
)
async def test_paths_that_clients_use(path: str, start: Start) -> None:
    running = await start()
    assert (await running.client.post(path, json=GOOD)).json()["object"] == "chat.completion"


async def test_the_right_instructions_are_added_and_told(start: Start) -> None:
    running = await start()
    answer = await running.ask(GOOD["messages"][0]["content"])
    said = answer.json()["choices"][0]["message"]["content"]
    assert "eligibility" in said and "My blender arrived broken" in said
    headers = answer.headers
    assert headers["x-router-outcome"] == "classified"
    assert headers["x-router-task"].startswith("/")
    assert headers["x-router-revision"] == running.parts.registry.current().policy.revision
    assert headers["x-router-decision"] == headers["x-request-id"]
    assert headers["x-router-level"] in ("brief", "guided", "detailed")


async def test_the_headers_can_be_turned_off(start: Start) -> None:
    running = await start("headers: false\n")
    answer = await running.ask("refund please")
    assert not [name for name in answer.headers if name.startswith("x-router")]
    assert answer.headers["x-request-id"]


async def test_every_decision_is_recorded_without_the_users_words(start: Start) -> None:
    running = await start()
    answer = await running.ask("My blender arrived broken and I want my money back", user="u-77")
    decision_id = answer.headers["x-router-decision"]
    stored = (await running.client.get(f"/v1/router/decisions/{decision_id}")).json()
    assert stored["task"] == answer.headers["x-router-task"]
    assert stored["status"] == 200 and stored["response_id"] == answer.json()["id"]
    assert "blender" not in json.dumps(stored) and "u-77" not in json.dumps(stored)
    missing = await running.client.get("/v1/router/decisions/dec_none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "decision_not_found")


async def test_a_stored_decision_is_made_again_from_its_evidence(start: Start) -> None:
    """Law 1, over the shipped pack and a talk with switches: what is stored decides to itself."""
    running = await start()
    policy = running.parts.registry.current().policy
    for text in ("My blender arrived broken and I want my money back", "hello", "what is 2+2", "cancel order 20391"):
        answer = await running.ask(text, metadata={"tier": "pro"})
        await running.client.get("/metrics")  # writes what is queued
        row = running.parts.store.read(answer.headers["x-router-decision"])
        again = decide(policy, evidence_of(row))
        assert (again.task, again.level, [piece.id for piece in again.mix]) == (
            row["task"],
            row["level"],
            row["mix"],
        )


async def test_explain_decides_and_sends_nothing(start: Start) -> None:
    running = await start()
    found = (await running.client.post("/v1/router/explain", json=GOOD)).json()
    wanted = [
        "revision",
        "task",
        "tasks",
        "confidence",
        "level",
        "outcome",
        "mix",
        "dropped",
        "reasons",
        "text",
        "tokens",
    ]
    assert set(wanted) <= set(found)
    assert set(found["mix"][0]) >= {"id", "task", "level", "text", "tokens"}
    assert "router_requests_total{" not in (await running.client.get("/metrics")).text


async def test_models_are_listed_and_described(start: Start) -> None:
    running = await start(KEYED)
    listed = (await running.client.get("/v1/models", headers=SHOP)).json()
    assert [model["id"] for model in listed["data"]] == ["fast"]
    assert (await running.client.get("/models/fast", headers=SHOP)).json()["object"] == "model"
    assert (await running.client.get("/v1/models/none", headers=SHOP)).status_code == 404
    assert (await running.client.get("/v1/models")).status_code == 401


async def test_embeddings_and_completions_pass_through(start: Start) -> None:
    running = await start()
    embedded = await running.client.post("/v1/embeddings", json={"model": "echo", "input": ["a", "b"]})
    completed = await running.client.post("/v1/completions", json={"model": "echo", "prompt": "Once"})
    assert len(embedded.json()["data"]) == 2
    assert completed.json()["choices"][0]["text"]
    wrong = await running.client.post("/v1/embeddings", content=b"{")
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/chat/completions", 405), ("PUT", "/health/live", 405)],
)
async def test_every_error_has_openais_shape(method: str, path: str, status: int, start: Start) -> None:
    running = await start()
    answer = await running.client.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [("echo-fail-401", 401, None), ("echo-fail-503", 503, None), ("echo-garbage", 502, None)],
)
async def test_a_backends_error_arrives_with_its_status(
    model: str, status: int, code: str | None, start: Start
) -> None:
    running = await start("retries: {attempts: 0}\n")
    answer = await running.ask("hello", model=model)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert answer.headers["x-router-decision"]


async def test_a_stream_arrives_whole_and_a_cut_one_ends_in_an_error(start: Start) -> None:
    running = await start()
    whole = (await running.ask("hello", stream=True)).text
    cut = (await running.ask("hello", stream=True, model="echo-cut-2")).text
    assert whole.rstrip().endswith("data: [DONE]")
    assert "[DONE]" not in cut and '"error"' in cut.rstrip().rpartition("\n\n")[2]


async def test_the_fallback_answers_when_the_first_model_does_not(start: Start) -> None:
    running = await start(
        "retries: {attempts: 0}\nbackends: {echo: {type: echo}}\n"
        "models: {main: {backend: echo, model: echo-fail-503, fallback: [spare]}, spare: {backend: echo, model: echo}}\n"
    )
    answer = await running.ask("hello", model="main")
    assert (answer.status_code, answer.json()["model"]) == (200, "echo")


async def test_health_and_metrics_tell_what_runs(start: Start) -> None:
    running = await start()
    await running.ask("Where is my parcel?")
    ready = (await running.client.get("/health/ready")).json()
    assert (await running.client.get("/health/live")).json() == {"status": "live"}
    assert ready["policies"] == {"customer-support": running.parts.registry.current().policy.revision}
    metrics = (await running.client.get("/metrics")).text
    for name in (
        "router_requests_total",
        "router_stage_seconds_bucket",
        "router_overhead_seconds_count",
        "router_build",
    ):
        assert name in metrics
    for stage in ("parse", "observe", "decide", "weave", "send"):
        assert f'stage="{stage}"' in metrics


async def test_a_hundred_requests_at_once(start: Start) -> None:
    running = await start()
    answers = await asyncio.gather(*(running.ask(f"Where is order {number}?") for number in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-router-decision"] for answer in answers}) == 100
