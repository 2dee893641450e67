"""Where cache marks stand in a chat body, byte for byte: on parts of ours, beside the client's text unchanged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.core.decision import Decision, Piece, Settled
from router.core.policy import Level
from router.core.ports import Capability, Weaving
from router.wire.chat import ChatCompletions

CHAT = ChatCompletions()
FIRST = Decision(
    "r1",
    "classified",
    (Settled("/refund", 0.9, 0.5),),
    mix=(Piece("g", "/", Level.BRIEF, 'Be "kind".', 3), Piece("r", "/refund", Level.BRIEF, "Grüße.", 4)),
)
HEAD = r"Be \"kind\".\n\nGrüße."
U = '{"role":"user","content":"Hi"}'
S = '{ "content" :"App\\u0021", "role":"system","name":"x"}'
MARK = ',"prompt_cache_breakpoint":{"mode":"explicit"}'
GENERAL_PART = '{"type":"text","text":"%sBe \\"kind\\"."' + MARK + "}"
TASK_PART = '{"type":"text","text":"\\n\\nGrüße.%s"' + MARK + "}"
MARKED = Capability("system", cache_marks="auto", cache_min_tokens=1)
LISTED = '{"role":"system","content":[ {"type":"text","text":"A"} ]}'

MARKS = {
    "a message of ours": (
        f"[{U}]",
        {},
        f'[{{"role":"system","content":[{GENERAL_PART % ""},{TASK_PART % ""}]}},{U}]',
    ),
    "behind a string": (
        f"[{S},{U}]",
        {},
        f"[{S},{U}]".replace(
            '"App\\u0021"',
            '[{"type":"text","text":"App\\u0021"},' + GENERAL_PART % "\\n\\n" + "," + TASK_PART % "" + "]",
        ),
    ),
    "before a string": (
        f"[{S},{U}]",
        {"place": "before"},
        f"[{S},{U}]".replace(
            '"App\\u0021"',
            f"[{GENERAL_PART % ''}," + TASK_PART % "\\n\\n" + ',{"type":"text","text":"App\\u0021"}]',
        ),
    ),
    "instead of a string": (
        f"[{S},{U}]",
        {"place": "replace"},
        f"[{S},{U}]".replace('"App\\u0021"', f"[{GENERAL_PART % ''},{TASK_PART % ''}]"),
    ),
    "behind a list": (
        f"[{LISTED},{U}]",
        {},
        f"[{LISTED},{U}]".replace(" ]", " ," + GENERAL_PART % "\\n\\n" + "," + TASK_PART % "" + "]"),
    ),
    "before a list": (
        f"[{LISTED},{U}]",
        {"place": "before"},
        f"[{LISTED},{U}]".replace("[ ", "[" + GENERAL_PART % "" + "," + TASK_PART % "\\n\\n" + ", "),
    ),
    "in place of nothing": (
        f'[{{"role":"system","content":[ ]}},{U}]',
        {},
        f'[{{"role":"system","content":[{GENERAL_PART % ""},{TASK_PART % ""}]}},{U}]',
    ),
    "in place of null": (
        f'[{{"role":"system","content": null}},{U}]',
        {},
        f'[{{"role":"system","content": [{GENERAL_PART % ""},{TASK_PART % ""}]}},{U}]',
    ),
    "where the client marks none of its own": (
        f'[{{"role":"user","content":[{{"type":"text","text":"Hi"{MARK}}}]}}]',
        {},
        f'[{{"role":"system","content":"{HEAD}"}},{{"role":"user","content":[{{"type":"text","text":"Hi"{MARK}}}]}}]',
    ),
    "never in a block": (
        f"[{U}]",
        {"capability": replace(MARKED, roles=frozenset({"user"}), cache_marks="always")},
        f"[{U}]".replace('"Hi', '"<instructions>\\n' + HEAD + "\\n</instructions>\\n\\nHi"),
    ),
    "only where the prompt is long enough": (
        f"[{U}]",
        {"capability": replace(MARKED, cache_min_tokens=1024)},
        f'[{{"role":"system","content":"{HEAD}"}},{U}]',
    ),
}


@pytest.mark.parametrize(("messages", "weaving", "expected"), MARKS.values(), ids=MARKS)
def test_cache_marks(messages, weaving, expected):
    before, after = '{ "x":1.0, "messages" : ', ' ,"model":"m"}'
    request = CHAT.parse((before + messages + after).encode())
    out = CHAT.weave(request, [FIRST], Weaving(**({"capability": MARKED} | weaving)))
    assert out.decode() == before + expected + after


def test_tools_and_the_apps_text_count_for_the_length_of_the_prompt():
    capability = replace(MARKED, cache_min_tokens=50)
    before, after = '{"model":"m","tools":["' + "x" * 100 + '"],"messages":[', U + "]}"
    lead = '{"role":"system","content":"' + "y" * 100 + '"},'
    marked = {
        place: MARK in CHAT.weave(CHAT.parse((before + lead + after).encode()), [FIRST], weaving).decode()
        for place in ("after", "before")
        for weaving in [Weaving(place, capability=capability)]
    }
    assert marked == {"after": True, "before": False}
