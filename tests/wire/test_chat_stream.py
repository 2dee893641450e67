"""One table of streams, fed whole, byte by byte and cut in two; and no stream that is cut short looks complete."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from router.core.errors import BackendError
from router.core.ports import Usage
from router.wire.chat import ChatCompletions
from router.wire.chat_stream import ChunkGuard
from router.wire.faults import error_event


def event(*choices, **more):
    listed = [{"index": i, "delta": {"content": text}, "finish_reason": reason} for i, text, reason in choices]
    return b"data: " + json.dumps({"id": "chatcmpl-1", "choices": listed} | more, ensure_ascii=False).encode() + b"\n\n"


A, B, STOP = event((0, "Grüße, ", None)), event((0, "😀\n\ndata: [DONE]\n\n", None)), event((0, "", "stop"))
USAGE = event(usage={"total_tokens": 3})
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error": {"message": "Overloaded, try later", "type": "server_error", "code": null}}\n\n'
CUT = error_event(BackendError("The stream was cut."))
CRLF = (A + B + STOP + DONE).replace(b"\n", b"\r\n")


@dataclass(frozen=True)
class Case:
    stream: bytes
    complete: bool
    error: str = ""
    id: str = "chatcmpl-1"


CASES = {
    "a whole answer": Case(A + B + STOP + DONE, True),
    "usage behind the finish": Case(A + STOP + USAGE + DONE, True),
    "an empty choice behind the finish": Case(A + STOP + event((0, "", None)) + DONE, True),
    "CRLF": Case(CRLF, True),
    "LF and CRLF mixed": Case(A + B.replace(b"\n\n", b"\n\r\n") + STOP.replace(b"\n\n", b"\r\n\n") + DONE, True),
    "comments": Case(b": hello\n\n" + A + b":\n: data: x\n\n" + STOP + b": bye\n\n" + DONE, True),
    "no space behind the colon": Case((A + STOP + DONE).replace(b"data: ", b"data:"), True),
    "data over several lines": Case(
        b'data: {"id": "chatcmpl-1",\ndata: "choices":\ndata: []}\n\n' + A + STOP + DONE, True
    ),
    "other fields": Case(b"id: 1\nretry: 5\n" + A + b"event: chunk\n" + STOP + DONE, True),
    "blank lines in front": Case(b"\n\r\n\n" + A + STOP + DONE, True),
    "an event without data": Case(A + b"data:\n\ndata\n\n" + STOP + DONE, True),
    "two choices": Case(event((0, "a", None), (1, "b", None)) + event((1, "", "length")) + STOP + DONE, True),
    "null choices": Case(A + b'data: {"choices": null}\n\n' + STOP + DONE, True),
    "a completion's chunk": Case(
        b'data: {"id": "cmpl-7", "choices": [{"text": "x", "index": 0, "finish_reason": "stop"}]}\n\n' + DONE,
        True,
        id="cmpl-7",
    ),
    "something behind the end": Case(A + STOP + DONE + b"data: whatever\n\n" + ERROR, True),
    "nothing": Case(b"", False, id=""),
    "only the end": Case(DONE, False, id=""),
    "no end": Case(A + B + STOP, False),
    "no finish": Case(A + B + DONE, False),
    "an empty finish": Case(A + event((0, "", "")) + DONE, False),
    "one choice of two finished": Case(event((0, "a", None), (1, "b", None)) + STOP + DONE, False),
    "an end in a comment": Case(A + STOP + b": data: [DONE]\n\n", False),
    "an end in another field": Case(A + STOP + b"event: [DONE]\n\nx-data: [DONE]\n\n", False),
    "an end in the text": Case(A + STOP + event((0, "data: [DONE]", None)), False),
    "an error": Case(A + ERROR, False, "server_error"),
    "an error, then an end": Case(A + ERROR + STOP + DONE, False, "server_error"),
    "an error by name": Case(A + b'event: error\ndata: {"message": "x"}\n\n' + STOP + DONE, False, "stream_error"),
    "an error in words": Case(A + b'data: {"error": "out of memory"}\n\n' + DONE, False, "stream_error"),
    "an error beside choices": Case(event((0, "", "error"), error={"code": "rate_limit"}) + DONE, False, "rate_limit"),
    "a chunk that is no JSON": Case(A + b"data: {\n\n" + STOP + DONE, False),
    "a chunk that is no object": Case(A + b"data: 1\n\n" + STOP + DONE, False),
    "a chunk of wrong types": Case(A + b'data: {"choices": [{"index": "a"}]}\n\n' + STOP + DONE, False),
    "a chunk that is not UTF-8": Case(A + b'data: {"id": "\xff"}\n\n' + STOP + DONE, False),
    "a chunk too deep to read": Case(A + b"data: " + b'{"a":' * 50_000 + b"\n\n" + STOP + DONE, False),
    "an HTML page": Case(b"<html>\n\n<body>Bad gateway</body>\n\n</html>", False, id=""),
    "an id that is no text": Case(b'data: {"id": 5, "choices": []}\n\n' + A + STOP + DONE, True),
}
WHOLE = {name: case for name, case in CASES.items() if case.complete and name != "something behind the end"}
SEAM = re.compile(rb"(?:\A|\n)(?::[^\n]*)?\r?\n\Z")
"""Where another event may follow: behind a blank line, or a comment."""


def watch(*parts):
    guard = ChunkGuard()
    for part in parts:
        guard.release(part)
    return guard


def seen(guard):
    return guard.complete, guard.error, guard.response_id


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whole(case):
    assert seen(watch(case.stream)) == (case.complete, case.error, case.id)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_byte_by_byte(case):
    guard = watch(*(case.stream[i : i + 1] for i in range(len(case.stream))))
    assert seen(guard) == (case.complete, case.error, case.id)


@pytest.mark.parametrize("case", [c for c in CASES.values() if len(c.stream) < 5000])
def test_cut_in_two_at_every_offset(case):
    for at in range(len(case.stream) + 1):
        assert seen(watch(case.stream[:at], b"", case.stream[at:])) == (case.complete, case.error, case.id)


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_no_stream_cut_short_looks_complete(case):
    assert not any(watch(case.stream[:end]).complete for end in range(len(case.stream)))


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_behind_the_boundary_another_event_can_follow(case):
    for end in range(len(case.stream)):
        guard = watch(case.stream[:end])
        ended = watch(case.stream[:end], guard.boundary())
        assert ended.boundary() == b""
        ended.release(CUT)
        assert ended.error == "backend_error" or ended.complete  # the last cuts leave but a line break to add


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_events_are_released_when_whole_and_the_official_client_reads_the_error_behind_them(case):
    for end in range(len(case.stream)):
        guard = ChunkGuard()
        parts = (case.stream[: end // 2], case.stream[end // 2 : end])
        sent = b"".join(guard.release(part) for part in parts)
        assert case.stream[:end].startswith(sent)
        assert not sent or SEAM.search(sent)
        assert not SEAM.search(case.stream[len(sent) : end])
        *_, last = SSEDecoder().iter_bytes(iter([sent + CUT]))
        assert json.loads(last.data)["error"]["code"] == "backend_error"


COUNTED = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
CACHED = COUNTED | {"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}}

COUNTS = {
    "without details": (COUNTED, Usage(9, 0, 0, 2)),
    "with details": (CACHED, Usage(9, 4, 5, 2)),
    "null details": (COUNTED | {"prompt_tokens_details": None}, Usage(9, 0, 0, 2)),
    "null counts": ({"prompt_tokens": None, "prompt_tokens_details": {"cached_tokens": None}}, Usage()),
    "of an embedding": ({"prompt_tokens": 9, "total_tokens": 9}, Usage(9)),
    "null": (None, None),
    "nonsense": ({"prompt_tokens": "9"}, None),
    "no object": ([], None),
}


@pytest.mark.parametrize(("usage", "counted"), COUNTS.values(), ids=COUNTS)
def test_usage(usage, counted):
    alone, beside = event(usage=usage), event((0, "", "stop"), usage=usage)
    for stream in (A + STOP + alone + DONE, A + beside + DONE, A + beside + event(usage=None) + DONE):
        guard = watch(stream)
        assert (guard.usage, guard.complete) == (counted, True)
    assert ChatCompletions().read_answer(json.dumps({"id": "x", "usage": usage}).encode()) == ("x", counted)


@pytest.mark.parametrize(
    ("body", "id_"),
    [(b'{"id": "chatcmpl-9", "choices": []}', "chatcmpl-9"), (b' {"object": "list"}\n', ""), (b'{"id": null}', "")],
)
def test_answer_id(body, id_):
    assert ChatCompletions().read_answer(body) == (id_, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b'{"id": "a"', b'{"id": "\xff"}', b'{"a":' * 100_000])
def test_what_is_no_answer_is_the_backends_fault(body):
    with pytest.raises(BackendError) as caught:
        ChatCompletions().read_answer(body)
    assert caught.value.status == 502


# ------------------------------------------------------------------------------- usage asked for on our own account


def hide(*parts):
    guard = ChunkGuard(hide_usage=True)
    return guard, b"".join(guard.release(part) for part in parts)


def chunk(told):
    return b"data: " + told + b"\n\n"


NULLS = {
    "as OpenAI writes it": (b'{"id":"c","choices":[],"usage":null}', b'{"id":"c","choices":[]}'),
    "with something behind": (b'{"choices":[],"usage":null,"obfuscation":"x"}', b'{"choices":[],"obfuscation":"x"}'),
    "first": (b'{"usage":null,"choices":[]}', b'{"choices":[]}'),
    "alone": (b'{"usage":null}', b"{}"),
    "with white space": (b'{"choices": [] ,\t"usage" : null }', b'{"choices": [] }'),
    "first, with white space": (b'{ "usage" : null , "choices": [] }', b'{ "choices": [] }'),
    "in the middle": (b'{"id": "c", "usage": null, "choices": []}', b'{"id": "c", "choices": []}'),
    "alone, with white space": (b'{ "usage" : null }', b"{ }"),
    "deeper": (b'{"choices":[],"x":{"a":1,"usage":null}}', None),
    "deeper too": (
        b'{"x":{"a":1,"usage":null},"usage":null,"choices":[{"index":0,"usage":null}]}',
        b'{"x":{"a":1,"usage":null},"choices":[{"index":0,"usage":null}]}',
    ),
    "in a text": (b'{"choices":[{"index":0,"delta":{"content":",\\"usage\\":null"}}]}', None),
    "with escapes in its name": (b'{"choices":[],"\\u0075sage":null}', None),
    "beside an error": (b'{"error":{"message":"x"},"usage":null}', None),
    "in what is no JSON": (b'{"choices":[,"usage":null}', None),
}


@pytest.mark.parametrize(("told", "left"), NULLS.values(), ids=NULLS)
def test_a_null_usage_is_taken_out(told, left):
    assert hide(chunk(told))[1] == chunk(told if left is None else left)


def test_a_null_usage_over_several_lines_is_left():
    told = b'data: {"choices":[],\ndata: "usage":null}\n\n'
    assert hide(told)[1] == told


@pytest.mark.parametrize(
    "told",
    [
        b'{"choices":[],"usage":{"prompt_tokens":9}}',
        b'{"id":"c", "usage" : {"prompt_tokens":9}, "choices": [ ], "x":1}',
        b'{"usage":{"prompt_tokens":9},"choices":null}',
        b'{"choices":[],"usage":{"prompt_tokens":9,"x":[1]},"obfuscation":"x"}',
    ],
)
@pytest.mark.parametrize("frame", [b"data: %s\n\n", b"data:%s\r\n\r\n", b"event: chunk\ndata: %s\nid: 5\n\n"])
def test_a_chunk_of_usage_alone_is_taken_out(told, frame):
    guard, sent = hide(A + frame % told + STOP + DONE)
    assert sent == A + STOP + DONE
    assert guard.usage == Usage(9)


@pytest.mark.parametrize(
    "kept",
    [
        event((0, "", "stop"), usage=CACHED),
        event(prompt_filter_results=[]),
        event(usage=CACHED, error={"message": "x"}),
        b": comment\n\n",
    ],
)
def test_all_else_is_left(kept):
    assert hide(A + kept + STOP + DONE)[1] == A + kept + STOP + DONE


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_hiding_changes_nothing_about_the_end(case):
    stream = case.stream.replace(USAGE, b"")
    guard, sent = hide(case.stream)
    assert seen(guard) == (case.complete, case.error, case.id)
    assert stream.startswith(sent)
    assert sent == stream or guard.over or not SEAM.search(stream)


MEMBERS = [
    ("id", '"chatcmpl-1"'),
    ("choices", '[{"index":0,"delta":{"content":"Grüße, \\"usage\\":null"},"finish_reason":null}]'),
    ("choices", '[{"index":0, "delta":{"x":{"a":1,"usage":null}}, "finish_reason":"stop"}]'),
    ("choices", "[]"),
    ("obfuscation", '"xyz"'),
    ("error", "null"),
]
STYLES = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\t", ":")])
FRAMES = st.sampled_from(
    ["data: {}\n\n", "data:{}\n\n", "data: {}\r\n\r\n", ": x\n\ndata: {}\n\n", "id: 1\ndata: {}\n\n"]
)


def told_as(members, style):
    comma, colon = style
    return "{" + comma.join(f'"{name}"{colon}{value}' for name, value in members) + "}"


@st.composite
def recorded(draw):
    """A stream as it is without asking for usage, and the same stream with it."""
    style, frame = draw(STYLES), draw(FRAMES)
    plain, asked = "", ""
    for members in draw(st.lists(st.lists(st.sampled_from(MEMBERS), unique_by=lambda m: m[0], min_size=1), max_size=4)):
        at = draw(st.integers(0, len(members)))
        plain += frame.replace("{}", told_as(members, style))
        asked += frame.replace("{}", told_as([*members[:at], ("usage", "null"), *members[at:]], style))
    total = [("id", '"chatcmpl-1"'), ("choices", "[]"), ("usage", json.dumps(CACHED))]
    counted = draw(st.permutations(total))
    end = "data: [DONE]\n\n"
    return (plain + end).encode(), (asked + f"data: {told_as(counted, style)}\n\n" + end).encode()


@given(recorded(), st.data())
def test_a_client_that_did_not_ask_gets_what_it_gets_directly(streams, data):
    plain, asked = streams
    cuts = sorted(data.draw(st.lists(st.integers(0, len(asked)), max_size=6)))
    guard, sent = hide(*(asked[i:j] for i, j in pairwise([0, *cuts, len(asked)])))
    assert sent == ChunkGuard().release(plain)
    assert guard.usage == Usage(9, 4, 5, 2)
    assert (guard.complete, guard.response_id) == (watch(plain).complete, "chatcmpl-1")


@given(recorded())
def test_no_half_event_is_passed_on_while_usage_is_hidden(streams):
    plain, asked = streams
    for end in range(len(asked)):
        guard, sent = hide(asked[:end])
        assert plain.startswith(sent)
        assert not sent or SEAM.search(sent)
        assert not guard.complete
