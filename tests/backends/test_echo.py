"""The echo, read by the official SDK: its shapes, its faults, and what it shows of a request."""

from __future__ import annotations

import asyncio
import json
import math

import httpx
import openai
import pytest
from pydantic import BaseModel

from router.core.errors import BackendError
from router.core.ports import BackendRequest
from tests.support.echo.double import EchoDouble
from tests.support.echo.lists import MODELS

CHAT = "/chat/completions"
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Where is my order 17?"}]


@pytest.fixture
def backend():
    return EchoDouble(name="echo", nonce="n", clock=lambda: 1_700_000_000.9)


@pytest.fixture
async def client(backend, direct):
    async with httpx.AsyncClient(transport=direct(backend)) as http:
        yield openai.AsyncOpenAI(api_key="none", base_url="http://echo.test/v1", http_client=http, max_retries=0)


async def ask(backend, path=CHAT, **body):
    return await backend.send(BackendRequest(path, json.dumps({"model": "echo", "messages": MESSAGES} | body).encode()))


async def content_of(backend, **body):
    return json.loads((await ask(backend, **body)).body)["choices"][0]["message"]["content"]


async def test_it_shows_the_request(client):
    answer = await client.chat.completions.create(model="echo", messages=MESSAGES, temperature=0.2)
    assert answer.choices[0].message.content == (
        "[system]\nBe kind.\n\n[user]\nWhere is my order 17?\n\n[model echo; temperature 0.2]"
    )
    assert (answer.id, answer.created, answer.model, answer.object) == (
        "chatcmpl-n-1",
        1_700_000_000,
        "echo",
        "chat.completion",
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_it_shows_tools_and_attachments(backend):
    call = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": '{"id":7}'}}
    messages = [
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "https://example.com/box.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 500}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file_1"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [call], "refusal": "no"},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"},
    ]
    tools = [{"type": "function", "function": {"name": "find"}}, {"type": "function", "function": {"name": "keep"}}]
    shown = (await content_of(backend, messages=messages, tools=tools, stop=["a", "b"])).split("\n")
    (long,) = [line for line in shown if "base64" in line]
    assert long.startswith("(image_url: data:image/png;base64,AAA") and long.endswith("A… (522 characters))")
    assert len(long) < 260
    assert "\n".join(line for line in shown if "base64" not in line) == (
        "[user ann]\nLook:\n(image_url: https://example.com/box.png)\n(input_audio: wav)\n(file: file_1)\n\n"
        '[assistant]\n(calls find({"id":7}) as call_1)\n(refusal: no)\n\n'
        '[tool call_1]\nfound\n\n[model echo; tools find, keep; stop ["a","b"]]'
    )


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "text",
        [],
        [1, None, "x"],
        [{}],
        [{"role": 1, "content": 2}],
        [{"role": "user", "content": {}}],
        [{"content": [1, {"type": []}, {"text": 1}]}],
        [{"role": "assistant", "tool_calls": [1, {"function": 2}, {"function": {}}]}],
    ],
)
async def test_any_json_can_be_shown(backend, messages):
    shown = await content_of(backend, messages=messages, tools=[1, {"function": None}], metadata={"a": [None]})
    assert shown.splitlines()[-1].startswith('[model echo; tools 1, {"function":null}; metadata')


async def test_streaming_says_the_same(client):
    whole = await client.chat.completions.create(model="echo", messages=MESSAGES)
    stream = await client.chat.completions.create(model="echo", messages=MESSAGES, stream=True)
    chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == whole.choices[0].message.content.replace("[model echo]", "[model echo; stream true]")
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk.id for chunk in chunks} == {"chatcmpl-n-2"} and len(chunks) > 5
    assert chunks[0].choices[0].delta.role == "assistant" and all(chunk.usage is None for chunk in chunks)


async def test_usage_in_a_stream_is_sent_when_asked_for(client):
    stream = await client.chat.completions.create(
        model="echo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0


async def test_several_choices(client):
    whole = await client.chat.completions.create(model="echo", messages=MESSAGES, n=3)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) == 1
    stream = await client.chat.completions.create(model="echo", messages=MESSAGES, n=2, stream=True)
    finished = [c.choices[0].index async for c in stream if c.choices[0].finish_reason]
    assert finished == [0, 1]


FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "how": {"enum": ["fast", "slow"]}, "note": {"type": "string"}},
            "required": ["id", "how"],
        },
    },
}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "find"}}])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_tool_is_called(client, choice, stream):
    asked = {"model": "echo", "messages": MESSAGES, "tools": [FIND], "tool_choice": choice}
    if stream:
        async with client.chat.completions.stream(**asked) as events:
            answer = await events.get_final_completion()
    else:
        answer = await client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("find", {"id": 1, "how": "fast"})
    assert answer.choices[0].finish_reason == "tool_calls" and not answer.choices[0].message.content


async def test_tools_are_not_called_unasked(client):
    answer = await client.chat.completions.create(model="echo", messages=MESSAGES, tools=[FIND], tool_choice="auto")
    assert answer.choices[0].message.tool_calls is None


async def test_a_demanded_shape_is_filled(client):
    class Order(BaseModel):
        number: int
        notes: list[str]
        state: str | None

    answer = await client.chat.completions.parse(model="echo", messages=MESSAGES, response_format=Order)
    assert answer.choices[0].message.parsed == Order(number=1, notes=[], state="echo")
    loose = await client.chat.completions.create(
        model="echo", messages=MESSAGES, response_format={"type": "json_object"}
    )
    assert "Be kind." in json.loads(loose.choices[0].message.content)["echo"]


@pytest.mark.parametrize(
    ("prompt", "shown"), [("Hi", ["Hi"]), (["a", "b"], ["a", "b"]), ([1, 2, 3], ["(3 tokens)"]), ([[1], [2, 3]], None)]
)
async def test_text_completions(client, prompt, shown):
    answer = await client.completions.create(model="echo", prompt=prompt)
    shown = shown or ["(1 tokens)", "(2 tokens)"]
    blocks = "\n\n".join(f"[prompt]\n{text}" for text in shown)
    assert answer.choices[0].text == f"{blocks}\n\n[model echo]"
    stream = await client.completions.create(model="echo", prompt=prompt, stream=True)
    chunks = [chunk.choices[0] async for chunk in stream]
    assert "".join(chunk.text for chunk in chunks).startswith(blocks) and chunks[-1].finish_reason == "stop"


async def test_embeddings(client):
    texts = ["order", "refund", "order"]
    packed = await client.embeddings.create(model="echo", input=texts)  # the SDK asks for base64
    plain = await client.embeddings.create(model="echo", input=texts, encoding_format="float")
    vectors = [item.embedding for item in plain.data]
    assert [item.embedding for item in packed.data] == vectors
    assert vectors[0] == vectors[2] != vectors[1] and len(vectors[0]) == 16
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-6) for vector in vectors)
    assert packed.usage.prompt_tokens == 3
    one = await client.embeddings.create(model="echo", input=[1, 2, 3], dimensions=3)
    assert len(one.data) == 1 and len(one.data[0].embedding) == 3


async def test_models(client):
    assert [model.id async for model in client.models.list()] == list(MODELS)
    assert (await client.models.retrieve("echo")).id == "echo"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt")


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (CHAT, {"n": 0}, 400, "n"),
        (CHAT, {"n": 129}, 400, "n"),
        (CHAT, {"n": "2"}, 400, "n"),
        (CHAT, {"n": True}, 400, "n"),
        (CHAT, {"tool_choice": "required"}, 400, "tool_choice"),
        (CHAT, {"tool_choice": {"function": {"name": "x"}}, "tools": [FIND]}, 400, "tool_choice"),
        (CHAT, {"model": "echo-fial-503"}, 404, "model"),
        (CHAT, {"model": "echo-fail-200"}, 404, "model"),
        ("/embeddings", {"input": ""}, 400, "input"),
        ("/embeddings", {"input": []}, 400, "input"),
        ("/embeddings", {"input": {"a": 1}}, 400, "input"),
        ("/embeddings", {"input": "a", "dimensions": 0}, 400, "dimensions"),
        ("/embeddings", {"input": "a", "dimensions": 10**6}, 400, "dimensions"),
        ("/images", {}, 404, None),
    ],
)
async def test_what_the_api_would_refuse(backend, path, body, status, param):
    with pytest.raises(BackendError) as caught:
        await ask(backend, path, **body)
    error = json.loads(caught.value.body)["error"]
    assert (caught.value.status, error["param"], caught.value.retryable) == (status, param, False)
    assert error["message"] == caught.value.message and error["type"] == "invalid_request_error"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b'{"a":NaN}', b"[" * 100_000, b'"x"', b'{"a":"\\ud800"}'])
async def test_what_is_no_request(backend, raw):
    with pytest.raises(BackendError) as caught:
        await backend.send(BackendRequest(CHAT, raw))
    assert caught.value.status == 400


class TestFaults:
    @pytest.mark.parametrize(("status", "retryable"), [(400, False), (429, True), (503, True), (599, True)])
    async def test_fail(self, backend, status, retryable):
        with pytest.raises(BackendError) as caught:
            await ask(backend, model=f"echo-fail-{status}")
        assert (caught.value.status, caught.value.retryable) == (status, retryable)

    async def test_stall_and_slow(self, backend, monkeypatch):
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        monkeypatch.setattr("tests.support.echo.double.asyncio.sleep", sleep)
        await ask(backend, model="echo-stall-2s")
        assert slept == [2.0]
        answer = await ask(backend, model="echo-stall-7ms-slow-50ms-cut-2", stream=True)
        assert len([chunk async for chunk in answer.chunks]) == 2
        assert slept == [2.0, 0.007, 0.05, 0.05]
        await ask(backend, model="echo-stall-999999s")
        assert slept[-1] == 600

    async def test_cut(self, backend):
        answer = await ask(backend, model="echo-cut-3", stream=True)
        chunks = [chunk async for chunk in answer.chunks]
        assert len(chunks) == 3 and b'finish_reason":"stop' not in b"".join(chunks) and b"DONE" not in chunks[-1]
        with pytest.raises(BackendError) as caught:
            await ask(backend, model="echo-cut-3")
        assert caught.value.code == "truncated"

    async def test_garbage(self, backend):
        answer = await ask(backend, model="echo-garbage", stream=True)
        (streamed,) = [chunk async for chunk in answer.chunks]
        whole = (await ask(backend, model="echo-garbage")).body
        assert whole == streamed and b"data:" not in whole and b"{" not in whole

    @pytest.mark.parametrize("model", ["gpt-4o", "echo", "echoes", "", None, 7])
    async def test_other_names_are_harmless(self, backend, model):
        assert (await ask(backend, model=model)).status == 200


async def test_leaving_a_slow_stream_ends_it(backend):
    answer = await ask(backend, model="echo-slow-600000ms", stream=True)
    reading = asyncio.create_task(anext(answer.chunks))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await answer.aclose()
    await answer.aclose()
    assert [chunk async for chunk in answer.chunks] == []


async def test_ids_are_its_own(backend):
    other = EchoDouble(nonce="m")
    ids = [json.loads((await ask(each)).body)["id"] for each in (backend, other, backend, other)]
    assert ids == ["chatcmpl-n-1", "chatcmpl-m-1", "chatcmpl-n-2", "chatcmpl-m-2"]


async def test_long_texts_are_estimated(backend):
    answer = json.loads((await ask(backend, messages=[{"role": "user", "content": "word " * 20_000}])).body)
    assert answer["usage"]["prompt_tokens"] == (len("[user]\n") + 100_000) // 4
