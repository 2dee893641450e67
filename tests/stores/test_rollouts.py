"""What operators said of changed packs comes back in its order, and what shadows decided adds up."""

from __future__ import annotations

from dataclasses import replace

from router.core.rollout import Rollout, RolloutEvent, ShadowDifference, rollouts
from router.stores import Database, SqlRolloutStore


def test_what_was_said_comes_back_and_is_folded(database: Database) -> None:
    store = SqlRolloutStore(database)
    assert (store.newest(), store.events(), store.files("desk", "b")) == (0, [], "")
    said = [
        RolloutEvent(10, "desk", "try", "b"),
        RolloutEvent(20, "desk", "try", "b", 0.5),
        RolloutEvent(30, "shop", "release"),
        RolloutEvent(40, "desk", "release"),
    ]
    for event in said:
        store.append(event, "the files" if event.at_ms == 10 else "")
    found = store.events()
    assert [replace(event, number=0) for event in found] == said
    assert store.newest() == found[-1].number and store.files("desk", "b") == "the files"
    assert rollouts(found) == {"desk": Rollout("b", 0.5, 10, 40), "shop": Rollout(released_ms=30)}
    assert rollouts([*found, RolloutEvent(50, "desk", "stop")])["desk"] == Rollout(released_ms=40)


def test_counts_add_up_and_keep_the_first_decision(database: Database) -> None:
    store = SqlRolloutStore(database)
    store.tally(
        [ShadowDifference("desk", "b", "/", "/a", "dec_1", 2), ShadowDifference("desk", "b", "/", "/", "dec_3")]
    )
    store.tally([ShadowDifference("desk", "b", "/", "/a", "dec_9"), ShadowDifference("desk", "c", "/", "/a", "dec_8")])
    store.tally([])
    assert store.differences("desk", "b") == [
        ShadowDifference("desk", "b", "/", "/a", "dec_1", 3),
        ShadowDifference("desk", "b", "/", "/", "dec_3", 1),
    ]
