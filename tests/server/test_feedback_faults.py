"""Feedback while its database fails: refused or stored, and never anything between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.feedback_desk import KEYS, Begin, config, desks
from tests.support.postgres import GROUP, PostgresServer

SENDERS, BEFORE, AFTER = 8, 5, 5
PATIENCE_S = 120.0
FULL = {"authorization": f"Bearer {KEYS['full']}"}


@pytest.fixture
async def begin(tmp_path: Path, recognisers: Path) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:
        yield desks(stack, tmp_path, recognisers)


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    """A server of its own: nobody else's tests should see it crash."""
    started = await asyncio.to_thread(PostgresServer.start)
    yield started
    await asyncio.to_thread(started.remove)


@GROUP
@pytest.mark.timeout(180)
async def test_a_postgresql_that_crashes_loses_nothing_and_doubles_nothing(
    begin: Begin, server: PostgresServer
) -> None:
    desk = await begin(config(database=server.database()))
    decision = await desk.decide()
    seen: Counter[int] = Counter()
    acknowledged: list[str] = []
    going, back = asyncio.Event(), asyncio.Event()

    async def sender(number: int) -> None:
        """Send piece after piece, from before the crash until after it."""
        left = AFTER
        for n in count():
            if number == 0 and n == BEFORE:
                going.set()
            await send({"id": f"{number}-{n}", "decision": decision, "metric": "csat", "value": 3, "source": "agent"})
            left -= back.is_set()
            if not left:
                return

    async def send(said: dict[str, Any]) -> None:
        """Send until it is acknowledged, as clients do; a refusal says when to come again."""
        while True:
            answer = await desk.send(said)
            seen[answer.status_code] += 1
            if answer.status_code == 200:
                acknowledged.append(said["id"])
                return
            assert answer.headers["retry-after"]
            await asyncio.sleep(0.05)

    async def crash() -> None:
        await going.wait()
        await asyncio.to_thread(server.crash)
        while not seen[503]:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.begin)
        back.set()

    await asyncio.wait_for(asyncio.gather(crash(), *map(sender, range(SENDERS))), PATIENCE_S)
    stored = [row.id for row in desk.stored()]
    assert len(stored) == len(set(stored)) and set(stored) == set(acknowledged)
    assert set(seen) == {200, 503}
    await desk.stop()


def said(decision: str, **more: Any) -> dict[str, Any]:
    return {"decision": decision, "metric": "csat", "value": 3, "source": "agent", **more}


async def test_a_database_that_is_deleted_while_it_is_used_is_noticed_and_said(begin: Begin) -> None:
    desk = await begin()
    decision = await desk.decide()
    assert (await desk.send(said(decision))).status_code == 200
    for file in (desk.parts.settings.data).glob("router.db*"):
        file.unlink()
    refused = await desk.send(said(decision))
    assert refused.status_code == 503 and refused.headers["retry-after"]
    assert (await desk.ask()).status_code == 200
    metrics = (await desk.client.get("/metrics", headers=FULL)).text
    assert "router_feedback_unstored_total 1.0" in metrics
    assert 'router_degraded_total{code="feedback_failed"} 1.0' in metrics
    assert 'router_degraded_total{code="store_failed"}' in metrics
    degraded = (await desk.client.get("/health/ready", headers=FULL)).json()["degraded"]
    assert any("feedback: " in each and "was deleted or replaced" in each for each in degraded)
    assert any("decisions: " in each and "was deleted or replaced" in each for each in degraded)


async def test_a_damaged_database_at_the_start_is_set_aside_and_everything_is_served(
    begin: Begin, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "router.db").write_bytes(b"no database at all" * 1000)
    desk = await begin()
    decision = await desk.decide()
    assert (await desk.send(said(decision))).status_code == 200
    (degraded,) = (await desk.client.get("/health/ready", headers=FULL)).json()["degraded"]
    assert "database: " in degraded and "router.db.damaged-" in degraded
    assert (
        'router_degraded_total{code="database_set_aside"} 1.0' in (await desk.client.get("/metrics", headers=FULL)).text
    )


@GROUP
async def test_feedback_sent_to_another_replica_at_once_is_stored_or_to_be_sent_again(
    begin: Begin, server: PostgresServer
) -> None:
    written = config(database=server.database())
    first, second = await begin(written), await begin(written)
    answer = await first.ask()
    decision = answer.headers["x-router-decision"]
    assert (await second.send(said(decision))).status_code == 200
    by_answer = {"response_id": (await first.ask()).json()["id"], "metric": "csat", "value": 3, "source": "agent"}
    assert (await second.send(by_answer)).status_code == 200
    first.parts.recorder._writing.acquire()  # a replica that is slow to write
    decision = await first.decide()
    early = await second.send(said(decision))
    assert early.status_code == 503 and early.headers["retry-after"] == "1"
    assert early.json()["error"]["code"] == "decision_not_stored_yet"
    first.parts.recorder._writing.release()
    async with asyncio.timeout(PATIENCE_S):
        while (await second.send(said(decision))).status_code != 200:
            pass
    assert (await second.send(said("dec_unheard_of"))).status_code == 404
    await first.stop()
    await second.stop()
