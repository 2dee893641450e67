"""What a body in Anthropic's format says, by table: the view that deciding gets, and every way a body can be wrong."""

from __future__ import annotations

import json

import pytest

from router.core.conversation import Conversation, Turn
from router.core.errors import BackendError, RequestError
from router.core.ports import AnswerMetadata, Usage
from router.wire.messages import CountTokens, Messages
from router.wire.messages_stream import MessageGuard
from router.wire.strict_json import MAX_ITEMS

WIRE = Messages()
COUNT = CountTokens()
USER = {"role": "user", "content": "Hi"}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"text": "no"}}]}


def text(said):
    return {"type": "text", "text": said}


def result(content, **more):
    return {"type": "tool_result", "tool_use_id": "t1", "content": content} | more


def body(*messages, **more):
    return json.dumps({"model": "m", "max_tokens": 9, "messages": list(messages)} | more).encode()


VIEWS = {
    "one user message": ([USER], [Turn("user", "Hi", 0)]),
    "blocks": (
        [{"role": "user", "content": [text("What"), {"type": "image", "source": {}}, {"type": "document"}, text("is it?")]}],
        [Turn("user", "What\nis it?", 0, ("image", "document"), ("What", "is it?"))],
    ),
    "only an image": ([{"role": "user", "content": [{"type": "image"}]}], [Turn("user", "", 0, ("image",))]),
    "a new kind of block": (
        [{"role": "user", "content": [{"type": "x_new", "text": 5, "content": {}}]}],
        [Turn("user", "", 0, ("x_new",))],
    ),
    "an assistant's blocks": (
        [USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            text("Let me see."),
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "error"}},
        ]}, USER],
        [
            Turn("user", "Hi", 0),
            Turn("assistant", "Let me see.", 1, ("thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result")),
            Turn("user", "Hi", 2),
        ],
    ),
    "tool results are no user turn": (
        [USER, USE, {"role": "user", "content": [result("42"), result([text("4"), {"type": "image"}, text("3")])]}],
        [Turn("user", "Hi", 0), Turn("assistant", "", 1, ("tool_use",)), Turn("tool", "42\n4\n3", 2)],
    ),
    "tool results without words": (
        [USER, USE, {"role": "user", "content": [result(None), {"type": "tool_result"}, result(5), result([{"type": "image"}])]}],
        [Turn("user", "Hi", 0), Turn("assistant", "", 1, ("tool_use",)), Turn("tool", "", 2)],
    ),
    "tool results with words are a user turn with these words": (
        [USER, USE, {"role": "user", "content": [result("42"), text("And now?")]}],
        [Turn("user", "Hi", 0), Turn("assistant", "", 1, ("tool_use",)), Turn("user", "And now?", 2, ("tool_result",))],
    ),
    "tool results at the beginning of what is left": (
        [USE, {"role": "user", "content": [result("42")]}],
        [Turn("assistant", "", 0, ("tool_use",)), Turn("user", "", 1, ("tool_result",))],
    ),
    "system messages in between": (
        [USER, {"role": "system", "content": "Now."}, {"role": "assistant", "content": "?"}, USER, {"role": "critic"}],
        [
            Turn("user", "Hi", 0),
            Turn("system", "Now.", 1),
            Turn("assistant", "?", 2),
            Turn("user", "Hi", 3),
            Turn("system", "", 4),
        ],
    ),
    "a prefilled answer": (
        [USER, {"role": "assistant", "content": "The answer is ("}],
        [Turn("user", "Hi", 0), Turn("assistant", "The answer is (", 1)],
    ),
    "an earlier user message may be empty": (
        [{"role": "user", "content": ""}, {"role": "user"}, {"role": "user", "content": []}, USER],
        [Turn("user", "", 0), Turn("user", "", 1), Turn("user", "", 2), Turn("user", "Hi", 3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "turns"), VIEWS.values(), ids=VIEWS)
def test_views(messages, turns):
    request = WIRE.parse(body(*messages))
    assert request.conversation == Conversation("", tuple(turns), 9)
    assert request.body == body(*messages)
    assert COUNT.parse(body(*messages)).conversation == request.conversation


SYSTEMS = [
    (None, ""),
    ("", ""),
    ("Be kind.", "Be kind."),
    ([], ""),
    ([text("One."), text("Two.") | {"cache_control": {"type": "ephemeral"}}], "One.\nTwo."),
    ([text("One."), {"type": "x_new", "text": 5}], "One."),
    ([text("x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"), text("You are Claude Code.")], "You are Claude Code."),
]  # fmt: skip


@pytest.mark.parametrize(("system", "seen"), SYSTEMS)
def test_system_text(system, seen):
    assert WIRE.parse(body(USER, system=system)).conversation.system == seen


def test_what_else_a_body_says():
    request = WIRE.parse(body(USER, stream=True, metadata={"user_id": "user_1_account__session_2", "x": 1}))
    assert (request.model, request.stream, request.tells_usage) == ("m", True, True)
    assert request.user == "user_1_account__session_2"
    assert request.metadata == {"user_id": "user_1_account__session_2", "x": 1}
    quiet = WIRE.parse(body(USER, metadata={"user_id": None}))
    assert (quiet.stream, quiet.user, quiet.tells_usage) == (False, "", True)
    assert WIRE.parse(json.dumps({"model": "m", "messages": [USER]}).encode()).conversation.max_tokens is None
    assert not COUNT.parse(body(USER, stream=True)).stream


BAD = {
    "no body": (b"", "invalid_json", None),
    "no JSON": (b"{", "invalid_json", None),
    "a list": (b"[]", "invalid_type", None),
    "not UTF-8": (b'{"model":"\xff"}', "invalid_encoding", None),
    "no model": (json.dumps({"messages": [USER]}).encode(), "missing_model", "model"),
    "an empty model": (body(USER, model=""), "missing_model", "model"),
    "a model that is none": (body(USER, model=5), "invalid_type", "model"),
    "no messages": (b'{"model":"m"}', "missing_messages", "messages"),
    "messages that are none": (b'{"model":"m","messages":"Hi"}', "invalid_type", "messages"),
    "null messages": (b'{"model":"m","messages":null}', "invalid_type", "messages"),
    "an empty list": (body(), "empty_messages", "messages"),
    "a message that is none": (body(USER, "Hi"), "invalid_type", "messages[1]"),
    "no role": (body(USER, {"content": "Hi"}), "missing_field", "messages[1].role"),
    "content that is none": (body(USER, {"role": "user", "content": 5}), "invalid_type", "messages[1].content"),
    "a block that is none": (body({"role": "user", "content": ["Hi"]}), "invalid_type", "messages[0].content[0]"),
    "a block without a type": (body({"role": "user", "content": [{"text": "Hi"}]}), "missing_field", "messages[0].content[0].type"),
    "a text that is none": (body({"role": "user", "content": [text("a"), text(5)]}), "invalid_type", "messages[0].content[1].text"),
    "a system text that is none": (body(USER, system=5), "invalid_type", "system"),
    "a system block that is none": (body(USER, system=["Hi"]), "invalid_type", "system[0]"),
    "a system block without text": (body(USER, system=[{"type": "text"}]), "invalid_type", "system[0].text"),
    "stream as text": (body(USER, stream="true"), "invalid_type", "stream"),
    "metadata as a list": (body(USER, metadata=[]), "invalid_type", "metadata"),
    "max_tokens as text": (body(USER, max_tokens="5"), "invalid_type", "max_tokens"),
    "too many messages": (body(*[USER] * (MAX_ITEMS + 1)), "too_many_messages", "messages"),
    "too many messages in a large body": (body(*[{"role": "user", "content": "x" * 90}] * (MAX_ITEMS + 1)), "too_many_messages", "messages"),
    "a million items that are no messages": (b'{"model":"m","messages":[' + b"0," * 999_999 + b"0]}", "invalid_type", "messages[0]"),
    "100,000 levels": (b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_too_deep", None),
}  # fmt: skip


@pytest.mark.parametrize(("given", "code", "param"), BAD.values(), ids=BAD)
def test_bad_bodies(given, code, param):
    with pytest.raises(RequestError) as caught:
        WIRE.parse(given)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, code, param)
    told = json.loads(WIRE.error_body(error))
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["message"] == error.message
    assert error.message.endswith(".")


# What the API would refuse, or another server take: theirs to judge.
LENIENT = [
    body(USER, max_tokens=None),
    body(USER, USER),
    body(USER, tools=5, tool_choice="x", thinking=None, system=None, cache_control=7),
    body(USER, {"role": "assistant", "content": [{"type": "tool_use"}]}, USER),
    body({"role": "system", "content": "First."}, USER),
]


@pytest.mark.parametrize("given", LENIENT)
def test_what_the_backend_judges_passes(given):
    assert WIRE.parse(given).body is given


def test_the_parts_of_a_prompt_are_as_written():
    system = '[ {"type":"text", "text":"A"},{"type":"text","text":"B"} ]'
    user, answer = (
        '{ "role":"user","content":"Hi"}',
        '{"content":[{"type":"text","text":"\\u00e4"}],"role":"assistant"}',
    )
    whole = f'{{"system":{system},"model":"m","messages":[{user}, {answer}]}}'.encode()
    parts = [b'{"type":"text", "text":"A"}', b'{"type":"text","text":"B"}', user.encode(), answer.encode()]
    assert WIRE.prompt(whole) == parts
    assert WIRE.prompt(body(USER, system="A")) == [b'"A"', json.dumps(USER).encode()]
    assert WIRE.prompt(body(USER)) == [json.dumps(USER).encode()]


def test_a_mark_that_moves_on_changes_no_part_of_a_prompt():
    marked = {"role": "user", "content": [text("Hi") | {"cache_control": {"type": "ephemeral"}}]}
    answer = {"role": "assistant", "content": "Hello"}
    before = WIRE.prompt(body(marked, system="A"))
    assert WIRE.prompt(body(USER, answer, marked, system="A"))[: len(before)] == before


def test_answers_are_watched_and_identified():
    assert isinstance(WIRE.guard(), MessageGuard)
    assert WIRE.guard() is not WIRE.guard(hide_usage=True)
    assert WIRE.read_answer(b'{"id":"msg_2","usage":{"input_tokens":3,"output_tokens":4}}') == (
        "msg_2",
        Usage(3, 0, 0, 4),
    )
    assert COUNT.read_answer(b'{"input_tokens": 12}') == AnswerMetadata()
    with pytest.raises(BackendError):
        COUNT.read_answer(b"<html>")


def test_both_wires_name_their_routes():
    assert (WIRE.name, WIRE.path, WIRE.chains) == ("messages", "/messages", False)
    assert (COUNT.name, COUNT.path, COUNT.chains) == ("count_tokens", "/messages/count_tokens", False)
