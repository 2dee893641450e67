"""A whole answer to a request for a stream becomes that stream, and the official client reads the same from both."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from router.assembly import WIRES
from router.core.errors import BackendError
from router.core.ports import Usage
from router.wire.plain import COMPLETIONS

CALLS = [{"id": f"call_{n}", "type": "function", "function": {"name": "look", "arguments": '{"x": 1}'}} for n in "ab"]
TOLD = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "fp_1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Grüße \u2028😀", "x": 1}, "finish_reason": "length"},
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "tool_calls": CALLS},
            "finish_reason": "tool_calls",
        },
    ],
    "usage": TOLD,
}
TEXT = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "text": "Hi.", "logprobs": None, "finish_reason": "stop"}],
}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [
        {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []},
        {"type": "refusal", "refusal": "No."},
    ],
}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "look",
    "arguments": "{}",
    "status": "completed",
}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "m",
    "output": [REASONING, MESSAGE, CALL],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    },
}
BLOCKS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
    {"type": "redacted_thinking", "data": "xyz"},
    {"type": "text", "text": "Hello.", "citations": [{"type": "char_location", "cited_text": "x"}]},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"x": [1, "ü"]}},
]
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 2},
}
ALL = [
    (WIRES["chat"], CHAT, "chatcmpl-1", Usage(5, 0, 0, 2)),
    (COMPLETIONS, TEXT, "cmpl-1", None),
    (WIRES["responses"], RESPONSE, "resp_1", Usage(5, 0, 0, 2)),
    (WIRES["messages"], ANTHROPIC, "msg_1", Usage(5, 0, 0, 2)),
]


@pytest.mark.parametrize(("wire", "answer", "id_", "usage"), ALL, ids=lambda each: getattr(each, "name", ""))
def test_the_stream_is_whole_and_says_the_same(wire, answer, id_, usage):
    body = json.dumps(answer).encode()
    stream = wire.as_stream(body)
    guard = wire.guard()
    assert guard.release(stream) == stream
    assert (guard.complete, guard.error, guard.response_id, guard.usage) == (True, "", id_, usage)
    assert wire.spoken(stream, stream=True) == wire.spoken(body, stream=False)


def client(stream):
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    transport = httpx.MockTransport(lambda _: answer)
    return openai.OpenAI(api_key="x", http_client=httpx.Client(transport=transport), max_retries=0)


def test_the_official_client_puts_a_chat_completion_together_again():
    with client(WIRES["chat"].as_stream(json.dumps(CHAT).encode())).chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "Hi"}], n=2
    ) as stream:
        first, second = stream.until_done().current_completion_snapshot.choices
    assert (first.message.content, first.finish_reason) == ("Grüße \u2028😀", "length")
    assert [call.model_dump(include={"id", "type", "function"}) for call in second.message.tool_calls or ()] == [
        call | {"function": call["function"] | {"parsed_arguments": None}} for call in CALLS
    ] or [call.function.arguments for call in second.message.tool_calls or ()] == ['{"x": 1}', '{"x": 1}']


def test_the_official_client_puts_a_response_together_again():
    with client(WIRES["responses"].as_stream(json.dumps(RESPONSE).encode())).responses.stream(
        model="m", input="Hi"
    ) as stream:
        events = list(stream)
    last = events[-1]
    assert last.type == "response.completed"
    assert [item.type for item in last.response.output] == ["reasoning", "message", "function_call"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello."
    assert [event.sequence_number for event in events if hasattr(event, "sequence_number")] == list(range(len(events)))


@pytest.mark.parametrize("status", ["incomplete", "failed", "in_progress", "queued", "cancelled"])
def test_a_response_ends_as_it_says(status):
    wire = WIRES["responses"]
    guard = wire.guard()
    guard.release(wire.as_stream(json.dumps(RESPONSE | {"status": status}).encode()))
    assert guard.complete == (status in ("incomplete", "failed"))


def test_blocks_come_in_parts_and_are_put_together_again():
    wire = WIRES["messages"]
    said = [
        json.loads(event.partition(b"data: ")[2])
        for event in wire.as_stream(json.dumps(ANTHROPIC).encode()).split(b"\n\n")[:-1]
    ]
    blocks = [event["content_block"] for event in said if event["type"] == "content_block_start"]
    for event in said:
        if event["type"] == "content_block_delta":
            block, delta = blocks[event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                block["input"] = json.loads(delta["partial_json"])
            elif delta["type"] == "citations_delta":
                block["citations"].append(delta["citation"])
            else:
                name = delta["type"].removesuffix("_delta")
                block[name] += delta[name]
    assert blocks == BLOCKS
    assert said[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": ANTHROPIC["usage"],
    }


def test_a_reason_is_never_made_up():
    guard = WIRES["chat"].guard()
    guard.release(WIRES["chat"].as_stream(b'{"choices": [{"message": {"content": "Hi"}}]}'))
    assert not guard.complete


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"choices": 1, "output": 1, "content": 1}', b"<html>"])
def test_what_is_no_answer_is_an_error(wire, body):
    with pytest.raises(BackendError) as caught:
        wire.as_stream(body)
    assert (caught.value.code, caught.value.status) == ("backend_garbage", 502)


def test_what_a_backend_tells_of_an_error_is_passed_on():
    told = b'{"error": {"message": "Out of memory", "type": "x"}}'
    with pytest.raises(BackendError) as caught:
        WIRES["chat"].as_stream(told)
    assert WIRES["chat"].error_body(caught.value) == told
