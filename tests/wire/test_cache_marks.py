"""Which of our texts are marked for the cache: what is asked, what is reached, what there is room for, how long."""

from __future__ import annotations

import json

import pytest

from router.core.ports import Capability
from router.wire.cache_marks import (
    ANTHROPIC_HOUR_MARK,
    ANTHROPIC_MARK,
    NO_BREAKPOINTS,
    OPENAI_MARK,
    ClientBreakpoints,
    anthropic_marks,
    drop_anthropic_marks,
    find_anthropic_marks,
    openai_marks,
)

AUTO = Capability(cache_marks="auto", cache_min_tokens=10)
ALWAYS = Capability(cache_marks="always", cache_min_tokens=10)
LONG = 40
"""Bytes that reach the minimum of both."""

FIVE, HOUR = False, True


def chosen(marks, mark):
    assert {*marks} <= {b"", mark}
    return "".join(name for name, set_ in zip("gs", marks, strict=True) if set_)


ANTHROPIC = {
    "nothing of theirs": (ClientBreakpoints(), AUTO, "gs", FIVE),
    "any mark of theirs": (ClientBreakpoints((), (), (FIVE,)), AUTO, "", FIVE),
    "beside theirs": (ClientBreakpoints((), (), (FIVE,)), ALWAYS, "gs", FIVE),
    "beside two in the messages": (ClientBreakpoints((), (), (FIVE, FIVE)), ALWAYS, "gs", FIVE),
    "beside three in the messages": (ClientBreakpoints((), (), (FIVE,) * 3), ALWAYS, "s", FIVE),
    "beside four in the messages": (ClientBreakpoints((), (), (FIVE,) * 4), ALWAYS, "", FIVE),
    "one in front": (ClientBreakpoints((), (FIVE,), ()), ALWAYS, "s", FIVE),
    "one in front, two behind": (ClientBreakpoints((FIVE,), (), (FIVE, FIVE)), ALWAYS, "s", FIVE),
    "two in front": (ClientBreakpoints((FIVE,), (FIVE,), ()), ALWAYS, "", FIVE),
    "an hour in front": (ClientBreakpoints((HOUR,), (), ()), ALWAYS, "s", HOUR),
    "an hour in front, five minutes behind": (ClientBreakpoints((HOUR,), (), (FIVE, FIVE)), ALWAYS, "s", HOUR),
    "an hour behind": (ClientBreakpoints((), (), (HOUR, FIVE)), ALWAYS, "gs", HOUR),
    "five minutes in front, an hour behind": (ClientBreakpoints((FIVE,), (), (HOUR,)), ALWAYS, "", FIVE),
}


@pytest.mark.parametrize(("theirs", "capability", "expected", "life"), ANTHROPIC.values(), ids=ANTHROPIC)
def test_anthropic(theirs, capability, expected, life):
    marks = anthropic_marks(theirs, False, capability, LONG, "General.", "Special.")
    assert chosen(marks, ANTHROPIC_HOUR_MARK if life else ANTHROPIC_MARK) == expected
    assert anthropic_marks(theirs, False, Capability(), LONG, "General.", "Special.") == NO_BREAKPOINTS


@pytest.mark.parametrize(
    ("system", "expected", "life"),
    [((FIVE,), "s", FIVE), ((HOUR,), "s", HOUR), ((HOUR, FIVE), "", FIVE)],
)
def test_where_ours_comes_first_the_clients_system_text_is_behind_it(system, expected, life):
    marks = anthropic_marks(ClientBreakpoints((), system, ()), True, ALWAYS, LONG, "General.", "Special.")
    assert chosen(marks, ANTHROPIC_HOUR_MARK if life else ANTHROPIC_MARK) == expected
    assert anthropic_marks(ClientBreakpoints((FIVE,), (HOUR,), ()), True, ALWAYS, LONG, "G", "S") == NO_BREAKPOINTS


@pytest.mark.parametrize(
    ("ahead", "general", "special", "expected"),
    [
        (0, "", "", ""),
        (LONG, "", "", ""),
        (LONG, "g", "", "g"),
        (LONG, "", "s", "s"),
        (0, "g" * 39, "", ""),
        (0, "g" * 40, "", "g"),
        (0, "ü" * 20, "", "g"),
        (0, "g" * 39, "s", "s"),
        (20, "g" * 10, "s" * 9, ""),
        (20, "g" * 10, "s" * 10, "s"),
    ],
)
def test_a_short_prefix_is_not_marked(ahead, general, special, expected):
    assert (
        chosen(anthropic_marks(ClientBreakpoints(), False, AUTO, ahead, general, special), ANTHROPIC_MARK) == expected
    )
    assert chosen(openai_marks(b"{}", AUTO, ahead, general, special), OPENAI_MARK) == expected


def openai_body(marks, text="x", **more):
    part = {"type": "text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}
    return json.dumps({"messages": [{"role": "user", "content": [part] * marks}]} | more, indent=1).encode()


OPENAI = {
    "nothing of theirs": (openai_body(0), AUTO, "gs"),
    "one of theirs": (openai_body(1), AUTO, ""),
    "beside one": (openai_body(1), ALWAYS, "gs"),
    "beside two": (openai_body(2), ALWAYS, "s"),
    "beside three": (openai_body(3), ALWAYS, ""),
    "words that look like marks": (openai_body(0, user='"prompt_cache_breakpoint":{"mode":"explicit"}'), AUTO, "gs"),
    "a key": (openai_body(0, prompt_cache_key="k"), AUTO, "gs"),
    "only marked ones are cached": (openai_body(0, prompt_cache_options={"mode": "explicit"}), AUTO, ""),
    "a time to live": (openai_body(0, prompt_cache_options={"ttl": "30m"}), AUTO, "gs"),
}


@pytest.mark.parametrize(("body", "capability", "expected"), OPENAI.values(), ids=OPENAI)
def test_openai(body, capability, expected):
    assert chosen(openai_marks(body, capability, LONG, "General.", "Special."), OPENAI_MARK) == expected
    assert openai_marks(body, Capability(), LONG, "General.", "Special.") == NO_BREAKPOINTS


@pytest.mark.parametrize("mark", [ANTHROPIC_MARK, ANTHROPIC_HOUR_MARK, OPENAI_MARK])
def test_a_mark_goes_behind_the_last_member_of_a_block(mark):
    block = json.loads(b'{"type":"text","text":"x"' + mark + b"}")
    assert len(block) == 3


FOUND = {
    "none": ('[{"type":"text","text":"x"}]', ()),
    "one": ('[{"cache_control" : { "type" : "ephemeral" }}]', (FIVE,)),
    "in order": ('[{"cache_control":{"ttl":"1h","type":"ephemeral"}},{"cache_control":{"type":"ephemeral","ttl":"5m"}}]', (HOUR, FIVE)),
    "in a tool's result": ('[{"type":"tool_result","content":[{"cache_control":{"type":"ephemeral"}}]}]', (FIVE,)),
    "null": ('[{"cache_control":null}]', ()),
    "in words": (json.dumps('"cache_control":{"type":"ephemeral"}'), ()),
    "as the end of a key": ('{"x\\"cache_control":{"type":"ephemeral"}}', ()),
    "in a tool's schema": ('[{"input_schema":{"properties":{"cache_control":{"type":"string"}}}}]', ()),
    "nothing": ("", ()),
}  # fmt: skip


@pytest.mark.parametrize(("section", "marks"), FOUND.values(), ids=FOUND)
def test_marks_are_found_wherever_they_are(section, marks):
    assert find_anthropic_marks(section.encode()) == marks


MARKED = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
IMAGE = {"type": "image", "source": {}}


@pytest.mark.parametrize(
    ("part", "bare"),
    [
        ({"role": "user", "content": [MARKED]}, {"role": "user", "content": "Hi"}),
        ({"role": "user", "content": [IMAGE, MARKED]}, {"role": "user", "content": [IMAGE, {"type": "text", "text": "Hi"}]}),
        ({"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}),
        ({"role": "user", "content": [{"type": "tool_result", "content": [MARKED]}]}, {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "Hi"}]}]}),
        ({"role": "user", "content": ["x"]}, {"role": "user", "content": ["x"]}),
        (MARKED, {"type": "text", "text": "Hi"}),
        ("Hi", "Hi"),
    ],
)  # fmt: skip
def test_a_part_of_the_prompt_without_its_marks(part, bare):
    assert json.loads(drop_anthropic_marks(json.dumps(part, indent=1).encode())) == bare


def test_a_part_with_a_number_that_nobody_can_hold_stays_as_it_is():
    part = b'{"role":"assistant","content":[{"type":"tool_use","input":{"x":1e999}}]}'
    assert drop_anthropic_marks(part) == part
