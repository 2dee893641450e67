"""The router as a process with a pack that says nothing, and a player behind it: once for the whole folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.serving import serving_router
from tests.transparency.asking import Stage
from tests.transparency.playing import playing

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("transparency"))  # one router for all of them


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    arguments = ("--pack", str(HERE / "empty.yaml"), "--config", str(HERE / "router.yaml"))
    with playing() as player, serving_router(*arguments, env={"PLAYER": player.url}) as router:
        yield Stage(player, router.url)
