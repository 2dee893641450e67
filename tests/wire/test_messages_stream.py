"""Every end that a stream in Anthropic's form can come to, by table: fed whole, byte by byte and cut in two."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.errors import BackendError
from router.core.ports import Usage
from router.wire.faults import anthropic_event as error_event
from router.wire.messages_stream import MessageGuard, read_answer


def event(name, **said):
    return f"event: {name}\ndata: {json.dumps({'type': name} | said, ensure_ascii=False)}\n\n".encode()


def opens(index=0, **block):
    return event("content_block_start", index=index, content_block=block or {"type": "text", "text": ""})


def says(text, index=0):
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})


def closes(index=0):
    return event("content_block_stop", index=index)


def delta(reason, **usage):
    return event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


TOLD = {"input_tokens": 15, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 20, "output_tokens": 1}
START = event("message_start", message={"id": "msg_1", "type": "message", "content": [], "usage": TOLD})
HELLO = opens() + says("Grüße 😀 \n\nevent: message_stop\n\n") + closes()
END = delta("end_turn", output_tokens=15)
STOP = event("message_stop")
PING = event("ping")
ERROR = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
WHOLE = START + PING + HELLO + END + STOP
PLAIN = Usage(335, 300, 20, 15)

# Two tools after a thought, in the order of https://docs.claude.com/en/docs/build-with-claude/streaming.
TOOLS = b"".join(
    [
        START,
        opens(0, type="thinking", thinking="", signature=""),
        event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm…"}),
        event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQB"}),
        closes(0),
        opens(1, type="tool_use", id="toolu_1", name="get_weather", input={}),
        PING,
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"city": "Kö'}),
        event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": 'ln"}'}),
        closes(1),
        opens(2, type="tool_use", id="toolu_2", name="get_time", input={}),
        closes(2),
        delta("tool_use", output_tokens=89),
        STOP,
    ]
)

# Recorded from llama.cpp's server (xllamacpp 2026.10), shortened: unlike Anthropic's own it names no cache writes.
LLAMA = b"""event: message_start
data: {"type":"message_start","message":{"id":"chatcmpl-wcUF","type":"message","role":"assistant","content":[],"model":"smollm2","stop_reason":null,"stop_sequence":null,"usage":{"cache_read_input_tokens":31,"input_tokens":1,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" d\xc3\xa9"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":11}}

event: message_stop
data: {"type":"message_stop"}

"""


@dataclass(frozen=True)
class Case:
    stream: bytes
    complete: bool
    error: str = ""
    id: str = "msg_1"
    usage: Usage | None = PLAIN


EARLY = Usage(335, 300, 20, 1)
CASES = {
    "a whole answer": Case(WHOLE, True),
    "thought and tools": Case(TOOLS, True, usage=Usage(335, 300, 20, 89)),
    "from llama.cpp": Case(LLAMA, True, id="chatcmpl-wcUF", usage=Usage(32, 31, 0, 11)),
    "no block at all": Case(START + END + STOP, True),
    "CRLF": Case(WHOLE.replace(b"\n", b"\r\n"), True),
    "LF and CRLF mixed": Case(START + HELLO.replace(b"\n\n", b"\n\r\n") + END.replace(b"\n\n", b"\r\n\n") + STOP, True),
    "comments": Case(b": hi\n\n" + START + HELLO + b":\n: event: error\n\n" + END + STOP, True),
    "no space behind the colon": Case(WHOLE.replace(b": ", b":", 2).replace(b"\ndata: ", b"\ndata:"), True),
    "data before the name": Case(START + HELLO + END + b'data: {"type": "message_stop"}\nevent: message_stop\n\n', True),
    "data over several lines": Case(START + HELLO + END + b'event: message_stop\ndata: {"type":\ndata: "message_stop"}\n\n', True),
    "pings anywhere": Case(PING + WHOLE.replace(b"\n\nevent", b"\n\n" + PING + b"event") + PING, True),
    "a ping without data": Case(START + b"event: ping\n\n" + HELLO + END + STOP, True),
    "blocks side by side": Case(START + opens(0) + opens(1) + says("a", 1) + says("b", 0) + closes(0) + closes(1) + END + STOP, True),
    "blocks closed behind the reason": Case(START + opens() + END + closes() + STOP, True),
    "an index once more": Case(START + HELLO + HELLO + END + STOP, True),
    "usage before the reason": Case(START + delta(None, output_tokens=3) + HELLO + END + STOP, True),
    "two reasons": Case(START + HELLO + END + delta("end_turn", output_tokens=16) + STOP, True, usage=Usage(335, 300, 20, 16)),
    "usage corrected": Case(
        START + HELLO + delta("end_turn", input_tokens=16, cache_read_input_tokens=None, output_tokens=15) + STOP,
        True,
        usage=Usage(336, 300, 20, 15),
    ),
    "no usage": Case(START.replace(b"usage", b"x") + HELLO + delta("end_turn") + STOP, True, usage=Usage()),
    "usage in another form": Case(START.replace(b"15", b'"15"') + delta("end_turn") + STOP, True, usage=Usage()),
    "an event that is new": Case(START + event("content_block_hint", index="a", message=1, error=2) + HELLO + END + STOP, True),
    "a delta that is new": Case(START + opens() + event("content_block_delta", index=0, delta=[1]) + closes() + END + STOP, True),
    "an event without a name": Case(START + b"data: [DONE]\n\n" + HELLO + END + STOP + b"data: [DONE]\n\n", True),
    "an id that is no text": Case(START.replace(b'"msg_1"', b"5") + HELLO + END + STOP, True, id=""),
    "something behind the end": Case(WHOLE + ERROR + START, True),
    "nothing": Case(b"", False, id="", usage=None),
    "only the end": Case(STOP, False, id="", usage=None),
    "no start": Case(HELLO + END + STOP, False, id="", usage=Usage(completion=15)),
    "two starts": Case(START + WHOLE, False),
    "no stop": Case(START + HELLO + END, False),
    "no reason": Case(START + HELLO + delta(None, output_tokens=15) + STOP, False),
    "an empty reason": Case(START + HELLO + delta("", output_tokens=15) + STOP, False),
    "a delta without a delta": Case(START + HELLO + event("message_delta", usage={"output_tokens": 15}) + STOP, False),
    "no message_delta": Case(START + HELLO + STOP, False, usage=EARLY),
    "an open block": Case(START + opens() + says("a") + END + STOP, False),
    "a block closed twice": Case(START + opens() + closes() + closes() + END + STOP, False),
    "a block opened twice": Case(START + opens() + opens() + closes() + END + STOP, False),
    "a delta of no block": Case(START + opens() + says("a", 1) + closes() + END + STOP, False),
    "a delta behind its block": Case(START + HELLO + says("a") + END + STOP, False),
    "a block behind the reason": Case(START + END + HELLO + STOP, False),
    "an index that is none": Case(START + opens("a") + END + STOP, False),
    "names without data": Case(START + HELLO + END + b"event: message_stop\n\n", False),
    "types without names": Case(re.sub(rb"event: \w+\n", b"", WHOLE), False, id="", usage=None),
    "a name and another type": Case(START + HELLO + END + b'event: message_stop\ndata: {"type": "ping"}\n\n', False),
    "a type in the text alone": Case(START + HELLO + END + b'event: message_stop\ndata: {"x": 1}\n\n', False),
    "an error": Case(START + ERROR, False, "overloaded_error", usage=EARLY),
    "an error, then an end": Case(START + HELLO + ERROR + END + STOP, False, "overloaded_error"),
    "an error at once": Case(ERROR, False, "overloaded_error", id="", usage=None),
    "two errors": Case(START + ERROR + ERROR.replace(b"over", b"under"), False, "overloaded_error", usage=EARLY),
    "an error in words": Case(START + event("error", error="out of memory"), False, "stream_error", usage=EARLY),
    "an error in many words": Case(START + event("error", error={"type": "a b"}), False, "stream_error", usage=EARLY),
    "an error that is no JSON": Case(START + b"event: error\ndata: {\n\n", False, "stream_error", usage=EARLY),
    "an error without data": Case(START + b"event: error\n\n", False, "stream_error", usage=EARLY),
    "data that is no JSON": Case(START + opens() + says("a")[:-3] + b"\n\n" + closes() + END + STOP, False),
    "data that is no object": Case(START + b"event: content_block_delta\ndata: 1\n\n" + END + STOP, False),
    "data that is not UTF-8": Case(START + opens() + says("@").replace(b"@", b"\xff") + closes() + END + STOP, False),
    "a new event that is no JSON": Case(START + b"event: new\ndata: <html>\n\n" + HELLO + END + STOP, False),
    "data too deep to read": Case(START + b"event: new\ndata: " + b'{"a":' * 50_000 + b"\n\n" + END + STOP, False),
    "OpenAI's form": Case(b'data: {"id":"c","choices":[]}\n\ndata: [DONE]\n\n', False, id="", usage=None),
    "an HTML page": Case(b"<html>\n\n<body>Bad gateway</body>\n\n</html>", False, id="", usage=None),
}  # fmt: skip
SHORT = {name: case for name, case in CASES.items() if len(case.stream) < 5000}
FINISHED = {
    name: case
    for name, case in SHORT.items()
    if case.complete and name not in ("something behind the end", "pings anywhere", "an event without a name")
}
SEAM = re.compile(rb"(?:\A|\n)(?::[^\n]*)?\r?\n\Z")
"""Where another event may follow: behind a blank line, or a comment."""


def watch(*parts):
    guard = MessageGuard()
    passed = b"".join(guard.release(part) for part in parts)
    assert b"".join(parts).startswith(passed)
    return guard


def seen(guard):
    return guard.complete, guard.error, guard.response_id, guard.usage


def expected(case):
    return case.complete, case.error, case.id, case.usage


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whole(case):
    assert seen(watch(case.stream)) == expected(case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_byte_by_byte(case):
    guard = watch(*(case.stream[i : i + 1] for i in range(len(case.stream))))
    assert seen(guard) == expected(case)


@pytest.mark.parametrize("case", SHORT.values(), ids=SHORT)
def test_cut_in_two_at_every_offset(case):
    for at in range(len(case.stream) + 1):
        assert seen(watch(case.stream[:at], b"", case.stream[at:])) == expected(case)


@pytest.mark.parametrize("case", FINISHED.values(), ids=FINISHED)
def test_no_stream_cut_short_looks_complete(case):
    assert not any(watch(case.stream[:end]).complete for end in range(len(case.stream)))


@pytest.mark.parametrize("case", FINISHED.values(), ids=FINISHED)
def test_behind_the_boundary_the_error_is_read_and_nothing_half_is_passed_on(case):
    told = error_event(BackendError("The stream was cut.", status=529))
    for end in range(len(case.stream)):
        guard = MessageGuard()
        sent = b"".join(guard.release(part) for part in (case.stream[: end // 2], case.stream[end // 2 : end]))
        assert case.stream[:end].startswith(sent)
        assert not sent or SEAM.search(sent)
        assert not SEAM.search(case.stream[len(sent) : end])
        assert watch(sent, told).error == "overloaded_error"
        ended = watch(case.stream[:end], guard.boundary())
        assert ended.boundary() == b""
        ended.release(told)
        assert ended.error == "overloaded_error" or ended.complete or ended.over  # the last cuts leave a line break


EVENTS = re.compile(rb".*?\n\n", re.DOTALL).findall(TOOLS)


@given(st.lists(st.sampled_from(EVENTS), max_size=20))
def test_no_shuffled_stream_is_complete_unless_it_is_well_formed(events):
    guard = watch(*events)
    names = [e[7 : e.index(b"\n")].decode() for e in events if not e.startswith(b"event: ping")]
    if guard.complete:
        assert names[0] == "message_start"
        assert names.count("message_start") == 1
        ends = names.index("message_stop")
        assert "message_delta" in names[:ends]
        assert names[:ends].count("content_block_start") == names[:ends].count("content_block_stop")


@given(st.binary(max_size=60), st.integers(0, len(WHOLE)))
def test_garbage_never_raises_and_never_completes_what_is_not_whole(garbage, at):
    guard = watch(WHOLE[:at], garbage)
    assert not guard.complete or at == len(WHOLE)


@given(st.lists(st.integers(0, len(TOOLS)), max_size=8))
def test_split_anywhere_the_outcome_is_the_same(cuts):
    edges = [0, *sorted(cuts), len(TOOLS)]
    guard = watch(*(TOOLS[a:b] for a, b in pairwise(edges)))
    assert seen(guard) == expected(CASES["thought and tools"])


def test_the_state_says_where_a_stream_stands():
    guard = MessageGuard()
    states = [guard.release(part) and guard.state for part in (START, HELLO, END, STOP)]
    assert states == ["talking", "talking", "ending", "whole"]


@pytest.mark.parametrize(
    ("body", "id_", "usage"),
    [
        (json.dumps({"id": "msg_9", "usage": TOLD}).encode(), "msg_9", EARLY),
        (b' {"type": "message"}\n', "", None),
        (b'{"id": null, "usage": null}', "", None),
        (b'{"id": "a", "usage": {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {}}}', "a", Usage(5, 0, 0, 2)),
    ],
)  # fmt: skip
def test_what_an_answer_says_of_itself(body, id_, usage):
    assert read_answer(body) == (id_, usage)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b'{"id": "a"', b'{"id": "\xff"}', b'{"a":' * 100_000])
def test_what_is_no_answer_is_the_backends_fault(body):
    with pytest.raises(BackendError) as caught:
        read_answer(body)
    assert caught.value.status == 502
