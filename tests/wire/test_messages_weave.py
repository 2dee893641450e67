"""Where text lands in a body of Anthropic's format, byte for byte."""

from __future__ import annotations

import json

import pytest

from router.core.decision import Decision, Piece, Settled, nothing
from router.core.policy import Level
from router.core.ports import Capability, Weaving
from router.core.voice import SWITCH_LINE
from router.wire.messages import CountTokens, Messages

WIRE = Messages()
COUNT = CountTokens()
GENERAL = Piece("g", "/", Level.BRIEF, 'Be "kind".', 3)
REFUND = Piece("r", "/refund", Level.BRIEF, "Grüße.", 4)
PARCEL = Piece("p", "/parcel", Level.BRIEF, "Ask.", 5)
CLOCK = Piece("clock", "/", Level.BRIEF, "10:01.", 5, volatile=True)


def settled(path, *mix, outcome="classified"):
    return Decision("r1", outcome, (Settled(path, 0.9, 0.5),), mix=mix)


FIRST = settled("/refund", GENERAL, REFUND)
SECOND = settled("/parcel", GENERAL, PARCEL)
THIRD = settled("/x", Piece("x", "/x", Level.BRIEF, "X.", 1))
HEAD = r"Be \"kind\".\n\nGrüße."
TAIL = r"For this part of the conversation:\nAsk."
BLOCK = r'{"type":"text","text":"<instructions>\n%s\n</instructions>\n\n"}'
TAIL_BLOCK = BLOCK % r"For this part of the conversation:\nAsk."

SYSTEM_MID = Capability("system")
DEVELOPER_MID = Capability("developer")
NO_SYSTEM = Capability("user_block", frozenset({"user", "assistant"}))
MARKING = Capability(cache_marks="auto", cache_min_tokens=0)
ALWAYS = Capability(cache_marks="always", cache_min_tokens=0)
MARK = ',"cache_control":{"type":"ephemeral"}'
HOUR = ',"cache_control":{"type":"ephemeral","ttl":"1h"}'

U = '{"role":"user","content":"Hi"}'


def block(text, mark=""):
    return f'{{"type":"text","text":"{text}"{mark}}}'


def listed(*blocks):
    return "[" + ",".join(blocks) + "]"


OURS = block(r"\n\n" + HEAD)
FIRST_OURS = block(HEAD + r"\n\n")


def woven_system(system, **weaving):
    """The `system` that leaves, as written, for one as written."""
    before, after = '{ "x":1.0, "system" : ', f' ,"model":"m", "messages":[{U}]}}\n'
    request = WIRE.parse((before + system + after).encode())
    out = WIRE.weave(request, [FIRST], Weaving(**weaving)).decode()
    assert out.startswith(before)
    assert out.endswith(after)
    return out[len(before) : len(out) - len(after)]


GENERAL_AND_TASK = block(r"Be \"kind\".", MARK) + "," + block(r"\n\nGrüße.", MARK)
LIST = '[ {"text":"A","type":"text", "cache_control":{"type":"ephemeral"}} ]'

HEADS = {
    "behind a string": (r'"App\u0021"', {}, listed(block(r"App\u0021"), OURS)),
    "before a string": ('"App"', {"place": "before"}, listed(FIRST_OURS, block("App"))),
    "instead of a string": ('"App"', {"place": "replace"}, f'"{HEAD}"'),
    "an empty string": ('""', {}, f'"{HEAD}"'),
    "a blank string": ('" "', {"place": "before"}, f'"{HEAD}"'),
    "null": ("null", {}, f'"{HEAD}"'),
    "behind blocks": (LIST, {}, LIST[:-1] + "," + OURS + "]"),
    "before blocks": (LIST, {"place": "before"}, "[" + FIRST_OURS + "," + LIST[1:]),
    "instead of blocks": (LIST, {"place": "replace"}, f'"{HEAD}"'),
    "no blocks": ("[ ]", {}, f'"{HEAD}"'),
    "marks where there is none": ("null", {"capability": MARKING}, f"[{GENERAL_AND_TASK}]"),
    "marks behind a string": ('"A"', {"capability": MARKING}, "[" + block("A") + "," + GENERAL_AND_TASK.replace("Be", r"\n\nBe") + "]"),
    "marks before a string": (
        '"A"',
        {"capability": MARKING, "place": "before"},
        "[" + GENERAL_AND_TASK.replace("Grüße.", r"Grüße.\n\n") + "," + block("A") + "]",
    ),
    "no marks where the client sets its own": (LIST, {"capability": MARKING}, LIST[:-1] + "," + OURS + "]"),
    "a mark beside the client's": (LIST, {"capability": ALWAYS}, LIST[:-1] + "," + block(r"\n\n" + HEAD, MARK) + "]"),
    "marks instead of the client's": (LIST, {"capability": ALWAYS, "place": "replace"}, f"[{GENERAL_AND_TASK}]"),
    "a mark that lives as long as the client's": (
        LIST.replace('"}}', '","ttl":"1h"}}'),
        {"capability": ALWAYS},
        LIST.replace('"}}', '","ttl":"1h"}}')[:-1] + "," + block(r"\n\n" + HEAD, HOUR) + "]",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("system", "weaving", "expected"), HEADS.values(), ids=HEADS)
def test_head(system, weaving, expected):
    assert woven_system(system, **weaving) == expected


def woven(body, decisions, wire=WIRE, **weaving):
    return wire.weave(wire.parse(body.encode()), decisions, Weaving(**weaving)).decode()


def test_without_system_text_there_is_a_new_field_in_front():
    body = ' {"model":"m","messages":[' + U + "]} "
    assert woven(body, [FIRST]) == body.replace("{", '{"system":"' + HEAD + '",', 1)
    assert woven(body, [FIRST], capability=MARKING) == body.replace("{", f'{{"system":[{GENERAL_AND_TASK}],', 1)


@pytest.mark.parametrize(
    ("mix", "blocks"),
    [((GENERAL,), [r"Be \"kind\"."]), ((REFUND,), ["Grüße."]), ((GENERAL, REFUND), [r"Be \"kind\".", r"\n\nGrüße."])],
)
def test_each_text_that_there_is_ends_with_a_mark(mix, blocks):
    body = f'{{"model":"m","messages":[{U}]}}'
    out = woven(body, [settled("/refund", *mix)], capability=MARKING)
    assert out.startswith('{"system":[' + ",".join(block(text, MARK) for text in blocks) + "],")


def test_a_prefix_below_the_minimum_is_not_marked_and_tools_count():
    body = f'{{"model":"m","messages":[{U}],"tools":[%s]}}'
    least = Capability(cache_marks="auto", cache_min_tokens=50)
    assert "cache_control" not in woven(body % "{}", [FIRST], capability=least)
    assert woven(body % ('{"name":"' + "x" * 200 + '"}'), [FIRST], capability=least).count("cache_control") == 2


def test_the_automatic_mark_counts_as_the_clients():
    body = f'{{"model":"m","messages":[{U}],"cache_control":{{"type":"ephemeral","ttl":"1h"}}}}'
    assert woven(body, [FIRST], capability=MARKING).count("cache_control") == 1
    assert woven(body, [FIRST], capability=ALWAYS).count(HOUR) == 3


def woven_messages(messages, decisions, **weaving):
    """The messages that leave, as written, for messages as written."""
    before, after = '{ "x":1.0, "system":"", "messages" : ', ' ,"model":"m"}\n'
    out = woven(before + messages + after, decisions, **weaving)
    assert out.endswith(after)
    return out[out.index('"messages" : ') + 13 : len(out) - len(after)]


A = '{"role":"assistant","content":"?"}'
RESULT = '{"type":"tool_result","tool_use_id":"t","content":[ {"type":"text","text":"42"} ]}'
IMAGE = '{"type":"image","source":{}}'
TEXT = '{"type":"text","text":"And?"}'


def said(content):
    return '{ "role":"user","content": ' + content + "}"


TAILS = {
    "a block beside a string": ('"H\\u0069"', f'[{TAIL_BLOCK},{{"type":"text","text":"H\\u0069"}}]'),
    "a block before a text": (f"[ {TEXT} ]", f"[ {TAIL_BLOCK},{TEXT} ]"),
    "a block between an image and a text": (f"[{IMAGE}, {TEXT}]", f"[{IMAGE}, {TAIL_BLOCK},{TEXT}]"),
    "a block before an image alone": (f"[ {IMAGE}]", f"[ {TAIL_BLOCK},{IMAGE}]"),
    "a block behind tool results": (f"[{RESULT}, {RESULT},{TEXT}]", f"[{RESULT}, {RESULT},{TAIL_BLOCK},{TEXT}]"),
    "a block between tool results and an image": (f"[{RESULT},{IMAGE}]", f"[{RESULT},{TAIL_BLOCK},{IMAGE}]"),
}


@pytest.mark.parametrize(("content", "expected"), TAILS.values(), ids=TAILS)
def test_a_block_at_the_top_of_a_user_turn(content, expected):
    out = woven_messages(f"[{U},{A}, {said(content)} ]", [FIRST, SECOND])
    assert out == f"[{U},{A}, {said(expected)} ]"


@pytest.mark.parametrize("capability", [SYSTEM_MID, DEVELOPER_MID])
@pytest.mark.parametrize(("content", "_"), TAILS.values(), ids=TAILS)
def test_a_system_message_behind_a_user_turn(content, _, capability):
    for behind in ("", f",{A}", f', {{"role":"system","content":"x"}},{A},{U}'):
        decisions = [FIRST, SECOND, SECOND][: 2 + behind.count('"user"')]
        out = woven_messages(f"[{U},{A}, {said(content)} {behind}]", decisions, capability=capability)
        assert out == f'[{U},{A}, {said(content)},{{"role":"system","content":"{TAIL}"}} {behind}]'


@pytest.mark.parametrize("empty", ["null", '""', "[]", None], ids=str)
def test_a_block_at_an_earlier_user_message_without_content(empty):
    void = '{"role":"user"}' if empty is None else said(empty)
    out = json.loads(woven_messages(f"[{U},{void},{U}]", [FIRST, SECOND, SECOND]))
    text = f"<instructions>\n{SWITCH_LINE}\nAsk.\n</instructions>\n\n"
    assert out[1] == {"role": "user", "content": [{"type": "text", "text": text}]}


def test_nothing_comes_between_tool_calls_and_their_results():
    calls = '{"role":"assistant","content":[{"type":"tool_use","id":"t"},{"type":"tool_use","id":"t"}]}'
    results, mixed = said(f"[{RESULT},{RESULT}]"), said(f"[{RESULT},{RESULT},{TEXT}]")
    told = f"[{U},{calls},{results},{A},{U},{calls},{results},{calls},{mixed}]"
    out = woven_messages(told, [FIRST, SECOND, THIRD], capability=SYSTEM_MID)
    assert out.count(f"{calls},{results}") == 2
    assert f"{calls},{mixed}" in out
    roles = [message["role"][0] for message in json.loads(out)]
    assert "".join(roles) == "u" + "au" + "a" + "us" + "au" + "au" + "s"


def test_between_two_user_messages_the_api_takes_no_system_message_so_it_moves_behind_both():
    turns = f"[{U},{A},{U},{U},{A},{U}]"
    out = json.loads(woven_messages(turns, [FIRST, SECOND, SECOND, SECOND], capability=SYSTEM_MID))
    assert [m["role"][0] for m in out] == ["u", "a", "u", "u", "s", "a", "u"]
    assert out[4]["content"] == f"{SWITCH_LINE}\nAsk."
    out = json.loads(woven_messages(f"[{U},{A},{U},{U}]", [FIRST, SECOND, THIRD], capability=SYSTEM_MID))
    assert out[4]["content"] == f"{SWITCH_LINE}\nAsk.\n\n{SWITCH_LINE}\nX."


def test_volatile_text_stands_at_the_newest_user_turn_even_at_the_first():
    clock = settled("/refund", CLOCK, GENERAL, REFUND)
    message = '{"role":"system","content":"10:01."}'
    assert woven_messages(f"[{U}]", [clock], capability=SYSTEM_MID) == f"[{U},{message}]"
    assert woven_messages(f"[{U},{A},{U}]", [clock, clock], capability=SYSTEM_MID) == f"[{U},{A},{U},{message}]"
    assert woven_messages(f"[{U}]", [clock]) == f"[{said_with(BLOCK % '10:01.')}]"


def said_with(*blocks):
    return U.replace('"Hi"', "[" + ",".join([*blocks, '{"type":"text","text":"Hi"}']) + "]")


def test_without_a_role_for_it_head_and_volatile_text_are_blocks_of_the_first_user_turn():
    out = json.loads(woven_messages(f"[{U}]", [settled("/refund", CLOCK, REFUND)], capability=NO_SYSTEM))
    assert [b["text"] for b in out[0]["content"]] == [
        "<instructions>\nGrüße.\n</instructions>\n\n<instructions>\n10:01.\n</instructions>\n\n",
        "Hi",
    ]


def test_on_switch_head_puts_the_newest_mix_into_the_head():
    body = f'{{"system":"A","model":"m","messages":[{U},{A},{U}]}}'
    out = json.loads(woven(body, [FIRST, settled("/parcel", PARCEL, CLOCK)], on_switch="head"))
    assert "".join(b["text"] for b in out["system"]) == "A\n\nAsk.\n\n10:01."
    assert len(out["messages"]) == 3


def test_a_text_that_only_looks_like_the_system_text_is_not_touched():
    decoy = f'{{"metadata":{{"system":"App"}},"\\u0073ystem":"App","model":"m","messages":[{U}],"systems":"App"}}'
    out = woven(decoy, [FIRST])
    assert out == decoy.replace('ystem":"App","model"', f'ystem":{listed(block("App"), OURS)},"model"')


BODY = '{"messages":[{"role":"user","content":"Hi"}], "model" : "m","temperature":null, "max_tokens": 5 } '


@pytest.mark.parametrize(
    ("decisions", "weaving"),
    [
        ((), Weaving()),
        ((), Weaving(model="m", ask_usage=True)),
        ((), Weaving(place="replace", on_switch="head", capability=ALWAYS)),
        ((settled("/"),), Weaving(place="replace")),
        ((nothing("r1", "skipped"),), Weaving()),
        ((settled("/refund", REFUND, outcome="bypassed"),), Weaving(on_switch="head")),
        ((), Weaving(parameters={"temperature": 0.5, "max_completion_tokens": 9, "stream": True, "system": "x"})),
        ((), Weaving(parameters={"seed": 1, "frequency_penalty": 0.5, "n": 2, "user": "u", "response_format": {}})),
    ],
)
@pytest.mark.parametrize("wire", [WIRE, COUNT])
def test_with_nothing_to_change_the_body_is_the_very_same(decisions, weaving, wire):
    request = wire.parse(BODY.encode())
    assert wire.weave(request, decisions, weaving) is request.body
    assert wire.edits(request, decisions, weaving) == []


@pytest.mark.parametrize(
    ("parameters", "added"),
    [
        ({"top_p": 0.5, "seed": 7}, ',"top_p":0.5'),
        ({"top_k": 3, "temperature": 0.2}, ',"top_k":3'),
        ({"stop": "ü"}, ',"stop_sequences":["ü"]'),
        ({"stop": ["a", "b"]}, ',"stop_sequences":["a","b"]'),
        ({"tool_choice": "required"}, ',"tool_choice":{"type":"any"}'),
        ({"tool_choice": {"type": "tool", "name": "f"}}, ',"tool_choice":{"type":"tool","name":"f"}'),
        ({"tool_choice": "x", "thinking": {"type": "disabled"}}, ',"thinking":{"type":"disabled"}'),
    ],
)
def test_parameters_are_added_where_the_client_set_none_under_the_names_of_this_format(parameters, added):
    assert woven(BODY, (), parameters=parameters) == BODY.replace(" } ", " " + added + "} ")
    assert woven(BODY, (), wire=COUNT, parameters=parameters) == BODY


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_the_limit_has_one_name(name):
    body = BODY.replace(', "max_tokens": 5 }', "}")
    assert woven(body, (), parameters={name: 9}) == body.replace("null}", 'null,"max_tokens":9}')


def test_all_at_once():
    body = BODY.replace('"}]', '"},{"role":"assistant","content":"?"},{"role":"user","content":"Yo"}]')
    weaving = {"model": "n", "parameters": {"top_p": 1}, "capability": SYSTEM_MID}
    expected = {
        "system": 'Be "kind".\n\nGrüße.',
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "?"},
            {"role": "user", "content": "Yo"},
            {"role": "system", "content": f"{SWITCH_LINE}\nAsk."},
        ],
        "model": "n",
        "temperature": None,
        "max_tokens": 5,
    }
    assert json.loads(woven(body, [FIRST, SECOND], **weaving)) == expected | {"top_p": 1}
    assert json.loads(woven(body, [FIRST, SECOND], wire=COUNT, **weaving)) == expected


def test_edits_say_what_changes_where():
    request = WIRE.parse(BODY.encode())
    edits = WIRE.edits(request, [FIRST], Weaving(model="n"))
    assert [(request.body[e.start : e.end], e.new[:9]) for e in edits] == [(b"", b'"system":'), (b'"m"', b'"n"')]


def test_decisions_that_do_not_match_the_user_turns_are_refused():
    with pytest.raises(ValueError, match="2 decisions for 1 user turns"):
        WIRE.weave(WIRE.parse(BODY.encode()), [FIRST, SECOND], Weaving())
