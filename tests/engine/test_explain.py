"""What `explain` says about a request beyond its decision."""

from __future__ import annotations

import pytest

from router.engine.explain import explanation
from tests.support.parts import body, call, preparer, small_policy, snapshot

STAYS, SWITCHES = ["refund", "Sure.", "ok"], ["refund", "Sure, " * 50, "my parcel"]


@pytest.mark.parametrize(
    ("on_switch", "said", "lost"),
    [("tail", SWITCHES, False), ("head", SWITCHES, True), ("head", STAYS, False), ("head", ["refund"], False)],
)
def test_a_switch_in_the_head_costs_the_cache_of_the_conversation(on_switch: str, said: list[str], lost: bool) -> None:
    found = explanation(preparer(snapshot(small_policy(on_switch=on_switch))).prepare(call(body(*said))))
    assert found["on_switch"] == on_switch
    assert (found["cache_lost_tokens"] > 50) == lost and (found["cache_lost_tokens"] == 0) == (not lost)
