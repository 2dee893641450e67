"""One table of streams, fed whole, byte by byte and cut in two; and no stream that is cut short looks complete."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import httpx
import openai
import pytest
from openai._streaming import SSEDecoder

from router.core.errors import BackendError, RequestError
from router.core.ports import Usage
from router.wire.responses_stream import ResponseGuard, error_event


def event(kind, number=None, **more):
    numbered = {} if number is None else {"sequence_number": number}
    told = json.dumps({"type": kind} | more | numbered, ensure_ascii=False)
    return f"event: {kind}\ndata: {told}\n\n".encode()


def response(status, **more):
    return {"id": "resp_1", "object": "response", "status": status} | more


TOLD = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2, "total_tokens": 11}
CREATED = event("response.created", 0, response=response("in_progress", usage=None))
QUEUED = event("response.queued", 0, response=response("queued"))
DELTA = event("response.output_text.delta", 1, item_id="msg_1", delta="Grüße 😀\n\nevent: response.completed\n\n")
DONE = event("response.completed", 2, response=response("completed", usage=TOLD))
INCOMPLETE = event("response.incomplete", 2, response=response("incomplete", usage=TOLD))
FAILED = event("response.failed", 2, response=response("failed", error={"code": "server_error", "message": "Oh."}))
FLAT = event("error", 2, code="rate_limit_exceeded", message="Slow down.", param=None)
NESTED = event("error", 2, error={"type": "too_many_requests", "code": None, "message": "Slow down."})
BARE = b'data: {"error": {"code": 500, "message": "Oh.", "type": "server_error"}}\n\n'
COUNT = Usage(9, 4, 0, 2)


@dataclass(frozen=True)
class Case:
    stream: bytes
    complete: bool
    error: str = ""
    usage: Usage | None = None
    id: str = "resp_1"


CASES = {
    "a whole answer": Case(CREATED + DELTA + DONE, True, usage=COUNT),
    "a queued answer": Case(QUEUED + CREATED + DELTA + DONE, True, usage=COUNT),
    "an answer that ran out of tokens": Case(CREATED + DELTA + INCOMPLETE, True, usage=COUNT),
    "an answer that failed": Case(CREATED + DELTA + FAILED, True, "server_error"),
    "an answer taken up again": Case(DELTA + DONE, True, usage=COUNT),
    "nothing but the ending": Case(DONE, True, usage=COUNT),
    "a flat error": Case(CREATED + FLAT, True, "rate_limit_exceeded"),
    "a nested error": Case(CREATED + NESTED, True, "too_many_requests"),
    "an error, then the failure": Case(CREATED + NESTED + FAILED, True, "too_many_requests"),
    "an error before anything": Case(FLAT, True, "rate_limit_exceeded", id=""),
    "an error without a type": Case(CREATED + BARE, True, "server_error"),
    "an error by name": Case(CREATED + b'event: error\ndata: {"message": "x"}\n\n', True, "stream_error"),
    "an error, then an ending": Case(CREATED + FLAT + DONE, True, "rate_limit_exceeded"),
    "a failure without words": Case(CREATED + event("response.failed", 2), True, "stream_error"),
    "no numbers": Case(
        event("response.created", response=response("in_progress"))
        + event("response.completed", response=response("")),
        True,
    ),
    "numbers that begin anew": Case(CREATED + DELTA + DELTA + CREATED + DONE, True, usage=COUNT),
    "unknown events": Case(
        CREATED + event("keepalive", 1) + event("response.x.y", 1, response="?") + DONE, True, "", COUNT
    ),
    "events without a type": Case(CREATED + b"data: {}\n\n" + b'data: {"type": 5}\n\n' + DONE, True, usage=COUNT),
    "CRLF": Case((CREATED + DELTA + DONE).replace(b"\n", b"\r\n"), True, usage=COUNT),
    "comments": Case(b": hello\n\n" + CREATED + b":\n: data: x\n\n" + DONE, True, usage=COUNT),
    "data alone": Case(re.sub(rb"(?m)^event: .*\n", b"", CREATED + DELTA + DONE), True, usage=COUNT),
    "data first": Case(CREATED + re.sub(rb"(event: .*\n)(data: .*\n)", rb"\2\1", DONE), True, usage=COUNT),
    "a [DONE] behind the end": Case(CREATED + DONE + b"data: [DONE]\n\n", True, usage=COUNT),
    "garbage behind the end": Case(CREATED + DONE + b"data: {\n\n" + FLAT, True, usage=COUNT),
    "usage that makes no sense": Case(CREATED + event("response.completed", response=response("", usage=["x"])), True),
    "an id that is no text": Case(event("response.created", response={"id": 5}) + DONE, True, usage=COUNT),
    "nothing": Case(b"", False, id=""),
    "no end": Case(CREATED + DELTA, False),
    "only a [DONE]": Case(CREATED + DELTA + b"data: [DONE]\n\n", False),
    "an end by name only": Case(CREATED + b'event: response.completed\ndata: {"x": 1}\n\n', False),
    "an end without data": Case(CREATED + b"event: response.completed\n\nevent: response.completed\ndata:\n\n", False),
    "an end without its answer": Case(CREATED + event("response.completed", 2), False),
    "an end with half an answer": Case(CREATED + event("response.completed", 2, response="x"), False),
    "an end in a comment": Case(CREATED + b": " + DONE.replace(b"\n", b" ") + b"\n\n", False),
    "an event that is no JSON": Case(CREATED + b"data: {\n\n" + DONE, False),
    "an event that is no object": Case(CREATED + b"data: 1\n\n" + DONE, False),
    "an event that is not UTF-8": Case(CREATED + b'data: {"type": "\xff"}\n\n' + DONE, False),
    "an event too deep to read": Case(CREATED + b"data: " + b'{"a":' * 50_000 + b"\n\n" + DONE, False),
    "an HTML page": Case(b"<html>\n\n<body>Bad gateway</body>\n\n</html>", False, id=""),
}
BEHIND = {"garbage behind the end", "a [DONE] behind the end", "an error, then the failure", "an error, then an ending"}
WHOLE = {name: case for name, case in CASES.items() if case.complete and name not in BEHIND}
SEAM = re.compile(rb"(?:\A|\n)(?::[^\n]*)?\r?\n\Z")
"""Where another event may follow: behind a blank line, or a comment."""
CUT = BackendError("The stream was cut.", code="truncated")


def watch(*parts):
    guard = ResponseGuard()
    for part in parts:
        guard.release(part)
    return guard


def seen(guard):
    return guard.complete, guard.error, guard.usage, guard.response_id


def expected(case):
    return case.complete, case.error, case.usage, case.id


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_whole(case):
    assert seen(watch(case.stream)) == expected(case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_byte_by_byte(case):
    guard = ResponseGuard()
    sent = b"".join(guard.release(case.stream[i : i + 1]) for i in range(len(case.stream)))
    assert seen(guard) == expected(case)
    assert case.stream.startswith(sent)


@pytest.mark.parametrize("case", [c for c in CASES.values() if len(c.stream) < 5000])
def test_cut_in_two_at_every_offset(case):
    for at in range(len(case.stream) + 1):
        assert seen(watch(case.stream[:at], b"", case.stream[at:])) == expected(case)


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_no_stream_cut_short_looks_complete(case):
    assert not any(watch(case.stream[:end]).complete for end in range(len(case.stream)))


@pytest.mark.parametrize("case", WHOLE.values(), ids=WHOLE)
def test_events_are_released_when_whole_and_the_official_client_raises_the_error_behind_them(case):
    for end in range(len(case.stream)):
        guard = ResponseGuard()
        parts = (case.stream[: end // 2], case.stream[end // 2 : end])
        sent = b"".join(guard.release(part) for part in parts)
        assert case.stream[:end].startswith(sent)
        assert not sent or SEAM.search(sent)
        assert not SEAM.search(case.stream[len(sent) : end])
        *_, last = SSEDecoder().iter_bytes(iter([sent + guard.boundary() + guard.error_event(CUT)]))
        assert json.loads(last.data)["code"] == "truncated"


def read_with_the_official_client(stream):
    """The events that openai-python yields, and the error that it raises, if any."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
    )
    client = openai.OpenAI(api_key="x", http_client=httpx.Client(transport=transport), max_retries=0)
    events = []
    try:
        events += client.responses.create(model="m", input="Hi", stream=True)
    except openai.APIError as error:
        return events, error
    return events, None


def test_the_official_client_raises_our_error_with_its_code():
    guard = watch(CREATED, DELTA)
    events, error = read_with_the_official_client(CREATED + DELTA + guard.error_event(CUT))
    assert [each.type for each in events] == ["response.created", "response.output_text.delta"]
    assert (error.code, error.message, error.type) == ("truncated", "The stream was cut.", "server_error")


@pytest.mark.parametrize(
    ("stream", "number"),
    [
        (b"", 0),
        (CREATED, 1),
        (CREATED + DELTA, 2),
        (event("response.created", response={}), 0),
        (CREATED + b": x\n\n", 1),
    ],
)
def test_our_error_continues_the_numbers(stream, number):
    _, data = watch(stream).error_event(CUT).split(b"data: ")
    assert json.loads(data)["sequence_number"] == number


THEIRS = b'{"error": {"message": "Oh.", "type": null, "code": 400, "x": [1]}}'


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CUT, {"message": "The stream was cut.", "type": "server_error", "param": None, "code": "truncated"}),
        (
            RequestError("input: bad.", code="bad", param="input"),
            {"message": "input: bad.", "type": "invalid_request_error", "param": "input", "code": "bad"},
        ),
        (
            BackendError("x", status=429, code="slow", body=THEIRS),
            {"message": "Oh.", "type": "rate_limit_error", "param": None, "code": "slow", "x": [1]},
        ),
        (BackendError("x", body=b'{"error": "out of memory"}'), {"message": "x", "type": "server_error"}),
        (BackendError("x", body=b"<html>"), {"message": "x", "type": "server_error"}),
    ],
)
def test_an_error_stands_flat_and_nested_with_words_for_type_and_code(error, told):
    name, data = error_event(error, 7).decode().split("\n", 1)
    event = json.loads(data.removeprefix("data: "))
    assert name == "event: error"
    assert event["type"] == "error" and event["sequence_number"] == 7
    assert event["error"] | told == event["error"]
    assert {key: event[key] for key in ("code", "message", "param")}.items() <= event["error"].items()
    assert all(isinstance(event["error"][key], str) for key in ("type", "code", "message"))
