"""Any format over any other: three clients' formats to servers that speak one each, by way of the real litellm."""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import openai
import pytest

from router.backends import Timeouts
from router.backends.bridged import BridgedBackend
from router.backends.litellm.backend import LiteLLMBackend, bridge_to
from router.backends.passthrough import PassThroughBackend
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendRequest
from tests.backends.speakers import (
    ARGUMENTS,
    CHAT,
    GREETING,
    MESSAGES,
    RESPONSES,
    RESULT,
    SPEAK,
    USED,
    Read,
    Speaker,
    greeting,
    with_result,
    with_tools,
)
from tests.support.litellm_warnings import LITELLM_WARNS

pytestmark = LITELLM_WARNS

PATHS = (CHAT, RESPONSES, MESSAGES)
KEY = "sk-operator-0123456789"
PATIENT = Timeouts(first_byte_s=20, idle_s=20, total_s=20)
WHOLE_OR_STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
TALKING = {CHAT: "stop", RESPONSES: "completed", MESSAGES: "end_turn"}
CALLING = {CHAT: "tool_calls", RESPONSES: "completed", MESSAGES: "tool_use"}


@pytest.fixture(autouse=True, scope="module")
def swept():
    """Collect what litellm left, here, so that no later test is told of it."""
    yield
    gc.collect()


@pytest.fixture(params=PATHS, ids=lambda path: f"over {path}")
async def speaker(request):
    it = Speaker(request.param)
    it.url = await it.start()
    yield it
    await it.stop()


@pytest.fixture
async def bridge(speaker):
    it = bridge_to(speaker.path, name="main", base_url=speaker.url, api_key=KEY, timeouts=PATIENT)
    yield it
    await it.aclose()


async def answer_of(backend, path, body):
    got = await backend.send(BackendRequest(path, json.dumps(body).encode(), stream=bool(body.get("stream"))))
    return got.body if got.chunks is None else [chunk async for chunk in got.chunks]


async def read(backend, path, body):
    if body.get("stream") and path == CHAT:
        body |= {"stream_options": {"include_usage": True}}
    return Read(path, await answer_of(backend, path, body))


@pytest.mark.parametrize("path", PATHS)
@WHOLE_OR_STREAM
class TestEachOverEach:
    async def test_it_talks(self, speaker, bridge, path, stream):
        got = await read(bridge, path, greeting(path, stream=stream, temperature=0.5))
        assert (got.text, got.call, got.end, got.usage) == (GREETING, "", TALKING[path], USED)
        (asked,) = speaker.asked
        assert asked["temperature"] == 0.5 and bool(asked.get("stream")) is stream
        assert "Be kind." in json.dumps(asked) and not speaker.strangers
        assert KEY in speaker.heads[0] and asked.get("store") is (False if speaker.path == RESPONSES else None)

    async def test_it_calls_a_tool_and_hears_of_it(self, speaker, bridge, path, stream):
        got = await read(bridge, path, with_tools(path, stream=stream))
        assert (got.call, json.loads(got.arguments), got.end) == ("find", json.loads(ARGUMENTS), CALLING[path])
        assert got.text == "" and got.call_id == "call_x7"
        told = await read(bridge, path, with_result(path, got.call_id, stream=stream))
        assert told.text == f"Told: {RESULT}" and told.end == TALKING[path]
        assert "call_x7" in json.dumps(speaker.asked[1]) and not speaker.strangers

    async def test_a_refusal_keeps_its_status_and_no_secret(self, speaker, bridge, path, stream):
        speaker.refusal = 429, {"error": {"message": f"slow down, {KEY}", "type": "rate_limit_error", "code": None}}
        with pytest.raises(BackendError) as caught:
            await answer_of(bridge, path, greeting(path, stream=stream))
        error = caught.value
        assert (error.status, error.code, error.retryable) == (429, "backend_status", True)
        assert "slow down" in error.message and KEY not in error.message and len(speaker.asked) == 1


def stream_of(path, body):
    return SPEAK[path](body | {"stream": True})


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("ask", [greeting, with_tools])
async def test_a_stream_that_is_cut_never_looks_whole(speaker, bridge, path, ask):
    said = stream_of(speaker.path, ask(speaker.path))
    told = next(at for at, event in enumerate(said) if b'reason": "' in event or b"response.completed" in event)
    for speaker.cut in range(told + 1):
        with pytest.raises(BackendError) as caught:
            await answer_of(bridge, path, ask(path, stream=True))
        assert caught.value.code == "truncated", speaker.cut
    speaker.cut = None
    assert Read(path, await answer_of(bridge, path, ask(path, stream=True))).end


@pytest.mark.parametrize("path", PATHS)
async def test_closing_a_stream_stops_the_provider(speaker, bridge, path):
    speaker.held = True
    got = await bridge.send(BackendRequest(path, json.dumps(greeting(path, stream=True)).encode(), stream=True))
    await anext(got.chunks)
    await got.aclose()
    await got.aclose()
    async with asyncio.timeout(10):
        await speaker.left.wait()
    assert [chunk async for chunk in got.chunks] == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_backend_that_learns_ends_up_there(speaker, bridge, path):
    native = PassThroughBackend(name="main", base_url=speaker.url, api_key=KEY, timeouts=PATIENT)
    backend = BridgedBackend(native, bridge)
    for stream in (False, True, False):
        assert Read(path, await answer_of(backend, path, greeting(path, stream=stream))).text == GREETING
    assert speaker.strangers == ([] if path == speaker.path else [path])
    assert backend.bridged == ({path} - {speaker.path})
    await native.aclose()


async def test_events_of_responses_are_numbered_and_of_one_answer(bridge):
    got = await read(bridge, RESPONSES, greeting(RESPONSES, stream=True, metadata={"a": "b"}))
    assert [payload["sequence_number"] for payload in got.payloads] == list(range(len(got.payloads)))
    assert got.kinds[:2] == ["response.created", "response.in_progress"] and got.kinds[-1] == "response.completed"
    answers = [payload["response"] for payload in got.payloads if "response" in payload]
    assert len({answer["id"] for answer in answers}) == 1 and answers[0]["id"].startswith("resp_")
    assert answers[-1]["store"] is False and answers[-1]["metadata"] == {"a": "b"}


async def test_the_official_sdk_reads_responses(bridge, direct):
    import httpx

    async with httpx.AsyncClient(transport=direct(bridge)) as http:
        client = openai.AsyncOpenAI(api_key="none", base_url="http://bridge.test/v1", http_client=http, max_retries=0)
        whole = await client.responses.create(model="m", input="Hi", instructions="Be kind.")
        async with client.responses.stream(model="m", input="Hi") as stream:
            [event async for event in stream]
            final = await stream.get_final_response()
    assert whole.output_text == final.output_text == GREETING and final.usage.total_tokens == 12


async def test_events_of_messages_are_in_the_order_of_the_format(bridge):
    got = await read(bridge, MESSAGES, greeting(MESSAGES, stream=True))
    middle = [kind for kind in got.kinds if kind != "content_block_delta"]
    assert middle == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert got.payloads[0]["message"]["id"].startswith("msg_") and got.payloads[0]["message"]["model"] == "m"


async def test_tokens_are_counted(speaker, bridge):
    short = json.loads(await answer_of(bridge, MESSAGES + "/count_tokens", greeting(MESSAGES)))["input_tokens"]
    longer = greeting(MESSAGES, system="Be kind. " * 50)
    long = json.loads(await answer_of(bridge, MESSAGES + "/count_tokens", longer))["input_tokens"]
    if speaker.path == MESSAGES:
        assert short == long == 42 and speaker.asked[0]["system"] == "Be kind."
    else:
        assert 5 < short < 30 and 100 < long < 300 and not speaker.asked


class TestWhatIsRefused:
    @pytest.fixture(params=[CHAT], ids=["over chat"])
    async def speaker(self, request):
        it = Speaker(request.param)
        it.url = await it.start()
        yield it
        assert not it.asked
        await it.stop()

    @pytest.mark.parametrize(
        ("path", "more", "said"),
        [
            (RESPONSES, {"previous_response_id": "resp_1"}, "send the whole conversation"),
            (RESPONSES, {"conversation": "conv_1"}, "send the whole conversation"),
            (RESPONSES, {"background": True}, "ask for a stream"),
            (RESPONSES, {"prompt": {"id": "pmpt_1"}}, "send its text"),
            (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, r"input\[0\]"),
            (RESPONSES, {"input": ["Hi"]}, r"input\[0\]"),
            (RESPONSES, {"input": None, "instructions": None}, "no input"),
            (RESPONSES, {"input": 7}, "must be a text or a list"),
            (RESPONSES, {"text": 7}, "text must be an object"),
            (RESPONSES, {"tools": [{"type": "mcp", "server_url": "http://evil.example"}]}, r"tools\[0\]"),
            (RESPONSES, {"tools": [{"type": "web_search"}]}, r"tools\[0\]"),
            (
                RESPONSES,
                {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "http://a/b"}]}]},
                "links",
            ),
            (
                RESPONSES,
                {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://a/b"}]}]},
                "links",
            ),
            (MESSAGES, {"messages": None}, "no messages"),
            (MESSAGES, {"messages": "Hi"}, "must be a list"),
            (MESSAGES, {"messages": ["Hi"]}, "must be a list of objects"),
            (MESSAGES, {"messages": [{"role": "user", "content": 7}]}, "a text or a list of blocks"),
            (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "blocks of this type"),
            (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\[0\]"),
            (
                MESSAGES,
                {
                    "messages": [
                        {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://a/b"}}]}
                    ]
                },
                "links",
            ),
            (
                MESSAGES,
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image_url"}]}
                            ],
                        }
                    ]
                },
                r"messages\[0\].content\[0\].content\[0\]",
            ),
        ],
    )
    async def test_what_the_bridge_cannot_carry(self, bridge, path, more, said):
        for further in ("", "/count_tokens") if path == MESSAGES else ("",):
            with pytest.raises(BackendError, match=said) as caught:
                await answer_of(bridge, path + further, greeting(path) | more)
            assert (caught.value.status, caught.value.code, caught.value.retryable) == (400, "invalid_request", False)


SMUGGLED = {
    "api_base": "http://evil.example/v1",
    "base_url": "http://evil.example/v1",
    "api_key": "sk-client",
    "extra_headers": {"x-evil": "1"},
    "headers": {"x-evil": "1"},
    "extra_body": {"evil": 1},
    "mock_response": "evil",
    "custom_llm_provider": "ollama",
    "litellm_metadata": {"evil": 1},
    "context_management": {"edits": [{"type": "compact_20260112", "model": "evil"}]},
    "mcp_servers": [{"url": "http://evil.example"}],
    "fallbacks": ["evil"],
    "num_retries": 5,
    "timeout": 0.001,
}


@pytest.mark.parametrize("path", PATHS)
@WHOLE_OR_STREAM
async def test_nothing_that_is_not_listed_arrives(speaker, bridge, path, stream):
    got = await read(bridge, path, greeting(path, stream=stream) | SMUGGLED)
    assert got.text == GREETING
    assert "evil" not in json.dumps(speaker.asked) + "".join(speaker.heads) and "sk-client" not in speaker.heads[0]


@pytest.mark.parametrize("path", PATHS)
async def test_fields_that_both_formats_have_are_carried(speaker, bridge, path):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shape = {
        CHAT: {
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
        },
        RESPONSES: {"text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}}},
        MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
    }
    limit = {CHAT: "max_tokens", RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}
    await answer_of(bridge, path, greeting(path, top_p=0.25, **shape[path]) | {limit[path]: 77})
    (asked,) = speaker.asked
    assert (
        asked["top_p"] == 0.25
        and 77 in asked.values()
        and '"properties": {"n": {"type": "integer"}}' in json.dumps(asked)
    )


async def test_litellms_proxy_is_never_imported(bridge):
    await bridge.prepare()
    before = {name for name in sys.modules if name.startswith("litellm.proxy")}
    for path in PATHS:
        await answer_of(bridge, path, with_tools(path))
        await answer_of(bridge, path, with_tools(path, stream=True))
    await answer_of(bridge, MESSAGES + "/count_tokens", with_tools(MESSAGES))
    after = {name for name in sys.modules if name.startswith("litellm.proxy")}
    assert after == before and "litellm.proxy.proxy_server" not in after
    assert "litellm.proxy._experimental.mcp_server.catalog" not in after


def test_an_address_that_litellm_would_change_is_an_error():
    with pytest.raises(SettingsError, match="must end with /v1"):
        bridge_to(MESSAGES, name="main", base_url="https://gateway.example/anthropic")


@pytest.mark.parametrize(("provider", "over"), [("openai", "/messages"), ("anthropic", "/responses"), ("openai", "x")])
def test_a_provider_is_not_asked_in_a_way_that_it_has_not(provider, over):
    with pytest.raises(SettingsError, match="cannot be asked over"):
        LiteLLMBackend(name="main", provider=provider, over=over)
