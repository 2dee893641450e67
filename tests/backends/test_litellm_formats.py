"""What becomes of requests that no client should send, on their way to litellm's translators and into a chat."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.backends.litellm.arguments import CHAT as CHAT_NAMES
from router.backends.litellm.formats import MESSAGES as MESSAGES_NAMES
from router.backends.litellm.formats import RESPONSES as RESPONSES_NAMES
from router.backends.litellm.formats import from_messages, from_responses
from router.backends.litellm.library import load
from router.core.errors import BackendError
from tests.backends.speakers import MESSAGES, RESPONSES, with_result
from tests.support.litellm_warnings import LITELLM_WARNS

pytestmark = LITELLM_WARNS

FORMATS = {MESSAGES: (from_messages, MESSAGES_NAMES), RESPONSES: (from_responses, RESPONSES_NAMES)}


@pytest.fixture(scope="module", autouse=True)
def library():
    return load()


words = st.sampled_from(
    ["type", "text", "role", "user", "content", "name", "input", "id", "tool_result", "function_call", "message", "x"]
)
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), words, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=4)),
    max_leaves=8,
)


@pytest.mark.parametrize("path", FORMATS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_json_becomes_a_chat_or_a_refusal(path, data):
    translate, names = FORMATS[path]
    body = with_result(path, "call_x7")
    value = data.draw(junk)
    match data.draw(st.sampled_from(["field", "item", "inside"])):
        case "field":
            body[data.draw(st.sampled_from(names))] = value
        case "item":
            body[names[0]].append(value)
        case "inside":
            items = [item for item in body[names[0]] if isinstance(item, dict)]
            item = data.draw(st.sampled_from(items))
            item[data.draw(st.sampled_from(sorted(item)))] = value
    try:
        asked = translate(body, "openai/m", links=False).asked
    except BackendError as error:
        assert (error.status, error.code) == (400, "invalid_request")
    else:
        assert set(asked) <= set(CHAT_NAMES) and isinstance(asked["messages"], list)


@pytest.mark.parametrize(
    "items",
    [
        [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}],
        [{"role": "assistant", "content": [{"type": "output_text", "text": "Hello", "annotations": []}]}],
        [{"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": "Hello"}],
        [{"type": "custom_tool_call", "call_id": "c", "name": "run", "input": "ls"}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,iVBORw0="}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": "See http://example.com/"}]}],
    ],
    ids=["reasoning", "answer", "named answer", "custom call", "picture", "link in text"],
)
def test_items_of_a_conversation_become_messages(items):
    user = {"role": "user", "content": "Hi"}
    body = {"model": "m", "input": [user, *items, user]}
    messages = from_responses(body, "openai/m", links=False).asked["messages"]
    assert messages[0]["role"] == messages[-1]["role"] == "user" and all(isinstance(each, dict) for each in messages)


def test_blocks_of_a_conversation_become_messages():
    blocks = [
        {"type": "text", "text": "See http://example.com/", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}},
    ]
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    answer = {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes"}]}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": blocks}, answer]}
    body |= {"system": [{"type": "text", "text": "Be kind."}], "metadata": {"user_id": "ann", "other": "x"}}
    asked = from_messages(body, "openai/m", links=False).asked
    assert [message["role"] for message in asked["messages"]] == ["system", "user", "assistant"]
    assert asked["user"] == "ann" and asked["max_tokens"] == 9


@pytest.mark.parametrize("more", [{}, {"input": None}, {"input": ""}, {"input": []}], ids=str)
def test_instructions_alone_become_a_system_message(more):
    asked = from_responses(
        {"model": "m", "instructions": "Welcome the customer.", **more}, "openai/m", links=False
    ).asked
    assert asked["messages"][0] == {"role": "system", "content": "Welcome the customer."}
    assert all(not message["content"] for message in asked["messages"][1:])
