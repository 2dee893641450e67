"""Where text lands in a body of `/responses`, byte for byte."""

from __future__ import annotations

import json

import pytest

from router.core.decision import Decision, Piece, Settled, nothing
from router.core.policy import Level
from router.core.ports import Capability, Weaving
from router.wire.responses import Responses

RESPONSES = Responses()
GENERAL = Piece("g", "/", Level.BRIEF, 'Be "kind".', 3)
REFUND = Piece("r", "/refund", Level.BRIEF, "Grüße.", 4)
PARCEL = Piece("p", "/parcel", Level.BRIEF, "Ask.", 5)
CLOCK = Piece("clock", "/", Level.BRIEF, "10:01.", 5, volatile=True)


def settled(path, *mix, outcome="classified"):
    return Decision("r1", outcome, (Settled(path, 0.9, 0.5),), mix=mix)


FIRST = settled("/refund", GENERAL, REFUND)
SECOND = settled("/parcel", GENERAL, PARCEL)
HEAD = r"Be \"kind\".\n\nGrüße."
TAIL = r"For this part of the conversation:\nAsk."
BLOCK = r"<instructions>\n%s\n</instructions>\n\n"

DEVELOPER_MID = Capability("developer", frozenset({"developer", "user", "assistant"}))
BOTH = Capability("system", frozenset({"system", "developer", "user"}))
NO_SYSTEM = Capability("user_block", frozenset({"user", "assistant"}))
U = '{"role":"user","content":"Hi"}'
P = '{"type":"message", "role":"user","content":[ {"type":"input_image","file_id":"f"} ]}'
S = '{ "content" :"App\\u0021", "role":"system"}'
CALLS = (
    '{"type":"reasoning","id":"r","summary":[]},{"type":"function_call","call_id":"a"},'
    '{"type":"function_call","call_id":"b"},{"type":"function_call_output","call_id":"a","output":"1"},'
    '{"type":"function_call_output","call_id":"b","output":"2"}'
)


def item(role, text):
    return f'{{"type":"message","role":"{role}","content":"{text}"}}'


def woven(body, decisions, **weaving):
    request = RESPONSES.parse(body.encode())
    out = RESPONSES.weave(request, decisions, Weaving(**weaving)).decode()
    json.loads(out)
    return out


HEADS = {
    "a string": ('{"model":"m","input":"Hi" } ', {}, f'{{"model":"m","input":"Hi" ,"instructions":"{HEAD}"}} '),
    "after the app's": (
        '{ "instructions" : "App\\u0021","model":"m","input":"Hi"}',
        {},
        f'{{ "instructions" : "App\\u0021\\n\\n{HEAD}","model":"m","input":"Hi"}}',
    ),
    "before the app's": (
        '{"instructions":"App","model":"m","input":"Hi"}',
        {"place": "before"},
        f'{{"instructions":"{HEAD}\\n\\nApp","model":"m","input":"Hi"}}',
    ),
    "instead of the app's": (
        '{"instructions":"App","model":"m","input":"Hi"}',
        {"place": "replace"},
        f'{{"instructions":"{HEAD}","model":"m","input":"Hi"}}',
    ),
    "instead of the app's leading items too": (
        f'{{"instructions":"App","model":"m","input":[ {S}, {S} ,{U}]}}',
        {"place": "replace"},
        f'{{"instructions":"{HEAD}","model":"m","input":[ {U}]}}',
    ),
    "null instructions": (
        '{"instructions": null,"model":"m","input":"Hi"}',
        {},
        f'{{"instructions": "{HEAD}","model":"m","input":"Hi"}}',
    ),
    "empty instructions": (
        '{"instructions":"","model":"m","input":"Hi"}',
        {"place": "before"},
        f'{{"instructions":"{HEAD}","model":"m","input":"Hi"}}',
    ),
    "a list": (
        f'{{"instructions":[ {S} ],"model":"m","input":"Hi"}}',
        {},
        f'{{"instructions":[ {S} ,{item("developer", HEAD)}],"model":"m","input":"Hi"}}',
    ),
    "before a list": (
        f'{{"instructions":[ {S} ],"model":"m","input":"Hi"}}',
        {"place": "before"},
        f'{{"instructions":[{item("developer", HEAD)}, {S} ],"model":"m","input":"Hi"}}',
    ),
    "an empty list": (
        '{"instructions":[ ],"model":"m","input":"Hi"}',
        {},
        f'{{"instructions":"{HEAD}","model":"m","input":"Hi"}}',
    ),
    "system text in items only, and one system message at most": (
        f'{{"model":"m","input":[{S}, {S},{U}]}}',
        {},
        f'{{"model":"m","input":[{S}, {S},{U}]}}'.replace(
            f", {S}", f", {S}".replace("\\u0021", f"\\u0021\\n\\n{HEAD}")
        ),
    ),
    "system text in items only, instead of it": (
        f'{{"model":"m","input":[{S}, {S},{U}]}}',
        {"place": "replace"},
        f'{{"model":"m","input":[{S},{U}]}}'.replace("App\\u0021", HEAD),
    ),
    "system text in items only, and as many as one likes": (
        f'{{"model":"m","input":[{S},{U}]}}',
        {"capability": BOTH},
        f'{{"model":"m","input":[{S},{U}],"instructions":"{HEAD}"}}',
    ),
    "a model that knows no system text": (
        '{"instructions":"App","model":"m","input": "Hi"}',
        {"capability": NO_SYSTEM},
        f'{{"instructions":"App","model":"m","input": "{BLOCK % HEAD}Hi"}}',
    ),
    "a stored prompt keeps its instructions": (
        '{"prompt":{"id":"p"},"model":"m","input":"Hi"}',
        {},
        f'{{"prompt":{{"id":"p"}},"model":"m","input":"{BLOCK % HEAD}Hi"}}',
    ),
    "a stored prompt, and a model that takes items in between": (
        '{"prompt":{"id":"p"},"model":"m","input": "Hi"}',
        {"capability": DEVELOPER_MID},
        f'{{"prompt":{{"id":"p"}},"model":"m","input": [{item("developer", HEAD)},'
        '{"type":"message","role":"user","content":"Hi"}]}',
    ),
    "a stored prompt that says all": (
        '{"prompt":{"id":"p"},"model":"m"}',
        {},
        f'{{"prompt":{{"id":"p"}},"model":"m","input":[{item("system", HEAD)}]}}',
    ),
    "a stored prompt and null input": (
        '{"prompt":{"id":"p"},"input": null,"model":"m"}',
        {},
        f'{{"prompt":{{"id":"p"}},"input": [{item("system", HEAD)}],"model":"m"}}',
    ),
    "a stored prompt and no items": (
        '{"prompt":{"id":"p"},"input":[ ],"model":"m"}',
        {},
        f'{{"prompt":{{"id":"p"}},"input":[ {item("system", HEAD)}],"model":"m"}}',
    ),
    "a stored prompt and references": (
        '{"prompt":{"id":"p"},"input":[{"id":"x"}],"model":"m"}',
        {},
        f'{{"prompt":{{"id":"p"}},"input":[{{"id":"x"}},{item("system", HEAD)}],"model":"m"}}',
    ),
}


@pytest.mark.parametrize(("body", "weaving", "expected"), HEADS.values(), ids=HEADS)
def test_head(body, weaving, expected):
    assert woven(body, [FIRST], **weaving) == expected


TAILS = {
    "a block in a string": (U, {}, U.replace('"Hi', '"' + BLOCK % TAIL + "Hi")),
    "a block in parts": (
        P,
        {},
        P.replace("[ {", '[{"type":"input_text","text":"' + BLOCK % TAIL + '"}, {'),
    ),
    "a developer item": (P, {"capability": DEVELOPER_MID}, item("developer", TAIL) + "," + P),
    "a system item": (U, {"capability": BOTH}, item("system", TAIL) + "," + U),
}


@pytest.mark.parametrize(("question", "weaving", "expected"), TAILS.values(), ids=TAILS)
def test_tail(question, weaving, expected):
    body = f'{{"model":"m","input":[{U},{CALLS}, {question} ],"instructions":""}}'
    assert (
        woven(body, [FIRST, SECOND], **weaving)
        == f'{{"model":"m","input":[{U},{CALLS}, {expected} ],"instructions":"{HEAD}"}}'
    )


def test_a_tail_has_the_clients_role_where_the_model_takes_both():
    lead = item("developer", "A")
    out = woven(f'{{"model":"m","input":[{lead},{U},{U}]}}', [FIRST, SECOND], capability=BOTH)
    assert f"{U},{item('developer', TAIL)},{U}" in out


def test_volatile_text_stands_at_the_newest_user_turn():
    body = '{"model":"m","input":"Hi"}'
    clock = settled("/refund", CLOCK, REFUND)
    assert woven(body, [clock]) == f'{{"model":"m","input":"{BLOCK % "10:01."}Hi","instructions":"Grüße."}}'
    both = json.loads(woven(body, [clock], capability=NO_SYSTEM))["input"]
    assert both == "<instructions>\nGrüße.\n</instructions>\n\n<instructions>\n10:01.\n</instructions>\n\nHi"
    mid = json.loads(woven(body, [clock], capability=BOTH))
    assert [(said["role"], said["content"]) for said in mid["input"]] == [("system", "10:01."), ("user", "Hi")]


CHAIN = '"previous_response_id":"resp_1","model":"m","input":'
OUT = '[{"type":"function_call_output","call_id":"a","output":"1"}]'
CHAINED = {
    "the head comes again, the tail goes with its turn": (
        f'{{{CHAIN}"Hi"}}',
        [FIRST, SECOND],
        {},
        f'{{{CHAIN}"{BLOCK % TAIL}Hi","instructions":"{HEAD}"}}',
    ),
    "a tail that the backend keeps is not written again": (
        f'{{{CHAIN}"Hi"}}',
        [FIRST, SECOND, SECOND],
        {},
        f'{{{CHAIN}"Hi","instructions":"{HEAD}"}}',
    ),
    "outputs alone": (f"{{{CHAIN}{OUT}}}", [FIRST, SECOND], {}, f'{{{CHAIN}{OUT},"instructions":"{HEAD}"}}'),
    "outputs, then a question": (
        f"{{{CHAIN}{OUT[:-1]},{U}]}}",
        [FIRST, SECOND],
        {"capability": DEVELOPER_MID},
        f'{{{CHAIN}{OUT[:-1]},{item("developer", TAIL)},{U}],"instructions":"{HEAD}"}}',
    ),
    "a conversation that begins here": (f'{{{CHAIN}"Hi"}}', [FIRST], {}, f'{{{CHAIN}"Hi","instructions":"{HEAD}"}}'),
    "a head at the first user turn is kept": (
        f'{{{CHAIN}"Hi"}}',
        [FIRST, FIRST],
        {"capability": NO_SYSTEM},
        f'{{{CHAIN}"Hi"}}',
    ),
    "system items of a later request are no app's system text to replace": (
        f"{{{CHAIN}[{S},{U}]}}",
        [FIRST, FIRST],
        {"place": "replace"},
        f'{{{CHAIN}[{S},{U}],"instructions":"{HEAD}"}}',
    ),
}


@pytest.mark.parametrize(("body", "decisions", "weaving", "expected"), CHAINED.values(), ids=CHAINED)
def test_a_chained_request(body, decisions, weaving, expected):
    assert woven(body, decisions, **weaving) == expected


MARKED = Capability("developer", cache_marks="auto", cache_min_tokens=1)
BREAK = ',"prompt_cache_breakpoint":{"mode":"explicit"}'
PARTS = f'[{{"type":"input_text","text":"Be \\"kind\\"."{BREAK}}},{{"type":"input_text","text":"\\n\\nGrüße."{BREAK}}}]'
OWN_ITEM = f'{{"type":"message","role":"system","content":{PARTS}}}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            f'{{"model":"m","store":false,"instructions":"App","input":[{S},{U}]}}',
            f'{{"model":"m","store":false,"instructions":"App","input":[{S},{OWN_ITEM},{U}]}}',
        ),
        (
            '{"model":"m","store":false,"input":"Hi"}',
            f'{{"model":"m","store":false,"input":[{OWN_ITEM},{{"type":"message","role":"user","content":"Hi"}}]}}',
        ),
        ('{"model":"m","input":"Hi"}', f'{{"model":"m","input":"Hi","instructions":"{HEAD}"}}'),
        (f'{{{CHAIN}"Hi","store":false}}', f'{{{CHAIN}"Hi","store":false,"instructions":"{HEAD}"}}'),
    ],
    ids=["items", "a string", "one may go on from it", "it goes on"],
)
def test_cache_marks_stand_on_an_item_of_ours_where_the_client_resends_everything(body, expected):
    assert woven(body, [FIRST], capability=MARKED) == expected


BODY = '{"input":"Hi", "model" : "m","temperature":null, "max_output_tokens": 5 } '


@pytest.mark.parametrize(
    ("decisions", "weaving"),
    [
        ((), Weaving()),
        ((), Weaving(model="m", ask_usage=True)),
        ((settled("/"),), Weaving(place="replace")),
        ((nothing("r1", "skipped"),), Weaving()),
        ((settled("/refund", REFUND, outcome="bypassed"),), Weaving(on_switch="head")),
        ((), Weaving(parameters={"temperature": 0.5, "max_tokens": 9, "stream": True, "input": [], "top_k": 4})),
    ],
)
def test_with_nothing_to_change_the_body_is_the_very_same(decisions, weaving):
    request = RESPONSES.parse(BODY.encode())
    assert RESPONSES.weave(request, decisions, weaving) is request.body
    assert RESPONSES.edits(request, decisions, weaving) == []


def test_the_model_is_replaced_where_it_differs():
    assert woven(BODY, (), model="provider/m-2") == BODY.replace('"m"', '"provider/m-2"')


@pytest.mark.parametrize(
    ("body", "parameters", "expected"),
    [
        ('{"model":"m","input":"x"}', {"top_p": 0.5, "seed": 1}, '{"model":"m","input":"x","top_p":0.5}'),
        (
            '{"model":"m","input":"x"}',
            {"max_tokens": 5, "max_completion_tokens": 6},
            '{"model":"m","input":"x","max_output_tokens":6}',
        ),
        (
            '{"model":"m","input":"x"}',
            {"reasoning_effort": "low", "verbosity": "high"},
            '{"model":"m","input":"x","reasoning":{"effort":"low"},"text":{"verbosity":"high"}}',
        ),
        (
            '{"model":"m","input":"x","reasoning":{ },"text":{"format":{"type":"text"}}}',
            {"reasoning_effort": "low", "verbosity": "high"},
            '{"model":"m","input":"x","reasoning":{"effort":"low" },"text":{"verbosity":"high","format":{"type":"text"}}}',
        ),
        (
            '{"model":"m","input":"x","reasoning":{"effort":null},"text":null}',
            {"reasoning_effort": "low", "verbosity": "high"},
            '{"model":"m","input":"x","reasoning":{"effort":null},"text":null}',
        ),
    ],
)
def test_parameters_go_by_the_names_of_the_format(body, parameters, expected):
    assert woven(body, (), parameters=parameters) == expected


def test_on_switch_head_puts_the_newest_mix_into_the_instructions():
    out = woven(f'{{"model":"m","input":[{U},{U}]}}', [FIRST, settled("/parcel", PARCEL, CLOCK)], on_switch="head")
    assert out == f'{{"model":"m","input":[{U},{U}],"instructions":"Ask.\\n\\n10:01."}}'


@pytest.mark.parametrize(
    ("body", "decisions", "message"),
    [
        ('{"model":"m","input":"Hi"}', [FIRST, SECOND], "2 decisions for 1 user turns"),
        (f"{{{CHAIN}[{U},{U}]}}", [FIRST], "1 decisions for 2 user turns"),
    ],
)
def test_decisions_that_do_not_match_the_user_turns_are_refused(body, decisions, message):
    with pytest.raises(ValueError, match=message):
        woven(body, decisions)
