"""Laws of weaving, over generated conversations, decisions, capabilities and places.

Additive: every message and every other field of the client survives, in order. Empty: with nothing to say the body is
the very same. Prefix: what is sent while a conversation grows is, message for message and byte for byte, what was sent
before and then more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from router.core.decision import Decision
from router.core.ports import Weaving
from router.wire.chat import ChatCompletions
from tests.support.weaving import (
    CLOCKS,
    DECISIONS,
    FIELDS,
    ITEMS,
    OURS,
    SPEAKING,
    TASTES,
    TEXT,
    TEXTS,
    WEAVINGS,
    instructions,
    is_extended,
    speaks,
    texts_of,
    written,
)

CHAT = ChatCompletions()

# ------------------------------------------------------------------------------- what clients write

PARTS = [{"type": "text", "text": text} for text in TEXTS]
PARTS += [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}, {"type": "file", "file": {}}]
CONTENT = st.sampled_from(TEXTS) | st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)
VOID = st.sampled_from([{}, {"content": None}, {"content": ""}, {"content": []}])
EXTRA = st.sampled_from(
    [{}, {}, {"name": "x"}, {"cache_control": {"type": "ephemeral"}}, {"x_unknown": [100.0, None, {"content": "x"}]}]
)


def messages(*roles):
    """One message in one of these roles; one in five says nothing."""
    content = st.integers(0, 4).flatmap(lambda n: CONTENT.map(lambda said: {"content": said}) if n else VOID)
    return st.builds(lambda role, said, extra: {"role": role} | said | extra, st.sampled_from(roles), content, EXTRA)


def tool_round(texts):
    """An assistant's parallel tool calls and their results."""
    calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": t}} for i, t in enumerate(texts)
    ]
    results = [{"role": "tool", "tool_call_id": f"c{i}", "content": t} for i, t in enumerate(texts)]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


AFTER = st.lists(
    st.lists(TEXT, min_size=1, max_size=3).map(tool_round)
    | messages("assistant", "assistant", *OURS, "critic").map(lambda m: [m]),
    max_size=2,
)
EXCHANGE = st.builds(lambda user, after: [user, *chain(*after)], messages("user"), AFTER)


@st.composite
def conversations(draw):
    """Messages as written: system text in front or not, then exchanges. The first user message says something."""
    front = draw(st.lists(messages("system", "developer", "assistant"), max_size=2))
    first = {"role": "user", "content": draw(st.sampled_from(["Hi", [PARTS[-1]]]))}
    rest = draw(st.lists(EXCHANGE, max_size=4))
    taste = draw(TASTES)
    return [written(m, taste) for m in (*front, first, *chain(*draw(AFTER)), *chain(*rest))]


FRAMES = [
    ('{"model":"m","temperature":1.0, "messages" :', "} "),
    ('\n{ "messages": ', ',"model" : "m","temperature":1e0,"tools":[{"type":"function"}], "x":{"messages":[]}\n}\n'),
    ('{"y":{"messages":[{}]},"x":"\\u00e4","model":"m","temperature":null,"messages":', ',"seeds":"[{]"}'),
]


@dataclass(frozen=True)
class Growing:
    """One conversation, a decision for each of its user messages, and a frame around its messages."""

    messages: list[str]
    decisions: list[Decision]
    weaving: Weaving
    frame: tuple[str, str]

    def users(self, size):
        """Where the user messages stand among the first `size` messages."""
        return [i for i, m in enumerate(self.messages[:size]) if json.loads(m)["role"] == "user"]

    def sizes(self):
        """Lengths at which this is a request: the newest user message says something."""
        for size in range(1, len(self.messages) + 1):
            users = self.users(size)
            if users and says(json.loads(self.messages[users[-1]])):
                yield size

    def parse(self, size):
        before, after = self.frame
        return CHAT.parse((before + "[" + ",\n".join(self.messages[:size]) + " ]" + after).encode())

    def decided(self, size):
        return self.decisions[: len(self.users(size))]

    def weave(self, size, **changes):
        return CHAT.weave(self.parse(size), self.decided(size), replace(self.weaving, **changes))


@st.composite
def growing(draw):
    told = draw(conversations())
    users = sum(json.loads(m)["role"] == "user" for m in told)
    decided = draw(st.lists(DECISIONS, min_size=users, max_size=users))
    return Growing(told, decided, draw(WEAVINGS), draw(st.sampled_from(FRAMES)))


def says(message):
    content = message.get("content") or ""
    return bool(content.strip()) if isinstance(content, str) else any(part.get("text", "x").strip() for part in content)


def sent_messages(body):
    return [bytes(raw) for raw in ITEMS.decode(FIELDS.decode(body)["messages"])]


def longest(conversation):
    return max(conversation.sizes())


PLACES = st.sampled_from(["after", "before"])

# ------------------------------------------------------------------------------- the laws


@given(growing())
def test_what_was_sent_is_a_prefix_of_what_is_sent_next(conversation):
    before: list[bytes] = []
    for size in conversation.sizes():
        sent = sent_messages(conversation.weave(size))
        assert sent[: len(before)] == before
        before = sent


@given(growing(), st.lists(st.sampled_from(CLOCKS), min_size=5, max_size=5))
def test_volatile_text_is_said_at_the_newest_user_message_only(conversation, clocks):
    size = longest(conversation)
    users = conversation.users(size)
    decided = conversation.decided(size)
    ticking = [replace(d, mix=(clock, *d.mix)) for d, clock in zip(decided, clocks, strict=False)]
    out = replace(conversation, decisions=ticking).weave(size)
    assert out == replace(conversation, decisions=[*decided[:-1], ticking[-1]]).weave(size)
    assert out.count(b"now.") == (decided[-1].outcome in SPEAKING)
    said, kept = sent_messages(out), sent_messages(conversation.weave(size))
    behind = size - users[-1] - 1  # messages after the newest user message
    assert said[len(said) - behind :] == kept[len(kept) - behind :]
    calm = len(kept) - behind - 2  # all but the newest user message and a tail before it
    assert said[: max(0, calm)] == kept[: max(0, calm)]


@given(growing(), PLACES)
def test_every_message_and_field_of_the_client_survives(conversation, place):
    size = longest(conversation)
    out = conversation.weave(size, place=place)
    before, after = conversation.frame
    assert out.startswith(before.encode())
    assert out.endswith(after.encode())
    sent = sent_messages(out)
    for message in conversation.messages[:size]:
        while not survives(message.encode(), sent[0]):
            ours = json.loads(sent.pop(0))
            assert ours.keys() == {"role", "content"}
            assert ours["role"] in OURS
        sent.pop(0)
    assert sent == []


def survives(message, sent):
    """Whether a sent message is the client's own, as it came or with one text put into its content."""
    if message == sent:
        return True
    theirs, ours = json.loads(message), json.loads(sent)
    was, now = theirs.pop("content", None), ours.pop("content", None)
    return ours == theirs and theirs["role"] in ("user", *OURS) and is_extended(was, now, "text")


@given(growing(), PLACES)
def test_not_a_byte_of_the_client_is_written_anew(conversation, place):
    size = longest(conversation)
    request = conversation.parse(size)
    for edit in CHAT.edits(request, conversation.decided(size), replace(conversation.weaving, place=place)):
        assert request.body[edit.start : edit.end].translate(None, b" \t\r\n") in (b"", b"null", b'""', b"[]")


@given(growing())
def test_replacing_touches_the_apps_system_text_only(conversation):
    size = longest(conversation)
    roles = [json.loads(m)["role"] for m in conversation.messages]
    leading = next(i for i, role in enumerate(roles) if role not in OURS)
    kept = sent_messages(conversation.weave(size))
    added = sent_messages(conversation.weave(size, place="after"))
    replaced = sent_messages(conversation.weave(size, place="replace"))
    if leading and speaks(conversation.decisions[0]):
        assert "".join(texts_of(json.loads(replaced[0])["content"])) == conversation.decisions[0].text
        assert replaced[1:] == added[leading:]
    else:
        assert kept == added == replaced


@given(growing(), st.sampled_from(["", "m"]))
def test_with_nothing_to_say_the_body_is_the_very_same(conversation, model):
    size = longest(conversation)
    request = conversation.parse(size)
    quiet = [replace(d, mix=()) if speaks(d) else d for d in conversation.decided(size)]
    weaving = replace(conversation.weaving, model=model)
    assert CHAT.weave(request, quiet, weaving) is request.body
    assert CHAT.weave(request, (), weaving) is request.body


@given(growing())
def test_all_that_is_to_be_said_is_said(conversation):
    size = longest(conversation)
    texts = [t for m in sent_messages(conversation.weave(size)) for t in texts_of(json.loads(m).get("content"))]
    for decision in conversation.decided(size):
        for piece in instructions(decision) if speaks(decision) else ():
            assert any(piece.text in text for text in texts)


@given(growing(), st.sampled_from(["n", "provider/ü"]))
def test_model_and_parameters_change_nothing_else(conversation, model):
    size = longest(conversation)
    plain = json.loads(conversation.weave(size))
    out = json.loads(conversation.weave(size, model=model, parameters={"temperature": 0.3, "seed": 7}))
    assert out == plain | {"model": model, "seed": 7}
