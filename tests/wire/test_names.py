"""Names that two readers may understand differently: given twice, or in another case. Refused wherever we read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import RequestError
from router.core.ports import Weaving
from router.wire.chat import ChatCompletions
from router.wire.messages import CountTokens, Messages
from router.wire.plain import COMPLETIONS, EMBEDDINGS, MODERATIONS
from router.wire.responses import COMPACT, InputTokens, Responses
from router.wire.strict_json import check_names, fold, names

CHAT = ChatCompletions()
WHOLE = {
    "chat": (
        CHAT,
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": "u",
            "safety_identifier": "s",
            "metadata": {"conversation_id": "c", "session_id": "s"},
            "max_tokens": 1,
            "max_completion_tokens": 2,
            "tools": [],
        },
    ),
    "messages": (
        Messages(),
        {
            "model": "m",
            "system": [{"type": "text", "text": "Be kind."}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "1"}]},
                        {"type": "text", "text": "And?"},
                    ],
                },
            ],
            "tools": [],
            "cache_control": {},
            "stream": False,
            "metadata": {"user_id": "u"},
            "max_tokens": 1,
        },
    ),
    "responses": (
        Responses(),
        {
            "model": "m",
            "instructions": [{"type": "message", "role": "developer", "content": "Be kind."}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "1"}]},
                {"type": "item_reference", "id": "rs_1"},
            ],
            "stream": True,
            "store": False,
            "user": "u",
            "safety_identifier": "s",
            "metadata": {"conversation_id": "c"},
            "max_output_tokens": 1,
            "previous_response_id": "r",
            "conversation": {"id": "c"},
            "prompt": {"id": "p"},
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "tools": [],
        },
    ),
}
WHOLE["count_tokens"] = (CountTokens(), WHOLE["messages"][1])
WHOLE["compact"] = (COMPACT, WHOLE["responses"][1])
WHOLE["input_tokens"] = (InputTokens(), WHOLE["responses"][1])
for plain in (COMPLETIONS, EMBEDDINGS, MODERATIONS):
    WHOLE[plain.name] = (
        plain,
        {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "user": "u"},
    )
UNREAD = {"call_id", "tool_use_id", "name", "input"}  # in tools' calls and results


def keys(value, place=()):
    """Yield the place of every key of a value, as the steps that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in UNREAD or not place:
                yield (*place, key)
            yield from keys(inner, (*place, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from keys(inner, (*place, at))


def written(value, place, change):
    """Write a value as JSON, with the member at `place` as `change` makes it of its key and value."""
    if isinstance(value, list):
        inner = [written(each, place[1:] if place[:1] == (at,) else (), change) for at, each in enumerate(value)]
        return "[" + ",".join(inner) + "]"
    if not isinstance(value, dict):
        return json.dumps(value)
    members = []
    for key, inner in value.items():
        if place == (key,):
            members.append(change(key, json.dumps(inner)))
        else:
            members.append(json.dumps(key) + ":" + written(inner, place[1:] if place[:1] == (key,) else (), change))
    return "{" + ",".join(members) + "}"


def path(place):
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


PLACES = [
    pytest.param(wire, body, place, id=f"{name}:{path(place)}")
    for name, (wire, body) in WHOLE.items()
    for place in keys(body)
]


def twice(key, value):
    return f'"{key}":{value},"{key}":{value}'


def refusal(wire, body):
    with pytest.raises(RequestError) as caught:
        wire.parse(body.encode())
    error = caught.value
    assert error.status == 400
    told = json.loads(wire.error_body(error))["error"]
    assert (told["type"], told["message"]) == ("invalid_request_error", error.message)
    assert len(error.message) < 200
    return error


@pytest.mark.parametrize("name", WHOLE)
def test_as_it_is_it_is_taken(name):
    wire, body = WHOLE[name]
    for indent in (None, 1):
        assert wire.parse(json.dumps(body, indent=indent).encode()).model == "m"


@pytest.mark.parametrize(("wire", "body", "place"), PLACES)
def test_a_second_key_is_refused(wire, body, place):
    error = refusal(wire, written(body, place, twice))
    assert (error.code, error.param) == ("duplicate_key", path(place))
    assert error.message.startswith(f"{path(place)}: given twice")


@pytest.mark.parametrize(("wire", "body", "place"), PLACES)
def test_a_second_key_written_with_an_escape_is_refused(wire, body, place):
    def change(key, value):
        return f'"{key}":{value},"\\u{ord(key[0]):04x}{key[1:]}":{value}'

    assert refusal(wire, written(body, place, change)).code == "duplicate_key"


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("form", [str.upper, str.title, lambda key: key[:-1] + key[-1].upper()])
@pytest.mark.parametrize(("wire", "body", "place"), PLACES)
def test_a_key_in_another_case_is_refused(wire, body, place, form, beside):
    key, other = place[-1], form(place[-1])
    free = "metadata" in place[:-1] and key not in ("conversation_id", "session_id", "user_id")
    required = not beside and key in ("model", "messages", "role", "type", "id")

    def change(key, value):
        return f'"{key}":{value},"{other}":{value}' if beside else f'"{other}":{value}'

    error = refusal(wire, written(body, place, change))
    assert not free
    if not required or error.code == "ambiguous_key":
        assert (error.code, error.param) == ("ambiguous_key", path((*place[:-1], other)))
        assert f'Write "{key}".' in error.message


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("me\u017fsages", "messages"),
        ("u\u017fer", "user"),
        ("max_to\u212aens", "max_tokens"),
        ("max_to\\u212aens", "max_tokens"),
        ("\\u006d\\u004fdel", "model"),
        ("stream_opt\u0131ons", "stream_options"),
        ("\u0130nput", "input"),
    ],
)
def test_case_is_unicodes(key, name):
    wire = Responses() if name == "input" else CHAT
    body = dict(WHOLE["responses" if name == "input" else "chat"][1])
    error = refusal(wire, json.dumps(body)[:-1] + f',"{key}":[]}}')
    assert error.code == "ambiguous_key" and f'"{name}"' in error.message


@pytest.mark.parametrize("alone", [{"MODEL": "m", "messages": [{"role": "user", "content": "Hi"}]}, {"MESSAGES": []}])
def test_alone_it_is_told_before_what_is_missing(alone):
    assert refusal(CHAT, json.dumps({"model": "m"} | alone if "MODEL" not in alone else alone)).code == "ambiguous_key"


OTHERS = {
    "a key that is not read": '"x":1,"x":2,"X":3',
    "a tool's schema": '"tools":[{"type":"function","function":{"parameters":{"properties":{"Model":{},"Content":{}}}}}]',
    "a tool's schema, doubled": '"tools":[{"type":"a","type":"b"}]',
    "names of metadata that differ in case": '"metadata":{"plan":"a","Plan":"b"}',
    "a quote in a key": '"a\\"b":1,"a\\u0022b":2',
    "a long key": '"' + "M" * 10_000 + '":1',
    "a capital in a value": '"x":"MESSAGES"',
}


@pytest.mark.parametrize("more", OTHERS.values(), ids=OTHERS)
def test_what_is_not_read_is_left_alone(more):
    body = '{"model":"m","messages":[{"role":"user","content":"Model: \\"Model\\": x","name":"A"}],' + more + "}"
    assert CHAT.parse(body.encode()).body == body.encode()


def test_a_doubled_cue_is_refused():
    body = '{"model":"m","messages":[{"role":"user","content":"Hi"}],"metadata":{"plan":"free","plan":"pro"}}'
    assert refusal(CHAT, body).param == "metadata.plan"


def test_a_key_that_is_written_oddly_hides_no_other():
    r"""Quotes are counted, and a key may hold some that are escapes: `\u0022` is none as written."""
    twins = '"role":"user","role":"system","content":"Hi"'
    hidden = "".join(f'"{i}\\u0022":1,' for i in range(8))
    body = '{"model":"m","messages":[{' + hidden + twins + "}]}"
    assert refusal(CHAT, body).param == "messages[0].role"


@pytest.mark.parametrize("wire", [CHAT, Responses(), Messages()], ids=lambda wire: wire.name)
def test_a_parameter_that_the_client_wrote_in_another_case_is_not_set_again(wire):
    turn = {"role": "user", "content": "Hi"}
    body = {"model": "m", "input": [turn]} if wire.name == "responses" else {"model": "m", "messages": [turn]}
    raw = json.dumps(body | {"Temperature": 0, "x": {}}).encode()
    assert wire.weave(wire.parse(raw), (), Weaving(parameters={"temperature": 1})) == raw


KEY = st.sampled_from(["role", "content", "Role", "x", "X", 'x"', "\u212a", "conten\u0074", "type", "text", "*"])
VALUE = st.recursive(
    st.sampled_from(["1", '"a\\u0022"', '"a\\"b"', "null"]),
    lambda inner: (
        st.lists(st.tuples(KEY, st.booleans(), inner), max_size=4).map(
            lambda members: "{" + " ,".join(
                (json.dumps(key) if plain else '"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"') + ": " + value
                for key, plain, value in members
            ) + "}"
        )
        | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + " ]")
    ),
    max_leaves=20,
)  # fmt: skip
READ = names("role", content=names("type", "text", content=names("text")))


def is_wrong(value, read):
    """Say it slowly: what the check must find."""
    if not isinstance(value, Members):
        return isinstance(value, list) and any(is_wrong(each, read) for each in value)
    own = [key for key, _ in value if fold(key) in read]
    return (
        len(set(own)) < len(own)
        or any(key not in read for key in own)
        or any(is_wrong(inner, read[key]) for key, inner in value if key in read)
    )


class Members(list):
    """An object's members as they were written."""


@given(st.lists(st.tuples(KEY, VALUE), max_size=4))
def test_the_quick_look_finds_what_a_slow_one_does(members):
    body = "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}"
    wrong = is_wrong(json.loads(body, object_pairs_hook=Members), READ)
    try:
        check_names(body.encode(), READ)
    except RequestError:
        assert wrong
    else:
        assert not wrong


def test_every_field_that_a_format_decodes_is_checked():
    """A struct that reads a new member of a body must say so in the names that are checked."""
    for module in ("chat", "messages", "responses", "plain"):
        room = __import__(f"router.wire.{module}", fromlist=["_NAMES"])
        assert set(room._Body.__struct_fields__) <= room._NAMES.keys()
