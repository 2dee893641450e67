"""Laws of weaving into Anthropic's format, over generated conversations, decisions, capabilities, places and marks.

They are those of chat completions (`test_chat_laws.py`): additive, empty, prefix; and what the API itself demands of
`system` messages and of cache marks.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from router.core.decision import Decision
from router.core.errors import RequestError
from router.core.ports import Capability, Weaving
from router.wire.messages import Messages
from tests.support.weaving import CLOCKS, DECISIONS, NAMES, SPEAKING, instructions, speaks, written

WIRE = Messages()
FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

# ------------------------------------------------------------------------------- what clients write

MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
TEXTS = ["Hi", 'She said: "no".', "a\\", "\n\n.", "Grüße 😀\u2028", "<instructions>\n", '"cache_control":{', "]"]
TEXT = st.sampled_from(TEXTS)
TEXT_BLOCKS = [{"type": "text", "text": text} for text in TEXTS]
MEDIA = [
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}},
    {"type": "x_new", "content": 5, "text": None},
]
BLOCKS = st.lists(st.sampled_from(TEXT_BLOCKS + MEDIA), min_size=1, max_size=3)
CONTENT = TEXT | BLOCKS
THOUGHTS = st.sampled_from([[], [{"type": "thinking", "thinking": "Hm", "signature": "s"}], [{"type": "x_redacted"}]])


@st.composite
def tool_rounds(draw):
    """An assistant's parallel tool calls and their results, with more of the user's words behind them or not."""
    texts = draw(st.lists(TEXT, min_size=1, max_size=3))
    calls = [{"type": "tool_use", "id": f"t{i}", "name": "f", "input": {"q": text}} for i, text in enumerate(texts)]
    results = [
        {"type": "tool_result", "tool_use_id": f"t{i}", "content": draw(st.sampled_from([text, [TEXT_BLOCKS[i]]]))}
        for i, text in enumerate(texts)
    ]
    more = draw(st.sampled_from([[], [], TEXT_BLOCKS[:1], MEDIA[:1] + TEXT_BLOCKS[1:2]]))
    return [
        {"role": "assistant", "content": [*draw(THOUGHTS), *calls]},
        {"role": "user", "content": [*results, *more]},
    ]


@st.composite
def conversations(draw):
    """Messages as written: exchanges, each a user's message, tool rounds, and an answer."""
    told = []
    for _ in range(draw(st.integers(1, 4))):
        told.append({"role": "user", "content": draw(CONTENT)})
        told += chain(*draw(st.lists(tool_rounds(), max_size=2)))
        if draw(st.integers(0, 4)) == 0:
            told.append({"role": "system", "content": "The client's own."})
        told.append({"role": "assistant", "content": draw(CONTENT)})
    taste = random.Random(draw(st.integers(0, 2**32)))
    return [written(message, taste) for message in told]


SYSTEMS = st.sampled_from(
    [None, "", None, '"App"', '"App"', '" \\n"', "null", "[ ]", '[ {"type":"text","text":"A"} ]']
    + [
        written([{"type": "text", "text": "A"}, {"type": "text", "text": "B"} | mark], random.Random(1))
        for mark in (MARK, HOUR)
    ]
)
TOOLS = st.sampled_from([None, '[{"name":"f","input_schema":{}}]', '[{"name":"f","input_schema":{},"cache_control":{"type":"ephemeral"}}]'])  # fmt: skip

# ------------------------------------------------------------------------------- what is decided

WEAVINGS = st.builds(
    lambda place, mid, roles, marks, least: Weaving(
        place, capability=Capability(mid, frozenset({*roles, "user", "assistant"}), marks, least), names=NAMES
    ),
    st.sampled_from(["after", "before", "replace"]),
    st.sampled_from(["system", "developer", "user_block"]),
    st.sampled_from([("system",), ("developer",), ("system", "developer"), ()]),
    st.sampled_from(["off", "auto", "always"]),
    st.sampled_from([0, 0, 20, 4096]),
)


@dataclass(frozen=True)
class Growing:
    """One conversation, a decision for each of its user turns, and what stands around its messages."""

    messages: list[str]
    system: str | None
    tools: str | None
    decisions: list[Decision]
    weaving: Weaving
    moving: bool

    def body(self, size):
        told = self.messages[:size]
        if self.moving:  # the client marks its newest message, and writes it as a block for that
            last = json.loads(told[-1])
            blocks = last["content"]
            blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
            last["content"] = [*blocks[:-1], blocks[-1] | MARK]
            told = [*told[:-1], json.dumps(last)]
        around = [f'"{k}": {v}' for k, v in (("system", self.system), ("tools", self.tools)) if v]
        return "\n{ " + ",".join(
            [
                '"model":"m"',
                *around[:1],
                '"messages" : [' + ",\n".join(told) + " ]",
                *around[1:],
                '"max_tokens":100, "x":1.0e2 }',
            ]
        )

    def parse(self, size):
        return WIRE.parse(self.body(size).encode())

    def sizes(self):
        """Lengths at which a client sends this: it ends with a user's message, or with the client's own behind it."""
        for size in range(1, len(self.messages) + 1):
            if json.loads(self.messages[size - 1])["role"] == "assistant":
                continue
            if size < len(self.messages) and json.loads(self.messages[size])["role"] == "system":
                continue
            yield size

    def decided(self, size):
        return self.decisions[: sum(turn.role == "user" for turn in self.parse(size).conversation.turns)]

    def weave(self, size, **changes):
        return WIRE.weave(self.parse(size), self.decided(size), replace(self.weaving, **changes))


@st.composite
def growing(draw):
    told = draw(conversations())
    users = sum(json.loads(m)["role"] == "user" for m in told)
    decided = draw(st.lists(DECISIONS, min_size=users, max_size=users))
    return Growing(told, draw(SYSTEMS), draw(TOOLS), decided, draw(WEAVINGS), draw(st.booleans()))


def sent_messages(body):
    return [bytes(raw) for raw in ITEMS.decode(FIELDS.decode(body)["messages"])]


def sent_system(body):
    return bytes(FIELDS.decode(body).get("system", b""))


def longest(conversation):
    return max(conversation.sizes())


def text_blocks(system):
    """The blocks of a `system`, whatever its form."""
    return [{"type": "text", "text": system}] if isinstance(system, str) else list(system or ())


# ------------------------------------------------------------------------------- the laws


@given(growing())
def test_what_was_sent_is_a_prefix_of_what_is_sent_next(conversation):
    conversation = replace(conversation, moving=False)
    messages: list[bytes] = []
    systems = set()
    for size in conversation.sizes():
        sent = conversation.weave(size)
        assert sent_messages(sent)[: len(messages)] == messages
        messages = sent_messages(sent)
        systems.add(sent_system(sent))
    assert len(systems) == 1


@given(growing())
def test_where_a_client_moves_its_mark_the_prompt_is_a_prefix_all_the_same(conversation):
    conversation = replace(conversation, moving=True)
    prompt: list[bytes] = []
    systems = set()
    for size in conversation.sizes():
        sent = conversation.weave(size)
        assert WIRE.prompt(sent)[: len(prompt)] == prompt
        prompt = WIRE.prompt(sent)
        systems.add(sent_system(sent))
    assert len(systems) == 1


@given(growing())
def test_system_messages_of_ours_stand_where_the_api_takes_them(conversation):
    size = longest(conversation)
    told = [json.loads(m) for m in sent_messages(conversation.weave(size))]
    theirs = json.loads(conversation.parse(size).body)["messages"]
    for before, message, after in zip([None, *told], told, [*told[1:], None], strict=False):
        if message["role"] == "system" and message not in theirs:
            assert before["role"] == "user"
            assert after is None or after["role"] in ("assistant", "system")
    for before, after in pairwise(told):
        if isinstance(before["content"], list) and any(b["type"] == "tool_use" for b in before["content"]):
            kinds = [block["type"] for block in after["content"]]
            results = kinds.count("tool_result")
            assert results
            assert kinds[:results] == ["tool_result"] * results


@given(growing())
def test_never_more_than_four_marks_and_their_life_never_grows(conversation):
    size = longest(conversation)
    request = conversation.parse(size)
    body = json.loads(conversation.weave(size))
    before = marks_of(json.loads(request.body))
    marks = marks_of(body)
    assert len(marks) <= 4
    if before == sorted(before, reverse=True):
        assert marks == sorted(marks, reverse=True)
    if conversation.weaving.capability.cache_marks == "off" or (
        conversation.weaving.capability.cache_marks == "auto" and before and conversation.weaving.place != "replace"
    ):
        assert len(marks) <= len(before)


def marks_of(body):
    """Whether each mark lives for an hour, in the order of the prompt."""
    blocks = [*(body.get("tools") or ()), *text_blocks(body.get("system"))]
    for message in body["messages"]:
        blocks += message["content"] if isinstance(message["content"], list) else ()
    return [block["cache_control"].get("ttl") == "1h" for block in blocks if "cache_control" in block]


@given(growing(), st.lists(st.sampled_from(CLOCKS), min_size=12, max_size=12))
def test_volatile_text_is_said_at_the_newest_user_turn_only(conversation, clocks):
    size = longest(conversation)
    decided = conversation.decided(size)
    ticking = [replace(d, mix=(clock, *d.mix)) for d, clock in zip(decided, clocks, strict=False)]
    out = replace(conversation, decisions=ticking).weave(size)
    assert out == replace(conversation, decisions=[*decided[:-1], ticking[-1]]).weave(size)
    assert out.count(b"now.") == (decided[-1].outcome in SPEAKING)


@given(growing(), st.sampled_from(["after", "before"]))
def test_every_message_block_and_field_of_the_client_survives(conversation, place):
    size = longest(conversation)
    request = conversation.parse(size)
    out = conversation.weave(size, place=place)
    came, sent = json.loads(request.body), json.loads(out)
    system = [block for block in text_blocks(came.pop("system", None)) if block["text"].strip()]
    kept = text_blocks(sent.pop("system", None))
    assert [block for block in kept if block in system] == system or kept == []
    ours = [message for message in sent["messages"] if message not in came["messages"]]
    theirs = iter(came["messages"])
    for message in sent["messages"]:
        if message["role"] == "system" and message in ours:
            continue
        assert survives(next(theirs), message)
    assert next(theirs, None) is None
    assert came | {"messages": None} == sent | {"messages": None}


def survives(came, sent):
    """Whether a sent message is the client's own, as it came or with one text put into its content."""
    if came == sent:
        return True
    was, now = came["content"], sent["content"]
    if came["role"] != "user" or came | {"content": None} != sent | {"content": None}:
        return False
    if isinstance(was, str):
        was = [{"type": "text", "text": was}]
    added = next(i for i, block in enumerate(now) if block not in was[i : i + 1])
    return now[:added] + now[added + 1 :] == was


@given(growing(), st.sampled_from(["after", "before"]))
def test_not_a_byte_of_the_client_is_written_anew(conversation, place):
    size = longest(conversation)
    request = conversation.parse(size)
    for edit in WIRE.edits(request, conversation.decided(size), replace(conversation.weaving, place=place)):
        gone = request.body[edit.start : edit.end].translate(None, b" \t\r\n")
        assert gone in (b"", b"null", b'""', b"[]", b'"\\n"')


@given(growing(), st.sampled_from(["", "m"]))
def test_with_nothing_to_say_the_body_is_the_very_same(conversation, model):
    size = longest(conversation)
    request = conversation.parse(size)
    quiet = [replace(d, mix=()) if speaks(d) else d for d in conversation.decided(size)]
    weaving = replace(conversation.weaving, model=model)
    assert WIRE.weave(request, quiet, weaving) is request.body
    assert WIRE.weave(request, (), weaving) is request.body


@given(growing())
def test_all_that_is_to_be_said_is_said_once(conversation):
    size = longest(conversation)
    body = json.loads(conversation.weave(size))
    said = [block["text"] for block in text_blocks(body.get("system"))]
    for message in body["messages"]:
        said += [b.get("text") or "" for b in text_blocks(message["content"])]
    for decision in conversation.decided(size):
        for piece in instructions(decision) if speaks(decision) else ():
            assert any(piece.text in text for text in said)


@given(growing())
def test_marks_do_not_change_a_word(conversation):
    size = longest(conversation)
    assume(not conversation.moving)
    texts = []
    for marks in ("off", "always"):
        capability = replace(conversation.weaving.capability, cache_marks=marks, cache_min_tokens=0)
        body = json.loads(conversation.weave(size, capability=capability))
        texts.append(("".join(b["text"] for b in text_blocks(body.get("system"))), body["messages"]))
    assert texts[0] == texts[1]


@given(st.lists(conversations(), min_size=2, max_size=3).map(lambda all_: [m for c in all_ for m in c]))
def test_any_cut_of_a_conversation_is_read_or_refused_with_a_place(told):
    for start in range(len(told)):
        body = '{"model":"m","messages":[' + ",".join(told[start:]) + "]}"
        try:
            turns = WIRE.parse(body.encode()).conversation.turns
        except RequestError as error:
            assert error.param
        else:
            assert [turn.at for turn in turns] == list(range(len(turns)))
