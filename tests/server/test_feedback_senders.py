"""Who may send feedback, and how much of it: keys, the tokens of answers, web pages, end users."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from router.server.keys import FeedbackTokens
from tests.support.feedback_desk import KEYS, Begin, bearer, config, desks


@pytest.fixture
async def begin(tmp_path: Path, recognisers: Path) -> AsyncIterator[Begin]:
    async with AsyncExitStack() as stack:
        yield desks(stack, tmp_path, recognisers)


# ----------------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize("where", ["body", "authorization", "x-router-feedback", "x-api-key and body"])
async def test_the_token_of_an_answer_lets_a_browser_in(begin: Begin, where: str) -> None:
    desk = await begin()
    answer = await desk.ask()
    token, decision = answer.headers["x-router-feedback"], answer.headers["x-router-decision"]
    body: dict[str, Any] = {"metric": "resolved", "value": False}
    headers = {}
    if where == "authorization":
        headers["authorization"] = f"Bearer {token}"
    elif where == "x-router-feedback":
        headers["x-router-feedback"] = token
    else:
        body["token"] = token
    if where == "x-api-key and body":
        headers["x-api-key"] = KEYS["full"]
    told = await desk.send(body, None, headers=headers | {"content-type": "text/plain;charset=UTF-8"})
    assert (told.status_code, told.json().get("decision")) == (200, decision), told.text
    (row,) = desk.stored()
    assert (row.tenant, row.source, row.value) == ("full", "user", 0.0)


async def test_streams_and_failures_carry_a_token_and_what_is_passed_on_does_not(begin: Begin) -> None:
    desk = await begin()
    assert "x-router-feedback" in (await desk.ask(stream=True)).headers
    passed = await desk.client.post("/v1/embeddings", json={"model": "echo", "input": "x"}, headers=bearer("full"))
    assert passed.status_code == 200 and "x-router-feedback" not in passed.headers


@pytest.mark.parametrize("written", [{"feedback": {"tokens": False}}, {"headers": False}])
async def test_tokens_can_be_left_out(begin: Begin, written: dict[str, Any]) -> None:
    desk = await begin(config(**written))
    assert "x-router-feedback" not in (await desk.ask()).headers


async def test_a_token_is_for_its_own_conversation_alone(begin: Begin) -> None:
    desk = await begin()
    mine, other = await desk.ask(metadata={"session_id": "mine"}), await desk.ask(metadata={"session_id": "other"})
    token = mine.headers["x-router-feedback"]
    said = {"token": token, "metric": "csat", "value": 1}
    for about in (
        {"decision": mine.headers["x-router-decision"]},
        {"response_id": mine.json()["id"]},
        {"conversation": "mine"},
    ):
        assert (await desk.send({**said, **about}, None)).status_code == 200, about
    for about in (
        {"decision": other.headers["x-router-decision"]},
        {"decision": "dec_nope"},
        {"response_id": other.json()["id"]},
        {"conversation": "other"},
        {"conversation": "nope"},
    ):
        assert await desk.refused({**said, **about}, None) == (403, "token_not_for_this", "token"), about


async def test_a_token_speaks_for_end_users_alone(begin: Begin) -> None:
    desk = await begin()
    token = (await desk.ask()).headers["x-router-feedback"]
    said = {"token": token, "metric": "csat", "value": 1}
    assert await desk.refused(said | {"source": "agent"}, None) == (403, "source_not_allowed", "source")


async def test_a_token_of_one_tenant_with_the_key_of_another(begin: Begin) -> None:
    desk = await begin()
    token = (await desk.ask("acme")).headers["x-router-feedback"]
    said = {"token": token, "metric": "csat", "value": 1}
    assert await desk.refused(said, "full") == (403, "token_not_for_this", "token")


async def test_forged_and_expired_tokens(begin: Begin) -> None:
    desk = await begin(config(feedback={"secrets": ["a secret for tokens 1"], "expires": "1s"}))
    token = (await desk.ask()).headers["x-router-feedback"]
    parts = token.split(".")
    good = b"a secret for tokens 1"
    old = FeedbackTokens([good], 1.0, lambda: 1e9).sign(parts[1], "full").decode()
    forged = FeedbackTokens([b"some other secret"], 1e6).sign(parts[1], "full").decode()
    said = {"metric": "csat", "value": 1}
    assert await desk.refused(said | {"token": old}, None) == (401, "token_expired", "token")
    assert await desk.refused(said | {"token": forged}, None) == (401, "invalid_token", "token")
    assert await desk.refused(said, None, headers=bearer(forged)) == (401, "invalid_token", "token")
    assert await desk.refused(said, None, headers=bearer(old)) == (401, "token_expired", "token")
    assert await desk.refused([said | {"token": old}], None) == (401, "token_expired", "feedback[0].token")


async def test_a_batch_of_tokens_each_for_its_own_answer(begin: Begin) -> None:
    desk = await begin()
    tokens = [(await desk.ask()).headers["x-router-feedback"] for _ in range(3)]
    items = [{"token": token, "metric": "csat", "value": n + 1} for n, token in enumerate(tokens)]
    told = (await desk.send([*items, {"metric": "csat", "value": 1}], None)).json()
    assert [each["status"] for each in told["results"]] == ["recorded"] * 3 + ["refused"]
    assert told["results"][3]["http_status"] == 401
    shared = {"token": tokens[0], "feedback": [{"metric": "csat", "value": 2}, {"metric": "resolved", "value": True}]}
    assert (await desk.send(shared, None)).json()["recorded"] == 2


# ------------------------------------------------------------------------------------------------------- browsers and caps


@pytest.mark.parametrize(
    ("origins", "origin", "status", "allowed"),
    [
        (["*"], "https://shop.example.com", 200, "*"),
        (["*"], "null", 200, "*"),
        (["https://shop.example.com"], "https://shop.example.com", 200, "https://shop.example.com"),
        (["https://Shop.example.com"], "https://shop.example.com", 200, "https://shop.example.com"),
        (["https://shop.example.com"], "https://evil.example.com", 403, None),
        (["https://shop.example.com"], "http://shop.example.com", 403, None),
        (["https://shop.example.com"], None, 200, None),
    ],
)
async def test_web_pages_may_send_from_the_origins_that_are_named(
    begin: Begin, origins: list[str], origin: str | None, status: int, allowed: str | None
) -> None:
    desk = await begin(config(feedback={"origins": origins}))
    token = (await desk.ask()).headers["x-router-feedback"]
    headers = {"origin": origin} if origin else {}
    answer = await desk.send({"token": token, "metric": "csat", "value": 1}, None, headers=headers)
    assert (answer.status_code, answer.headers.get("access-control-allow-origin")) == (status, allowed)
    assert (answer.headers.get("vary") == "origin") == (origins != ["*"])
    preflight = await desk.client.options("/v1/feedback", headers=headers | {"access-control-request-method": "POST"})
    assert preflight.status_code == (204 if status == 200 else 403)
    assert preflight.headers.get("access-control-allow-origin") == allowed
    if status == 200:
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
    bad = await desk.send({"metric": "csat"}, None, headers=headers)
    assert bad.headers.get("access-control-allow-origin") == allowed  # so that a page can read what is wrong


async def test_an_end_user_says_so_much_in_a_minute(begin: Begin) -> None:
    desk = await begin(config(feedback={"per_minute": 3}))
    about = {"decision": await desk.decide(user="ann"), "metric": "csat", "value": 1}
    other = {"decision": await desk.decide(user="bob"), "metric": "csat", "value": 1}
    told = await desk.send([about] * 5 + [other])
    assert [each["status"] for each in told.json()["results"]] == ["recorded"] * 3 + ["refused"] * 2 + ["recorded"]
    answer = await desk.send(about)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "feedback_rate_limit")
    assert int(answer.headers["retry-after"]) > 0
    assert (await desk.send(about | {"source": "agent"})).status_code == 200


async def test_a_token_is_capped_before_anything_is_looked_up(begin: Begin) -> None:
    desk = await begin(config(feedback={"per_minute": 2}))
    said = {"token": (await desk.ask()).headers["x-router-feedback"], "metric": "unknown", "value": 1}
    assert [(await desk.send(said, None)).status_code for _ in range(4)] == [400, 400, 429, 429]


async def test_a_key_has_its_own_limit_and_any_number_of_rows_leaves_nothing_behind(begin: Begin) -> None:
    written = json.loads(config())
    written["keys"][0]["requests_per_minute"] = 5
    desk = await begin(json.dumps(written))
    item = {"decision": await desk.decide(), "metric": "csat", "value": 1, "source": "system"}
    told = [(await desk.send([item] * 200)).status_code for _ in range(6)]
    assert told == [200] * 4 + [429] * 2  # the decision was asked for with the same key
    assert len(desk.stored()) == 800 and desk.feedback.queue.waiting == 0


# ------------------------------------------------------------------------------------------------------------- the script


async def test_the_script_is_served_to_everybody(begin: Begin) -> None:
    desk = await begin()
    answer = await desk.client.get("/v1/feedback.js")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "routerFeedback" in answer.text


async def test_the_script_does_in_javascript_what_it_says(begin: Begin, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    desk = await begin()
    token = (await desk.ask()).headers["x-router-feedback"]
    script = (await desk.client.get("/v1/feedback.js")).text
    program = f"""
        globalThis.document = {{currentScript: {{src: "https://router.example.com/v1/feedback.js?1"}}}};
        globalThis.fetch = async (url, given) => {{
            console.log(JSON.stringify({{url, ...given}}));
            return {{json: async () => ({{status: "recorded"}})}};
        }};
        {script}
        routerFeedback({json.dumps(token)}, "resolved", true, {{comment: "ta"}}).then((told) => console.log(told.status));
    """
    ran = subprocess.run([node, "-e", program], capture_output=True, text=True, timeout=30, check=True)
    sent, told = ran.stdout.splitlines()
    asked = json.loads(sent)
    assert (asked["url"], asked["method"], told) == ("https://router.example.com/v1/feedback", "POST", "recorded")
    assert "headers" not in asked  # so it goes as text/plain, without a preflight
    answer = await desk.send(asked["body"].encode(), None, headers={"content-type": "text/plain;charset=UTF-8"})
    assert answer.json()["status"] == "recorded" and desk.stored()[0].comment == "ta"
