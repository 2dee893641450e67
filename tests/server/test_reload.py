"""Reloading: atomically, on file change and SIGHUP, and never to something that does not load."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from router import assembly
from router.engine.guarding import FaultHandler
from router.engine.snapshot import OLD_REVISIONS_KEPT
from router.packs import Pack, load_pack
from router.packs.load import REVISIONS_KEPT
from tests.support.application import Running, Start
from tests.support.parts import snapshot

PACK = "name: desk\nbrief: {text}\nrequired: [Never guess.]\n"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text(PACK.format(text="First text."))
    return file


async def until(running: Running, revision_is_not: str) -> str:
    """Wait for another revision, as an operator's probe would."""
    async with asyncio.timeout(20):
        while True:
            ready = (await running.client.get("/health/ready")).json()
            if ready["policies"]["desk"] != revision_is_not or ready["reload_faults"]:
                return str(ready["policies"]["desk"])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("through", ["file", "SIGHUP"])
async def test_a_changed_pack_is_taken_up(start: Start, pack: Path, through: str) -> None:
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    assert "First text." in (await running.ask("hello")).text
    pack.write_text(PACK.format(text="Second text."))
    if through == "SIGHUP":
        os.kill(os.getpid(), signal.SIGHUP)
    after = await until(running, before)
    answer = await running.ask("good morning")
    assert after != before and answer.headers["x-router-revision"] == after
    assert "Second text." in answer.text
    assert not (await running.client.get("/health/ready")).json()["degraded"]
    assert "router_degraded_total{" not in (await running.client.get("/metrics")).text, "a reload is no fault"


async def test_a_file_of_examples_that_comes_to_lie_beside_a_pack_is_taken_up(start: Start, pack: Path) -> None:
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    pack.with_name("desk.examples.de.yaml").write_text("unrelated: [Guten Tag]")
    after = await until(running, before)
    assert running.parts.registry.current().policy.unrelated == ("Guten Tag",)
    assert after != before


async def test_a_broken_pack_changes_nothing_but_the_news_about_it(
    start: Start, pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "router")
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    pack.write_text("name: desk\nbreif: x\n")
    await running.parts.reloader.reload()
    ready = (await running.client.get("/health/ready")).json()
    assert ready["policies"]["desk"] == before
    assert f"{pack}:2" in ready["reload_faults"]["desk"] and "brief" in ready["reload_faults"]["desk"]
    assert "First text." in (await running.ask("hello")).text
    pack.write_text(PACK.format(text="First text."))
    await running.parts.reloader.reload()
    await running.parts.reloader.reload()
    assert (await running.client.get("/health/ready")).json()["reload_faults"] == {}
    assert [line for line in caplog.messages if "revision" in line][-1:] == [
        f"policy desk is repaired and now at revision {before}"
    ]


def test_what_is_wrong_in_a_pack_that_is_taken_up_is_logged_once_a_revision(
    pack: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "snapshot_of", lambda pack, *_, **__: snapshot(pack.policy))
    build = assembly.SnapshotBuilder(None, FaultHandler(lambda code: None))
    build(pack)
    assert caplog.messages == []
    pack.write_text(DESK.replace("has it shipped", "Refund please, track my parcel"))
    for _ in range(2):
        build(pack)
    repeated, same = caplog.messages
    assert f'{pack}:8: warning: the task has the example "track my parcel" already ({pack}:8)' in repeated
    assert f'{pack}:5: error: the example is the same as "Refund please" of /parcel ({pack}:8)' in same
    pack.write_text(DESK + "  more:\n    examples:\n" + "    - once more\n" * 21)
    caplog.clear()
    build(pack)
    assert len(caplog.messages) == assembly.MOST_TOLD + 1 and caplog.messages[-1].startswith("and 10 more, which")


async def test_a_hundred_reloads_under_load_fail_no_request_and_mix_no_revisions(start: Start, pack: Path) -> None:
    running = await start(packs=[pack])
    texts = {running.parts.registry.current().policy.revision: "First text."}
    answers = []
    for number in range(100):
        pack.write_text(PACK.format(text=f"Text {number}."))
        asking = (running.ask(f"question {number} {worker}") for worker in range(5))
        _, *asked = await asyncio.gather(running.parts.reloader.reload(), *asking)
        texts[running.parts.registry.current().policy.revision] = f"Text {number}."
        answers += asked
    assert {answer.status_code for answer in answers} == {200}
    assert len(texts) == 101
    for answer in answers:
        said = answer.json()["choices"][0]["message"]["content"]
        assert texts[answer.headers["x-router-revision"]] in said


DESK = """\
name: desk
brief: First text.
required: [Never guess.]
tasks:
  refund: {examples: [refund please, I want my money back, give me a refund, can I return it], brief: Help.}
  other:
    brief: Help with all else.
  parcel: {examples: [where is my parcel, track my parcel, my delivery is late, has it shipped], brief: Look.}
"""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty"),
        (DESK[: DESK.index("tasks")], "3 of 3 tasks would be lost"),
        (DESK[: DESK.index("lp with all")], "the file ends in the middle of a line"),
        (DESK.replace("required: [Never guess.]\n", ""), 'the required text "- Never guess." of / would be lost'),
        ("# nothing yet\n", 'the required text "- Never guess." of / would be lost'),
    ],
    ids=["empty", "half of it", "in the middle of a line", "without required text", "a comment"],
)
async def test_a_pack_that_lost_its_words_does_not_go_live(start: Start, pack: Path, content: str, said: str) -> None:
    pack.write_text(DESK)
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    pack.write_text(content)
    await until(running, before)
    ready = (await running.client.get("/health/ready")).json()
    assert ready["policies"]["desk"] == before and said in ready["reload_faults"]["desk"]
    assert 'router_degraded_total{code="reload_failed"} 1.0' in (await running.client.get("/metrics")).text
    answer = await running.ask("hello")
    assert "Never guess." in answer.text and answer.headers["x-router-revision"] == before
    pack.write_text(DESK.replace("First", "Second"))
    async with asyncio.timeout(30):
        while (await running.client.get("/health/ready")).json()["reload_faults"]:
            await asyncio.sleep(0.02)
    assert "Second text." in (await running.ask("good morning")).text
    refused = running.parts.settings.data / "revisions" / "desk"
    assert len(list(refused.iterdir())) == 2  # what was never served is not kept


async def test_an_empty_file_of_a_folder_keeps_the_task_and_its_rule(start: Start, tmp_path: Path) -> None:
    pack = tmp_path / "desk"
    pack.mkdir()
    (pack / "policy.yaml").write_text("name: desk\nbrief: Be polite.\n")
    (pack / "refund.yaml").write_text(
        "examples: [refund please, I want my money back, give me a refund]\nbrief: Help.\n"
    )
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    (pack / "refund.yaml").write_text("")
    await running.parts.reloader.reload()
    ready = (await running.client.get("/health/ready")).json()
    assert ready["policies"]["desk"] == before
    assert f"{pack}/refund.yaml:1: the file is empty" in ready["reload_faults"]["desk"]


async def test_losses_are_taken_up_where_the_operator_allows_them(start: Start, pack: Path) -> None:
    running = await start("reload: {losses: allow}", packs=[pack])
    pack.write_text("name: desk\nbrief: All new.\n")
    (reloaded,) = await running.parts.reloader.reload()
    assert reloaded.changed and "Never guess." not in (await running.ask("hello")).text


async def test_files_that_change_while_they_are_read_are_read_again(
    start: Start, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(packs=[pack])
    texts = iter(range(100))

    def load_as_it_changes(path: Path) -> Pack:
        loaded = load_pack(path)
        number = next(texts)
        if number < changes:
            path.write_text(PACK.format(text=f"Text {number}."))
        return loaded

    monkeypatch.setattr("router.assembly.load_pack", load_as_it_changes)
    changes = 2
    (reloaded,) = await running.parts.reloader.reload()
    assert reloaded.changed and "Text 1." in (await running.ask("hello")).text
    changes = 100
    (reloaded,) = await running.parts.reloader.reload()
    assert not reloaded.changed and "the files change while they are read" in reloaded.fault


async def test_whatever_fails_while_reloading_the_next_change_is_taken_up(
    start: Start, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    with monkeypatch.context() as broken:
        broken.setattr("router.assembly.load_pack", lambda path: 1 / 0)
        (reloaded,) = await running.parts.reloader.reload()
        assert "ZeroDivisionError" in reloaded.fault
    pack.write_text(PACK.format(text="Second text."))
    async with asyncio.timeout(20):
        while running.parts.registry.current().policy.revision == before:
            await asyncio.sleep(0.02)


async def test_a_folder_swapped_by_a_link_is_taken_up(start: Start, tmp_path: Path) -> None:
    """As Kubernetes changes the files of a ConfigMap."""
    for version in ("1", "2"):
        (tmp_path / f"v{version}").mkdir()
        (tmp_path / f"v{version}" / "desk.yaml").write_text(PACK.format(text=f"Text {version}."))
    (tmp_path / "..data").symlink_to("v1")
    pack = tmp_path / "desk.yaml"
    pack.symlink_to("..data/desk.yaml")
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    (tmp_path / "..tmp").symlink_to("v2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    shutil.rmtree(tmp_path / "v1")
    await until(running, before)
    assert "Text 2." in (await running.ask("hello")).text


async def test_a_conversation_ends_on_its_revision_however_many_come_and_over_a_restart(
    start: Start, pack: Path
) -> None:
    running = await start(packs=[pack])
    first = running.parts.registry.current().policy.revision
    talk: list[dict[str, str]] = []

    async def say(text: str) -> str:
        talk.append({"role": "user", "content": text})
        answer = await running.client.post(
            "/v1/chat/completions", json={"model": "echo", "messages": talk}, headers={"x-session-id": "s"}
        )
        talk.append({"role": "assistant", "content": "ok"})
        return answer.headers["x-router-revision"]

    assert await say("hello") == first
    for number in range(3 * OLD_REVISIONS_KEPT):
        pack.write_text(PACK.format(text=f"Text {number}."))
        await running.parts.reloader.reload()
    assert await say("and more") == first
    await running.stop()
    running = await start(packs=[pack])
    assert await say("still here") == first
    kept = running.parts.settings.data / "revisions" / "desk"
    assert REVISIONS_KEPT < len(list(kept.iterdir())) <= REVISIONS_KEPT + 2


async def test_reloads_with_the_same_examples_share_one_recogniser(start: Start, pack: Path) -> None:
    pack.write_text(DESK)
    running = await start(packs=[pack])
    began = running.parts.registry.current()
    made_of = began.recogniser
    for number in range(20):
        await running.client.post(
            "/v1/chat/completions",
            json={"model": "echo", "messages": [{"role": "user", "content": "refund please"}]},
            headers={"x-session-id": f"s{number}"},
        )
        pack.write_text(DESK.replace("First", f"Text {number}"))
        await running.parts.reloader.reload()
        now = running.parts.registry.current()
        assert now is not began and now.recogniser.made_of.recogniser is made_of.made_of.recogniser  # type: ignore
    assert not began.observations and not began.decisions
