"""Reloading: atomically, on file change and SIGHUP, and never to something that does not load."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.support.application import Running, Start

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


async def test_a_file_of_examples_that_comes_to_lie_beside_a_pack_is_taken_up(start: Start, pack: Path) -> None:
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    pack.with_name("desk.examples.de.yaml").write_text("unrelated: [Guten Tag]")
    after = await until(running, before)
    assert running.parts.registry.current().policy.unrelated == ("Guten Tag",)
    assert after != before


async def test_a_broken_pack_changes_nothing_but_the_news_about_it(start: Start, pack: Path) -> None:
    running = await start(packs=[pack])
    before = running.parts.registry.current().policy.revision
    pack.write_text("name: desk\nbreif: x\n")
    await running.parts.reloader.reload()
    ready = (await running.client.get("/health/ready")).json()
    assert ready["policies"]["desk"] == before
    assert f"{pack}:2" in ready["reload_faults"]["desk"] and "brief" in ready["reload_faults"]["desk"]
    assert "First text." in (await running.ask("hello")).text
    pack.write_text(PACK.format(text="Third text."))
    await running.parts.reloader.reload()
    assert (await running.client.get("/health/ready")).json()["reload_faults"] == {}


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
