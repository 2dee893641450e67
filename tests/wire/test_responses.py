"""What a body of `/responses` says, by table: the view that deciding gets, and every way a body can be wrong."""

from __future__ import annotations

import json

import pytest

from router.core.conversation import Conversation, Turn
from router.core.errors import BackendError, RequestError
from router.core.ports import Usage
from router.wire.responses import COMPACT, InputTokens, Responses
from router.wire.responses_weave import is_prompted
from router.wire.strict_json import MAX_ITEMS

RESPONSES = Responses()
USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "42"}


def body(said, **more):
    return json.dumps({"model": "m", "input": said} | more).encode()


VIEWS = {
    "a string": ("Hi", {}, "", [Turn("user", "Hi", 0)]),
    "a message without its type": ([USER], {}, "", [Turn("user", "Hi", 0)]),
    "a message with it": ([{"type": "message"} | USER], {}, "", [Turn("user", "Hi", 0)]),
    "instructions": ("Hi", {"instructions": "Be kind."}, "Be kind.", [Turn("user", "Hi", 0)]),
    "null instructions": ("Hi", {"instructions": None}, "", [Turn("user", "Hi", 0)]),
    "instructions as a list of items": (
        "Hi",
        {
            "instructions": [
                {"role": "developer", "content": [{"type": "input_text", "text": "Be kind."}]},
                {"type": "reasoning", "content": 5},
                {"role": "system", "content": ""},
                {"type": "message", "role": "system", "content": "Be brief."},
            ]
        },
        "Be kind.\n\nBe brief.",
        [Turn("user", "Hi", 0)],
    ),
    "instructions, then leading items": (
        [
            {"role": "system", "content": "One."},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Two."}]},
            USER,
        ],
        {"instructions": "Zero."},
        "Zero.\n\nOne.\n\nTwo.",
        [Turn("user", "Hi", 2)],
    ),
    "system text in between is a turn": (
        [USER, {"role": "developer", "content": "Now."}, USER],
        {},
        "",
        [Turn("user", "Hi", 0), Turn("system", "Now.", 1), Turn("user", "Hi", 2)],
    ),
    "parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What"},
                    {"type": "input_image", "image_url": "data:,", "text": 5},
                    {"type": "input_file", "file_id": "f"},
                    {"type": "text", "text": "is this?"},
                ],
            }
        ],
        {},
        "",
        [Turn("user", "What\nis this?", 0, ("input_image", "input_file"), ("What", "is this?"))],
    ),
    "an answer": (
        [
            USER,
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}, {"type": "refusal"}],
            },
            USER,
        ],
        {},
        "",
        [Turn("user", "Hi", 0), Turn("assistant", "Hello", 1, ("refusal",)), Turn("user", "Hi", 2)],
    ),
    "calls are skipped, outputs are tool turns": (
        [
            USER,
            {"type": "reasoning", "id": "r", "summary": [], "content": [{"text": "no type"}]},
            CALL,
            CALL | {"type": "custom_tool_call", "input": "x"},
            OUTPUT,
            {"type": "custom_tool_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "43"}]},
            {"type": "computer_call_output", "call_id": "c2", "output": {"type": "computer_screenshot"}},
            {"type": "shell_call_output", "call_id": "c3", "output": [{"stdout": "x"}]},
            {"type": "tool_search_output", "call_id": "c4"},
            {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        ],
        {},
        "",
        [
            Turn("user", "Hi", 0),
            Turn("tool", "42", 4),
            Turn("tool", "43", 5),
            Turn("tool", "", 6),
            Turn("tool", "", 7),
            Turn("tool", "", 8),
            Turn("tool", "", 9),
        ],
    ),
    "kinds nobody knows": (
        [
            {"type": "additional_tools", "role": "developer", "tools": []},
            {"id": "msg_1"},
            {"type": "web_search_call", "content": {"a": 1}},
            {"type": "x", "role": 5, "output": 5},
            USER,
        ],
        {},
        "",
        [Turn("user", "Hi", 4)],
    ),
    "a role nobody knows": (
        [{"role": "critic", "content": "Hm."}, USER],
        {},
        "",
        [Turn("system", "Hm.", 0), Turn("user", "Hi", 1)],
    ),
    "an earlier user message may be empty": (
        [{"role": "user", "content": ""}, USER],
        {},
        "",
        [Turn("user", "", 0), Turn("user", "Hi", 1)],
    ),
    "only an image": (
        [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}],
        {},
        "",
        [Turn("user", "", 0, ("input_image",))],
    ),
}


@pytest.mark.parametrize(("said", "more", "system", "turns"), VIEWS.values(), ids=VIEWS)
def test_view(said, more, system, turns):
    found = RESPONSES.parse(body(said, **more)).conversation
    assert found == Conversation(system, tuple(turns), stored=found.stored)


CHAINED = {
    "an answer": ({"previous_response_id": "resp_1"}, "resp_1"),
    "a conversation": ({"conversation": "conv_1"}, "conv_1"),
    "a conversation by object": ({"conversation": {"id": "conv_1", "x": 1}}, "conv_1"),
    "neither": ({"previous_response_id": None, "conversation": None}, ""),
}


STORED = {
    "nothing": ({"input": "Hi", "prompt": None, "conversation": None}, []),
    "an answer": ({"previous_response_id": "resp_1"}, [("previous_response_id", "resp_1")]),
    "a conversation": ({"conversation": "conv_1"}, [("conversation", "conv_1")]),
    "a conversation by object": ({"conversation": {"id": "conv_1", "x": 1}}, [("conversation", "conv_1")]),
    "an answer and a conversation": (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        [("previous_response_id", "resp_1"), ("conversation", "conv_1")],
    ),
    "a prompt": ({"prompt": {"id": "pmpt_1", "version": "2"}}, [("prompt.id", "pmpt_1")]),
    "a prompt of another shape": ({"prompt": "pmpt_1"}, [("prompt.id", "")]),
    "a reference": ({"input": [USER, {"type": "item_reference", "id": "rs_1"}]}, [("input[1].id", "rs_1")]),
    "a reference without a type": ({"input": [{"id": "msg_1", "type": None}, USER]}, [("input[0].id", "msg_1")]),
    "a reference by number": ({"input": [{"type": "item_reference", "id": 1}]}, [("input[0].id", "")]),
    "a reference with more": (
        {"input": [{"type": "item_reference", "id": "rs_1", "role": "user", "content": {"a": 1}}, USER]},
        [("input[0].id", "rs_1")],
    ),
    "an image": ({"input": [{"type": "image_generation_call", "id": "ig_1"}, USER]}, [("input[0].id", "ig_1")]),
    "an image that is here": ({"input": [{"type": "image_generation_call", "id": "ig_1", "result": "aGk="}, USER]}, []),
    "items as they came": (
        {
            "input": [
                {"type": "message", "id": "msg_1", "role": "assistant", "content": "Yes?"},
                {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
                {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
                USER,
            ]
        },
        [],
    ),
}


@pytest.mark.parametrize("wire", [RESPONSES, InputTokens(), COMPACT], ids=["responses", "input_tokens", "compact"])
@pytest.mark.parametrize(("given", "stored"), STORED.values(), ids=STORED)
def test_ids_of_what_the_backend_keeps_are_told_with_their_place(wire, given, stored):
    said = json.dumps({"model": "m", "input": "Hi", **given}).encode()
    assert list(wire.parse(said).conversation.stored) == stored


@pytest.mark.parametrize(("more", "continues"), CHAINED.values(), ids=CHAINED)
def test_what_a_request_goes_on_from(more, continues):
    assert RESPONSES.parse(body("Hi", **more)).conversation.continues == continues


@pytest.mark.parametrize(
    ("said", "more"),
    [
        ([OUTPUT], {"previous_response_id": "resp_1"}),
        ([], {"conversation": {"id": "conv_1"}}),
        (None, {"previous_response_id": "resp_1"}),
        (None, {"prompt": {"id": "pmpt_1"}}),
        ([{"type": "item_reference", "id": "msg_1"}], {}),
        ([{"type": "compaction", "encrypted_content": "x"}], {}),
    ],
    ids=str,
)
def test_where_the_backend_knows_more_no_user_message_is_needed(said, more):
    assert all(turn.role != "user" for turn in RESPONSES.parse(body(said, **more)).conversation.turns)


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({}, "model", "m"),
        ({}, "stream", False),
        ({"stream": None}, "stream", False),
        ({"stream": True}, "stream", True),
        ({"stream": True}, "tells_usage", True),
        ({}, "user", ""),
        ({"user": "u"}, "user", "u"),
        ({"user": "u", "safety_identifier": "s"}, "user", "s"),
        ({"metadata": {"tier": "pro"}}, "metadata", {"tier": "pro"}),
        ({"metadata": None}, "metadata", {}),
        ({}, "stored", True),
        ({"store": None}, "stored", True),
        ({"store": False}, "stored", False),
        ({"prompt": None}, "prompted", False),
        ({"prompt": {"id": "p", "variables": {"x": "y"}}}, "prompted", True),
        ({"background": True, "include": ["x"], "x_unknown": 1}, "model", "m"),
    ],
)
def test_fields(more, field, value):
    request = RESPONSES.parse(body([USER], **more))
    kept = {"stored": request.top.store is not False, "prompted": is_prompted(request.top.prompt)}
    assert (kept[field] if field in kept else getattr(request, field)) == value


def test_the_limit_of_the_answer():
    assert RESPONSES.parse(body("Hi", max_output_tokens=7)).conversation.max_tokens == 7


BAD = {
    "no input": (b'{"model":"m"}', "missing_input", "input"),
    "null input": (body(None), "missing_input", "input"),
    "input of another type": (body(5), "invalid_type", "input"),
    "an item that is none": (body([USER, 5]), "invalid_type", "input[1]"),
    "content of another type": (body([{"role": "user", "content": 5}]), "invalid_type", "input[0].content"),
    "a part without a type": (
        body([{"role": "user", "content": [{"text": "x"}]}]),
        "missing_field",
        "input[0].content[0].type",
    ),
    "a text that is none": (
        body([USER, {"role": "user", "content": [{"type": "input_text", "text": 5}]}]),
        "invalid_type",
        "input[1].content[0].text",
    ),
    "a message without a role": (body([{"type": "message", "content": "x"}]), "missing_field", "input[0].role"),
    "instructions of another type": (body("Hi", instructions=5), "invalid_type", "instructions"),
    "an instruction that is no item": (body("Hi", instructions=["x"]), "invalid_type", "instructions[0]"),
    "an id of another type": (body("Hi", previous_response_id=5), "invalid_type", "previous_response_id"),
    "a conversation without id": (body("Hi", conversation={}), "missing_field", "conversation.id"),
    "no model": (b'{"input":"Hi"}', "missing_model", "model"),
    "stream of another type": (body("Hi", stream="yes"), "invalid_type", "stream"),
    "too many items": (body([USER] * (MAX_ITEMS + 1)), "too_many_messages", "input"),
    "a million items that are none": (body([1] * 600_000), "invalid_type", "input[0]"),
    "too many, in a large body": (body([{}] * 600_000), "too_many_messages", "input"),
    "no JSON": (b'{"model":"m","input":', "invalid_json", None),
    "no object": (b"[]", "invalid_type", None),
}


@pytest.mark.parametrize(("sent", "code", "param"), BAD.values(), ids=BAD)
def test_bad_bodies(sent, code, param):
    with pytest.raises(RequestError) as caught:
        RESPONSES.parse(sent)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, code, param)


PROMPTS = {
    "a string": (b'{"input" : "Hi" }', [b'"Hi"']),
    "instructions and items": (
        b'{"input":[ {"role" : "user"}, {"id":"x"} ],"instructions":"A"}',
        [b'"A"', b'{"role" : "user"}', b'{"id":"x"}'],
    ),
    "null instructions": (b'{"instructions":null,"input":[]}', []),
    "nothing": (b'{"prompt":{"id":"p"}}', []),
}


@pytest.mark.parametrize(("sent", "parts"), PROMPTS.values(), ids=PROMPTS)
def test_prompt(sent, parts):
    assert RESPONSES.prompt(sent) == parts


USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
    "output_tokens": 2,
    "total_tokens": 11,
}


@pytest.mark.parametrize(
    ("answer", "id_", "usage"),
    [
        ({"id": "resp_1", "status": "completed", "usage": USAGE}, "resp_1", Usage(9, 4, 5, 2)),
        ({"id": "resp_1", "status": "failed", "error": {"code": "x"}, "usage": None}, "resp_1", None),
        ({"id": "resp_1", "usage": {"input_tokens": 9, "output_tokens": 1}}, "resp_1", Usage(9, 0, 0, 1)),
        ({"id": "resp_1", "usage": {"input_tokens": 9, "input_tokens_details": None}}, "resp_1", Usage(9)),
        ({"id": "resp_1", "usage": {"input_tokens": "9"}}, "resp_1", None),
        ({"id": 5, "usage": []}, "", None),
    ],
)
def test_answer(answer, id_, usage):
    assert RESPONSES.read_answer(json.dumps(answer).encode()) == (id_, usage)


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'"x"', b'{"id": "a"', b'{"a":' * 100_000])
def test_what_is_no_answer_is_the_backends_fault(answer):
    with pytest.raises(BackendError) as caught:
        RESPONSES.read_answer(answer)
    assert caught.value.status == 502


def test_name_and_path():
    assert (RESPONSES.name, RESPONSES.path, RESPONSES.chains) == ("responses", "/responses", True)
