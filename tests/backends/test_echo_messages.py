"""The echo's Anthropic Messages, its token counts, and its moderations."""

from __future__ import annotations

import json

import pytest

from router.core.errors import BackendError
from router.core.ports import BackendRequest
from tests.support.echo.double import EchoDouble

PATH = "/messages"
ASKED = {
    "model": "echo",
    "max_tokens": 100,
    "system": "Be kind.",
    "messages": [{"role": "user", "content": "Where is my order 17?"}],
}
FIND = {
    "name": "find",
    "description": "Finds orders",
    "input_schema": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
}
SHAPE = {"type": "object", "properties": {"number": {"type": "integer"}}, "required": ["number"]}


@pytest.fixture
def backend():
    return EchoDouble(name="echo", nonce="n")


async def ask(backend, path=PATH, **body):
    return await backend.send(BackendRequest(path, json.dumps(ASKED | body).encode()))


async def said(backend, path=PATH, **body):
    return json.loads((await ask(backend, path, **body)).body)


async def events_of(backend, **body):
    answer = await ask(backend, stream=True, **body)
    assert dict(answer.headers)["content-type"].startswith("text/event-stream")
    events = []
    async for chunk in answer.chunks:
        name, line, *rest = chunk.decode().split("\n")
        events.append(json.loads(line.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}" and rest == ["", ""]
    return events


async def test_it_shows_the_request(backend):
    answer = await said(backend, temperature=0.2)
    assert answer["content"] == [
        {
            "type": "text",
            "text": "[system]\nBe kind.\n\n[user]\nWhere is my order 17?\n\n[model echo; max_tokens 100; temperature 0.2]",
        }
    ]
    assert {key: answer[key] for key in ("id", "type", "role", "model", "stop_reason", "stop_sequence")} == {
        "id": "msg_n-1",
        "type": "message",
        "role": "assistant",
        "model": "echo",
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    assert answer["usage"]["input_tokens"] > 0 and answer["usage"]["output_tokens"] > 0


async def test_it_shows_blocks_and_marks(backend):
    marked = {"cache_control": {"type": "ephemeral"}}
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"} | marked,
                {"type": "image", "source": {"type": "url", "url": "https://example.com/box.png"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 500}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"id": 7}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "found"}]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "lost"},
            ],
        },
    ]
    system = [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."} | marked]
    answer = await said(backend, system=system, messages=messages, tools=[FIND])
    assert answer["content"][0]["text"] == (
        '[system]\nBe kind.\nBe brief.\n(cache_control: {"type":"ephemeral"})\n\n'
        '[user]\nLook:\n(cache_control: {"type":"ephemeral"})\n(image: https://example.com/box.png)\n'
        "(image: image/png)\n(document: file_1)\n\n"
        '[assistant]\n(thinking: Hm.)\n(calls find({"id":7}) as toolu_1)\n\n'
        "[user]\n(result of toolu_1)\nfound\n(result of toolu_2)\nlost\n\n[model echo; max_tokens 100; tools find]"
    )


@pytest.mark.parametrize("messages", [None, 1, {}, [], [1], [{}], [{"role": 1, "content": [None, {}, {"type": 1}]}]])
async def test_any_json_can_be_shown(backend, messages):
    assert "[model echo" in (await said(backend, messages=messages, system=[1, {}], tools={}))["content"][0]["text"]


async def test_streaming_says_the_same_in_the_order_of_the_format(backend):
    whole = await said(backend)
    events = await events_of(backend)
    kinds = [event["type"] for event in events]
    deltas = kinds.count("content_block_delta")
    assert kinds == [
        *("message_start", "content_block_start", "ping"),
        *["content_block_delta"] * deltas,
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert deltas > 3
    assert text == whole["content"][0]["text"].replace("max_tokens 100", "max_tokens 100; stream true")
    start = events[0]["message"]
    assert (start["content"], start["stop_reason"], start["usage"]["input_tokens"]) == (
        [],
        None,
        whole["usage"]["input_tokens"],
    )
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] > 1


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "find"}])
async def test_a_forced_tool_is_called(backend, choice):
    answer = await said(backend, tools=[FIND], tool_choice=choice)
    assert answer["content"] == [{"type": "tool_use", "id": "toolu_n-1", "name": "find", "input": {"id": 1}}]
    assert answer["stop_reason"] == "tool_use"
    events = await events_of(backend, tools=[FIND], tool_choice=choice)
    assert events[1]["content_block"] == {"type": "tool_use", "id": "toolu_n-2", "name": "find", "input": {}}
    given = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(delta["partial_json"] for delta in given)) == {"id": 1}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "none"}, None])
async def test_tools_are_not_called_unasked(backend, choice):
    assert (await said(backend, tools=[FIND], tool_choice=choice))["stop_reason"] == "end_turn"


@pytest.mark.parametrize("field", ["output_config", "output_format"])
async def test_a_demanded_shape_is_filled(backend, field):
    form = {"type": "json_schema", "schema": SHAPE}
    answer = await said(backend, **{field: {"format": form} if field == "output_config" else form})
    assert json.loads(answer["content"][0]["text"]) == {"number": 1}


async def test_counting_is_what_an_answer_would_tell(backend):
    counted = await said(backend, "/messages/count_tokens")
    assert counted == {"input_tokens": (await said(backend))["usage"]["input_tokens"]}


class TestFaults:
    @pytest.mark.parametrize("count", [0, 1, 3, 6])
    async def test_cut(self, backend, count):
        events = await events_of(backend, model=f"echo-cut-{count}")
        assert len(events) == count and "message_stop" not in [event["type"] for event in events]
        with pytest.raises(BackendError) as caught:
            await ask(backend, model=f"echo-cut-{count}")
        assert caught.value.code == "truncated"

    @pytest.mark.parametrize("path", [PATH, "/messages/count_tokens", "/moderations"])
    async def test_others(self, backend, path):
        assert b"input_tokens" not in (await ask(backend, path, model="echo-garbage", input="Hi")).body
        with pytest.raises(BackendError) as caught:
            await ask(backend, path, model="echo-fail-529")
        assert (caught.value.status, caught.value.retryable) == (529, True)

    async def test_a_tool_that_is_not_there(self, backend):
        with pytest.raises(BackendError, match="not among the tools") as caught:
            await ask(backend, tools=[FIND], tool_choice={"type": "tool", "name": "other"})
        assert caught.value.status == 400


@pytest.mark.parametrize(
    ("given", "results"),
    [
        ("Hi", 1),
        (["a", "b"], 2),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}], 1),
    ],
)
async def test_moderations(backend, given, results):
    answer = await said(backend, "/moderations", input=given)
    assert len(answer["results"]) == results and answer["id"] == "modr-n-1"
    first = answer["results"][0]
    assert not first["flagged"] and first["categories"].keys() == first["category_scores"].keys()


@pytest.mark.parametrize("given", [None, [], [1], ["a", {"type": "text", "text": "b"}]])
async def test_moderations_of_nothing(backend, given):
    with pytest.raises(BackendError) as caught:
        await ask(backend, "/moderations", input=given)
    assert (caught.value.status, json.loads(caught.value.body)["error"]["param"]) == (400, "input")
