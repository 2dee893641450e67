"""Feedback by those who send it: the Python client, and a web page in a real browser, on a real port."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from router import FeedbackError, send_feedback
from router.server.app import build_app
from router.server.protocol import protocol_for
from tests.support.feedback_desk import KEYS, Begin, Desk, config, desks
from tests.support.serving import free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

PAGE = """<!doctype html><title>shop</title>
<script src="ROUTER/v1/feedback.js"></script>
<body><script>
  const beacon = navigator.sendBeacon("ROUTER/v1/feedback",
    JSON.stringify({id: "beacon", token: "TOKEN", metric: "csat", value: 4}));
  const show = (name, told) => { document.body.append(name + "=" + JSON.stringify(told) + ";"); };
  (async () => {
    show("beacon", beacon);
    show("stored", (await routerFeedback("TOKEN", "resolved", true, {comment: "from a page"})).status);
    show("wrong", (await routerFeedback("TOKEN", "resolvd", true)).error.code);
    const asked = await fetch("ROUTER/v1/feedback", {method: "POST",
      headers: {"content-type": "application/json", authorization: "Bearer TOKEN"},
      body: JSON.stringify({id: "preflighted", metric: "csat", value: 2})});
    show("preflighted", (await asked.json()).status);
    show("ready", true);
  })();
</script>"""


@pytest.fixture
async def begin(tmp_path: Path, recognisers: Path) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:
        yield desks(stack, tmp_path, recognisers)


class Server(uvicorn.Server):
    """Says when it listens, and where."""

    def __init__(self, desk: Desk) -> None:
        self.url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        app, protocol = build_app(desk.parts), protocol_for(desk.parts.settings.limits)
        super().__init__(
            uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
        )

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.url.set_result(f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}")


@asynccontextmanager
async def listening(desk: Desk) -> AsyncIterator[str]:
    """Serve a desk on a port of this machine; give its address."""
    server = Server(desk)
    serving = asyncio.create_task(server._serve())  # `serve` would take this process's signals
    try:
        yield await server.url
    finally:
        server.should_exit = True
        await serving


async def test_the_python_client_is_understood(begin: Begin) -> None:
    desk = await begin()
    decision = await desk.decide()

    async def send(url: str, *given: Any, **more: Any) -> dict[str, Any]:
        return await asyncio.to_thread(send_feedback, url, *given, api_key=KEYS["full"], **more)

    async with listening(desk) as url:
        receipt = await send(url, "resolved", True, decision=decision, id="mine", comment="ta")
        again = await send(url, "resolved", True, decision=decision, id="mine")
        with pytest.raises(FeedbackError) as caught:
            await send(url, "resolvd", True, decision=decision)
        with pytest.raises(FeedbackError) as unknown:
            await send(url, "resolved", True, decision="dec_nope")
    assert (receipt["status"], again["status"], receipt["decision"]) == ("recorded", "duplicate", decision)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unknown_metric", "metric")
    assert unknown.value.status == HTTPStatus.NOT_FOUND
    (row,) = desk.stored()
    assert (row.id, row.value, row.comment) == ("mine", 1.0, "ta")


async def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> None:
    """Answer one request with a page."""
    await reader.readuntil(b"\r\n\r\n")
    body = text.encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    writer.write(body)
    await writer.drain()
    writer.close()


async def shown_by_browser(url: str, profile: Path) -> str:
    """Return the text of a page when a browser has run it."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        f"--user-data-dir={profile}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
        "--virtual-time-budget=10000",
        "--dump-dom",
        url,
    ]
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.DEVNULL}
    browser = await asyncio.create_subprocess_exec(*command, **pipes)
    try:
        out, _ = await asyncio.wait_for(browser.communicate(), 60)
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()
    return out.decode()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
async def test_a_web_page_of_another_origin_sends_and_reads_the_answer(begin: Begin, tmp_path: Path) -> None:
    port = free_port()
    origin = f"http://localhost:{port}"
    desk = await begin(config(feedback={"origins": [origin]}))
    token = (await desk.ask()).headers["x-router-feedback"]
    async with listening(desk) as url:
        text = PAGE.replace("ROUTER", url).replace("TOKEN", token)
        server = await asyncio.start_server(lambda r, w: page(r, w, text), "localhost", port)
        async with server:
            dom = await shown_by_browser(origin, tmp_path / "profile")
    said = dict(re.findall(r'(\w+)=("?\w+"?);', dom.rpartition("</script>")[2]))
    assert {name: json.loads(value) for name, value in said.items()} == {
        "beacon": True,
        "stored": "recorded",
        "wrong": "unknown_metric",
        "preflighted": "recorded",
        "ready": True,
    }
    stored = {(row.metric, row.value, row.source) for row in desk.stored()}
    assert stored == {("csat", 4.0, "user"), ("resolved", 1.0, "user"), ("csat", 2.0, "user")}
