"""Requests that name no conversation, over reloads and a restart: what a client is told, and which revision it gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.application import Running, Start

PACK = "name: desk\nbrief: {text}\n"
SAID = "I want my money back"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text(PACK.format(text="Text 0."))
    return file


async def reload(running: Running, pack: Path, number: int) -> str:
    pack.write_text(PACK.format(text=f"Text {number}."))
    await running.parts.reloader.reload()
    return running.parts.registry.current().policy.revision


async def ask(running: Running, *said: str, **more: Any) -> httpx.Response:
    messages = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(said)]
    return await running.client.post("/v1/chat/completions", json={"model": "echo", "messages": messages, **more})


def answer_of(response: httpx.Response) -> str:
    if response.headers["content-type"].startswith("application/json"):
        return str(response.json()["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    choices = [choice for event in events for choice in json.loads(event)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_new_conversation_gets_the_revision_in_force_and_one_that_goes_on_its_own(
    start: Start, pack: Path, stream: bool
) -> None:
    running = await start(packs=[pack])
    first = await ask(running, SAID, stream=stream)
    began = first.headers["x-router-revision"]
    for number in range(1, 6):
        now = await reload(running, pack, number)
        body = {"model": "echo", "messages": [{"role": "user", "content": SAID}]}
        explained = (await running.client.post("/v1/router/explain", json=body)).json()
        assert (await ask(running, SAID)).headers["x-router-revision"] == explained["revision"] == now != began
    later = await ask(running, SAID, answer_of(first), "and now?")
    assert later.headers["x-router-revision"] == began
    await running.stop()
    again = await start(packs=[pack])
    last = await ask(again, SAID, answer_of(first), "and now?", answer_of(later), "well?")
    assert last.headers["x-router-revision"] == began
    ids = [each.headers["x-router-decision"] for each in (first, later, last)]
    stored = [(await again.client.get(f"/v1/router/decisions/{each}")).json() for each in ids]
    assert len({each["unit"] for each in stored}) == 1


NAMES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"x-conversation-id": "c1"}),
    ({}, {"x-session-id": "c1"}),
    ({"metadata": {"conversation_id": "c1"}}, {}),
    ({"metadata": {"session_id": "c1"}}, {}),
]


async def test_an_answer_says_where_nothing_named_the_conversation(start_small: Start) -> None:
    running = await start_small()
    for named, headers in [*NAMES, ({}, {}), ({"user": "ann"}, {})]:
        body = {"model": "echo", "messages": [{"role": "user", "content": SAID}], **named}
        answer = await running.client.post("/v1/chat/completions", json=body, headers=headers)
        told = (await running.client.post("/v1/router/explain", json=body, headers=headers)).json()["conversation"]
        is_named = (named, headers) in NAMES
        assert answer.headers.get("x-router-conversation") == (None if is_named else "unnamed")
        assert told == ("named" if is_named else "unnamed")
