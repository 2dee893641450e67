"""A message that may be about one of two tasks: what clients, operators and the learner are told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from router.stores.schema import assignments
from tests.support.application import Running, Start
from tests.support.doubtful import EITHER, LISTED, PACK

BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": EITHER}]},
    "responses": {"input": EITHER},
    "messages": {"max_tokens": 100, "messages": [{"role": "user", "content": EITHER}]},
}


@pytest.fixture
async def desk(start: Start, tmp_path: Path) -> Running:
    (tmp_path / "desk.yaml").write_text(PACK)
    return await start(packs=[tmp_path / "desk.yaml"])


async def decided(running: Running, decision: str) -> dict[str, Any]:
    return (await running.client.get(f"/v1/router/decisions/{decision}")).json()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("route", BODIES)
async def test_headers_name_what_lies_above_and_the_tasks_of_the_list(desk: Running, route: str, stream: bool) -> None:
    answer = await desk.client.post(f"/v1/{route}", json={"model": "echo", "stream": stream, **BODIES[route]})
    headers = answer.headers
    assert answer.status_code == 200
    assert stream or "Case: The customer waits for a parcel" in answer.text
    assert (headers["x-router-outcome"], headers["x-router-task"]) == ("shortlisted", "/order")
    assert set(headers["x-router-shortlist"].split(", ")) == LISTED
    stored = await decided(desk, headers["x-router-decision"])
    assert (stored["outcome"], stored["task"], stored["tasks"]) == ("shortlisted", "/order", ["/order"])
    assert ", ".join(stored["shortlist"]) == headers["x-router-shortlist"]


async def test_there_is_no_such_header_without_a_list(desk: Running) -> None:
    for text, task in (("I want my money back", "/order/refund"), ("hello", "/")):
        headers = (await desk.ask(text)).headers
        assert headers["x-router-task"] == task and "x-router-shortlist" not in headers
        assert (await decided(desk, headers["x-router-decision"]))["shortlist"] == []


async def test_all_tasks_of_a_message_are_told_the_main_one_first(desk: Running) -> None:
    """In headers, in the stored decision, by explain with the sentence that did it, and in metrics."""
    said = "I want my money back. When do you open?"
    both = ["/order/refund", "/hours"]
    headers = (await desk.ask(said)).headers
    assert headers["x-router-task"].split(", ") == both
    stored = await decided(desk, headers["x-router-decision"])
    assert (stored["task"], stored["tasks"]) == (both[0], both)
    assert "open" not in str(stored), "no words are stored"
    body = {"model": "echo", "messages": [{"role": "user", "content": said}]}
    found = (await desk.client.post("/v1/router/explain", json=body)).json()
    assert found["turns"][0]["tasks"] == both
    assert [(by["task"], by["sentence"]) for by in found["by_sentence"]] == [("/hours", "When do you open?")]
    metrics = (await desk.client.get("/metrics")).text
    for path in both:
        assert f'router_levels_total{{level="brief",policy="desk",task="{path}"}} 1.0\n' in metrics


async def test_explain_shows_the_list_with_its_masses_and_the_case_of_each_line(desk: Running) -> None:
    body = {"model": "echo", **BODIES["chat/completions"]}
    found = (await desk.client.post("/v1/router/explain", json=body)).json()
    assert {each["task"] for each in found["shortlist"]} == LISTED
    assert 0.5 <= sum(each["mass"] for each in found["shortlist"]) <= 1
    assert [reason["code"] for reason in found["reasons"]] == ["shortlisted"]
    assert {turn["task"]: set(turn["shortlist"]) for turn in found["turns"]} == {"/order": LISTED}
    cases = {line["text"]: line["case"] for line in found["mix"]}
    assert (cases["Ask for the order."], cases["Help with the refund."]) == ("", "/order/refund")
    assert found["certificate"]["in_force"] | {"known": 0} == {"sure": 0.9, "shortlist": 0.5, "known": 0}


async def test_metrics_count_each_zone_and_each_listed_task(desk: Running) -> None:
    for text in (EITHER, EITHER, "I want my money back", "hello"):
        await desk.ask(text)
    assert (
        await desk.client.post(
            "/v1/chat/completions", json={"model": "echo", **BODIES["chat/completions"]}, headers={"x-router": "off"}
        )
    ).is_success
    metrics = (await desk.client.get("/metrics")).text

    for outcome, task, times in (
        ("shortlisted", "/order", 2),
        ("classified", "/order/refund", 1),
        ("unclassified", "/", 1),
        ("bypassed", "/order", 1),
    ):
        assert f'router_requests_total{{outcome="{outcome}",policy="desk",task="{task}"}} {times}.0\n' in metrics
    for path in LISTED:
        assert f'router_shortlisted_total{{policy="desk",task="{path}"}} 2.0\n' in metrics


async def test_a_level_is_assigned_once_the_conversation_is_sure_of_its_task(desk: Running) -> None:
    def assigned() -> list[tuple[str, str]]:
        query = select(assignments.c.task, assignments.c.decision)
        return desk.parts.database.read(lambda connection: [tuple(row) for row in connection.execute(query)], "x", "x")

    talk = [{"role": "user", "content": EITHER}]
    first = await desk.client.post("/v1/chat/completions", json={"model": "echo", "messages": talk})
    await decided(desk, first.headers["x-router-decision"])
    assert assigned() == []
    talk += [{"role": "assistant", "content": "Which?"}, {"role": "user", "content": "I want my money back"}]
    second = await desk.client.post("/v1/chat/completions", json={"model": "echo", "messages": talk})
    assert second.headers["x-router-outcome"] == "classified"
    await decided(desk, second.headers["x-router-decision"])
    assert assigned() == [("/order/refund", second.headers["x-router-decision"])]


async def test_a_chain_of_answers_that_began_with_a_list_outlives_a_restart(start: Start, tmp_path: Path) -> None:
    pack = tmp_path / "desk.yaml"
    pack.write_text(PACK)
    running = await start(packs=[pack])
    first = (await running.client.post("/v1/responses", json={"model": "echo", "input": EITHER})).json()
    await running.stop()
    again = await start(packs=[pack])
    body = {"model": "echo", "input": "and then?", "previous_response_id": first["id"]}
    after = (await again.client.post("/v1/router/explain", json=body)).json()
    first_turn, _ = after["turns"]
    assert (first_turn["outcome"], set(first_turn["shortlist"])) == ("shortlisted", LISTED)
    assert "thread_unknown" not in [reason["code"] for reason in after["reasons"]]
