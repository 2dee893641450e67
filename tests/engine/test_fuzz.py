"""Bodies that nobody foresaw: each is served or refused in words, never anything else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import RequestError
from router.engine.prepare import Call
from tests.support.parts import CHAT, preparer

WORDS = [
    "model",
    "messages",
    "role",
    "content",
    "type",
    "text",
    "user",
    "system",
    "metadata",
    "stream",
    "tools",
    "tier",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
parts = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "image_url"])}, optional={"text": values}) | values
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "developer"]) | values},
        optional={"content": st.text(max_size=20) | parts | values, "tool_calls": values, "name": values},
    )
    | values,
    max_size=5,
)
bodies = st.fixed_dictionaries(
    {"model": st.just("m") | values, "messages": messages | values},
    optional={name: values for name in ("metadata", "stream", "user", "max_tokens", "tools", "temperature")},
)


@given(bodies)
def test_a_near_valid_body_is_woven_losslessly_or_refused(body: dict[str, Any]) -> None:
    seen = preparer()
    try:
        prepared = seen.prepare(Call(CHAT, json.dumps(body).encode()))
    except RequestError as error:
        assert 400 <= error.status < 500 and error.message
        return
    woven = json.loads(seen.weave(prepared, CHAT).body)
    assert {name: value for name, value in woven.items() if name != "messages"} == {
        name: value for name, value in body.items() if name != "messages"
    }
    assert len(woven["messages"]) >= len(body["messages"])


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_bytes_that_are_no_body_are_refused(body: bytes) -> None:
    try:
        preparer().prepare(Call(CHAT, body))
    except RequestError as error:
        assert error.status == 400
    else:
        raise AssertionError("nothing like that is a request")
