"""litellm, the real one, against servers on loopback that speak the OpenAI and the Anthropic format."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys

import pytest

from router.backends import LiteLLMBackend, Timeouts
from router.core.errors import BackendError
from router.core.ports import BackendRequest
from tests.support.litellm_warnings import LITELLM_WARNS

pytestmark = LITELLM_WARNS

CHAT = "/chat/completions"
KEY = "sk-operator-0123456789"
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WHOLE = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "created": 1,
    "model": "m-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
EMBEDDINGS = {
    "object": "list",
    "model": "m",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "usage": {"prompt_tokens": 1, "total_tokens": 1},
}
TEXT = {
    "id": "cmpl-9",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "Hello", "logprobs": None, "finish_reason": "stop"}],
}


def answer(body: dict, status: int = 200, *headers: str) -> bytes:
    raw = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(raw)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def chunk(delta: dict, finish: str | None = None) -> dict:
    top = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return top | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {**chunk({}), "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}
SAID = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})]
FINISHED = [*SAID, chunk({}, "stop"), USAGE]


def lines_of(events: list, *, done: bool = True) -> bytes:
    raw = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events)
    return raw + (b"data: [DONE]\n\n" if done else b"")


def stream(raw: bytes, *, length: int | None = None) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length or len(raw)}\r\n\r\n"
    return head.encode() + raw


@pytest.fixture(autouse=True, scope="module")
def swept():
    """Collect what litellm left, here, so that no later test is told of it."""
    yield
    gc.collect()


@pytest.fixture
async def backend_at():
    made = []

    def make(url, provider="openai", **more):
        more = {"timeouts": Timeouts(first_byte_s=20, idle_s=20, total_s=20), "api_key": KEY} | more
        made.append(LiteLLMBackend(name="main", provider=provider, api_base=url, **more))
        return made[-1]

    yield make
    for backend in made:
        await backend.aclose()


async def ask(backend, path=CHAT, **body):
    return await backend.send(BackendRequest(path, json.dumps(body).encode(), stream=bool(body.get("stream"))))


async def events_of(backend, path=CHAT, **body):
    got = await ask(backend, path, **body)
    raw = b"".join([chunk async for chunk in got.chunks])
    events = [line.removeprefix("data: ") for line in raw.decode().split("\n\n") if line]
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


def asked(origin) -> dict:
    return json.loads(origin.requests[-1][1])


async def test_a_whole_answer(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(WHOLE))), headers={"x-team": "blue"})
    got = await ask(backend, **BODY, temperature=0.5, seed=7)
    said = json.loads(got.body)
    assert (got.status, said["id"], said["usage"]["total_tokens"]) == (200, "chatcmpl-9", 3)
    assert said["choices"][0]["message"]["content"] == "Hello" and said["choices"][0]["finish_reason"] == "stop"
    assert asked(origin) == BODY | {"temperature": 0.5, "seed": 7}
    head = origin.requests[0][0].lower()
    assert f"authorization: bearer {KEY}\r\n".encode() in head and b"x-team: blue\r\n" in head


async def test_importing_litellm_was_quiet(backend_at):
    await backend_at("http://127.0.0.1:9/v1").prepare()
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True" and os.environ["LITELLM_MODE"] == "PRODUCTION"
    assert "litellm.proxy.proxy_server" not in sys.modules


SMUGGLED = {
    "api_base": "http://evil.example/v1",
    "base_url": "http://evil.example/v1",
    "api_key": "sk-client",
    "headers": {"x-evil": "1"},
    "extra_headers": {"x-evil": "1"},
    "extra_body": {"evil": 1},
    "user_config": {"model_list": [{"litellm_params": {"api_base": "http://evil.example"}}]},
    "mock_response": "evil",
    "custom_llm_provider": "ollama",
    "fallbacks": [{"model": "evil"}],
    "num_retries": 5,
    "timeout": 0.001,
}


@pytest.mark.parametrize("one", [*SMUGGLED, "all"])
async def test_nothing_that_is_not_listed_arrives(origin, answering, backend_at, one):
    backend = backend_at(await origin.start(answering(answer(WHOLE))))
    extra = SMUGGLED if one == "all" else {one: SMUGGLED[one]}
    got = await ask(backend, **BODY, **extra)
    assert json.loads(got.body)["choices"][0]["message"]["content"] == "Hello"
    assert asked(origin) == BODY
    assert b"evil" not in b"".join(origin.requests[0]) and b"client" not in origin.requests[0][0]


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("m", "m"),
        ("openai/m", "m"),
        ("ollama/m", "ollama/m"),
        ("azure/command-r-plus", "azure/command-r-plus"),
        ("anthropic/claude", "anthropic/claude"),
        ("http://evil.example/m", "http://evil.example/m"),
    ],
)
async def test_a_models_name_chooses_no_provider(origin, answering, backend_at, model, sent):
    backend = backend_at(await origin.start(answering(answer(WHOLE))))
    await ask(backend, **BODY | {"model": model})
    assert asked(origin)["model"] == sent


async def test_links_are_not_followed(origin, answering, backend_at):
    url = await origin.start(answering(answer(WHOLE)))
    content = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(BackendError, match="links are not followed"):
        await ask(backend_at(url), model="m", messages=[{"role": "user", "content": content}])
    assert origin.connections == 0


async def test_bytes_in_a_message_are_fine_and_links_where_the_operator_allows_them(origin, answering, backend_at):
    url = await origin.start(answering(answer(WHOLE), answer(WHOLE)))
    for link, backend in (
        ("data:image/png;base64,iVBORw0=", backend_at(url)),
        ("http://a/b", backend_at(url, links=True)),
    ):
        content = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": link}}]
        await ask(backend, model="m", messages=[{"role": "user", "content": content}])
        assert asked(origin)["messages"][0]["content"][1]["image_url"]["url"] == link


async def test_without_litellm_the_log_names_the_way_out(backend_at, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(BackendError, match="its log says which") as caught:
        await ask(backend_at("http://127.0.0.1:9/v1"), **BODY)
    assert caught.value.code == "not_installed"
    assert 'pip install "prompt-router[litellm]"' in caplog.text


class TestStreams:
    @pytest.mark.parametrize("usage", [True, False])
    async def test_events_are_those_of_the_format(self, origin, answering, backend_at, usage):
        backend = backend_at(await origin.start(answering(stream(lines_of(FINISHED)))))
        options = {"stream_options": {"include_usage": True}} if usage else {}
        events = await events_of(backend, **BODY, stream=True, **options)
        choices = [event["choices"][0] for event in events if event["choices"]]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello"
        assert [choice["finish_reason"] for choice in choices] == [None, None, "stop"]
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert [event["usage"]["total_tokens"] for event in events if "usage" in event] == ([3] if usage else [])
        assert usage is (events[-1]["choices"] == [])

    async def test_tool_calls_pass(self, origin, answering, backend_at):
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "find", "arguments": ""}}
        events = [
            chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"id":1}'}}]}),
            chunk({}, "tool_calls"),
        ]
        backend = backend_at(await origin.start(answering(stream(lines_of(events)))))
        tools = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]
        got = [e["choices"][0] for e in await events_of(backend, **BODY, stream=True, tools=tools)]
        calls = [call for choice in got for call in choice["delta"].get("tool_calls", [])]
        assert calls[0]["function"]["name"] == "find" and calls[0]["id"] == "call_1"
        assert "".join(call["function"]["arguments"] for call in calls) == '{"id":1}'
        assert got[-1]["finish_reason"] == "tool_calls"
        assert asked(origin)["tools"] == tools
        assert "litellm.proxy._experimental.mcp_server.catalog" not in sys.modules

    @pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
    @pytest.mark.parametrize("said", [b"", lines_of(SAID, done=False), lines_of(SAID, done=False)[:-30]])
    async def test_one_that_ends_in_good_order_but_without_a_reason_is_cut(
        self, origin, answering, backend_at, provider, said
    ):
        backend = backend_at(await origin.start(answering(stream(said))), provider)
        with pytest.raises(BackendError) as caught:
            await events_of(backend, **BODY, stream=True)
        assert (caught.value.code, caught.value.status) == ("truncated", 502)

    async def test_nor_does_an_end_mark_make_up_for_it(self, origin, answering, backend_at):
        backend = backend_at(await origin.start(answering(stream(lines_of(SAID)))))
        with pytest.raises(BackendError, match="without a reason"):
            await events_of(backend, **BODY, stream=True)

    async def test_one_whose_connection_breaks_is_cut(self, origin, answering, backend_at):
        said = stream(lines_of(SAID, done=False), length=10_000)
        backend = backend_at(await origin.start(answering(said, then_close=True)))
        got = await ask(backend, **BODY, stream=True)
        with pytest.raises(BackendError) as caught:
            [chunk async for chunk in got.chunks]
        assert caught.value.code == "truncated"

    async def test_closing_one_stops_the_provider(self, origin, answering, backend_at):
        said = stream(lines_of(SAID, done=False), length=10_000)
        backend = backend_at(await origin.start(answering(said)))
        got = await ask(backend, **BODY, stream=True)
        assert b"Hel" in await anext(got.chunks)
        await got.aclose()
        await got.aclose()
        await origin.left.wait()
        assert [chunk async for chunk in got.chunks] == []

    async def test_leaving_one_while_waiting_stops_the_provider(self, origin, answering, backend_at):
        said = stream(lines_of(SAID[:1], done=False), length=10_000)
        backend = backend_at(await origin.start(answering(said)))
        got = await ask(backend, **BODY, stream=True)
        await anext(got.chunks)
        reading = asyncio.create_task(anext(got.chunks))
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await origin.left.wait()

    async def test_text_completions_stream_as_such(self, origin, answering, backend_at):
        backend = backend_at(await origin.start(answering(stream(lines_of(FINISHED)))))
        events = await events_of(backend, "/completions", model="m", prompt="Hi", stream=True, logprobs=2, echo=True)
        assert asked(origin)["messages"] == [{"role": "user", "content": "Hi"}]
        assert "".join(event["choices"][0]["text"] for event in events) == "Hello"
        assert events[-1]["choices"][0]["finish_reason"] == "stop"
        assert {event["object"] for event in events} == {"text_completion"}


async def test_leaving_a_call_stops_the_provider(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(b"")))
    task = asyncio.create_task(ask(backend, **BODY))
    while not origin.requests:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await origin.left.wait()


async def test_text_completions(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(TEXT))))
    got = json.loads((await ask(backend, "/completions", model="m", prompt="Hi", api_base="http://evil.example")).body)
    assert (got["choices"][0]["text"], got["object"]) == ("Hello", "text_completion")
    assert asked(origin)["prompt"] == "Hi"


async def test_embeddings(origin, answering, backend_at):
    backend = backend_at(await origin.start(answering(answer(EMBEDDINGS))))
    got = json.loads((await ask(backend, "/embeddings", model="m", input=["Hi"], api_key="sk-client")).body)
    assert got["data"][0]["embedding"] == [0.5, 0.25]
    assert asked(origin)["input"] == ["Hi"] and b"sk-client" not in origin.requests[0][0]


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "retryable"),
        [(400, False), (401, False), (403, False), (404, False), (422, False), (429, True), (500, True), (503, True)],
    )
    async def test_the_providers_status_is_kept_and_asked_once(self, origin, answering, backend_at, status, retryable):
        said = answer({"error": {"message": f"no, {KEY}", "type": "t", "code": "c"}}, status, "Retry-After: 3")
        backend = backend_at(await origin.start(answering(said)))
        with pytest.raises(BackendError) as caught:
            await ask(backend, **BODY)
        error = caught.value
        assert (error.status, error.code, error.retryable) == (status, "backend_status", retryable)
        assert "no, [hidden]" in error.message and KEY not in error.message
        assert ("retry-after", "3") in error.headers
        assert len(origin.requests) == 1

    async def test_so_is_that_of_a_stream(self, origin, answering, backend_at):
        said = answer({"error": {"message": "slow", "type": "t", "code": "c"}}, 429)
        backend = backend_at(await origin.start(answering(said)))
        with pytest.raises(BackendError) as caught:
            await ask(backend, **BODY, stream=True)
        assert caught.value.status == 429

    async def test_nobody_there(self, origin, answering, backend_at):
        url = await origin.start(answering())
        await origin.stop()
        with pytest.raises(BackendError) as caught:
            await ask(backend_at(url), **BODY)
        assert (caught.value.code, caught.value.status) == ("connect_failed", 502)
        assert "127.0.0.1" not in caught.value.message

    async def test_a_connection_without_an_answer(self, origin, answering, backend_at):
        backend = backend_at(await origin.start(answering(b"", then_close=True)))
        with pytest.raises(BackendError) as caught:
            await ask(backend, **BODY)
        assert (caught.value.code, caught.value.status) == ("reset", 502)

    async def test_an_answer_that_is_none(self, origin, answering, backend_at):
        backend = backend_at(await origin.start(answering(answer({"choices": None}))))
        with pytest.raises(BackendError) as caught:
            await ask(backend, **BODY)
        assert caught.value.status in (500, 502) and "Traceback" not in caught.value.message


EVENTS = [
    (
        "message_start",
        {"message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "c"}},
    ),
    ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
    ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Hello"}}),
    ("content_block_stop", {"index": 0}),
    ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
    ("message_stop", {}),
]


def anthropic(events: list) -> bytes:
    for _, payload in events[:1]:
        payload["message"]["usage"] = {"input_tokens": 1, "output_tokens": 1}
    lines = [f"event: {name}\ndata: {json.dumps({'type': name} | payload)}\n\n" for name, payload in events]
    return stream("".join(lines).encode())


class TestAnthropic:
    """A provider that speaks another format altogether."""

    async def test_a_stream(self, origin, answering, backend_at):
        url = (await origin.start(answering(anthropic(EVENTS)))).removesuffix("/v1")
        backend = backend_at(url, "anthropic")
        events = await events_of(backend, **BODY, max_tokens=9, stream=True, api_base="http://evil.example")
        choices = [event["choices"][0] for event in events if event["choices"]]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == "Hello"
        assert choices[-1]["finish_reason"] == "stop"
        head, body = origin.requests[0]
        assert head.startswith(b"POST /v1/messages ") and f"x-api-key: {KEY}".encode() in head.lower()
        assert json.loads(body)["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]

    @pytest.mark.parametrize("kept", range(5))
    async def test_one_that_is_cut_never_looks_complete(self, origin, answering, backend_at, kept):
        url = (await origin.start(answering(anthropic(EVENTS[:kept])))).removesuffix("/v1")
        with pytest.raises(BackendError) as caught:
            await events_of(backend_at(url, "anthropic"), **BODY, max_tokens=9, stream=True)
        assert caught.value.code == "truncated"
