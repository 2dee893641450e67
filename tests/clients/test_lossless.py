"""The comparison of what was sent with what arrived sees a loss, and tells what was added."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients.lossless import Lost, added

SENT: dict[str, Any] = {
    "model": "m",
    "n": 1,
    "messages": [{"role": "system", "content": "Mine."}, {"role": "user", "content": "4711"}],
}


def changed(**more: Any) -> dict[str, Any]:
    return {**SENT, **more}


@pytest.mark.parametrize(
    ("arrived", "texts"),
    [
        (SENT, []),
        (changed(instructions="Ours."), ["Ours."]),
        (changed(stream_options={"include_usage": True}), []),
        (changed(messages=[{"role": "system", "content": "Mine.\n\nOurs."}, SENT["messages"][1]]), ["\n\nOurs."]),
        (
            changed(messages=[*SENT["messages"][:1], {"role": "system", "content": "Ours."}, SENT["messages"][1]]),
            ["system", "Ours."],
        ),
    ],
    ids=["same", "key", "usage", "in_system", "message"],
)
def test_what_was_added_is_told(arrived: dict[str, Any], texts: list[str]) -> None:
    assert added(SENT, arrived) == texts


@pytest.mark.parametrize(
    "arrived",
    [
        {key: value for key, value in SENT.items() if key != "n"},
        changed(n=1.5),
        changed(model="m2"),
        changed(messages=SENT["messages"][:1]),
        changed(messages=SENT["messages"][::-1]),
        changed(messages=[{"role": "system", "content": "Min."}, SENT["messages"][1]]),
    ],
    ids=["key", "number", "model", "message", "order", "words"],
)
def test_a_loss_is_seen(arrived: dict[str, Any]) -> None:
    with pytest.raises(Lost):
        added(SENT, arrived)
