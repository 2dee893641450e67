"""Laws of weaving for `/responses`, over generated conversations, decisions, capabilities and places.

They are those of chat completions, for items instead of messages and with the instructions in front; and one more: a
client that chains sends of each turn exactly what a client that resends everything adds at that turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import chain, pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from router.core.decision import Decision
from router.core.ports import Weaving
from router.wire.responses import Responses
from router.wire.responses_weave import is_prompted
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

RESPONSES = Responses()

# ------------------------------------------------------------------------------- what clients write

PARTS = [{"type": "input_text", "text": text} for text in TEXTS]
PARTS += [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, {"type": "input_file", "file_id": "f"}]
CONTENT = st.sampled_from(TEXTS) | st.lists(st.sampled_from(PARTS), min_size=1, max_size=3)
VOID = st.sampled_from([{"content": None}, {"content": ""}, {"content": []}])
TYPE = st.sampled_from([{}, {"type": "message"}, {"type": "message", "x_unknown": [1e2, None, {"content": "x"}]}])
ANSWER = st.builds(
    lambda text: [
        {"type": "message", "role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": text}]}
    ],
    TEXT,
)
OTHERS = st.sampled_from(
    [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "item_reference", "id": "msg_0"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "content": 7},
        {"id": "msg_0"},
    ]
)


def messages(*roles):
    """One message in one of these roles; one in five says nothing."""
    content = st.integers(0, 4).flatmap(lambda n: CONTENT.map(lambda said: {"content": said}) if n else VOID)
    return st.builds(lambda role, said, kind: kind | {"role": role} | said, st.sampled_from(roles), content, TYPE)


def tool_round(texts):
    """Reasoning, parallel tool calls and their outputs."""
    calls = [
        {"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": text} for i, text in enumerate(texts)
    ]
    outputs = [{"type": "function_call_output", "call_id": f"c{i}", "output": text} for i, text in enumerate(texts)]
    return [{"type": "reasoning", "id": "rs_1", "summary": []}, *calls, *outputs]


AFTER = st.lists(
    st.lists(TEXT, min_size=1, max_size=3).map(tool_round)
    | ANSWER
    | (OTHERS | messages(*OURS, "critic")).map(lambda item: [item]),
    max_size=2,
)
EXCHANGE = st.builds(lambda user, after: [user, *chain(*after)], messages("user"), AFTER)


@st.composite
def conversations(draw):
    """Items as written: system text in front or not, then exchanges. The first user message says something."""
    front = draw(st.lists(messages("system", "developer", "assistant"), max_size=2))
    first = {"role": "user", "content": draw(st.sampled_from(["Hi", [PARTS[-1]]]))}
    rest = draw(st.lists(EXCHANGE, max_size=4))
    taste = draw(TASTES)
    return [written(item, taste) for item in (*front, first, *chain(*draw(AFTER)), *chain(*rest))]


FRAMES = [
    ('{"model":"m","temperature":1.0, "input" :', "} "),
    ('{"instructions" : "App\\u0021" ,"model":"m", "input":', ',"store":false}'),
    ('{"instructions":null,"model":"m","input": ', ',"store":true, "x":{"input":[]}\n}\n'),
    ('\n{ "input": ', ',"model" : "m","instructions":"","tools":[{"type":"function"}], "store" : false}'),
    (
        '{"x":{"input":[{}]},"x":1,"model":"m","temperature":null,"input":',
        ',"instructions":[{"role":"developer","content":"A"}]}',
    ),
    ('{"model":"m","prompt":{"id":"pmpt_1"},"instructions":"App","input":', ',"store":false}'),
]


@dataclass(frozen=True)
class Growing:
    """One conversation, a decision for each of its user messages, and a frame around its items."""

    items: list[str]
    decisions: list[Decision]
    weaving: Weaving
    frame: tuple[str, str]

    def users(self, size):
        """Where the user messages stand among the first `size` items."""
        return [i for i, item in enumerate(self.items[:size]) if json.loads(item).get("role") == "user"]

    def sizes(self):
        """Lengths at which this is a request: the newest user message says something."""
        for size in range(1, len(self.items) + 1):
            users = self.users(size)
            if users and any(said.strip() for said in says(json.loads(self.items[users[-1]]))):
                yield size

    def parse(self, size, begin=0, chained=""):
        before, after = self.frame
        before = before.replace("{", '{"previous_response_id":"resp_1",', 1) if chained else before
        return RESPONSES.parse((before + "[" + ",\n".join(self.items[begin:size]) + " ]" + after).encode())

    def decided(self, size):
        return self.decisions[: len(self.users(size))]

    def weave(self, size, **changes):
        return RESPONSES.weave(self.parse(size), self.decided(size), replace(self.weaving, **changes))


@st.composite
def growing(draw):
    told = draw(conversations())
    users = sum(json.loads(item).get("role") == "user" for item in told)
    decided = draw(st.lists(DECISIONS, min_size=users, max_size=users))
    return Growing(told, decided, draw(WEAVINGS), draw(st.sampled_from(FRAMES)))


def says(message):
    content = message.get("content") or []
    return [content] if isinstance(content, str) else [part.get("text", "x") for part in content]


def sent_items(body):
    return [bytes(raw) for raw in ITEMS.decode(FIELDS.decode(body)["input"])]


def longest(conversation):
    return max(conversation.sizes())


PLACES = st.sampled_from(["after", "before"])

# ------------------------------------------------------------------------------- the laws


@given(growing())
def test_what_was_sent_is_a_prefix_of_what_is_sent_next(conversation):
    before: list[bytes] = []
    for size in conversation.sizes():
        sent = RESPONSES.prompt(conversation.weave(size))
        assert sent[: len(before)] == before
        before = sent


@given(growing(), st.lists(st.sampled_from(CLOCKS), min_size=5, max_size=5))
def test_volatile_text_is_said_at_the_newest_user_message_only(conversation, clocks):
    size = longest(conversation)
    decided = conversation.decided(size)
    ticking = [replace(d, mix=(clock, *d.mix)) for d, clock in zip(decided, clocks, strict=False)]
    out = replace(conversation, decisions=ticking).weave(size)
    assert out == replace(conversation, decisions=[*decided[:-1], ticking[-1]]).weave(size)
    assert out.count(b"now.") == (decided[-1].outcome in SPEAKING)
    behind = size - conversation.users(size)[-1] - 1  # items after the newest user message
    said, kept = RESPONSES.prompt(out), RESPONSES.prompt(conversation.weave(size))
    assert said[len(said) - behind :] == kept[len(kept) - behind :]
    calm = len(kept) - behind - 2  # all but the newest user message and a tail before it
    assert said[: max(0, calm)] == kept[: max(0, calm)]


@given(growing(), PLACES)
def test_every_item_and_field_of_the_client_survives(conversation, place):
    size = longest(conversation)
    was, now = conversation.parse(size).body, conversation.weave(size, place=place)
    sent = sent_items(now)
    for item in conversation.items[:size]:
        while not survives(item.encode(), sent[0]):
            ours = json.loads(sent.pop(0))
            assert ours.keys() == {"type", "role", "content"}
            assert ours["type"] == "message" and ours["role"] in OURS
        sent.pop(0)
    assert sent == []
    theirs, ours = FIELDS.decode(was), FIELDS.decode(now)
    for name in theirs.keys() - {"input", "instructions"}:
        assert bytes(theirs[name]) == bytes(ours[name])
    assert ours.keys() - theirs.keys() <= {"instructions"}


def survives(item, sent):
    """Whether a sent item is the client's own, as it came or with text put into its content."""
    if item == sent:
        return True
    theirs, ours = json.loads(item), json.loads(sent)
    was, now = theirs.pop("content", None), ours.pop("content", None)
    return ours == theirs and theirs.get("role") in ("user", *OURS) and is_extended(was, now, "input_text")


@given(growing(), PLACES)
def test_not_a_byte_of_the_client_is_written_anew(conversation, place):
    size = longest(conversation)
    request = conversation.parse(size)
    for edit in RESPONSES.edits(request, conversation.decided(size), replace(conversation.weaving, place=place)):
        assert request.body[edit.start : edit.end].translate(None, b" \t\r\n") in (b"", b"null", b'""', b"[]")


@given(growing(), PLACES)
def test_nothing_comes_between_calls_and_their_outputs_or_behind_reasoning(conversation, place):
    size = longest(conversation)
    came = [item.encode() for item in conversation.items[:size]]
    sent = sent_items(conversation.weave(size, place=place))
    before, after = machine_made(came), machine_made(sent)
    assert [came[i] for i in before] == [sent[i] for i in after]
    for (i, j), (k, m) in zip(pairwise(before), pairwise(after), strict=True):
        assert j > i + 1 or m == k + 1


def machine_made(items):
    """Where the items stand that no person and no app wrote."""
    return [i for i, item in enumerate(items) if json.loads(item).get("role", "assistant") == "assistant"]


@given(growing())
def test_replacing_leaves_none_of_the_apps_system_text(conversation):
    assume(speaks(conversation.decisions[0]) and '"prompt"' not in conversation.frame[0])
    assume(set(OURS) & conversation.weaving.capability.roles)
    size = longest(conversation)
    out = conversation.weave(size, place="replace")
    request = RESPONSES.parse(out)
    assert request.conversation.system == conversation.decisions[0].text
    assert (
        sent_items(out)[request.leading :]
        == sent_items(conversation.weave(size, place="after"))[
            conversation.parse(size).leading + is_item(conversation, size) :
        ]
    )


def is_item(conversation, size):
    """Whether the head is an item of its own where it comes after the app's text."""
    fields = FIELDS.decode(conversation.parse(size).body)
    return conversation.weaving.capability.cache_marks != "off" and bytes(fields.get("store", b"")) == b"false"


@given(growing(), st.sampled_from(["", "m"]))
def test_with_nothing_to_say_the_body_is_the_very_same(conversation, model):
    size = longest(conversation)
    request = conversation.parse(size)
    quiet = [replace(d, mix=()) if speaks(d) else d for d in conversation.decided(size)]
    weaving = replace(conversation.weaving, model=model)
    assert RESPONSES.weave(request, quiet, weaving) is request.body
    assert RESPONSES.weave(request, (), weaving) is request.body


@given(growing())
def test_all_that_is_to_be_said_is_said(conversation):
    out = json.loads(conversation.weave(longest(conversation)))
    above = out.get("instructions") or []
    items = [item for item in out["input"] if "role" in item] + (above if isinstance(above, list) else [])
    texts = [text for item in items for text in texts_of(item["content"])]
    texts += [above] if isinstance(above, str) else []
    for decision in conversation.decided(longest(conversation)):
        for piece in instructions(decision) if speaks(decision) else ():
            assert any(piece.text in text for text in texts)


@given(growing(), st.data())
def test_a_client_that_chains_sends_what_one_that_resends_adds(conversation, data):
    sizes = list(conversation.sizes())
    size = sizes[-1]
    begin = data.draw(st.sampled_from([0, *sizes]))
    conversation = replace(
        conversation, weaving=replace(conversation.weaving, capability=in_blocks(conversation.weaving.capability))
    )
    request = conversation.parse(size, begin, chained="resp_1")
    decisions = conversation.decided(size)
    kept = len(conversation.users(begin))
    chained = sent_items(RESPONSES.weave(request, decisions, conversation.weaving))
    whole = sent_items(conversation.weave(size, place="after"))
    assert chained[-(size - begin) :] == whole[len(whole) - (size - begin) :] or not kept
    head = decisions[0].text if speaks(decisions[0]) else ""
    if head and not is_prompted(request.top.prompt) and set(OURS) & conversation.weaving.capability.roles:
        assert head in RESPONSES.parse(RESPONSES.weave(request, decisions, conversation.weaving)).conversation.system


def in_blocks(capability):
    return replace(capability, mid_conversation="user_block")


@given(growing(), st.sampled_from(["n", "provider/ü"]))
def test_model_and_parameters_change_nothing_else(conversation, model):
    size = longest(conversation)
    plain = json.loads(conversation.weave(size))
    out = json.loads(conversation.weave(size, model=model, parameters={"temperature": 0.3, "top_p": 0.5, "seed": 7}))
    assert out == plain | {"model": model, "top_p": 0.5} | ({"temperature": 0.3} if "temperature" not in plain else {})
