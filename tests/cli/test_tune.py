"""`router tune`: how the levels stand, what a step would change, and a person's word on it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands import tune
from router.commands.main import app
from router.core.learning import Compliance
from router.core.policy import Policy
from router.packs import load_pack
from router.rewards.checks import digest
from router.stores import SqlLearningStore, open_database
from tests.support.shop import DAY_MS, Shop, better

PACK = """\
name: desk
brief: Be polite.
settings: {tuning: suggest, holdout: 0.02}
metrics:
  resolved: {type: boolean, primary: true, horizon: 72h, default: true}
tasks:
  billing:
    brief: Be exact.
    tasks:
      refund: {brief: Help with the refund., examples: [refund]}
  delivery:   # where is it?
    examples: [parcel]
    brief: Say where the parcel is.
    detailed:
      - text: Name the day.
        check: {mentions_any: [Monday, Tuesday]}
"""
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pack and a server's database in which a step is proposed."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "desk.yaml").write_text(PACK)
    (folder / "data").mkdir()
    policy = load_pack(folder / "desk.yaml").policy
    database = open_database(f"sqlite:///{folder / 'data' / 'router.db'}")
    shop = Shop(database, policy)
    asyncio.run(shop.days(22, better))
    assert shop.log("proposed")
    tell(SqlLearningStore(database), policy)
    database.close()
    return folder


def tell(store: SqlLearningStore, policy: Policy) -> None:
    [line] = [line for line in policy.tasks["/delivery"].instructions if line.check]
    for said, answers, held in ((True, 200, 190), (False, 200, 40)):
        store.tally([Compliance("desk", line.id, digest(line), "m", said, True, answers, held)])


@pytest.fixture
def folder(proposed: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    (tmp_path / "data").mkdir()
    (tmp_path / "desk.yaml").write_text(PACK)
    (tmp_path / "data" / "router.db").write_bytes((proposed / "data" / "router.db").read_bytes())
    return tmp_path


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str, code: int = 0) -> Result:
        options = ["--pack", str(folder / "desk.yaml"), "--data", str(folder / "data")]
        result = CliRunner().invoke(app, ["tune", *words, *options])
        assert result.exit_code == code, result.output
        return result

    return call


def test_the_status_shows_evidence_forecast_and_the_text_of_a_proposed_step(run: Run) -> None:
    shown = run(code=1).output
    assert "levels of desk, mode suggest, by resolved" in shown
    for words in ("/delivery", "guided", "detailed,", "waits for you", "proven: chance alone", "accept or reject it"):
        assert words in shown
    assert "evidence" not in shown, "figures of theory are for those who ask for them"
    assert "evidence" in (more := run("--details", code=1).output) and "of 40" in more and "of 200" in more
    assert "proposed at /delivery: detailed instead of guided" in shown
    assert "+ - Name the day." in shown
    assert "detailed gains +" in shown and "tuning is worth" in shown
    assert "router tune accept /delivery --model m" in shown


def test_what_is_on_its_way_is_told_before_anything_has_matured(folder: Path, run: Run) -> None:
    (folder / "data" / "router.db").unlink()
    database = open_database(f"sqlite:///{folder / 'data' / 'router.db'}")
    shop = Shop(database, load_pack(folder / "desk.yaml").policy)
    assert "0 conversations still to mature" in (empty := run().output) and "received: none yet" in empty
    shop.now = time.time_ns() // 1_000_000 - DAY_MS
    asyncio.run(shop.days(1 / 3, lambda level: 0.0, per_day=12))
    shown = run().output
    assert "no conversation has matured yet" in shown
    assert "4 conversations still to mature; the first does, in 2 days (20" in shown
    assert "72 hours after it began, the horizon of resolved" in shown
    assert "feedback received: resolved 4 (agent 4)" in shown
    found = json.loads(run("--json").output)
    assert found["feedback"] == {"resolved": {"agent": 4}} and found["waiting"]["conversations"] == 4
    shop.now += 4 * DAY_MS
    assert "the first does now" in tuned_at(shop.now, run).output
    database.close()


def tuned_at(now_ms: int, run: Run) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "now_ms", lambda: now_ms)
        return run()


def test_the_status_as_json_holds_the_same(run: Run) -> None:
    found = json.loads(run("--json", code=1).output)
    [dial] = [dial for dial in found["dials"] if dial["trial"]]
    assert dial["key"] == {"task": "/delivery", "model": "m"}
    assert dial["trial"]["evidence"] >= dial["trial"]["needed"] == 40 and dial["trial"]["proposed_ms"]
    assert 0 < dial["gain"]["low"] < dial["gain"]["estimate"] < dial["gain"]["high"]
    assert found["gain"]["low"] < found["gain"]["high"] and found["gain"]["n"] > 1000
    assert dial["changes"] == [
        {"task": "/delivery", "from": "guided", "to": "detailed", "added": ["- Name the day."], "removed": []}
    ]


def test_a_word_is_written_once_with_the_name_of_who_said_it(run: Run) -> None:
    assert "ann accepted detailed instead of guided" in run("accept", "/delivery", "--by", "ann").output
    events = json.loads(run("history", "--json").output)["events"]
    assert [event["kind"] for event in events][-2:] == ["proposed", "accepted"] and events[-1]["by"] == "ann"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("accept", "/billing"), "no step is proposed at /billing"),
        (("accept", "/deliver"), 'did you mean "/delivery"?'),
        (("reject", "/billing"), "no trial runs at /billing"),
        (("thaw", "/delivery"), "was not frozen"),
        (("reset", "/billing"), "there is nothing to reset"),
        (("freeze", "/delivery", "--by", "tuner"), "say who says so"),
        (("history", "/deliver"), 'did you mean "/delivery"?'),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_the_way_out(
    run: Run, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in " ".join(run(*words, code=2).output.split())


@pytest.mark.parametrize("word", ["freeze", "reject", "reset"])
def test_the_other_words_are_heeded_too(run: Run, word: str) -> None:
    run(word, "/delivery", "--by", "ann")
    kind = {"freeze": "frozen", "reject": "rejected", "reset": "reset"}[word]
    assert json.loads(run("history", "/delivery", "--json").output)["events"][-1]["kind"] == kind
    if word == "freeze":
        run("thaw", "/delivery")


def test_a_task_is_shown_with_what_its_instructions_do(run: Run) -> None:
    shown = run("show", "/delivery").output
    assert "/delivery:detailed.1" in shown and "helps (drawn)" in shown and "+ - Name the day." in shown
    [row] = json.loads(run("obeyed", "--json").output)["instructions"]
    assert (row["said"], row["held_said"], row["unsaid"], row["held_unsaid"]) == (200, 190, 200, 40)
    assert "no conversation has matured here yet" in run("show", "/billing/refund").output


def test_a_step_goes_back_into_the_pack_as_a_diff(run: Run, folder: Path) -> None:
    assert run("diff").stdout == ""
    run("accept", "/delivery")
    step(folder)
    diff = run("diff").stdout
    assert [line for line in diff.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")] == [
        "+    level: detailed"
    ]
    assert (folder / "desk.yaml").read_text() == PACK
    run("diff", "--write")
    after = load_pack(folder / "desk.yaml").policy
    assert {level.word for level in after.tasks["/delivery"].levels.values()} == {"detailed"}
    assert "delivery:   # where is it?\n    level: detailed\n" in (folder / "desk.yaml").read_text()
    assert run("diff").stdout == ""


def step(folder: Path) -> None:
    """Let a server take the accepted step."""
    database = open_database(f"sqlite:///{folder / 'data' / 'router.db'}")
    shop = Shop(database, load_pack(folder / "desk.yaml").policy)
    shop.now = shop.log()[-1].at_ms + 1000
    shop.learner.advance()
    assert shop.log("stepped")
    database.close()


def test_without_a_server_there_is_nothing_to_tune(tmp_path: Path) -> None:
    (tmp_path / "desk.yaml").write_text(PACK)
    result = CliRunner().invoke(app, ["tune", "--pack", str(tmp_path / "desk.yaml"), "--data", str(tmp_path)])
    assert result.exit_code == 2 and "router serve" in result.output


def test_a_pack_without_a_primary_metric_says_what_to_add(folder: Path) -> None:
    file = folder / "plain.yaml"
    file.write_text("name: plain\nbrief: Be polite.\n")
    result: Any = CliRunner().invoke(app, ["tune", "--pack", str(file), "--data", str(folder / "data")])
    assert result.exit_code == 0 and "no primary metric" in result.output
    assert replace(load_pack(file).policy).primary is None
