"""What a chat body says, by table: the view that deciding gets, and every way a body can be wrong."""

from __future__ import annotations

import json

import pytest

from router.core.conversation import Conversation, Turn
from router.core.errors import RequestError
from router.wire.chat import ChatCompletions
from router.wire.strict_json import MAX_ITEMS

CHAT = ChatCompletions()
USER = {"role": "user", "content": "Hi"}


def body(*messages, **more):
    return json.dumps({"model": "m", "messages": list(messages)} | more).encode()


CALLS = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

VIEWS = {
    "one user message": ([USER], "", [Turn("user", "Hi", 0)]),
    "system text": ([{"role": "system", "content": "Be kind."}, USER], "Be kind.", [Turn("user", "Hi", 1)]),
    "several leading messages, one of them empty": (
        [
            {"role": "system", "content": "One."},
            {"role": "developer", "content": None},
            {"role": "developer", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": "parts."}]},
            USER,
        ],
        "One.\n\nTwo\nparts.",
        [Turn("user", "Hi", 3)],
    ),
    "system text in between is a turn": (
        [USER, {"role": "system", "content": "Now."}, {"role": "developer", "content": "Then."}, USER],
        "",
        [Turn("user", "Hi", 0), Turn("system", "Now.", 1), Turn("system", "Then.", 2), Turn("user", "Hi", 3)],
    ),
    "tool calls and results": (
        [
            USER,
            {"role": "assistant", "tool_calls": CALLS},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
            {"role": "function", "name": "f", "content": "43"},
        ],
        "",
        [
            Turn("user", "Hi", 0),
            Turn("assistant", "", 1),
            Turn("tool", "42", 2),
            Turn("assistant", "", 3),
            Turn("tool", "43", 4),
        ],
    ),
    "parts": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What"},
                    {"type": "image_url", "image_url": {"url": "data:,"}, "text": 5},
                    {"type": "input_audio", "input_audio": {}},
                    {"type": "text", "text": "is this?"},
                ],
            }
        ],
        "",
        [Turn("user", "What\nis this?", 0, ("image_url", "input_audio"), ("What", "is this?"))],
    ),
    "only an image": (
        [{"role": "user", "content": [{"type": "image_url"}]}],
        "",
        [Turn("user", "", 0, ("image_url",))],
    ),
    "an earlier user message may be empty": (
        [{"role": "user", "content": ""}, {"role": "user"}, USER],
        "",
        [Turn("user", "", 0), Turn("user", "", 1), Turn("user", "Hi", 2)],
    ),
    "a role nobody knows": (
        [{"role": "critic", "content": "Hm."}, USER],
        "",
        [Turn("system", "Hm.", 0), Turn("user", "Hi", 1)],
    ),
}


@pytest.mark.parametrize(("messages", "system", "turns"), VIEWS.values(), ids=VIEWS)
def test_view(messages, system, turns):
    assert CHAT.parse(body(*messages)).conversation == Conversation(system, tuple(turns))


@pytest.mark.parametrize(
    ("more", "field", "value"),
    [
        ({}, "model", "m"),
        ({}, "stream", False),
        ({"stream": None}, "stream", False),
        ({"stream": True}, "stream", True),
        ({}, "tells_usage", True),
        ({"stream_options": {"include_usage": False}}, "tells_usage", True),
        ({"stream": True}, "tells_usage", False),
        ({"stream": True, "stream_options": None}, "tells_usage", False),
        ({"stream": True, "stream_options": {}}, "tells_usage", False),
        ({"stream": True, "stream_options": {"include_usage": None}}, "tells_usage", False),
        ({"stream": True, "stream_options": {"include_usage": False, "x": 1}}, "tells_usage", False),
        ({"stream": True, "stream_options": {"include_usage": True}}, "tells_usage", True),
        ({"stream": True, "stream_options": {"include_usage": "no"}}, "tells_usage", True),
        ({"stream": True, "stream_options": ["x"]}, "tells_usage", True),
        ({}, "user", ""),
        ({"user": "u"}, "user", "u"),
        ({"user": "u", "safety_identifier": "s"}, "user", "s"),
        ({"metadata": {"tier": "pro", "n": 1}}, "metadata", {"tier": "pro", "n": 1}),
        ({"metadata": None}, "metadata", {}),
    ],
)
def test_fields(more, field, value):
    assert getattr(CHAT.parse(body(USER, **more)), field) == value


@pytest.mark.parametrize(
    ("more", "limit"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
    ],
)
def test_limit_of_the_answer(more, limit):
    assert CHAT.parse(body(USER, **more)).conversation.max_tokens == limit


def test_a_large_body_is_read_like_a_small_one():
    long = {"role": "user", "content": "word " * 300_000}
    assert CHAT.parse(body(long, USER)).conversation.turns == (Turn("user", long["content"], 0), Turn("user", "Hi", 1))


def test_the_body_is_kept():
    given = b'{"messages" : [{"role":"user","content":"Hi"}],"model":"b","x":1,"x":2}'
    request = CHAT.parse(given)
    assert request.body is given
    assert (request.model, request.conversation.turns) == ("b", (Turn("user", "Hi", 0),))


BAD = {
    "no body": (b"", "invalid_json", None),
    "a list": (b"[]", "invalid_type", None),
    "no model": (b'{"messages": []}', "missing_model", "model"),
    "an empty model": (body(USER, model=""), "missing_model", "model"),
    "a null model": (body(USER, model=None), "invalid_type", "model"),
    "a number as model": (body(USER, model=4), "invalid_type", "model"),
    "no messages": (b'{"model": "m"}', "missing_messages", "messages"),
    "null messages": (body(messages=None), "invalid_type", "messages"),
    "messages as text": (body(messages="Hi"), "invalid_type", "messages"),
    "messages as an object": (body(messages={"role": "user"}), "invalid_type", "messages"),
    "empty messages": (body(), "empty_messages", "messages"),
    "too many messages": (body(*[USER] * (MAX_ITEMS + 1)), "too_many_messages", "messages"),
    "a million numbers": (b'{"model":"m","messages":[' + b"1," * 1_000_000 + b"1]}", "invalid_type", "messages[0]"),
    "a hundred thousand messages": (
        b'{"model":"m","messages":[' + b'{"role":"user"},' * 100_000 + b'{"role":"user"}]}',
        "too_many_messages",
        "messages",
    ),
    "a message as text": (body(USER, "Hi"), "invalid_type", "messages[1]"),
    "a null message": (body(USER, USER, None), "invalid_type", "messages[2]"),
    "no role": (body(USER, {"content": "x"}), "missing_field", "messages[1].role"),
    "a null role": (body({"role": None}), "invalid_type", "messages[0].role"),
    "content as a number": (
        body(USER, USER, USER, {"role": "user", "content": 5}),
        "invalid_type",
        "messages[3].content",
    ),
    "content as an object": (body({"role": "user", "content": {}}), "invalid_type", "messages[0].content"),
    "content as true": (body({"role": "user", "content": True}), "invalid_type", "messages[0].content"),
    "a part as text": (body({"role": "user", "content": ["x"]}), "invalid_type", "messages[0].content[0]"),
    "a part of no type": (body({"role": "user", "content": [{}]}), "missing_field", "messages[0].content[0].type"),
    "a part of a null type": (
        body({"role": "user", "content": [{"type": None}]}),
        "invalid_type",
        "messages[0].content[0].type",
    ),
    "a text part without text": (
        body(USER, {"role": "user", "content": [{"type": "image_url"}, {"type": "text"}]}),
        "invalid_type",
        "messages[1].content[1].text",
    ),
    "a text part of a number": (
        body({"role": "user", "content": [{"type": "text", "text": 5}]}),
        "invalid_type",
        "messages[0].content[0].text",
    ),
    "stream as text": (body(USER, stream="true"), "invalid_type", "stream"),
    "stream as a number": (body(USER, stream=1), "invalid_type", "stream"),
    "user as a number": (body(USER, user=1), "invalid_type", "user"),
    "safety identifier as a list": (body(USER, safety_identifier=[]), "invalid_type", "safety_identifier"),
    "metadata as a list": (body(USER, metadata=[]), "invalid_type", "metadata"),
    "metadata out of range": (
        b'{"model":"m","messages":[{"role":"user","content":"x"}],"metadata":{"a":1e999}}',
        "invalid_value",
        "metadata",
    ),
    "max_tokens as text": (body(USER, max_tokens="5"), "invalid_type", "max_tokens"),
    "max_tokens as a fraction": (body(USER, max_tokens=1.5), "invalid_type", "max_tokens"),
    "max_completion_tokens as true": (body(USER, max_completion_tokens=True), "invalid_type", "max_completion_tokens"),
    "NaN far inside": (body(USER, tools=[{"function": {"x": float("nan")}}]), "invalid_json", None),
    "a lone surrogate in a message": (body({"role": "user", "content": "\ud800"}), "lone_surrogate", None),
    "100,000 levels": (b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_too_deep", None),
    "a number of 10,000 digits": (b'{"model":"m","max_tokens":' + b"9" * 10_000 + b"}", "number_too_long", None),
}


@pytest.mark.parametrize(("given", "code", "param"), BAD.values(), ids=BAD)
def test_bad_bodies(given, code, param):
    with pytest.raises(RequestError) as caught:
        CHAT.parse(given)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, code, param)
    told = json.loads(CHAT.error_body(error))["error"]
    assert (told["message"], told["param"], told["type"]) == (error.message, param, "invalid_request_error")
    assert error.message.endswith(".")


def test_answers_are_watched_and_identified():
    guard = CHAT.guard()
    guard.release(b'data: {"id":"chatcmpl-1","choices":[{"index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    assert guard.complete
    assert CHAT.guard() is not guard
    assert CHAT.read_answer(b'{"id":"chatcmpl-2"}').id == "chatcmpl-2"


def test_the_prompt_is_each_message_as_written():
    sent = b'{"messages":[ {"role" : "system"}, {"x":[1, 2]} ],"model":"m"}'
    assert CHAT.prompt(sent) == [b'{"role" : "system"}', b'{"x":[1, 2]}']
