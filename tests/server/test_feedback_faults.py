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

from tests.support.feedback_desk import Begin, config, desks
from tests.support.postgres import GROUP, PostgresServer

SENDERS, BEFORE, AFTER = 8, 5, 5
PATIENCE_S = 120.0


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
