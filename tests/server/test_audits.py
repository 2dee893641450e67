"""From a wrong answer to a stricter threshold: drawn, labelled and recorded beside a server that runs."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands.main import app
from tests.support.application import Running, Start

POLICY = "customer-support"


def hardly_settled(running: Running) -> str:
    """Return the example of the pack that passes its domain's threshold with the least to spare."""
    snapshot = running.parts.registry.current()
    recogniser = snapshot.recogniser
    domains = snapshot.policy.tasks["/"].children
    found = []
    for text in (text for task in snapshot.policy.tasks.values() for text in task.examples):
        belief = recogniser.step(None, text)[1]
        mass = max(belief.mass.get(domain, 0.0) for domain in domains)
        if mass >= recogniser.thresholds.by_depth[0] and not belief.sentences:
            found.append((mass, text))
    return min(found)[1]


async def ask(running: Running, text: str, session: str) -> dict[str, str]:
    """Ask in a conversation of its own, and return the headers of the answer."""
    body = {"model": "echo", "messages": [{"role": "user", "content": text}]}
    answer = await running.client.post("/v1/chat/completions", json=body, headers={"x-session-id": session})
    return dict(answer.headers)


async def audit(*arguments: Any, given: str | None = None) -> Result:
    """Run `router audit` as an operator does beside the server."""
    words = ["audit", *map(str, arguments)]
    return await asyncio.to_thread(CliRunner().invoke, app, words, input=given)


async def label_all(running: Running, data: Path, task: str) -> None:
    """Draw every decision and say that it was about `task`."""
    await asyncio.to_thread(running.parts.recorder.flush)
    drawn = await audit("draw", "--rate", 1, "--data", data)
    assert drawn.exit_code == 0, drawn.output
    lines = [json.loads(line) | {"task": task} for line in drawn.stdout.splitlines()]
    given = "\n".join(map(json.dumps, lines))
    done = await audit("record", "-", "--rate", 1, "--data", data, "--json", given=given)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"recorded": len(lines), "known": 0, "unlabelled": 0}


async def revision_after(running: Running, before: str) -> str:
    """Wait for another revision, as an operator's probe would."""
    async with asyncio.timeout(20):
        while (now := running.parts.registry.current().policy.revision) == before:
            await asyncio.sleep(0.02)
    return now


async def test_wrong_decisions_move_the_threshold_of_a_running_server(
    start: Start, tmp_path: Path, support_pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "router.engine")
    data = tmp_path / "data"
    running = await start()
    registry = running.parts.registry
    before, thresholds = registry.current().policy.revision, registry.current().recogniser.thresholds
    text = hardly_settled(running)
    seen = [await ask(running, text, f"s{number}") for number in range(12)]
    assert len({headers["x-router-task"] for headers in seen} - {"/"}) == 1

    after, rounds, headers = before, 0, seen[0]
    while headers["x-router-task"] != "/":
        await label_all(running, data, "/")
        rounds, after = rounds + 1, await revision_after(running, after)
        assert after.startswith(f"{before}+{rounds}.")
        latest = [await ask(running, text, f"round {rounds}, {number}") for number in range(12)]
        headers = latest[-1]
        assert headers["x-router-revision"] == after
    assert (await ask(running, text, "s0"))["x-router-task"] == seen[0]["x-router-task"]  # it ends as it began
    assert "the threshold moved from" in caplog.text

    await asyncio.to_thread(running.parts.recorder.flush)
    old = running.parts.store.read(seen[0]["x-router-decision"])["evidence"]["thresholds"]
    new = running.parts.store.read(headers["x-router-decision"])["evidence"]["thresholds"]
    assert tuple(old["by_depth"]) == thresholds.by_depth and new["by_depth"][0] > old["by_depth"][0]
    assert old["certificate"] == new["certificate"] != ""
    metrics = (await running.client.get("/metrics")).text
    assert f'router_audit_alarms_total{{depth="1",policy="{POLICY}"}} {rounds}.0' in metrics
    assert f'router_threshold{{depth="1",policy="{POLICY}"}} {new["by_depth"][0]}' in metrics

    status = await audit("status", support_pack, "--data", data, "--json")
    domain = json.loads(status.stdout)["depths"][0]
    assert status.exit_code == 1
    assert (domain["step"], domain["audits"], domain["threshold"]) == (rounds, 0, new["by_depth"][0])

    again = await start()  # another server over the same folder begins where this one stands
    assert again.parts.registry.current().policy.revision == after
    await again.parts.reloader.reload()
    assert again.parts.registry.current().policy.revision == after


async def test_right_decisions_move_nothing(start: Start, tmp_path: Path) -> None:
    running = await start()
    text = hardly_settled(running)
    for number in range(12):
        task = (await ask(running, text, f"s{number}"))["x-router-task"]
    await label_all(running, tmp_path / "data", task)
    seen = running.parts.tightening
    async with asyncio.timeout(20):
        while not seen.watches[POLICY][0].audits:
            await asyncio.sleep(0.02)
    assert "+" not in running.parts.registry.current().policy.revision
    assert [each.wrong for each in seen.watches[POLICY]] == [0, 0]


async def test_a_broken_table_of_audits_costs_no_answer(start: Start, tmp_path: Path) -> None:
    running = await start()
    before = running.parts.registry.current()
    connection = sqlite3.connect(tmp_path / "data" / "router.db")
    with connection:
        connection.execute("DROP TABLE audits")
    connection.close()
    async with asyncio.timeout(20):
        while 'router_degraded_total{code="audits_failed"}' not in (await running.client.get("/metrics")).text:
            await asyncio.sleep(0.05)
    assert (await running.ask("hello")).status_code == 200
    assert running.parts.registry.current() is before
    (reloaded,) = await running.parts.reloader.reload()
    assert (reloaded.changed, reloaded.fault) == (False, "")


async def test_explain_shows_the_certificates(start: Start) -> None:
    running = await start()
    body = {"model": "echo", "messages": [{"role": "user", "content": "package arrived crushed"}]}
    found = (await running.client.post("/v1/router/explain", json=body)).json()["certificates"]
    assert [each["depth"] for each in found] == [1, 2]
    assert all(
        each["in_force"] == each["threshold"] and "if traffic is like the examples" in each["promise"] for each in found
    )
