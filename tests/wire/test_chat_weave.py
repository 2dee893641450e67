"""Where text lands in a chat body, byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from router.core.decision import Decision, Piece, Settled, nothing
from router.core.policy import Level
from router.core.ports import Capability, Weaving
from router.core.voice import SWITCH_LINE
from router.wire.chat import ChatCompletions

CHAT = ChatCompletions()
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

SYSTEM_MID = Capability("system")
DEVELOPER_MID = Capability("developer", frozenset({"developer", "user", "assistant", "tool"}))
BOTH_ROLES = Capability("system", frozenset({"system", "developer", "user"}))
NO_SYSTEM = Capability("user_block", frozenset({"user", "assistant"}))


def woven(messages, decisions, **weaving):
    """The messages that leave, as written, for messages as written."""
    before, after = '{ "x":1.0, "messages" : ', ' ,"model":"m"}\n'
    request = CHAT.parse((before + messages + after).encode())
    out = CHAT.weave(request, decisions, Weaving(**weaving)).decode()
    assert out.startswith(before) and out.endswith(after)
    return out[len(before) : len(out) - len(after)]


U = '{"role":"user","content":"Hi"}'
S = '{ "content" :"App\\u0021", "role":"system","name":"x"}'

HEADS = {
    "no system message": (f"[ {U} ]", {}, f'[ {{"role":"system","content":"{HEAD}"}},{U} ]'),
    "after the app's text": (f"[{S},{U}]", {}, f"[{S},{U}]".replace("\\u0021", f"\\u0021\\n\\n{HEAD}")),
    "before the app's text": (
        f"[{S},{U}]",
        {"place": "before"},
        f"[{S},{U}]".replace('"App', f'"{HEAD}\\n\\nApp'),
    ),
    "instead of the app's text": (
        f"[{S},{U}]",
        {"place": "replace"},
        f"[{S},{U}]".replace("App\\u0021", HEAD),
    ),
    "an empty system message": (
        '[{"role":"system","content":""},' + U + "]",
        {},
        f'[{{"role":"system","content":"{HEAD}"}},{U}]',
    ),
    "a null system message": (
        '[{"role":"system","content": null},' + U + "]",
        {"place": "before"},
        f'[{{"role":"system","content": "{HEAD}"}},{U}]',
    ),
    "a system message without content": (
        '[{ "role":"system"},' + U + "]",
        {},
        f'[{{"content":"{HEAD}", "role":"system"}},{U}]',
    ),
    "a list": (
        '[{"role":"developer","content":[ {"type":"text","text":"A"} ]},' + U + "]",
        {},
        '[{"role":"developer","content":[ {"type":"text","text":"A"} ,{"type":"text","text":"\\n\\n'
        + HEAD
        + '"}]},'
        + U
        + "]",
    ),
    "before a list": (
        '[{"role":"developer","content":[ {"type":"text","text":"A"} ]},' + U + "]",
        {"place": "before"},
        '[{"role":"developer","content":[{"type":"text","text":"'
        + HEAD
        + '\\n\\n"}, {"type":"text","text":"A"} ]},'
        + U
        + "]",
    ),
    "instead of a list": (
        '[{"role":"developer","content":[ {"type":"text","text":"A"} ]},' + U + "]",
        {"place": "replace"},
        f'[{{"role":"developer","content":"{HEAD}"}},{U}]',
    ),
    "an empty list": (
        '[{"role":"system","content":[ ]},' + U + "]",
        {},
        '[{"role":"system","content":[{"type":"text","text":"' + HEAD + '"}]},' + U + "]",
    ),
    "the last of several": (
        f"[{S}, {S},{U}]",
        {},
        f"[{S}, " + S.replace("\\u0021", f"\\u0021\\n\\n{HEAD}") + f",{U}]",
    ),
    "instead of several": (f"[ {S} , {S},{U}]", {"place": "replace"}, f"[ {S},{U}]".replace("App\\u0021", HEAD)),
    "a later system message does not lead": (
        f"[{U},{S},{U}]",
        {},
        f'[{{"role":"system","content":"{HEAD}"}},{U},{S},{U}]',
    ),
    "the role the client uses, if before the first question": (
        '[{"role":"assistant","content":"Hello"},{"role":"developer","content":"A"},' + U + "]",
        {},
        f'[{{"role":"developer","content":"{HEAD}"}},{{"role":"assistant","content":"Hello"}},{{"role":"developer","content":"A"}},{U}]',
    ),
    "a role that comes later has no say, or the prefix would break": (
        f'[{U},{{"role":"developer","content":"A"}},{U}]',
        {},
        f'[{{"role":"system","content":"{HEAD}"}},{U},{{"role":"developer","content":"A"}},{U}]',
    ),
    "a model that knows developer only": (
        f"[{U}]",
        {"capability": DEVELOPER_MID},
        f'[{{"role":"developer","content":"{HEAD}"}},{U}]',
    ),
    "a model without either role": (
        f"[{U}]",
        {"capability": NO_SYSTEM},
        f"[{U}]".replace('"Hi', '"' + BLOCK % HEAD + "Hi"),
    ),
}


@pytest.mark.parametrize(("messages", "weaving", "expected"), HEADS.values(), ids=HEADS)
def test_head(messages, weaving, expected):
    assert woven(messages, [FIRST] * messages.count('"user"'), **weaving) == expected


A = '{"role":"assistant","content":"?"}'
OPENED = f'{{"role":"system","content":"{HEAD}"}}'


def second(content):
    """A second user message as written."""
    return '{"role":"user","content":' + content + "}"


def blocked(text):
    return second('"' + BLOCK % TAIL + text)


TAILS = {
    "a block in a string": (U, {}, U.replace('"Hi', '"' + BLOCK % TAIL + "Hi")),
    "a block in a list": (
        second('[ {"type":"image_url","image_url":{}}]'),
        {},
        second('[{"type":"text","text":"' + BLOCK % TAIL + '"}, {"type":"image_url","image_url":{}}]'),
    ),
    "a system message": (U, {"capability": SYSTEM_MID}, f'{{"role":"system","content":"{TAIL}"}},{U}'),
    "a developer message": (
        U,
        {"capability": DEVELOPER_MID},
        f'{{"role":"developer","content":"{TAIL}"}},{U}',
    ),
}


@pytest.mark.parametrize(("question", "weaving", "expected"), TAILS.values(), ids=TAILS)
def test_tail(question, weaving, expected):
    opened = OPENED.replace("system", "developer") if weaving.get("capability") is DEVELOPER_MID else OPENED
    assert woven(f"[{U},{A}, {question} ]", [FIRST, SECOND], **weaving) == f"[{opened},{U},{A}, {expected} ]"


@pytest.mark.parametrize("empty", ["null", '""', "[]", None], ids=str)
def test_a_tail_at_an_earlier_user_message_without_content(empty):
    void = '{"role":"user"}' if empty is None else second(empty)
    out = json.loads(woven(f"[{U},{void},{U}]", [FIRST, SECOND, SECOND]))
    content = out[2]["content"]
    text = content[0]["text"] if empty == "[]" else content
    assert text == f"<instructions>\n{SWITCH_LINE}\nAsk.\n</instructions>\n\n"


@pytest.mark.parametrize(
    ("capability", "leading", "role"),
    [
        (BOTH_ROLES, "developer", "developer"),
        (BOTH_ROLES, "system", "system"),
        (SYSTEM_MID, "developer", "system"),
        (DEVELOPER_MID, "system", "developer"),
        (replace(BOTH_ROLES, mid_conversation="developer"), "system", "developer"),
    ],
)
def test_a_tail_has_the_clients_role_where_the_model_takes_both(capability, leading, role):
    lead = f'{{"role":"{leading}","content":"A"}}'
    out = json.loads(woven(f"[{lead},{U},{U}]", [FIRST, SECOND], capability=capability))
    assert [m["role"] for m in out] == [leading, "user", role, "user"]


def test_nothing_comes_between_tool_calls_and_their_results():
    calls = '{"role":"assistant","tool_calls":[{"id":"a"},{"id":"b"}]}'
    results = '{"role":"tool","tool_call_id":"a","content":"1"},{"role":"tool","tool_call_id":"b","content":"2"}'
    out = woven(f"[{U},{calls},{results},{U},{calls},{results}]", [FIRST, SECOND], capability=SYSTEM_MID)
    assert out.count(f"{calls},{results}") == 2
    assert f'{results},{{"role":"system","content":"{TAIL}"}},{U},{calls}' in out


def test_volatile_text_stands_at_the_newest_user_message_even_at_the_first():
    clock = settled("/refund", CLOCK, GENERAL, REFUND)
    block = BLOCK % "10:01."
    assert woven(f"[{U}]", [clock]) == f"[{OPENED},{U}]".replace('"Hi', f'"{block}Hi')
    assert woven(f"[{U}]", [clock], capability=SYSTEM_MID) == f'[{OPENED},{{"role":"system","content":"10:01."}},{U}]'
    assert woven(f"[{U},{U}]", [clock, clock]) == f"[{OPENED},{U},{U.replace('Hi', block + 'Hi')}]"


def test_without_a_role_for_it_head_and_volatile_text_are_two_blocks():
    out = json.loads(woven(f"[{U}]", [settled("/refund", CLOCK, REFUND)], capability=NO_SYSTEM))
    assert out[0]["content"] == (
        "<instructions>\nGrüße.\n</instructions>\n\n<instructions>\n10:01.\n</instructions>\n\nHi"
    )


def test_on_switch_head_puts_the_newest_mix_into_the_head():
    out = json.loads(woven(f"[{S},{U},{U}]", [FIRST, settled("/parcel", PARCEL, CLOCK)], on_switch="head"))
    assert out[0]["content"] == "App!\n\nAsk.\n\n10:01."
    assert [m["content"] for m in out[1:]] == ["Hi", "Hi"]


def test_a_text_that_only_looks_like_the_messages_is_not_touched():
    decoy = f'{{"metadata":{{"messages":[{U}]}},"\\u006dessages":[{U}],"model":"m","messages2":[{U}]}}'
    request = CHAT.parse(decoy.encode())
    out = CHAT.weave(request, [FIRST], Weaving()).decode()
    assert out == decoy.replace(f'sages":[{U}],"model"', f'sages":[{OPENED},{U}],"model"')


BODY = b'{"messages":[{"role":"user","content":"Hi"}], "model" : "m","temperature":null, "max_tokens": 5 } '


@pytest.mark.parametrize(
    ("decisions", "weaving"),
    [
        ((), Weaving()),
        ((), Weaving(model="m")),
        ((), Weaving(place="replace", on_switch="head")),
        ((settled("/"),), Weaving(place="replace")),
        ((nothing("r1", "skipped"),), Weaving()),
        ((settled("/refund", REFUND, outcome="bypassed"),), Weaving(on_switch="head")),
        ((), Weaving(parameters={"temperature": 0.5, "max_completion_tokens": 9, "stream": True, "messages": []})),
    ],
)
def test_with_nothing_to_change_the_body_is_the_very_same(decisions, weaving):
    request = CHAT.parse(BODY)
    assert CHAT.weave(request, decisions, weaving) is request.body
    assert CHAT.edits(request, decisions, weaving) == []


def test_the_model_is_replaced_where_it_differs():
    out = CHAT.weave(CHAT.parse(BODY), (), Weaving(model="provider/m-2"))
    assert out == BODY.replace(b'"m"', b'"provider/m-2"')


@pytest.mark.parametrize(
    ("parameters", "added"),
    [
        ({"top_p": 0.5}, b',"top_p":0.5'),
        ({"temperature": 0.2, "top_p": 1, "stop": ["ü"]}, ',"top_p":1,"stop":["ü"]'.encode()),
        ({"max_completion_tokens": 9, "seed": 1}, b',"seed":1'),
    ],
)
def test_parameters_are_added_where_the_client_set_none(parameters, added):
    out = CHAT.weave(CHAT.parse(BODY), (), Weaving(parameters=parameters))
    assert out == BODY.replace(b" } ", b" " + added + b"} ")


def test_all_at_once():
    weaving = Weaving(model="n", parameters={"top_p": 1}, capability=SYSTEM_MID)
    request = CHAT.parse(BODY.replace(b'"}]', b'"},{"role":"user","content":"Yo"}]'))
    out = json.loads(CHAT.weave(request, [FIRST, SECOND], weaving))
    assert out == {
        "messages": [
            {"role": "system", "content": 'Be "kind".\n\nGrüße.'},
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": f"{SWITCH_LINE}\nAsk."},
            {"role": "user", "content": "Yo"},
        ],
        "model": "n",
        "temperature": None,
        "max_tokens": 5,
        "top_p": 1,
    }


def test_edits_say_what_changes_where():
    request = CHAT.parse(BODY)
    edits = CHAT.edits(request, [FIRST], Weaving(model="n"))
    assert [(BODY[e.start : e.end], e.new[:16]) for e in edits] == [(b"", b'{"role":"system"'), (b'"m"', b'"n"')]


def test_decisions_that_do_not_match_the_user_turns_are_refused():
    with pytest.raises(ValueError, match="2 decisions for 1 user turns"):
        CHAT.weave(CHAT.parse(BODY), [FIRST, SECOND], Weaving())


STREAM = '{"messages":[{"role":"user","content":"Hi"}],"model":"m","stream":true'
ASKED = {
    "no options": ("}", ',"stream_options":{"include_usage":true}}'),
    "null options": (',"stream_options": null } ', ',"stream_options": {"include_usage":true} } '),
    "no members": (',"stream_options":{ }}', ',"stream_options":{"include_usage":true }}'),
    "another member": (
        ',"stream_options":{ "include_obfuscation":false}}',
        ',"stream_options":{"include_usage":true, "include_obfuscation":false}}',
    ),
    "refused": (
        ',"stream_options":{"a":false, "include_usage" : false}}',
        ',"stream_options":{"a":false, "include_usage" : true}}',
    ),
    "null": (',"stream_options":{"include_usage":null}}', ',"stream_options":{"include_usage":true}}'),
    "asked by the client": (',"stream_options":{"include_usage": true}}', None),
    "nonsense": (',"stream_options":[]}', None),
    "no stream": (',"stream":false}', None),
}


@pytest.mark.parametrize(("options", "expected"), ASKED.values(), ids=ASKED)
def test_usage_is_asked_for_where_the_client_does_not(options, expected):
    body = STREAM.removesuffix(',"stream":true') if options.startswith(',"stream":') else STREAM
    request = CHAT.parse((body + options).encode())
    out = CHAT.weave(request, (), Weaving(ask_usage=True))
    assert out == (body + (expected or options)).encode()
    assert (out is request.body) == (expected is None)
    assert CHAT.weave(request, (), Weaving()) is request.body
    assert CHAT.parse(out).tells_usage


def test_usage_and_parameters_are_asked_for_together():
    request = CHAT.parse((STREAM + "}").encode())
    weaving = Weaving(ask_usage=True, parameters={"seed": 1, "stream_options": {"include_usage": False}})
    out = CHAT.weave(request, (), weaving)
    assert out == (STREAM + ',"seed":1,"stream_options":{"include_usage":true}}').encode()
