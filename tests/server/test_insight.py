"""What tells of the installation is for those who hold a key, and does not grow with what clients make up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import openai
import pytest

from router.core.ports import Usage
from router.core.trace import Trace
from tests.support.application import Running, Start

SECRETS = {"reader": "pr-secret-of-the-reader", "app": "pr-secret-of-the-app", "other": "pr-secret-of-another"}
SCOPES = {"reader": ["read"], "app": ["infer", "read"], "other": ["infer", "read"]}
KEYS = [
    {"name": name, "sha256": hashlib.sha256(secret.encode()).hexdigest(), "scopes": SCOPES[name]}
    for name, secret in SECRETS.items()
]
ASKED = "My blender arrived broken and I want my money back"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS[name]}"}


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json"])
async def test_where_keys_are_configured_it_takes_one(start_small: Start, path: str) -> None:
    running = await start_small(json.dumps({"keys": KEYS}))
    assert (await running.client.get(path)).status_code == 401
    assert (await running.client.get(path, headers=bearer("reader"))).status_code == 200


async def test_probes_need_no_key_but_see_no_details(start_small: Start) -> None:
    running = await start_small(json.dumps({"keys": KEYS}))
    bare = await running.client.get("/health/ready")
    assert (bare.status_code, bare.json()) == (200, {"status": "ready"})
    full = await running.client.get("/health/ready", headers=bearer("reader"))
    assert "customer-support" in full.json()["policies"]


@pytest.mark.parametrize("settings", [{}, {"keys": KEYS, "public_metrics": True}], ids=["keyless", "public"])
async def test_without_keys_or_by_a_setting_everybody_sees_it(start_small: Start, settings: dict[str, Any]) -> None:
    running = await start_small(json.dumps(settings))
    assert "router_in_flight" in (await running.client.get("/metrics")).text
    assert "/v1/router/explain" in (await running.client.get("/openapi.json")).json()["paths"]
    assert "policies" in (await running.client.get("/health/ready")).json()


# ---------------------------------------------------------------------------------------------------- bounded labels


def series(running: Running) -> set[str]:
    running.parts.recorder.flush()
    text = running.parts.metrics.text().decode()
    return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}


async def test_names_that_clients_make_up_are_no_labels(start_small: Start) -> None:
    running = await start_small(json.dumps({"models": {"known": {"backend": "echo"}, "*": {"backend": "echo"}}}))
    await running.ask(ASKED)
    before = series(running)
    for number in range(40):
        made_up = {"x-router-policy": f"p{number}", "x-session-id": f"s{number}", "x-tenant": f"t{number}"}
        body = {"model": f"rnd-{number}", "messages": [{"role": "user", "content": ASKED}], "user": f"u{number}"}
        await running.client.post("/v1/chat/completions", json=body, headers=made_up)
        await running.client.post("/v1/chat/completions", json=body | {"stream": True})
    assert not [line for line in series(running) if "rnd-" in line]
    assert len(series(running) - before) < 100
    await running.ask(ASKED, model="known")
    assert 'router_usage_tokens_total{kind="prompt",model="known",policy="customer-support"}' in series(running)


async def test_five_thousand_names_and_codes_stay_below_a_hundred_series(start_small: Start) -> None:
    running = await start_small()
    kept: list[Trace] = []
    fold = running.parts.telemetry.fold
    running.parts.telemetry.fold = lambda traces: kept.extend(traces)  # type: ignore[method-assign]
    await running.ask(ASKED)
    running.parts.recorder.flush()
    fold(kept)
    before = series(running)
    fold(
        replace(
            kept[0], model=f"m{number}", tenant=f"t{number}", error=f"provider_word_{number}", usage=Usage(5, 1, 1, 1)
        )
        for number in range(5_000)
    )
    assert len(series(running) - before) < 100


# ------------------------------------------------------------------------------------------- decisions by their answer


@pytest.mark.parametrize("stream", [False, True])
async def test_a_decision_is_found_by_the_id_of_its_answer(start_small: Start, stream: bool) -> None:
    running = await start_small(json.dumps({"keys": KEYS}))
    client = openai.AsyncOpenAI(
        api_key=SECRETS["app"], base_url="http://127.0.0.1:8080/v1", http_client=running.client, max_retries=0
    )
    messages: Any = [{"role": "user", "content": ASKED}]
    answer: Any = await client.chat.completions.create(model="m", messages=messages, stream=stream)
    answer_id = [chunk.id async for chunk in answer][-1] if stream else answer.id
    path = f"/v1/router/decisions/{answer_id}"
    found = (await running.client.get(path, headers=bearer("app"))).json()
    assert (found["task"], found["response_id"]) == ("/", answer_id)
    by_decision = await running.client.get(f"/v1/router/decisions/{found['id']}", headers=bearer("app"))
    assert by_decision.json() == found
    refused = await running.client.get(path, headers=bearer("other"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "decision_not_found")


# --------------------------------------------------------------------------------------------- the first page, and a line


async def test_the_first_page_says_where_to_go_and_tells_nothing_of_the_installation(start_small: Start) -> None:
    running = await start_small(json.dumps({"keys": KEYS}))
    page = await running.client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/plain")
    assert "http://127.0.0.1:8080/v1" in page.text and "customer-support" not in page.text
    told = (await running.client.get("/", headers={"accept": "application/json"})).json()
    assert told["base_url"] == "http://127.0.0.1:8080/v1"
    assert all(path in page.text for path in told["routes"])
    for path in ("/v1/models", "/health/ready", "/metrics", "/openapi.json"):
        assert path in told["routes"]
        assert (await running.client.get(path, headers=bearer("app"))).status_code == 200


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_request_is_a_line_without_words_where_that_is_wanted(
    start_small: Start, caplog: pytest.LogCaptureFixture, wanted: bool
) -> None:
    running = await start_small(json.dumps({"log": {"requests": wanted}}))
    with caplog.at_level("INFO", "router.requests"):
        answer = await running.ask(ASKED)
        running.parts.recorder.flush()
    lines = [record.getMessage() for record in caplog.records if record.name == "router.requests"]
    assert len(lines) == wanted
    for line in lines:
        assert answer.headers["x-router-decision"] in line and "task=/ " in line and "status=200" in line
        assert "blender" not in line and "total=" in line
