"""What the running server makes of answers and of what is said about them: checks, signals, the judge, levels, metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from router.core.learning import DialKey, ExperimentEvent
from router.stores import SqlLearningStore
from router.stores.schema import assignments
from tests.support.application import Running, Start

PACK = """
name: desk
brief: Be polite.
settings: {thresholds: {sure: 0.4}, tuning: auto, holdout: 0.0}
metrics:
  resolved: {type: boolean, primary: true, horizon: 72h, default: true}
  csat: {type: rating, range: [1, 5]}
  kept: {type: checks}
  quality: {type: number, range: [0, 10]}
signals:
  thanks: {user_says: ['thank you'], says: {resolved: true}}
  complaint: {user_says: ['useless'], says: {resolved: false}}
judge: {model: judge, metric: quality, rate: 1.0, rubric: Is the answer about parcels?}
tasks:
  parcel:
    examples: [where is my parcel, track my parcel, my delivery is late, has it shipped]
    brief:
      - {text: Say parcel., check: {mentions_any: [parcel]}}
      - {text: Say umbrella in French., check: {mentions_any: [parapluie]}}
    detailed:
      - {text: Name the day., check: {mentions_any: [nowhere to be found]}}
"""


class Judge:
    """A server of chat completions that gives every answer the same score."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.heard = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
        self.asked.append(json.loads(await reader.readexactly(length)))
        message = {"role": "assistant", "content": '{"score": 0.7}'}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"id": "j1", "object": "chat.completion", "choices": [choice]}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n")
        writer.write(b"content-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        self.heard.set()


@pytest.fixture
async def judge() -> AsyncIterator[tuple[Judge, int]]:
    judge = Judge()
    server = await asyncio.start_server(judge, "127.0.0.1", 0)
    yield judge, server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def desk(start: Start, tmp_path: Path, judge: tuple[Judge, int]) -> Running:
    (tmp_path / "desk.yaml").write_text(PACK)
    config = {
        "backends": {
            "echo": {"type": "echo"},
            "scripted": {"type": "openai", "base_url": f"http://127.0.0.1:{judge[1]}"},
        },
        "models": {"judge": {"backend": "scripted", "model": "strong"}, "*": {"backend": "echo"}},
    }
    return await start(json.dumps(config), packs=[tmp_path / "desk.yaml"])


async def ask(desk: Running, *turns: str, stream: bool = False, user: str = "ann") -> str:
    """Send a conversation and return the id of its decision."""
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]
    more = {"user": user, "metadata": {"conversation_id": f"c-{user}"}, "stream": stream}
    answer = await desk.client.post("/v1/chat/completions", json={"model": "m", "messages": messages, **more})
    assert answer.status_code == 200
    await asyncio.to_thread(desk.parts.recorder.flush)
    await asyncio.to_thread(desk.parts.answer_queue.flush)
    return answer.headers["x-router-decision"]


async def said(desk: Running, decision: str) -> list[tuple[str, Any, str, str]]:
    found = (await desk.client.get(f"/v1/router/decisions/{decision}")).json()["feedback"]
    return sorted((row["metric"], row["value"], row["source"], row["about"]) for row in found)


@pytest.mark.parametrize("stream", [False, True])
async def test_checks_are_run_on_every_answer(desk: Running, stream: bool) -> None:
    decision = await ask(desk, "where is my parcel", stream=stream)
    # The echo says what it was told: "Say parcel" holds by itself, "parapluie" does not.
    assert ("kept", 0.5, "system", "decision") in await said(desk, decision)
    counts = {
        (row.instruction, row.said): (row.answers, row.held)
        for row in SqlLearningStore(desk.parts.database).compliance("desk")
    }
    assert counts == {
        ("/parcel:brief.1", True): (1, 1),
        ("/parcel:brief.2", True): (1, 0),
        ("/parcel:detailed.1", False): (1, 0),
    }


async def test_what_a_user_says_next_is_heard(desk: Running) -> None:
    decision = await ask(desk, "where is my parcel", "On its way.", "thank you")
    assert ("resolved", True, "system", "conversation") in await said(desk, decision)
    decision = await ask(desk, "where is my parcel", "On its way.", "useless", user="ben")
    assert ("resolved", False, "system", "conversation") in await said(desk, decision)
    metrics = (await desk.client.get("/metrics")).text
    assert 'router_signals_total{policy="desk",signal="thanks"} 1.0' in metrics
    assert 'router_feedback_total{metric="resolved",policy="desk",source="system"} 2.0' in metrics


async def test_the_judge_is_asked_through_the_model_table(desk: Running, judge: tuple[Judge, int]) -> None:
    decision = await ask(desk, "where is my parcel")
    await judge[0].heard.wait()
    assert judge[0].asked[0]["model"] == "strong" and "about parcels?" in json.dumps(judge[0].asked[0])
    found: list[tuple[str, Any, str, str]] = []
    for _ in range(100):
        await asyncio.to_thread(desk.parts.answer_queue.flush)
        found = await said(desk, decision)
        if any(source == "judge" for _, _, source, _ in found):
            break
        await asyncio.sleep(0.02)  # the verdict comes on the event loop, of which nothing tells
    assert ("quality", 7.0, "judge", "decision") in found


async def test_a_token_from_an_answer_is_all_a_web_page_needs(desk: Running) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "where is my parcel"}]}
    answer = await desk.client.post("/v1/chat/completions", json=body)
    sent = {"token": answer.headers["x-router-feedback"], "metric": "resolved", "value": False}
    done = await desk.client.post("/v1/feedback", content=json.dumps(sent), headers={"content-type": "text/plain"})
    assert (done.status_code, done.json()["decision"]) == (200, answer.headers["x-router-decision"])


def assigned(desk: Running) -> list[tuple[str, str]]:
    """The conversations whose level counts, by decision and task."""
    desk.parts.recorder.flush()
    rows = desk.parts.database.read(lambda c: c.execute(select(assignments)).all(), "x", "x")
    return [(row.decision, row.task) for row in rows]


async def test_a_level_counts_with_the_first_answer_and_not_with_what_asks_for_none(desk: Running) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "where is my parcel"}]}
    for path in ("/v1/router/explain?wire=messages", "/v1/messages/count_tokens"):
        assert (await desk.client.post(path, json=body)).status_code == 200
    off = await desk.client.post("/v1/messages", json=body, headers={"x-router": "off"})
    assert off.status_code == 200 and assigned(desk) == []
    named = {"x-session-id": "s1"}  # else each would be a conversation of its own
    first = await desk.client.post("/v1/messages", json=body, headers=named)
    again = await desk.client.post("/v1/messages", json=body, headers=named)
    assert again.status_code == 200
    assert assigned(desk) == [(first.headers["x-router-decision"], "/parcel")]


async def test_levels_follow_the_log_that_another_replica_writes(desk: Running) -> None:
    store = SqlLearningStore(desk.parts.database)
    key, facts = (
        DialKey("/parcel", "m"),
        {"trial": "t", "kind": "up", "incumbent": "guided", "challenger": "detailed"},
    )
    text = desk.parts.registry.current().policy.texts["/parcel"]
    numbers = {"share": 0.1, "alpha": 0.025, "margin": 0.0, "text": text, "k": 1, "metric": "resolved"}
    started = ExperimentEvent(1, "desk", "started", key, {**facts, **numbers})
    assert store.append(
        [started, ExperimentEvent(2, "desk", "stepped", key, {**facts, "from": "guided", "to": "detailed"})], 0
    )
    await asyncio.to_thread(desk.parts.learner.heed)
    answer = await desk.client.post(
        "/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "where is my parcel"}]}
    )
    assert answer.headers["x-router-level"] == "detailed" and "Name the day." in answer.text
    found = (await desk.client.get("/v1/router/levels")).json()["policies"]
    assert [(each["policy"], each["mode"], each["last"]) for each in found] == [("desk", "auto", 2)]
    [dial] = found[0]["dials"]
    assert (dial["key"]["task"], dial["level"], dial["start"]) == ("/parcel", "detailed", "guided")
    assert 'router_tuned_level{model="m",policy="desk",task="/parcel"} 3.0' in (await desk.client.get("/metrics")).text
