"""The whole application in this process: the shipped pack, the double of the echo, a database in a temporary folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.server.app import build_app
from router.server.background import running
from router.server.composition import compose
from router.server.settings_source import load_settings
from tests.support.application import Running, Start
from tests.support.echo.double import double_composed


@pytest.fixture
async def start(tmp_path: Path, support_pack: Path, recognisers: Path) -> AsyncIterator[Start]:
    """Start an application; `config` is the text of a router.yaml, other arguments are as on the command line."""
    async with AsyncExitStack() as stack:
        stack.enter_context(double_composed())

        async def begin(config: str = "", **overrides: Any) -> Running:
            data = tmp_path / "data"
            data.mkdir(exist_ok=True)
            if not (data / "recognisers").exists():
                (data / "recognisers").symlink_to(recognisers, target_is_directory=True)
            file = None
            if config:
                file = tmp_path / "router.yaml"
                file.write_text(config)
            settings = load_settings(file, {}, {"packs": [support_pack], "data": data, **overrides})
            parts = compose(settings)
            alive = await stack.enter_async_context(AsyncExitStack())
            await alive.enter_async_context(running(parts))
            transport = httpx.ASGITransport(build_app(parts), raise_app_exceptions=True)
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
            return Running(parts, await alive.enter_async_context(client), alive.aclose)

        yield begin


@pytest.fixture
def start_small(start: Start, tmp_path: Path) -> Start:
    """Start an application over a pack of one task, where nothing has to be recognised."""
    pack = tmp_path / "small.yaml"
    pack.write_text("name: customer-support\nbrief: Be brief.\nrequired: [Never guess.]\n")

    async def begin(config: str = "", **overrides: Any) -> Running:
        return await start(config, **{"packs": [pack], **overrides})

    return begin
