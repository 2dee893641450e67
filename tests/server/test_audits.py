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
from router.core.decide import settle
from tests.support.application import Running, Start

POLICY = "customer-support"


def hardly_sure(running: Running) -> tuple[str, str]:
    """Return the example of the pack that is settled on a task with the least to spare, and another task."""
    snapshot = running.parts.registry.current()
    tasks, recogniser = snapshot.policy.tasks, snapshot.recogniser
    found = []
    for text in (text for task in tasks.values() for text in task.examples):
        belief = recogniser.step(None, text)[1]
        (first,) = settle(tasks, belief, recogniser.thresholds).paths
        if not tasks[first.path].children and not belief.sentences:
            found.append((first.confidence, text, first.path))
    _, text, path = min(found)
    return text, next(
        other for other in tasks if other.count("/") > 1 and not other.startswith(path[: path.index("/", 1)])
    )


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


async def test_wrong_decisions_move_the_thresholds_of_a_running_server_up_to_silence(
    start: Start, tmp_path: Path, support_pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "router.engine")
    data = tmp_path / "data"
    running = await start()
    registry = running.parts.registry
    before, thresholds = registry.current().policy.revision, registry.current().recogniser.thresholds
    text, other = hardly_sure(running)
    seen = [await ask(running, text, f"s{number}") for number in range(12)]
    assert {headers["x-router-outcome"] for headers in seen} == {"classified"}

    after, latest = before, seen
    for step in (1, 2):
        await label_all(running, data, other)
        after = await revision_after(running, after)
        assert after == f"{before}+{step}"
        latest = [await ask(running, text, f"step {step}, {number}") for number in range(12)]
        assert {headers["x-router-revision"] for headers in latest} == {after}
    assert {(headers["x-router-outcome"], headers["x-router-task"]) for headers in latest} == {("unclassified", "/")}
    assert (await ask(running, text, "s0"))["x-router-task"] == seen[0]["x-router-task"]  # it ends as it began
    assert "the thresholds moved from" in caplog.text and "nothing is settled or listed any more" in caplog.text

    await asyncio.to_thread(running.parts.recorder.flush)
    old = running.parts.store.read(seen[0]["x-router-decision"])["evidence"]["thresholds"]
    new = running.parts.store.read(latest[0]["x-router-decision"])["evidence"]["thresholds"]
    assert (old["sure"], old["shortlist"]) == (thresholds.sure, thresholds.shortlist)
    assert (new["sure"], new["shortlist"]) == (2, 2)
    assert old["certificate"] == new["certificate"] != ""
    metrics = (await running.client.get("/metrics")).text
    alarms = [line for line in metrics.splitlines() if line.startswith("router_audit_alarms_total{")]
    assert sum(float(line.rpartition(" ")[2]) for line in alarms) == 2
    assert all(f'policy="{POLICY}",promise="' in line for line in alarms)
    for name in ("sure", "shortlist"):
        assert f'router_threshold{{name="{name}",policy="{POLICY}"}} 2.0' in metrics

    status = await audit("status", support_pack, "--data", data, "--json")
    found = json.loads(status.stdout)
    assert status.exit_code == 1
    assert (found["step"], found["silent"], len(found["alarms"])) == (2, True, 2)

    again = await start()  # another server over the same folder begins where this one stands
    assert again.parts.registry.current().policy.revision == after
    await again.parts.reloader.reload()
    assert again.parts.registry.current().policy.revision == after


async def test_right_decisions_move_nothing(start: Start, tmp_path: Path) -> None:
    running = await start()
    text, _ = hardly_sure(running)
    for number in range(12):
        task = (await ask(running, text, f"s{number}"))["x-router-task"]
    await label_all(running, tmp_path / "data", task)
    seen = running.parts.tightening
    async with asyncio.timeout(20):
        while not seen.watches[POLICY].bets[0].audits:
            await asyncio.sleep(0.02)
    assert "+" not in running.parts.registry.current().policy.revision
    assert {bet.wrong for bet in seen.watches[POLICY].bets} == {0}
    metrics = (await running.client.get("/metrics")).text
    assert f'router_audit_alarms_total{{policy="{POLICY}",promise="error"}} 0.0' in metrics
    evidence = [line for line in metrics.splitlines() if line.startswith("router_audit_evidence{")]
    assert len(evidence) == len(seen.watches[POLICY].bets) and all(0 < float(line.split()[-1]) < 1 for line in evidence)


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


async def test_explain_shows_the_certificate(start: Start) -> None:
    running = await start()
    body = {"model": "echo", "messages": [{"role": "user", "content": "package arrived crushed"}]}
    found = (await running.client.post("/v1/router/explain", json=body)).json()["certificate"]
    assert found["basis"] == "certified" and "if traffic is like the examples" in found["promise"]
    assert found["in_force"] == {name: found["thresholds"][name] for name in ("sure", "shortlist", "known")}
