"""The echo's Responses, read by the official SDK: whole, as events, kept, continued and demanded."""

from __future__ import annotations

import json

import httpx
import openai
import pytest
from pydantic import BaseModel

from router.core.errors import BackendError
from router.core.ports import BackendRequest
from tests.support.echo.double import EchoDouble
from tests.support.echo.kept import KeptResponses

PATH = "/responses"
ASKED = {"model": "echo", "instructions": "Be kind.", "input": "Where is my order 17?"}
FIND = {
    "type": "function",
    "name": "find",
    "strict": True,
    "parameters": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
}


@pytest.fixture
def backend():
    return EchoDouble(name="echo", nonce="n", clock=lambda: 1_700_000_000.9)


@pytest.fixture
async def client(backend, direct):
    async with httpx.AsyncClient(transport=direct(backend)) as http:
        yield openai.AsyncOpenAI(api_key="none", base_url="http://echo.test/v1", http_client=http, max_retries=0)


async def ask(backend, method="POST", path=PATH, **body):
    return await backend.send(BackendRequest(path, json.dumps(ASKED | body).encode(), method=method))


async def text_of(backend, **body):
    return json.loads((await ask(backend, **body)).body)["output"][0]["content"][0]["text"]


async def test_it_shows_the_request(client):
    answer = await client.responses.create(**ASKED, temperature=0.2, metadata={"a": "b"})
    shown = (
        '[instructions]\nBe kind.\n\n[user]\nWhere is my order 17?\n\n[model echo; metadata {"a":"b"}; temperature 0.2]'
    )
    assert answer.output_text == shown
    assert (answer.id, answer.created_at, answer.status, answer.model) == (
        "resp_n-1",
        1_700_000_000,
        "completed",
        "echo",
    )
    assert (answer.temperature, answer.instructions, answer.metadata) == (0.2, "Be kind.", {"a": "b"})
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


ITEMS = [
    {"role": "developer", "content": "Be brief."},
    {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Look:", "prompt_cache_breakpoint": {"mode": "explicit"}},
            {"type": "input_image", "image_url": "https://example.com/box.png", "detail": "low"},
            {"type": "input_file", "file_id": "file_1"},
        ],
    },
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"id":7}'},
    {"type": "function_call_output", "call_id": "call_1", "output": "found"},
    {"type": "function_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "lost"}]},
    {"role": "assistant", "content": [{"type": "output_text", "text": "Here.", "annotations": []}], "phase": "final"},
]


async def test_it_shows_items(backend):
    tools = [FIND, {"type": "web_search"}]
    assert (await text_of(backend, input=ITEMS, instructions=None, tools=tools)) == (
        '[developer]\nBe brief.\n\n[user]\nLook:\n(prompt_cache_breakpoint: {"mode":"explicit"})\n'
        "(input_image: https://example.com/box.png)\n(input_file: file_1)\n\n"
        '[reasoning]\n{"id":"rs_1","summary":[]}\n\n[assistant]\n(calls find({"id":7}) as call_1)\n\n'
        "[tool call_1]\nfound\n\n[tool call_2]\nlost\n\n[assistant]\nHere.\n(phase: final)\n\n"
        '[model echo; tools find, {"type":"web_search"}]'
    )


@pytest.mark.parametrize(
    "given", [None, 1, {}, [], [1, None], [{}], [{"type": 1}], [{"type": "message", "content": 2}]]
)
async def test_any_json_can_be_shown(backend, given):
    assert (await text_of(backend, input=given)).startswith("[instructions]\nBe kind.")


async def test_streaming_says_the_same_in_the_order_of_the_format(client):
    whole = await client.responses.create(**ASKED)
    async with client.responses.stream(**ASKED) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert final.output_text == whole.output_text.replace("[model echo]", "[model echo; stream true]")
    kinds = [event.type.removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *["output_text.delta"] * deltas,
        *("output_text.done", "content_part.done", "output_item.done", "completed"),
    ]
    assert deltas > 3 and [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].response.status == "in_progress" and events[0].response.usage is None


@pytest.mark.parametrize(
    "choice",
    [
        "required",
        {"type": "function", "name": "find"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "find"}]},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_forced_tool_is_called(client, choice, stream):
    asked = ASKED | {"tools": [{"type": "web_search"}, FIND], "tool_choice": choice}
    if stream:
        async with client.responses.stream(**asked) as events:
            kinds = [event.type async for event in events]
            answer = await events.get_final_response()
        assert "response.function_call_arguments.done" in kinds
    else:
        answer = await client.responses.create(**asked)
    (call,) = answer.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "find", {"id": 1})
    assert call.call_id.startswith("call_n-") and answer.output_text == ""


async def test_a_demanded_shape_is_filled(client):
    class Order(BaseModel):
        number: int
        notes: list[str]

    answer = await client.responses.parse(**ASKED, text_format=Order)
    assert answer.output_parsed == Order(number=1, notes=[])
    loose = await client.responses.create(**ASKED, text={"format": {"type": "json_object"}})
    assert "Be kind." in json.loads(loose.output_text)["echo"]


class TestKept:
    async def test_an_answer_can_be_read_again_and_deleted(self, client):
        answer = await client.responses.create(**ASKED)
        assert await client.responses.retrieve(answer.id) == answer
        await client.responses.delete(answer.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(answer.id)

    async def test_also_as_events_from_any_of_them_on(self, client):
        answer = await client.responses.create(**ASKED)
        events = [event async for event in await client.responses.retrieve(answer.id, stream=True)]
        assert events[-1].response == answer
        rest = [event async for event in await client.responses.retrieve(answer.id, stream=True, starting_after=4)]
        assert rest == events[5:]

    async def test_its_input_can_be_listed(self, client):
        answer = await client.responses.create(model="echo", input=ITEMS)
        page = await client.responses.input_items.list(answer.id, limit=3, order="asc")
        assert [item.type for item in page.data] == ["message", "message", "reasoning"] and page.has_more
        every = [item.id async for item in client.responses.input_items.list(answer.id, limit=2)]
        assert len(every) == len(set(every)) == len(ITEMS) and every[-2] == "msg_1"

    async def test_one_goes_on_from_it_without_its_instructions(self, client):
        first = await client.responses.create(**ASKED)
        second = await client.responses.create(
            model="echo", instructions="Be brief.", input="And 18?", previous_response_id=first.id
        )
        assert second.output_text == (
            "[instructions]\nBe brief.\n\n[user]\nWhere is my order 17?\n\n"
            "[assistant]\n[instructions]\nBe kind.\n\n[user]\nWhere is my order 17?\n\n[model echo]\n\n"
            f"[user]\nAnd 18?\n\n[model echo; previous_response_id {first.id}]"
        )
        third = await client.responses.create(model="echo", input="19?", previous_response_id=second.id)
        assert third.output_text.startswith("[user]\nWhere is my order 17?\n\n[assistant]\n[instructions]\nBe kind.")
        assert third.usage.input_tokens > second.usage.input_tokens

    async def test_a_long_conversation_grows_by_its_turns_only(self, client):
        last, lengths = None, []
        for turn in range(12):
            answer = await client.responses.create(model="echo", input=f"Turn {turn}", previous_response_id=last)
            last = answer.id
            lengths.append(len(answer.output_text))
        assert lengths[-1] - lengths[-2] < 400

    async def test_what_is_not_to_be_stored_is_not(self, client):
        answer = await client.responses.create(**ASKED, store=False)
        with pytest.raises(openai.NotFoundError, match=answer.id):
            await client.responses.retrieve(answer.id)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.responses.create(**ASKED, previous_response_id=answer.id)
        assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")

    @pytest.mark.parametrize("model", ["echo-cut-3", "echo-garbage"])
    async def test_nor_what_never_became_whole(self, backend, model):
        await ask(backend, model=model, stream=True)
        with pytest.raises(BackendError, match="not found"):
            await ask(backend, "GET", "/responses/resp_n-1")

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("POST", "/responses/resp_n-1/cancel", 400),
            ("POST", "/responses/resp_n-9/cancel", 404),
            ("GET", "/responses/resp_n-1/other", 404),
            ("DELETE", "/responses/resp_n-1/input_items", 404),
            ("GET", "/responses/resp_n-1/input_items?limit=0", 400),
            ("GET", "/responses/resp_n-1?stream=true&starting_after=x", 400),
            ("GET", "/responses/", 404),
        ],
    )
    async def test_what_cannot_be_asked_of_it(self, backend, method, path, status):
        await ask(backend)
        with pytest.raises(BackendError) as caught:
            await ask(backend, method, path)
        assert caught.value.status == status and json.loads(caught.value.body)["error"]["message"]

    def test_the_oldest_leave_first(self):
        kept = KeptResponses(most=3, most_bytes=100)
        answers = [{"id": f"resp_{n}", "output": []} for n in range(5)]
        for answer in answers[:4]:
            kept.keep({"input": "Hi"}, answer, (), 10)
        with pytest.raises(BackendError):
            kept.serve("GET", "/responses/resp_0")
        kept.keep({"input": "Hi"}, answers[4], (), 95)
        assert kept.serve("GET", "/responses/resp_4") is answers[4]
        with pytest.raises(BackendError):
            kept.serve("GET", "/responses/resp_3")
        kept.keep({"input": "Hi"}, answers[0], (), 101)
        assert kept.serve("GET", "/responses/resp_4") is answers[4]


class TestFaults:
    @pytest.mark.parametrize("count", [0, 1, 3, 6])
    async def test_cut(self, backend, count):
        answer = await ask(backend, model=f"echo-cut-{count}", stream=True)
        events = [event async for event in answer.chunks]
        assert len(events) == count and b"response.completed" not in b"".join(events)
        with pytest.raises(BackendError) as caught:
            await ask(backend, model=f"echo-cut-{count}")
        assert caught.value.code == "truncated"

    async def test_garbage(self, backend):
        answer = await ask(backend, model="echo-garbage", stream=True)
        (streamed,) = [chunk async for chunk in answer.chunks]
        assert (await ask(backend, model="echo-garbage")).body == streamed and b"data:" not in streamed

    async def test_fail(self, backend):
        with pytest.raises(BackendError) as caught:
            await ask(backend, model="echo-fail-529")
        assert (caught.value.status, caught.value.retryable) == (529, True)

    async def test_stall_and_slow(self, backend, monkeypatch):
        slept = []

        async def sleep(seconds):
            slept.append(seconds)

        monkeypatch.setattr("tests.support.echo.double.asyncio.sleep", sleep)
        answer = await ask(backend, model="echo-stall-2s-slow-50ms-cut-2", stream=True)
        assert len([event async for event in answer.chunks]) == 2 and slept == [2.0, 0.05, 0.05]
