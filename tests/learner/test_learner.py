"""From requests and feedback to levels and back: the whole circle, over the real line and the real store, in made-up time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from router.core.learning import DialKey, ExperimentEvent, Feedback
from router.core.policy import Level
from router.engine.identity import Identifier
from router.engine.snapshot import PolicyRegistry
from router.server.learner import GRACE_MS, Learner, Records
from router.stores import Database, SqlFeedbackStore, SqlLearningStore, open_database
from tests.support.parts import body, call, snapshot
from tests.support.postgres import GROUP, postgres, postgres_url  # noqa: F401  fixtures
from tests.support.shop import DAY_MS, KEY, Shop, better, tuned_policy


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(f"sqlite:///{tmp_path / 'router.db'}")
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=GROUP)])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """One database, opened by two replicas."""
    url = (
        f"sqlite:///{tmp_path / 'router.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    opened = open_database(url), open_database(url)
    yield opened
    for each in opened:
        each.close()


async def test_a_better_level_is_tried_proposed_accepted_held_back_and_kept(database: Database) -> None:
    shop = Shop(database, tuned_policy())
    await shop.days(30, better)
    started = shop.log("started")
    assert [(e.key, e.facts["challenger"]) for e in started] == [(KEY, "detailed")]
    assert [e.key for e in shop.log("proposed")] == [KEY] and shop.in_force is Level.GUIDED
    assert "detailed instead of guided" in shop.log("proposed")[0].words
    shop.word("accepted")
    await shop.days(1, better)
    [stepped] = shop.log("stepped")
    assert (stepped.by, stepped.facts["from"], stepped.facts["to"]) == ("ann", "guided", "detailed")
    assert shop.in_force is Level.DETAILED
    dial = shop.levels.dials[KEY]
    assert dial.trial is not None and (dial.trial.challenger, dial.trial.share) == (Level.GUIDED, 0.1)
    await shop.days(31, better, per_day=30)
    assert [e.facts["why"] for e in shop.log("stopped")] == ["kept"]
    assert shop.in_force is Level.DETAILED and not shop.faults


async def test_a_step_that_turns_out_worse_is_taken_back_by_itself(database: Database) -> None:
    shop = Shop(database, tuned_policy("auto"))
    await shop.days(22, better)
    assert shop.in_force is Level.DETAILED and len(shop.log("stepped")) == 1
    await shop.days(28, lambda level: 0.5 if level is Level.DETAILED else 0.95)
    [back] = shop.log("rolled_back")
    assert shop.in_force is Level.GUIDED and "back to guided from detailed" in back.words


async def test_every_replica_and_every_start_comes_to_the_same(database: Database) -> None:
    shop = Shop(database, tuned_policy("auto"))
    await shop.days(12, better)
    told = shop.learner.all_records()["desk"]
    again = Records("desk", SqlLearningStore(database))
    again.read_log()
    again.read_outcomes()
    told.read_outcomes()
    assert (again.state, again.tests, again.arms) == (told.state, told.tests, told.arms)
    other_registry = PolicyRegistry({"desk": snapshot(tuned_policy("auto"))}, "desk")
    shop.another(other_registry).heed()
    assert other_registry.levels("desk") == shop.levels


async def test_replicas_that_work_at_the_same_time_write_each_outcome_and_step_once(
    fleet: tuple[Database, Database],
) -> None:
    shop = Shop(fleet[0], tuned_policy("auto"))
    other_registry = PolicyRegistry({"desk": snapshot(tuned_policy("auto"))}, "desk")
    other = Learner(SqlLearningStore(fleet[1]), other_registry, b"salt", shop.fault_handler, lambda: shop.now)
    for _ in range(24):
        await shop.days(0.5, better, every_h=12)
        shop.now += GRACE_MS
        await asyncio.gather(asyncio.to_thread(shop.learner.advance), asyncio.to_thread(other.advance))
    outcomes = shop.store.outcomes("desk")
    assert len({outcome.assignment.decision for outcome in outcomes}) == len(outcomes) > 500
    trials = [event.facts["trial"] for event in shop.log("started")]
    assert trials and len(set(trials)) == len(trials)
    other.heed()
    shop.learner.heed()
    assert other_registry.levels("desk") == shop.levels
    assert not shop.faults


async def test_a_user_counts_once_in_a_trial(database: Database) -> None:
    shop = Shop(database, tuned_policy())
    await shop.days(6, better)
    assert shop.log("started")
    for number in range(50):
        asked = body("where is my parcel", user="regular", metadata={"conversation_id": f"again{number}"})
        await shop.pipeline.run(replace(call(asked), id=f"dec_again{number}"))
    shop.flush()
    shop.now += 4 * DAY_MS
    shop.learner.advance()
    regular = Identifier(b"secret").unit_of("", "regular")
    counted = [o for o in shop.store.outcomes("desk") if o.assignment.unit == regular]
    assert len(counted) == 50 and [o.repeated for o in counted] == [False] + [True] * 49


async def test_feedback_counts_up_to_the_horizon_and_not_after(database: Database) -> None:
    shop = Shop(database, tuned_policy("observe"))
    await shop.days(1, lambda level: 1.0, per_day=3)
    first, later = (shop.store.due("desk", shop.now + 9 * DAY_MS, 9)[n].assignment for n in (0, 1))
    for given, at in ((first, first.matures_ms), (later, later.matures_ms + 1)):
        row = Feedback(f"fb{at}", at, given.tenant, "desk", given.conversation, given.unit, "", "resolved", 0.0, "user")
        SqlFeedbackStore(database).record([row])
    shop.now += 9 * DAY_MS
    shop.learner.advance()
    assert [outcome.reward for outcome in shop.store.outcomes("desk")] == [0.0, 1.0, 1.0]


async def test_observe_draws_nothing_and_freezing_holds_all_still(database: Database) -> None:
    shop = Shop(database, tuned_policy("observe"))
    await shop.days(10, better)
    assert not shop.log() and not shop.levels.dials
    shop.registry.swap("desk", snapshot(tuned_policy("auto", "rev-2")))
    shop.word("frozen", DialKey("/", "*"))
    await shop.days(10, better)
    assert [event.kind for event in shop.log()] == ["frozen"]
    shop.word("thawed", DialKey("/", "*"))
    await shop.days(1, better)
    assert shop.log("started")


async def test_a_new_text_begins_the_evidence_anew(database: Database) -> None:
    shop = Shop(database, tuned_policy())
    await shop.days(8, better)
    [first] = shop.log("started")
    shop.registry.swap("desk", snapshot(tuned_policy("suggest", "rev-2", " Anew.")))
    changed = replace(
        tuned_policy("suggest", "rev-3"),
        tasks=MappingProxyType(
            {
                path: replace(task, instructions=task.instructions[:1]) if path == "/delivery" else task
                for path, task in tuned_policy().tasks.items()
            }
        ),
    )
    shop.registry.swap("desk", snapshot(changed))
    await shop.days(1, better)
    [stopped] = shop.log("stopped")
    assert (stopped.facts["trial"], stopped.facts["why"]) == (first.facts["trial"], "voided")


async def test_a_log_that_cannot_be_read_leaves_the_levels_as_they_were(database: Database) -> None:
    shop = Shop(database, tuned_policy("auto"))
    await shop.days(22, better)
    assert shop.in_force is Level.DETAILED
    assert shop.store.append([ExperimentEvent(shop.now, "desk", "started", KEY, {"trial": "t"})], shop.log()[-1].number)
    shop.learner.advance()
    assert shop.faults == ["tuner_frozen"] and shop.in_force is Level.DETAILED
    asked = body("where is my parcel", user="new", metadata={"conversation_id": "new"})
    reply = await shop.pipeline.run(replace(call(asked), id="dec_new"))
    assert reply.status == 200


async def test_a_store_that_is_gone_leaves_the_levels_as_they_were(database: Database) -> None:
    shop = Shop(database, tuned_policy("auto"))
    await shop.days(1, better)
    before = shop.levels
    database.close()
    shop.learner.advance()
    shop.learner.heed()
    assert set(shop.faults) == {"learning_failed"} and shop.levels is before
