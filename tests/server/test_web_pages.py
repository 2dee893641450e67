"""Web pages that call the router themselves: a browser asks first, without a key, and reads only what it is let read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx
import pytest

from tests.support.application import Running, Start

SHOP = "https://shop.example"
LOCAL_PAGE = "http://localhost:3000"
SECRET = "pr-secret-of-the-page"
KEYS = [{"name": "page", "sha256": hashlib.sha256(SECRET.encode()).hexdigest(), "scopes": ["infer", "read"]}]
ROUTES = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/messages",
    "/v1/embeddings",
    "/v1/models",
    "/v1/router/explain",
    "/metrics",
    "/openai/deployments/m/chat/completions",
    "/p/customer-support/v1/chat/completions",
    "/nowhere",
]
BODY = {"model": "m", "messages": [{"role": "user", "content": "My blender arrived broken and I want my money back"}]}


async def begun(start: Start, **settings: Any) -> Running:
    return await start(json.dumps(settings))


async def preflight(running: Running, origin: str, path: str = ROUTES[0], **more: str) -> httpx.Response:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-stainless-os"}
    return await running.client.options(path, headers={"origin": origin} | asks | more)


def may_read(answer: httpx.Response, origin: str) -> bool:
    return answer.headers.get("access-control-allow-origin") in (origin, "*")


async def test_a_preflight_needs_no_key_on_any_route(start_small: Start) -> None:
    running = await begun(start_small, keys=KEYS, origins=[SHOP])
    for path in ROUTES:
        answer = await preflight(running, SHOP, path)
        assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == SHOP
        assert answer.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
        assert {"GET", "POST", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        assert answer.headers["vary"] == "origin" and int(answer.headers["access-control-max-age"]) > 0


async def test_a_page_reads_answers_and_what_they_say_in_headers(start_small: Start) -> None:
    running = await begun(start_small, keys=KEYS, origins=[SHOP])
    headers = {"origin": SHOP, "authorization": f"Bearer {SECRET}"}
    for stream in (False, True):
        answer = await running.client.post(ROUTES[0], json=BODY | {"stream": stream}, headers=headers)
        assert answer.status_code == 200 and answer.headers.get_list("access-control-allow-origin") == [SHOP]
        assert answer.headers["access-control-expose-headers"] == "*" and answer.headers["x-router-task"]


async def test_a_page_reads_why_it_is_refused(start_small: Start) -> None:
    running = await begun(start_small, keys=KEYS, origins=[SHOP])
    refused: list[tuple[str, dict[str, str], int]] = [
        ("/v1/chat/completions", {}, 401),
        ("/v1/chat/completions", {"authorization": "Bearer wrong"}, 401),
        ("/v1/models", {}, 401),
        ("/metrics", {}, 401),
        ("/nowhere", {}, 404),
        ("/v1/chat/completions", {"content-length": "99999999999"}, 413),
        ("/v1/chat/completions", {"host": ""}, 401),
    ]
    for path, headers, status in refused:
        ask = running.client.post if "chat" in path else running.client.get
        answer = await ask(path, headers={"origin": SHOP} | headers)
        assert answer.status_code == status and may_read(answer, SHOP)


async def test_an_overloaded_router_tells_the_page_so(start_small: Start) -> None:
    running = await begun(start_small, origins=[SHOP], limits={"in_flight": 1})
    running.parts.telemetry.in_flight = 1
    answer = await running.client.post(ROUTES[0], json=BODY, headers={"origin": SHOP})
    assert answer.status_code == 503 and may_read(answer, SHOP) and answer.headers["retry-after"]


@pytest.mark.parametrize("keys", [[], KEYS], ids=["keyless", "keys"])
async def test_a_foreign_page_is_told_the_setting_that_lets_it_in(start_small: Start, keys: list[Any]) -> None:
    running = await begun(start_small, keys=keys, origins=[SHOP])
    for origin in ("https://evil.example", "http://shop.example", "https://shop.example.evil.net", "null"):
        answer = await preflight(running, origin)
        assert answer.status_code == 403 and answer.json()["error"]["code"] == "origin_not_allowed"
        assert "`origins:`" in answer.json()["error"]["message"] and not may_read(answer, origin)
    answer = await running.client.post(
        ROUTES[0], json=BODY, headers={"origin": "https://evil.example", "authorization": f"Bearer {SECRET}"}
    )
    assert answer.status_code == (200 if keys else 403) and not may_read(answer, "https://evil.example")


async def test_without_the_setting_pages_of_this_machine_may_call_a_keyless_router(start_small: Start) -> None:
    running = await start_small()
    assert may_read(await preflight(running, LOCAL_PAGE), LOCAL_PAGE)
    assert may_read(await running.client.post(ROUTES[0], json=BODY, headers={"origin": LOCAL_PAGE}), LOCAL_PAGE)
    assert (await preflight(running, SHOP)).status_code == 403


async def test_without_the_setting_no_page_may_call_a_router_with_keys(start_small: Start) -> None:
    running = await begun(start_small, keys=KEYS)
    for origin in (LOCAL_PAGE, SHOP):
        assert (await preflight(running, origin)).status_code == 403


async def test_any_page_where_the_operator_says_so(start_small: Start) -> None:
    running = await begun(start_small, keys=KEYS, origins=["*"])
    answer = await preflight(running, SHOP, **{"access-control-request-private-network": "true"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize(("origins", "feedback"), [([SHOP], []), (None, [SHOP]), ([SHOP], ["*"])])
async def test_feedback_takes_pages_of_either_setting(start_small: Start, origins: Any, feedback: list[str]) -> None:
    running = await begun(start_small, origins=origins, feedback={"origins": feedback})
    for path in ("/v1/feedback", "/feedback/"):
        answer = await preflight(running, SHOP, path)
        assert answer.status_code == 204 and may_read(answer, SHOP)
    answer = await running.client.post("/v1/feedback", json={"metric": "csat"}, headers={"origin": SHOP})
    assert answer.status_code == 400 and len(answer.headers.get_list("access-control-allow-origin")) == 1


async def test_a_client_that_is_no_browser_sees_nothing_of_it(start_small: Start) -> None:
    running = await begun(start_small, origins=[SHOP])
    answer = await running.client.post(ROUTES[0], json=BODY)
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]
    assert (await running.client.options(ROUTES[0])).status_code == 405
