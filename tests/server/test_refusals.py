"""What a provider refuses: of ours it is taken back, of a fallback it is passed over, and a good status may be none."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from router.core.trace import Trace
from tests.support.application import Running, Start
from tests.support.scripted_provider import Asked, chat, chat_stream, message, provider

PACK = """
name: desk
brief: Be polite.
settings: {thresholds: {sure: 0.4}}
tasks:
  parcel:
    examples: [where is my parcel, track my parcel, my delivery is late, has it shipped]
    brief: Say where the parcel is.
    model: {temperature: 0.2, max_completion_tokens: 300, reasoning_effort: low}
  hours:
    examples: [when do you open, are you open on Sunday, what are your opening hours, until when are you open]
    brief: Name the hours.
"""
PARCEL = {"role": "user", "content": "where is my parcel"}
SWITCH = [PARCEL, {"role": "assistant", "content": "On its way."}, {"role": "user", "content": "when do you open"}]
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "desk.yaml"
    file.write_text(PACK)
    return file


def refusing(*words: str, status: int = 422) -> Callable[[Asked], Any]:
    """Answer, except where a word stands in the body: then name it, as pydantic does."""

    def answer(asked: Asked) -> Any:
        written = json.dumps(asked.body)
        named = next((word for word in words if f'"{word}"' in written), None)
        if named is not None:
            found = {"type": "extra_forbidden", "loc": ["body", named], "msg": "Extra inputs are not permitted"}
            return status, {"object": "error", "message": {"detail": [found]}, "type": "invalid_request_error"}
        if asked.path.endswith("/messages"):
            return 200, message()
        if asked.path.endswith("/responses"):
            return 200, {"id": "resp_1", "object": "response", "status": "completed", "output": [], "error": None}
        return 200, chat_stream() if asked.body.get("stream") else chat()

    return answer


def templated(asked: Asked) -> Any:
    """Answer as a server whose template takes one system message, and that in front."""
    if any(said["role"] in ("system", "developer") for said in asked.body["messages"][1:]):
        error = {
            "code": 500,
            "message": "Jinja Exception: System message must be at the beginning.",
            "type": "server_error",
        }
        return 500, {"error": error}
    return 200, chat()


def rolebound(asked: Asked) -> Any:
    """Answer as a model that knows no system role."""
    if any(said["role"] not in ("user", "assistant") for said in asked.body["messages"]):
        return 400, {"error": {"message": "System role not supported", "type": "BadRequestError", "code": 400}}
    return 200, chat()


BACKEND = 'backends: {{up: {{type: {kind}, base_url: "{url}/v1", speaks: [{format}]{more}}}}}\nmodels: {{"*": {{backend: up}}}}'
LONG = {"role": "user", "content": "where is my parcel " * 400}

REFUSED: dict[str, tuple[Callable[[Asked], Any], str, str, dict[str, Any], str]] = {
    "usage": (
        refusing("stream_options"),
        "chat",
        "",
        {"messages": [PARCEL], "stream": True},
        "usage_in_streams: false",
    ),
    "a parameter": (refusing("temperature", status=400), "chat", "", {"messages": [PARCEL]}, "refuses: [temperature]"),
    "two": (
        refusing("max_completion_tokens", "stream_options"),
        "chat",
        "",
        {"messages": [PARCEL], "stream": True},
        "refuses: [max_completion_tokens]",
    ),
    "a parameter by another name": (
        refusing("reasoning"),
        "responses",
        "",
        {"input": "where is my parcel"},
        "refuses: [reasoning_effort]",
    ),
    "breakpoints": (
        refusing("prompt_cache_breakpoint"),
        "chat",
        ", cache_marks: always, cache_min_tokens: 1",
        {"messages": [PARCEL]},
        'cache_marks: "off"',
    ),
    "cache marks": (
        refusing("cache_control"),
        "messages",
        ", cache_min_tokens: 1",
        {"max_tokens": 9, "messages": [PARCEL]},
        'cache_marks: "off"',
    ),
    "a later system message": (
        templated,
        "chat",
        ", mid_conversation: system",
        {"messages": SWITCH},
        'mid_conversation: "user_block"',
    ),
    "any system message": (rolebound, "chat", "", {"messages": [PARCEL]}, "roles: [assistant, tool, user]"),
}


async def test_a_server_in_trouble_teaches_nothing(start: Start, pack: Path) -> None:
    def troubled(asked: Asked) -> Any:
        if asked.method == "POST" and not told:
            told.append(asked)
            return 500, {"error": {"message": "could not assume role arn:aws:iam::1:role/system prompt"}}
        return 200, chat()

    told: list[Asked] = []
    async with provider(troubled) as upstream:
        running = await start(BACKEND.format(kind="openai", url=upstream.url, format="chat", more=""), packs=[pack])
        assert (await ask(running, "chat", {"messages": [PARCEL]})).status_code == 200
        assert upstream.asked[-1].body["messages"][0]["role"] == "system"


async def ask(running: Running, format_: str, body: dict[str, Any]) -> Any:
    return await running.client.post(PATHS[format_], json={"model": "m", **body})


@pytest.mark.parametrize("what", REFUSED)
async def test_what_only_we_add_is_taken_back_once_and_for_all(
    what: str, start: Start, pack: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer, format_, more, body, setting = REFUSED[what]
    async with provider(answer) as upstream:
        kind = "anthropic" if format_ == "messages" else "openai"
        running = await start(BACKEND.format(kind=kind, url=upstream.url, format=format_, more=more), packs=[pack])
        with caplog.at_level(logging.WARNING, "router.engine"):
            assert (await ask(running, format_, body)).status_code == 200
            first = len(upstream.asked)
            assert (await ask(running, format_, body)).status_code == 200
    assert first in (2, 3) and len(upstream.asked) == first + 1, "learnt, so asked in the right way at once"
    assert "Be polite." in json.dumps(upstream.asked[-1].body)
    said = [record.getMessage() for record in caplog.records if "refused what only" in record.getMessage()]
    assert len([each for each in said if setting in each]) == 1 and all("backends: {up: {" in each for each in said)


@pytest.mark.parametrize("what", REFUSED)
async def test_the_setting_makes_it_permanent(what: str, start: Start, pack: Path) -> None:
    answer, format_, more, body, setting = REFUSED[what]
    if what == "two":
        more = ", usage_in_streams: false"
    name = setting.partition(":")[0]
    kept = "".join(f", {each}" for each in more.split(", ") if each and not each.startswith(name))
    async with provider(answer) as upstream:
        kind = "anthropic" if format_ == "messages" else "openai"
        config = BACKEND.format(kind=kind, url=upstream.url, format=format_, more=f"{kept}, {setting}")
        running = await start(config, packs=[pack])
        assert (await ask(running, format_, body)).status_code == 200
    assert len(upstream.asked) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (refusing("temperature"), {"messages": [PARCEL], "temperature": 1}),
        (refusing("stream_options"), {"messages": [PARCEL], "stream": True, "stream_options": {"include_usage": True}}),
        (rolebound, {"messages": [{"role": "system", "content": "You are kind."}, PARCEL]}),
        (refusing("tools"), {"messages": [PARCEL], "tools": [{"type": "function", "function": {"name": "f"}}]}),
    ],
)
async def test_what_the_client_sent_is_its_own_affair(
    answer: Callable[[Asked], Any], body: dict[str, Any], start: Start, pack: Path
) -> None:
    async with provider(answer) as upstream:
        running = await start(BACKEND.format(kind="openai", url=upstream.url, format="chat", more=""), packs=[pack])
        for calls in (1, 2):
            reply = await ask(running, "chat", body)
            assert reply.status_code in (400, 422) and len(upstream.asked) == calls
            assert reply.json() == answer(upstream.asked[-1])[1]


CHAIN = """
backends:
  a: {{type: {kind}, base_url: "{a}/v1", api_key: "key-of-a-0123456789", speaks: [{format}]}}
  b: {{type: {kind}, base_url: "{b}/v1", api_key: "key-of-b-0123456789", speaks: [{format}]}}
models:
  careful: {{backend: a, model: first, fallback: [other]}}
  other: {{backend: b, model: second}}
retries: {{attempts: 0}}
"""
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
SIGNATURE = "messages.1.content.0: Invalid `signature` in `thinking` block"
FOREIGN = {"type": "error", "error": {"type": "invalid_request_error", "message": SIGNATURE}}
THOUGHT = {
    "max_tokens": 9,
    "messages": [
        PARCEL,
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "Soon."}],
        },
        {"role": "user", "content": "when do you open"},
    ],
}


async def asked_of_two(
    start: Start, pack: Path, format_: str, body: dict[str, Any], a: Callable[[Asked], Any], b: Callable[[Asked], Any]
) -> tuple[Any, list[Asked], list[Asked], Trace]:
    kind = "anthropic" if format_ == "messages" else "openai"
    async with provider(a) as first, provider(b) as second:
        config = CHAIN.format(kind=kind, a=first.url, b=second.url, format=format_)
        running = await start(config, packs=[pack])
        reply = await running.client.post(PATHS[format_], json={"model": "careful", **body})
        running.parts.recorder.flush()
        told = await running.client.get("/v1/router/decisions/" + reply.headers["x-router-decision"])
        return reply, first.asked, second.asked, told.json()


async def test_the_first_models_error_is_the_answer_when_nobody_has_another(start: Start, pack: Path) -> None:
    reply, first, second, _ = await asked_of_two(
        start, pack, "messages", THOUGHT, lambda _: (529, OVERLOADED, {"retry-after": "77"}), lambda _: (400, FOREIGN)
    )
    assert (reply.status_code, reply.json(), reply.headers["retry-after"]) == (529, OVERLOADED, "77")
    assert len(first) == 1 and len(second) == 2, "once as it came, and once without the thinking"


async def test_a_fallback_does_without_the_thinking_that_it_cannot_read(start: Start, pack: Path) -> None:
    def strict(asked: Asked) -> Any:
        return (400, FOREIGN) if "signature" in json.dumps(asked.body) else (200, message())

    reply, _, second, _ = await asked_of_two(start, pack, "messages", THOUGHT, lambda _: (529, OVERLOADED), strict)
    assert reply.status_code == 200 and reply.json() == message()
    said = second[1].body["messages"]
    assert said[1] == {"role": "assistant", "content": [{"type": "text", "text": "Soon."}]}
    assert [each for at, each in enumerate(said) if at != 1] == [
        each for at, each in enumerate(second[0].body["messages"]) if at != 1
    ]


async def test_a_fallback_does_without_ids_that_it_does_not_know(start: Start, pack: Path) -> None:
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "error": None}
    body = {
        "input": [
            {"role": "user", "content": "where is my parcel"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "there"},
        ]
    }

    def strict(asked: Asked) -> Any:
        known = "rs_1" not in json.dumps(asked.body) and "fc_1" not in json.dumps(asked.body)
        error = {"message": "Item with id 'rs_1' not found.", "type": "invalid_request_error", "code": None}
        return (200, answer) if known else (404, {"error": error})

    reply, _, second, _ = await asked_of_two(start, pack, "responses", body, lambda _: (503, {}), strict)
    assert reply.status_code == 200
    assert [item.get("type") for item in second[1].body["input"]] == [None, "function_call", "function_call_output"]
    assert second[1].body["input"][1]["call_id"] == "call_1"


WITHIN: dict[str, tuple[str, Any, int]] = {
    "as openrouter says it": ("chat", {"error": {"message": "Provider returned error", "code": 502}}, 502),
    "with its fields empty": ("chat", {"id": "x", "choices": [], "error": {"code": 429, "message": "slow"}}, 429),
    "as a text": ("chat", {"error": "upstream connect error"}, 502),
    "by its type": ("messages", OVERLOADED, 529),
    "as vLLM said it": ("chat", {"object": "error", "message": "no such model", "code": 404}, 404),
    "as the choice's end": (
        "chat",
        {"choices": [{"index": 0, "finish_reason": "error", "message": {}}], "error": {"message": "no", "code": 503}},
        503,
    ),
    "a web page": ("chat", b"<!DOCTYPE html><html>Sign in</html>", 502),
    "nothing": ("chat", b"", 502),
}
BEGUN: dict[str, tuple[str, bytes, int]] = {
    "chat": ("chat", b'data: {"error":{"message":"no","code":503}}\n\ndata: [DONE]\n\n', 503),
    "chat, behind a comment": (
        "chat",
        b': busy\n\ndata: {"error":{"message":"no","type":"rate_limit_error"}}\n\n',
        429,
    ),
    "messages": ("messages", b"event: error\ndata: " + json.dumps(OVERLOADED).encode() + b"\n\n", 529),
    "responses": ("responses", b'event: error\ndata: {"type":"error","code":"server_error","message":"no"}\n\n', 502),
    "beside a choice": (
        "chat",
        b'data: {"error":{"message":"no","code":502},"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}\n\n',
        502,
    ),
    "a response that failed": (
        "responses",
        b'event: response.failed\ndata: {"type":"response.failed","response":{"object":"response","status":"failed",'
        b'"error":{"code":"server_error","message":"no"}}}\n\n',
        502,
    ),
    "null": ("chat", b"null", 502),
    "a whole error": ("chat", b'{"error":{"message":"no","code":503}}', 503),
    "a web page": ("chat", b"<html>Sign in</html>", 502),
}
ANSWERS: dict[str, Any] = {
    "chat": lambda asked: (200, chat_stream() if asked.body.get("stream") else chat()),
    "messages": lambda _: (200, message()),
    "responses": lambda _: (200, b'event: response.created\ndata: {"type":"response.created"}\n\n'),
}
ASKS = {
    "chat": {"messages": [PARCEL]},
    "messages": {"max_tokens": 9, "messages": [PARCEL]},
    "responses": {"input": "where is my parcel"},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("case", [*WITHIN, *BEGUN])
async def test_an_error_under_a_good_status_is_an_error(case: str, stream: bool, start: Start, pack: Path) -> None:
    cases: dict[str, Any] = BEGUN if stream else WITHIN
    if case not in cases:
        pytest.skip("the other half")
    format_, said, status = cases[case]
    body = ASKS[format_] | {"stream": stream}
    reply, _, second, _ = await asked_of_two(start, pack, format_, body, lambda _: (200, said), ANSWERS[format_])
    assert reply.status_code == 200 and len(second) == 1, "the fallback was asked"
    reply, first, second, told = await asked_of_two(
        start, pack, format_, body, lambda _: (200, said), lambda _: (500, {"error": {"message": "neither"}})
    )
    assert (reply.status_code, told["status"]) == (status, status) and len(first) == len(second) == 1
    assert told["error"] in ("backend_status", "backend_garbage")
    assert reply.headers["content-type"] == "application/json" and b"error" in reply.content


async def test_the_sdk_raises_on_it(start: Start, pack: Path) -> None:
    async with provider(lambda _: (200, {"error": {"message": "slow down", "code": 429}})) as upstream:
        config = BACKEND.format(kind="openai", url=upstream.url, format="chat", more="") + "\nretries: {attempts: 0}"
        running = await start(config, packs=[pack])
        client = openai.AsyncOpenAI(
            base_url="http://127.0.0.1:8080/v1", api_key="x", max_retries=0, http_client=running.client
        )
        with pytest.raises(openai.RateLimitError, match="slow down"):
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
