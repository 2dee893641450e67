"""A changed pack on live traffic: decided in shadow, served to a share, to all, taken back; and a bad rule released."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from router.commands.main import app
from router.core.rollout import is_drawn
from router.engine.snapshot import OLD_REVISIONS_KEPT
from tests.support.application import Running, Start

PACK = "name: desk\nbrief: {text}\nrequired: [Never guess.]\n"

Command = Callable[..., Any]


def pack_of(folder: Path, text: str, name: str = "desk.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(PACK.format(text=text))
    return file


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return pack_of(tmp_path, "First text.")


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    return pack_of(tmp_path / "changed", "Second text.")


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run a command as an operator would, on the server's data folder; return what it says as JSON."""

    def run(*words: object, code: int = 0) -> Any:
        found = CliRunner().invoke(app, [*map(str, words), "--data", str(tmp_path / "data"), "--json"])
        assert found.exit_code == code, found.output
        return json.loads(found.stdout)

    return run


async def say(running: Running, conversation: str, *texts: str) -> tuple[str, str]:
    """Send a conversation; return the text of the answer, which shows what was sent, and the revision."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    answer = await running.client.post(
        "/v1/chat/completions",
        json={"model": "echo", "messages": messages},
        headers={"x-conversation-id": conversation},
    )
    assert answer.status_code == 200
    return answer.text, answer.headers["x-router-revision"]


def breaks(running: Running) -> int:
    running.parts.prefixes.look()
    text = running.parts.metrics.text().decode()
    lines = [line for line in text.splitlines() if line.startswith("router_prefix_break_total{")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def shadow_counts(running: Running) -> dict[str, float]:
    running.parts.prefixes.look()
    running.parts.shadow.flush()
    lines = [line for line in running.parts.metrics.text().decode().splitlines() if "shadow_decisions_total{" in line]
    return {line.partition('result="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_a_shadow_decides_and_nothing_of_it_is_sent(
    start: Start, pack: Path, changed: Path, command: Command
) -> None:
    running = await start(packs=[pack])
    command("canary", changed, "--shadow")
    running.parts.rollouts.heed()
    ids = set()
    for number in range(3):
        answer = await running.ask(f"hello {number}")
        assert "First text." in answer.text and "Second text." not in answer.text
        ids.add(answer.headers["x-router-decision"])
    assert shadow_counts(running) == {"different": 3.0}
    found = command("canary")
    assert (found["decided"], found["alike"], found["different"], found["share"]) == (3, 0, 3, 0.0)
    (row,) = found["differences"]
    assert (row["before"], row["after"], row["decisions"]) == ("/", "/ (other words)", 3)
    assert row["decision"] in ids and "hello" not in json.dumps(found)
    assert (await running.client.get("/health/ready")).json()["tried"]["desk"]["share"] == 0.0
    command("canary", "--stop")
    running.parts.rollouts.heed()
    await running.ask("hello again")
    assert shadow_counts(running) == {"different": 3.0}


async def test_a_share_of_conversations_gets_it_and_each_stays_on_its_side(
    start: Start, pack: Path, changed: Path, command: Command
) -> None:
    running = await start(packs=[pack])
    began, _ = await say(running, "before", "hello")
    revision = command("canary", changed, "--share", 50)["revision"]
    running.parts.rollouts.heed()
    side = {f"c{number}": (await say(running, f"c{number}", "hello"))[1] for number in range(40)}
    assert 5 < sum(found == revision for found in side.values()) < 35
    for step in ("--share=90", "--all", "--stop"):
        command("canary", step)
        running.parts.rollouts.heed()
        for conversation, found in side.items():
            text, same = await say(running, conversation, "hello", "Hello.", "and now?")
            assert same == found and ("Second text." in text) == (found == revision), (step, conversation)
        assert "First text." in (await say(running, "before", "hello", "Hello.", "and now?"))[0]
        expected = {"--all": True, "--stop": False}
        if step in expected:
            text, _ = await say(running, f"new after {step}", "hello")
            assert ("Second text." in text) == expected[step]
    assert "First text." in began and not breaks(running)


async def test_what_is_in_force_is_not_tried(start: Start, pack: Path, changed: Path, tmp_path: Path) -> None:
    await start(packs=[pack])
    words = ["canary", "--share", "10", "--data", str(tmp_path / "data")]
    found = CliRunner().invoke(app, [*words, str(pack_of(changed.parent, "First text."))])
    assert found.exit_code == 2 and "in force" in found.output
    assert CliRunner().invoke(app, [*words, str(pack_of(changed.parent, "Second text."))]).exit_code == 0


def test_whoever_is_in_at_a_tenth_is_in_at_a_third() -> None:
    names = [f"conversation {number}" for number in range(2_000)]
    tenth, third = ({name for name in names if is_drawn(name, "abc", share)} for share in (0.1, 0.3))
    assert tenth < third and 140 < len(tenth) < 260 and 520 < len(third) < 680
    assert all(is_drawn(name, "abc", 1.0) for name in names) and not any(is_drawn(name, "abc", 0.0) for name in names)
    assert tenth != {name for name in names if is_drawn(name, "another", 0.1)}


async def test_it_survives_a_restart_and_other_replicas_follow(
    start: Start, pack: Path, changed: Path, command: Command
) -> None:
    running = await start(packs=[pack])
    revision = command("canary", changed, "--all")["revision"]
    changed.unlink()  # what is tried is in the database
    running.parts.rollouts.heed()
    assert (await say(running, "a", "hello"))[1] == revision
    replica = await start(packs=[pack])
    assert (await say(replica, "b", "hello"))[1] == revision
    await replica.stop()
    await running.stop()
    running = await start(packs=[pack])
    assert (await say(running, "a", "hello", "Hello.", "more"))[1] == revision
    assert (await say(running, "c", "hello"))[1] == revision
    command("canary", "--stop")
    running.parts.rollouts.heed()
    assert (await say(running, "a", "hello", "Hello.", "more"))[1] == revision
    assert (await say(running, "d", "hello"))[1] != revision


async def test_the_trial_is_over_when_the_pack_is_in_force(
    start: Start, pack: Path, changed: Path, command: Command
) -> None:
    running = await start(packs=[pack])
    revision = command("canary", changed, "--all")["revision"]
    running.parts.rollouts.heed()
    pack.write_text(changed.read_text())
    await running.parts.reloader.reload()
    running.parts.rollouts.heed()
    assert running.parts.registry.current().policy.revision == revision
    assert (await running.client.get("/health/ready")).json()["tried"] == {}
    assert not command("canary", "--policy", "desk")["revision"]
    pack_of(pack.parent, "First text.")  # whoever goes back does not want it tried again
    await running.parts.reloader.reload()
    running.parts.rollouts.heed()
    assert (await running.client.get("/health/ready")).json()["tried"] == {}
    assert "First text." in (await say(running, "a", "hello"))[0]


async def test_a_pack_with_errors_is_refused_with_what_check_finds(
    start: Start, pack: Path, changed: Path, command: Command, tmp_path: Path
) -> None:
    running = await start(packs=[pack])
    changed.write_text("name: desk\nbreif: x\n")
    faults = command("canary", changed, "--share", 10, code=1)["faults"]
    assert faults[0]["line"] == 2 and "breif" in faults[0]["message"]
    changed.write_text("name: desk\nbrief: Second text.\n")  # the required rule is gone
    lost = command("canary", changed, "--share", 10, code=1)["findings"]
    assert any("required" in finding["message"] for finding in lost)
    changed.write_text(PACK.format(text="Text.").replace("desk", "shop"))
    assert "nobody serves" in command("canary", changed, "--shadow", code=2)["error"]
    assert "changed pack" in command("canary", "--all", code=2)["error"]
    running.parts.rollouts.heed()
    assert not running.parts.registry.canaries and not running.parts.shadow.trying


async def test_a_bad_rule_is_taken_back_from_running_conversations(start: Start, pack: Path, command: Command) -> None:
    running = await start(packs=[pack])
    for conversation in ("a", "b"):
        assert "First text." in (await say(running, conversation, "hello"))[0]
    pack_of(pack.parent, "Second text.")
    await running.parts.reloader.reload()
    talk = ("hello", "Hello.", "and now?")
    assert "First text." in (await say(running, "a", *talk))[0]
    await running.stop()  # so that all pins are stored
    running = await start(packs=[pack])
    told = command("release", "desk")
    assert sum(told["running"].values()) == 2
    running.parts.rollouts.heed()
    text, revision = await say(running, "a", *talk)
    assert "Second text." in text and "First text." not in text
    pack_of(pack.parent, "Third text.")
    await running.parts.reloader.reload()
    assert (await say(running, "a", *talk, "Fine.", "more"))[1] == revision, "it keeps what it was released to"
    await running.stop()
    running = await start(packs=[pack])
    assert (await say(running, "a", *talk, "Fine.", "more"))[1] == revision
    assert "First text." not in (await say(running, "b", *talk))[0]
    assert "There is no policy" in command("release", "desc", code=2)["error"]


async def test_it_holds_for_what_a_backend_keeps_too(start: Start, pack: Path, command: Command) -> None:
    running = await start(packs=[pack])

    async def respond(**more: Any) -> Any:
        answer = await running.client.post("/v1/responses", json={"model": "echo", "input": "hello", **more})
        assert answer.status_code == 200
        return answer

    first = await respond()
    pack_of(pack.parent, "Second text.")
    await running.parts.reloader.reload()
    old = await respond(previous_response_id=first.json()["id"])
    assert old.headers["x-router-revision"] == first.headers["x-router-revision"]
    command("release", "desk")
    running.parts.rollouts.heed()
    for earlier in (old, first):
        released = await respond(previous_response_id=earlier.json()["id"])
        assert released.headers["x-router-revision"] == running.parts.registry.current().policy.revision


async def test_what_is_too_much_for_a_shadow_is_counted(
    start: Start, pack: Path, changed: Path, command: Command
) -> None:
    running = await start(packs=[pack])
    command("canary", changed, "--shadow")
    running.parts.rollouts.heed()
    running.parts.shadow._limit = 2
    for number in range(5):
        await running.ask(f"hello {number}")
    running.parts.prefixes.look()
    assert shadow_counts(running) == {"different": 2.0, "left_out": 3.0}


async def test_a_canary_outlives_many_reloads(start: Start, pack: Path, changed: Path, command: Command) -> None:
    running = await start(packs=[pack])
    revision = command("canary", changed, "--all")["revision"]
    running.parts.rollouts.heed()
    for number in range(OLD_REVISIONS_KEPT + 2):
        pack_of(pack.parent, f"Text {number}.")
        await running.parts.reloader.reload()
        running.parts.rollouts.heed()
    assert (await say(running, "a", "hello"))[1] == revision
    command("canary", "--stop")
    running.parts.rollouts.heed()
    assert (await say(running, "a", "hello", "Hello.", "more"))[1] == revision
