"""The three wire formats through the whole application: one line, each in its own shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.application import Running, Start

ASKED = "My blender arrived broken and I want my money back"
SAID = "Help the customer get a refund."

BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": ASKED}]},
    "responses": {"input": ASKED},
    "messages": {"max_tokens": 100, "messages": [{"role": "user", "content": ASKED}]},
}
ID_HEADER = {"messages": "request-id"}
OPENAI_ERROR, ANTHROPIC_ERROR = {"error"}, {"type", "error"}


async def send(running: Running, route: str, *, prefix: str = "/v1/", **more: Any) -> Any:
    body = {"model": "echo", **BODIES[route], **more}
    return await running.client.post(prefix + route, json=body)


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.parametrize("prefix", ["/v1/", "/", "//v1//", "/p/customer-support/v1/", "/p/customer-support/"])
async def test_every_format_is_recognised_woven_and_answered(start: Start, route: str, prefix: str) -> None:
    answer = await send(await start(), route, prefix=prefix)
    assert answer.status_code == 200 and SAID in answer.text and ASKED in answer.text
    assert answer.headers["x-router-task"] == "/billing/refund"
    assert answer.headers[ID_HEADER.get(route, "x-request-id")] == answer.headers["x-router-decision"]


@pytest.mark.parametrize("route", BODIES)
async def test_streams_arrive_and_their_usage_is_recorded(start: Start, route: str) -> None:
    running = await start()
    answer = await send(running, route, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream") and "refund" in answer.text
    found = (await running.client.get(f"/v1/router/decisions/{answer.headers['x-router-decision']}")).json()
    assert found["response_id"] and found["prompt_tokens"] > 20 and found["completion_tokens"] > 20
    metrics = (await running.client.get("/metrics")).text
    assert f'kind="prompt",model="other",policy="customer-support"}} {found["prompt_tokens"]}' in metrics


async def test_the_usage_that_a_client_did_not_ask_for_is_not_shown(start: Start) -> None:
    running = await start()
    silent = await send(running, "chat/completions", stream=True)
    told = await send(running, "chat/completions", stream=True, stream_options={"include_usage": True})
    assert '"usage"' not in silent.text and '"usage":{' in told.text


@pytest.mark.parametrize("route", ["messages/count_tokens", "responses/input_tokens"])
async def test_counting_counts_our_text_too_and_records_nothing(start: Start, route: str) -> None:
    running = await start()
    format_ = route.partition("/")[0]
    asked = {name: value for name, value in BODIES[format_].items() if name != "max_tokens"}
    counted = (await running.client.post(f"/v1/{route}", json={"model": "echo", **asked})).json()
    sent = (await send(running, format_)).json()
    assert counted["input_tokens"] == sent["usage"]["input_tokens"] > 100
    requests = [
        line for line in (await running.client.get("/metrics")).text.splitlines() if "router_requests_total{" in line
    ]
    assert [line.rpartition(" ")[2] for line in requests] == ["1.0"]


ERRORS: dict[str, tuple[str, dict[str, Any], int]] = {
    "no messages": ("messages", {"messages": []}, 400),
    "unknown model": ("messages", {"model": "echo-fail-503"}, 503),
    "no input": ("responses", {"input": None}, 400),
    "failing": ("responses", {"model": "echo-fail-503"}, 503),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_have_the_shape_of_their_format(start: Start, name: str) -> None:
    route, change, status = ERRORS[name]
    running = await start("retries: {attempts: 0}\nbackends: {echo: {type: echo}}\nmodels: {'*': {backend: echo}}")
    answer = await send(running, route, **change)
    found = answer.json()
    assert answer.status_code == status
    assert set(found) - {"request_id"} == (ANTHROPIC_ERROR if route == "messages" else OPENAI_ERROR)
    assert found["error"]["message"] and found["error"]["type"]
    assert ID_HEADER.get(route, "x-request-id") in answer.headers
    assert len(answer.headers.get_list("content-type")) == 1


@pytest.mark.parametrize("path", ["/v1/messages", "/messages/", "/v1/messages/count_tokens"])
async def test_what_the_edge_refuses_is_told_to_anthropics_clients_in_their_shape(start: Start, path: str) -> None:
    running = await start()
    answer = await running.client.post(path, content=b"{}", headers={"content-encoding": "compress"})
    assert answer.status_code == 415 and answer.json()["type"] == "error"


@pytest.mark.parametrize("route", BODIES)
async def test_a_stream_that_breaks_off_ends_with_an_error_of_its_format(start: Start, route: str) -> None:
    answer = await send(await start(), route, model="echo-cut-3", stream=True)
    last = answer.text.rstrip("\n").rpartition("\n\n")[2]
    assert ("event: error" in last) == (route != "chat/completions") and '"error"' in last
    assert "[DONE]" not in answer.text and "message_stop" not in answer.text and "response.completed" not in answer.text


async def test_a_kept_answer_is_asked_for_and_deleted_by_its_id(start: Start) -> None:
    running = await start()
    made = (await send(running, "responses")).json()
    path = f"/v1/responses/{made['id']}"
    assert (await running.client.get(path)).json()["output"] == made["output"]
    listed = (await running.client.get(f"{path}/input_items", params={"limit": 5})).json()
    assert ASKED in str(listed["data"])
    assert (await running.client.delete(path)).status_code == 200
    gone = await running.client.get(path)
    assert gone.status_code == 404 and gone.json()["error"]["message"]
    wrong = await running.client.put(path)
    assert wrong.status_code == 405 and wrong.headers["allow"] == "GET, DELETE"


TWO_TENANTS = """
keys:
  - {name: a, sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae, scopes: [infer, read]}
  - {name: b, sha256: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9, scopes: [infer, read]}
"""


async def test_an_answer_of_another_tenant_does_not_exist(start: Start) -> None:
    running = await start(TWO_TENANTS)
    body = {"model": "echo", "input": ASKED}
    made = await running.client.post("/v1/responses", json=body, headers={"authorization": "Bearer foo"})
    path = f"/v1/responses/{made.json()['id']}"
    asked = {key: await running.client.get(path, headers={"authorization": f"Bearer {key}"}) for key in ("foo", "bar")}
    assert {key: answer.status_code for key, answer in asked.items()} == {"foo": 200, "bar": 404}


async def test_a_chained_answer_keeps_its_instructions_and_tells_switches_only(start: Start) -> None:
    running = await start()
    first = (await send(running, "responses")).json()
    second = (await send(running, "responses", input="thanks, and how?", previous_response_id=first["id"])).json()
    assert second["instructions"] == first["instructions"]


async def test_anthropics_clients_get_their_key_header_and_their_models(start: Start) -> None:
    running = await start(TWO_TENANTS + "backends: {echo: {type: echo}}\nmodels: {careful: {backend: echo}}")
    headers = {"x-api-key": "foo", "anthropic-version": "2023-06-01"}
    listed = (await running.client.get("/v1/models", headers=headers)).json()
    assert listed["data"][0]["type"] == "model" and listed["first_id"] == listed["last_id"] == "careful"
    assert (await running.client.get("/v1/models/careful", headers=headers)).json()["display_name"] == "careful"
    assert (await running.client.get("/v1/models", headers=headers | {"x-api-key": "no"})).status_code == 401


async def test_moderations_pass_without_a_model(start: Start) -> None:
    answer = await (await start()).client.post("/v1/moderations", json={"input": "hello"})
    assert answer.status_code == 200 and answer.json()["results"][0]["flagged"] is False


@pytest.mark.parametrize("how", ["looks", "query", "header"])
@pytest.mark.parametrize("route", BODIES)
async def test_explain_takes_every_format(start: Start, route: str, how: str) -> None:
    running = await start()
    name = "chat" if route == "chat/completions" else route
    query = {"wire": name} if how == "query" else {}
    headers = {"anthropic-version": "2023-06-01"} if how == "header" and route == "messages" else {}
    body = {"model": "echo", **BODIES[route]}
    found = (await running.client.post("/v1/router/explain", json=body, params=query, headers=headers)).json()
    assert found["task"] == "/billing/refund"


async def test_explain_names_the_formats_it_knows(start: Start) -> None:
    answer = await (await start()).client.post("/v1/router/explain?wire=message", json={})
    assert answer.status_code == 400 and 'did you mean "messages"' in answer.json()["error"]["message"]


async def test_a_request_that_its_client_sends_again_is_counted_once(start: Start) -> None:
    running = await start()
    for retry in ("0", "1", "2"):
        body = {"model": "echo", **BODIES["chat/completions"]}
        headers = {"x-stainless-retry-count": retry}
        await running.client.post("/v1/chat/completions", json=body, headers=headers)
    metrics = (await running.client.get("/metrics")).text
    assert 'router_requests_total{outcome="classified",policy="customer-support",task="/billing/refund"} 1.0' in metrics
    assert 'router_client_retries_total{policy="customer-support"} 2.0' in metrics


async def test_a_conversation_under_way_outlives_a_restart_with_a_changed_pack(start: Start, tmp_path: Path) -> None:
    pack = tmp_path / "desk.yaml"
    pack.write_text("name: desk\nbrief: First text.\nrequired: [Never guess.]\n")
    talk = [{"role": "user", "content": "hello"}]
    running = await start(packs=[pack])
    before = await running.client.post("/v1/chat/completions", json={"model": "echo", "messages": talk})
    await running.stop()

    pack.write_text("name: desk\nbrief: Second text.\nrequired: [Never guess.]\n")
    again = await start(packs=[pack])
    talk += [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "and then?"}]
    after = await again.client.post("/v1/chat/completions", json={"model": "echo", "messages": talk})
    assert after.headers["x-router-revision"] == before.headers["x-router-revision"] and "First text." in after.text
    fresh = await again.ask("something else")
    assert "Second text." in fresh.text


async def test_a_chain_of_answers_outlives_a_restart_with_a_changed_pack(start: Start, tmp_path: Path) -> None:
    pack = tmp_path / "desk.yaml"
    pack.write_text("name: desk\nbrief: First text.\n")
    running = await start(packs=[pack])
    first = (await send(running, "responses", input="hello")).json()
    await running.stop()
    pack.write_text("name: desk\nbrief: Second text.\n")
    again = await start(packs=[pack])
    body = {"model": "echo-chained", "input": "and then?", "previous_response_id": first["id"]}
    after = await again.client.post("/v1/router/explain", json=body)
    assert after.json()["text"] == "First text." and len(after.json()["turns"]) == 2
