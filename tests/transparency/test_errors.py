"""Errors of every status pass as they came: body, retry headers. What no client could read keeps its status."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tests.transparency.asking import Stage, all_of, play_of
from tests.transparency.exchanges import EXCHANGES, FORMATS, Exchange
from tests.transparency.playing import Play

STATUSES = range(400, 530)
ASKED = {
    exchange.name: exchange
    for exchange in EXCHANGES
    if exchange.name.endswith("/plain") or exchange.name.startswith("passed_on/") or exchange.method != "POST"
}
RETRY = {
    "retry-after": "7",
    "retry-after-ms": "7000",
    "x-should-retry": "true",
    "x-ratelimit-remaining-requests": "0",
    "openai-processing-ms": "3",
}
OPENAI = '{{"error": {{"message": "told {status} \\u00e4 \\/ é", "type": "x", "param": null, "code": {status}.0}}, "x": 1E+2}}\n'
ANTHROPIC = '{{"type":"error" , "error":{{"type":"x_error","message":"told {status} é"}},"request_id":"req_1","x":{status}.0}}\n'
OTHERS = {  # of servers that speak OpenAI's format, by and large
    "llama.cpp": b'{"error":{"code":400,"message":"\'messages\' is required","type":"invalid_request_error"}}',
    "vllm": b'{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}',
    "fastapi": b'{"detail":[{"loc":["body","model"],"msg":"field required","type":"value_error.missing"}]}',
    "ollama": b'{"error":"model is required"}',
    "azure": b'{"error":{"code":"DeploymentNotFound","message":"The API deployment does not exist","innererror":{"x":[]}}}',
}
UNREADABLE = {
    "html": b"<html><body>502 Bad Gateway</body></html>",
    "nothing": b"",
    "half": b'{"error":{"message":"tol',
    "text": b"upstream connect error",
}


def failing(exchange: Exchange, status: int, body: bytes) -> Play:
    """Return the play that refuses an exchange's request."""
    return Play((body,), status, {"content-type": "application/json", **RETRY})


def own(format_: str, status: int) -> bytes:
    """Return an error as the provider of a format tells it."""
    return (ANTHROPIC if format_ == "messages" else OPENAI).format(status=status).encode()


@pytest.mark.parametrize("name", ASKED)
async def test_an_error_of_any_status_is_the_backends(name: str, stage: Stage) -> None:
    exchange = ASKED[name]
    bodies = {status: own(exchange.format, status) for status in STATUSES}
    answers = await all_of(stage.through(exchange, failing(exchange, *item)) for item in bodies.items())
    differing = [
        (status, got)
        for (status, body), (got, _) in zip(bodies.items(), answers, strict=True)
        if (got.status, got.body) != (status, body) or not got.whole or not RETRY.items() <= set(got.headers)
    ]
    assert differing == []


@pytest.mark.parametrize("server", OTHERS)
@pytest.mark.parametrize("name", [name for name, exchange in ASKED.items() if exchange.format != "messages"])
async def test_an_error_of_another_servers_shape_is_passed_too(name: str, server: str, stage: Stage) -> None:
    got, _ = await stage.through(ASKED[name], failing(ASKED[name], 400, OTHERS[server]))
    assert (got.status, got.body) == (400, OTHERS[server])


@pytest.mark.parametrize("server", OTHERS)
async def test_an_error_that_clients_of_messages_could_not_read_is_told_in_their_shape(
    server: str, stage: Stage
) -> None:
    exchange = ASKED["messages/plain"]
    got, _ = await stage.through(exchange, failing(exchange, 400, OTHERS[server]))
    told = json.loads(got.body)
    assert (got.status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")
    assert told["error"]["message"]


@pytest.mark.parametrize("page", UNREADABLE)
@pytest.mark.parametrize("status", [400, 429, 502, 529])
@pytest.mark.parametrize("format_", FORMATS)
async def test_an_unreadable_error_keeps_its_status_and_gets_a_body(
    format_: str, status: int, page: str, stage: Stage
) -> None:
    for exchange in (ASKED[f"{format_}/plain"], ASKED[f"{format_}_streams/plain"]):
        play = replace(failing(exchange, status, UNREADABLE[page]), headers={"content-type": "text/html", **RETRY})
        got, _ = await stage.through(exchange, play)
        assert (got.status, ("content-type", "application/json") in got.headers) == (status, True)
        assert isinstance(json.loads(got.body)["error"]["message"], str)
        assert set(RETRY.items()) <= set(got.headers)


@pytest.mark.parametrize("format_", FORMATS)
async def test_an_answer_of_another_success_keeps_its_status(format_: str, stage: Stage) -> None:
    exchange = replace(ASKED[f"{format_}/plain"], status=202)
    got, _ = await stage.through(exchange, play_of(exchange))
    assert (got.status, got.body) == (202, exchange.answer)
