"""A fourth format, written on the frame in a few lines, keeps the laws of the other three."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.conversation import Conversation, Turn
from router.core.errors import RequestError
from router.core.ports import Weaving
from router.wire.edits import encode
from router.wire.format import METADATA, Top, WireFormat
from router.wire.strict_json import decode_messages, find_unread, names
from tests.support.weaving import DECISIONS, TEXTS, WEAVINGS, speaks


class _Said(msgspec.Struct, gc=False, omit_defaults=True):
    role: str
    content: str | None = None


class _Body(Top, gc=False):
    turns: list[msgspec.Raw] = msgspec.field(default_factory=list)
    metadata: dict[str, Any] | None = None


SAID = msgspec.json.Decoder(_Said)


class Fourth(WireFormat):
    """Turns of text, system text as a turn in front, the tokens of an answer under a name of its own."""

    name, path = "fourth", "/fourth"
    body = msgspec.json.Decoder(_Body)
    names = names(*_Body.__struct_fields__, turns=names("role", "content"), metadata=METADATA)
    lists = ("turns",)
    reserved = frozenset({"model", "turns", "stream"})

    def read(self, top):
        turns = decode_messages(top.turns, SAID, "turns")
        view = [Turn("user" if t.role == "user" else "assistant", t.content or "", at) for at, t in enumerate(turns)]
        unread = find_unread(turns, top.turns, (), 0)
        return Conversation("", tuple(view)), top.turns, [turn.role for turn in turns], 0, unread

    def sender(self, top):
        return "", top.metadata or {}

    def put_head(self, plan, users):
        if "system" in plan.weaving.capability.roles:
            plan.before.setdefault(0, []).append(self.message("system", encode(plan.placed.head)))
        else:
            self.put_in_user_turn(plan, users, plan.placed.head)

    def translate(self, parameters):
        return [("answer_tokens" if name == "max_tokens" else name, value) for name, value in parameters.items()]


FOURTH = Fourth()
FRAME = ('{ "model":"m", "x":{"turns":[]}, "turns" : [', ' ] ,"temperature":1e0}')


def written(turns):
    return (FRAME[0] + " ,".join(turns) + FRAME[1]).encode()


def sent(body):
    return [bytes(raw) for raw in FOURTH.body.decode(body).turns]


TEXT = st.sampled_from([text for text in TEXTS if text.strip()])
TURN = st.builds(lambda role, text: json.dumps({"role": role, "content": text}), st.sampled_from(["user", "bot"]), TEXT)


@st.composite
def growing(draw):
    """Turns, the first of a user; decisions for the users' turns; what is woven."""
    turns = [json.dumps({"role": "user", "content": "Hi"}), *draw(st.lists(TURN, max_size=5))]
    users = sum('"user"' in turn for turn in turns)
    return turns, draw(st.lists(DECISIONS, min_size=users, max_size=users)), draw(WEAVINGS)


def woven(turns, decisions, weaving):
    return FOURTH.weave(FOURTH.parse(written(turns)), decisions[: sum('"user"' in turn for turn in turns)], weaving)


@given(growing())
def test_what_was_sent_is_a_prefix_of_what_is_sent_next(conversation):
    turns, decisions, weaving = conversation
    before: list[bytes] = []
    for size in range(1, len(turns) + 1):
        now = sent(woven(turns[:size], decisions, replace(weaving, on_switch="tail")))
        assert now[: len(before)] == before
        before = now


@given(growing())
def test_every_turn_and_field_of_the_client_survives(conversation):
    turns, decisions, weaving = conversation
    body = written(turns)
    for edit in FOURTH.edits(FOURTH.parse(body), decisions, weaving):
        assert body[edit.start : edit.end] in (b"", b'""', b"null")
    out = woven(turns, decisions, weaving)
    assert out.startswith(FRAME[0].encode()) and out.endswith(FRAME[1].encode())


@given(growing())
def test_with_nothing_to_say_the_body_is_the_very_same(conversation):
    turns, decisions, weaving = conversation
    request = FOURTH.parse(written(turns))
    quiet = [replace(d, mix=()) if speaks(d) else d for d in decisions]
    assert FOURTH.weave(request, quiet, weaving) is request.body


def test_model_and_parameters_are_the_frames():
    request = FOURTH.parse(written([json.dumps({"role": "user", "content": "Hi"})]))
    out = FOURTH.weave(request, (), Weaving(model="n", parameters={"max_tokens": 5, "temperature": 0, "stream": True}))
    assert json.loads(out) == json.loads(request.body) | {"model": "n", "answer_tokens": 5}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b'{"model":"m","turns":[],"Turns":[]}', "ambiguous_key", "Turns"),
        (b'{"model":"m"}', "empty_messages", "turns"),
        (b'{"turns":[]}', "missing_model", "model"),
    ],
)
def test_what_is_wrong_is_refused_as_everywhere(body, code, param):
    with pytest.raises(RequestError) as caught:
        FOURTH.parse(body)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_an_answer_is_read_as_openais_unless_the_format_says_otherwise():
    assert FOURTH.read_answer(b'{"id":"a1"}').id == "a1"
    assert FOURTH.spoken(b"{}", stream=False) == ""
    assert json.loads(FOURTH.error_body(RequestError("No.", code="no")))["error"]["message"] == "No."
    guard = FOURTH.guard()
    guard.release(b'data: {"id":"a1","choices":[{"index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    assert guard.complete
