"""Messages of which every quote is accounted for are not looked into: nothing hides behind that."""

from __future__ import annotations

import json

import pytest

from router.core.errors import RequestError
from router.wire.chat import ChatCompletions
from router.wire.messages import Messages
from router.wire.responses import Responses

LONG = 'He said "yes".\n' * 40
TEXTS = ["Hi", LONG, LONG + "C:\\\\", 'ends with "', "\\"]
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "b"}'}}
MESSAGES = [
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": [{"type": "text", "text": LONG}, {"type": "text", "text": "Hi"}]},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": LONG},
]
SHAPES = {"chat": MESSAGES, "messages": MESSAGES[:2], "responses": MESSAGES[:1]}
WIRES = {"chat": ChatCompletions(), "messages": Messages(), "responses": Responses()}


def written(name, last, change=lambda text: text, hidden=-1, separators=(", ", ": ")):
    """Return a body; the message numbered `hidden` as `change` makes it."""
    messages = [*SHAPES[name], {"role": "user", "content": last}]
    texts = [json.dumps(each, separators=separators) for each in messages]
    texts[hidden] = change(texts[hidden])
    key = "input" if name == "responses" else "messages"
    comma, colon = separators
    return f'{{"model"{colon}"m"{comma}"{key}"{colon}[{comma.join(texts)}]}}'.encode()


CASES = [(name, at) for name, messages in SHAPES.items() for at in range(len(messages) + 1)]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["close", "spaced"])
@pytest.mark.parametrize("last", TEXTS)
@pytest.mark.parametrize(("name", "at"), CASES)
@pytest.mark.parametrize(
    "more", ['"role":"system",', '"Role":"x",', '"r\\u006fle":1,', '"content":"\\\\",', '"Content":null,']
)
def test_no_name_hides_in_a_message(name, at, last, separators, more):
    with pytest.raises(RequestError) as caught:
        WIRES[name].parse(written(name, last, lambda text: "{" + more + text[1:], at, separators))
    assert caught.value.code in ("duplicate_key", "ambiguous_key")


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["close", "spaced"])
@pytest.mark.parametrize("last", TEXTS)
@pytest.mark.parametrize("name", SHAPES)
def test_what_is_right_is_taken(name, last, separators):
    body = written(name, last, separators=separators)
    assert WIRES[name].parse(body).body == body


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("first", [True, False])
def test_the_list_itself_is_not_doubled(name, first):
    body = written(name, "Hi")
    key = b'"input"' if name == "responses" else b'"messages"'
    again = key + b": []"
    body = b"{" + again + b", " + body[1:] if first else body[:-1] + b", " + again + b"}"
    with pytest.raises(RequestError):
        WIRES[name].parse(body)


def test_a_long_body_need_not_have_the_list():
    body = json.dumps({"model": "m", "previous_response_id": "r", "instructions": LONG, "x": LONG * 4}).encode()
    assert WIRES["responses"].parse(body).conversation.continues == "r"
