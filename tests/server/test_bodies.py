"""Bodies as clients send them: photos, packed ones, bombs, and more at once than there is room for."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import random
from collections.abc import Callable
from typing import Any

import brotli
import pytest

from router.core.errors import RequestError
from router.server.request_body import read_body
from router.server.request_guard import SMALL, RequestGuard
from router.server.settings import LimitSettings
from router.server.telemetry import Telemetry
from tests.core.test_codings import PACK
from tests.server.test_edge import ask, play, reached, shape
from tests.support.application import Start

QUESTION = {"model": "echo", "messages": [{"role": "user", "content": "My blender arrived broken"}]}
WRITTEN = json.dumps(QUESTION).encode()


async def test_four_photos_of_a_telephone_are_passed_on(start: Start) -> None:
    running = await start()
    photo = "data:image/jpeg;base64," + base64.b64encode(random.Random(1).randbytes(5_500_000)).decode()
    parts = [{"type": "image_url", "image_url": {"url": photo}} for _ in range(4)]
    parts.append({"type": "text", "text": "My blender arrived like this"})
    answer = await running.client.post(
        "/v1/chat/completions", json={**QUESTION, "messages": [{"role": "user", "content": parts}]}
    )
    assert answer.status_code == 200, answer.text[:500]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/router/explain"])
@pytest.mark.parametrize("name", PACK)
async def test_a_packed_body_is_read(name: str, path: str, start: Start) -> None:
    coding, pack = PACK[name]
    running = await start()
    headers = {"content-type": "application/json", "content-encoding": coding}
    answer = await running.client.post(path, content=pack(WRITTEN), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.content == (await running.client.post(path, json=QUESTION)).content or path.endswith("completions")


BOMB = b" " * (20 << 20)

REFUSED: dict[str, tuple[bytes, bytes, int, str]] = {
    "gzip bomb": (b"gzip", gzip.compress(BOMB), 413, "limits.unpacked_ratio"),
    "br bomb": (b"br", brotli.compress(BOMB), 413, "limits.unpacked_ratio"),
    "gzip of too much": (b"gzip", gzip.compress(random.Random(1).randbytes(5000)), 413, "limits.body_bytes"),
    "no gzip": (b"gzip", WRITTEN, 400, "not valid gzip"),
    "half of it": (b"gzip", gzip.compress(WRITTEN)[:-9], 400, "cut off"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_packed_body_that_is_refused(name: str) -> None:
    coding, body, status, words = REFUSED[name]
    most = 4000 if words == "limits.body_bytes" else 32 << 20
    limits = LimitSettings(body_bytes=most)
    telemetry = Telemetry()
    refusals: list[RequestError] = []

    async def read(scope: dict, receive: Any, send: Any) -> None:
        try:
            await read_body(receive, limits)
        except RequestError as error:
            refusals.append(error)
        assert telemetry.body_bytes < 2 << 20
        await reached(scope, receive, send)

    head = ((b"host", b"a"), (b"content-length", b"100"), (b"content-encoding", coding))
    await ask(RequestGuard(read, limits, None, shape, telemetry), *head, receive=play(body))
    assert [(error.status, words in error.message) for error in refusals] == [(status, True)]
    assert telemetry.body_bytes == 0


async def test_who_reads_a_packed_body_sees_a_plain_request() -> None:
    seen: list[tuple] = []

    async def note(scope: dict, receive: Any, send: Any) -> None:
        seen.append((dict(scope["headers"]), await read_body(receive, LimitSettings())))
        await reached(scope, receive, send)

    head = ((b"host", b"a"), (b"content-length", b"100"), (b"content-encoding", b"gzip"))
    await ask(RequestGuard(note, LimitSettings(), None, shape), *head, receive=play(gzip.compress(WRITTEN)))
    assert seen == [({b"host": b"a"}, WRITTEN)]


def sized(size: int) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"host", b"a"), (b"content-length", b"%d" % size))


CHUNKED = ((b"host", b"a"), (b"transfer-encoding", b"chunked"))
LIMITS = LimitSettings(body_bytes=400_000, body_bytes_in_flight=1_000_000)


class House:
    """A guard over an application that reads a body and waits to be let go."""

    def __init__(self, read: Callable[..., Any] = read_body) -> None:
        self.telemetry = Telemetry()
        self.guard = RequestGuard(self._stay, LIMITS, None, shape, self.telemetry)
        self.leave = asyncio.Event()
        self.read: list[int] = []

    async def _stay(self, scope: dict, receive: Any, send: Any) -> None:
        try:
            self.read.append(len(await read_body(receive, LIMITS)))
        except RequestError as error:
            body = shape(error, "")
            await send({"type": "http.response.start", "status": error.status, "headers": []})
            await send({"type": "http.response.body", "body": body})
            return
        await self.leave.wait()
        await reached(scope, receive, send)

    async def holds(self, size: int) -> None:
        """Wait until bodies of so many bytes are held."""
        while self.telemetry.body_bytes != size:
            await asyncio.sleep(0)


@pytest.mark.parametrize("head", [sized(300_000), CHUNKED], ids=["said", "chunked"])
async def test_bodies_under_way_share_one_budget(head: tuple) -> None:
    house = House()
    async with asyncio.timeout(10):
        inside = [
            asyncio.create_task(ask(house.guard, *head, receive=play(b"x" * 200_000, b"y" * 100_000))) for _ in range(3)
        ]
        await house.holds(900_000)
        refused = await ask(house.guard, *sized(300_000))  # whose receive says that it was not read
        assert (refused.status, refused.code, refused.headers[b"retry-after"]) == (503, "overloaded", b"1")
        assert b"limits.body_bytes_in_flight" in refused.body
        late = await ask(house.guard, *CHUNKED, receive=play(b"x" * 90_000, b"y" * 90_000, b"z"))
        assert (late.status, late.code) == (503, "overloaded")
        assert house.telemetry.body_bytes == 900_000
        house.leave.set()
        assert [(await task).code for task in inside] == ["reached"] * 3
        assert house.telemetry.body_bytes == 0
        assert house.read == [300_000] * 3


async def test_who_promises_much_and_sends_nothing_keeps_nobody_out() -> None:
    house = House()
    silent = asyncio.Event()

    async def never() -> dict:
        await silent.wait()
        return {"type": "http.disconnect"}

    async with asyncio.timeout(10):
        promising = [asyncio.create_task(ask(house.guard, *sized(400_000), receive=never)) for _ in range(20)]
        house.leave.set()
        served = await ask(house.guard, *sized(400_000), receive=play(b"x" * 400_000))
        assert served.code == "reached"
        for task in promising:
            task.cancel()
        await asyncio.gather(*promising, return_exceptions=True)
    assert house.telemetry.body_bytes == 0


async def test_small_bodies_are_counted_before_they_come() -> None:
    house = House()
    async with asyncio.timeout(10):
        inside = [asyncio.create_task(ask(house.guard, *sized(SMALL), receive=play(b"x" * SMALL))) for _ in range(15)]
        await house.holds(15 * SMALL)
        assert (await ask(house.guard, *sized(SMALL))).code == "overloaded"
        house.leave.set()
        await asyncio.gather(*inside)
    assert house.telemetry.body_bytes == 0


async def test_one_body_always_fits() -> None:
    limits = LimitSettings(body_bytes=400_000, body_bytes_in_flight=1000)
    assert (await ask(RequestGuard(reached, limits, None, shape), *sized(400_000))).code == "reached"


async def test_refusals_name_the_setting(start: Start) -> None:
    running = await start("limits: {body_bytes: 1KiB, header_bytes: 2KiB, in_flight: 1}\nhosts: ['*']")
    large = await running.client.post("/v1/chat/completions", content=b"x" * 2000)
    assert large.status_code == 413 and "limits.body_bytes" in large.text
    long = await running.client.post("/v1/chat/completions", json=QUESTION, headers={"x-large": "x" * 3000})
    assert long.status_code == 431 and "limits.header_bytes" in long.text
    running.parts.telemetry.in_flight = 1
    many = await running.client.post("/v1/chat/completions", json=QUESTION)
    assert many.status_code == 503 and "limits.in_flight" in many.text
    running.parts.telemetry.in_flight = 0
