"""How streams of the world end: without the last blank line, without `[DONE]`, without a reason, in the midst."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass

import pytest

from router.core.errors import BackendError
from router.wire.chat_stream import ChunkGuard
from router.wire.messages_stream import MessageGuard
from router.wire.responses_stream import ResponseGuard
from router.wire.stream import EVENT_BYTES, EventGuard


def chunk(text="", reason=None, index=0, **more):
    choice = {"delta": {"content": text}, "finish_reason": reason}
    placed = choice if index == "none" else {"index": index} | choice
    return b"data: " + json.dumps({"id": "chatcmpl-1", "choices": [placed], **more}).encode() + b"\n\n"


HI, STOP, DONE = chunk("Hi"), chunk(reason="stop"), b"data: [DONE]\n\n"
USAGE = b'data: {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 1}}\n\n'
NAMED = b'event: error\ndata: {"message": "Overloaded"}\n\n'
ERROR = b'data: {"error": {"message": "Overloaded"}}\n\n'
TWO = chunk("a") + chunk("b", index=1)


@dataclass(frozen=True)
class End:
    """A stream, and whether it is whole: where HTTP told its end, where the connection was closed; `sent` of it."""

    stream: bytes
    framed: bool
    closed: bool
    sent: bytes | None = None
    choices: int = 1
    lenient: bool = False


CHAT = {
    "whole": End(HI + STOP + DONE, True, True),
    "one line break behind [DONE]": End((HI + STOP + DONE)[:-1], True, True, HI + STOP + DONE),
    "none": End((HI + STOP + DONE)[:-2], True, True, HI + STOP + DONE),
    "half a CRLF": End((HI + STOP + DONE)[:-2] + b"\r", True, True, (HI + STOP + DONE)[:-2] + b"\r\n\n"),
    "no [DONE]": End(HI + STOP, True, False),
    "no [DONE], usage last": End(HI + STOP + USAGE, True, False),
    "no [DONE], no blank line": End((HI + STOP)[:-2], True, False, HI + STOP),
    "no [DONE], and a comment": End(HI + STOP + b": bye\n", True, False),
    "no [DONE], and half a comment": End(HI + STOP + b": by", True, False, HI + STOP),
    "no [DONE], lenient": End(HI + STOP, True, True, lenient=True),
    "half a [DONE]": End(HI + STOP + b"data: [DON", False, False, HI + STOP),
    "half an event behind the reason": End(HI + STOP + USAGE[:-9], False, False, HI + STOP),
    "half a line behind the reason": End(HI + STOP + b"dat", False, False, HI + STOP),
    "half an event": End(HI + STOP[:-4], False, False, HI),
    "half an event, lenient": End(HI + STOP[:-4], False, False, HI, lenient=True),
    "no reason": End(HI + DONE, False, False, HI),
    "no reason, with more behind": End(HI + DONE + STOP + DONE, False, False, HI),
    "no reason, lenient": End(HI + DONE, True, True, lenient=True),
    "no reason and no blank line, lenient": End((HI + DONE)[:-2], True, True, HI + DONE, lenient=True),
    "neither, lenient": End(HI, False, False, lenient=True),
    "nothing, lenient": End(DONE, False, False, b"", lenient=True),
    "rubbish, lenient": End(HI + b"data: {\n\n" + DONE, False, False, HI + b"data: {\n\n", lenient=True),
    "one choice of two, of which the other has begun": End(TWO + STOP, False, False, choices=2),
    "one choice of two, one after the other": End(HI + STOP, False, False, choices=2),
    "one choice of two, and [DONE]": End(TWO + STOP + DONE, False, False, TWO + STOP, choices=2),
    "two choices": End(TWO + STOP + chunk(reason="stop", index=1), True, False, choices=2),
    "an error, then [DONE]": End(HI + ERROR + DONE, False, False),
    "an error that clients do not hear, then [DONE]": End(HI + NAMED + DONE, False, False, HI + NAMED),
    "[DONE] with something behind it": End(HI + STOP + b"data: [DONE] \n\n", True, True),
    "CR alone": End((HI + STOP + DONE).replace(b"\n", b"\r"), True, True),
    "CR alone, none at the end": End((HI + STOP + DONE)[:-2].replace(b"\n", b"\r"), True, True, b"whatever"),
}


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize("end", CHAT.values(), ids=CHAT)
def test_the_end_of_chat_completions(end, size):
    for framed, whole in ((True, end.framed), (False, end.closed)):
        guard = ChunkGuard(choices=end.choices, lenient=end.lenient)
        sent = b"".join(guard.release(end.stream[at : at + size]) for at in range(0, len(end.stream), size))
        sent += b"" if guard.over else guard.finish(framed)
        assert guard.complete == whole
        assert end.sent == b"whatever" or sent == (end.stream if end.sent is None else end.sent)


@pytest.mark.parametrize("index", [None, "0", 0.0, "none", [], {}])
def test_an_index_that_is_no_number_is_the_first_choice(index):
    guard = ChunkGuard()
    guard.release(HI + chunk(reason="stop", index=index) + DONE)
    assert guard.complete


@pytest.mark.parametrize("odd", [b'{"choices": {}}', b'{"choices": [null, 5]}', b'{"id": [], "choices": "x"}', b"{}"])
def test_a_chunk_of_other_types_is_no_rubbish(odd):
    guard = ChunkGuard()
    guard.release(HI + b"data: " + odd + b"\n\n" + STOP + DONE)
    assert guard.complete and guard.response_id == "chatcmpl-1"


def named(kind, **more):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


CREATED = named("response.created", response={"id": "resp_1"})
COMPLETED = named("response.completed", response={"id": "resp_1"})
FLAT = named("error", message="Oh.")
START = named("message_start", message={"id": "msg_1"})
DELTA = named("message_delta", delta={"stop_reason": "end_turn"})
END = named("message_stop")

OTHERS = {
    "a response": (ResponseGuard, CREATED + COMPLETED, True, None),
    "a response without a blank line": (ResponseGuard, (CREATED + COMPLETED)[:-2], True, CREATED + COMPLETED),
    "half an ending": (ResponseGuard, (CREATED + COMPLETED)[:-4], False, CREATED),
    "[DONE] in place of the ending": (ResponseGuard, CREATED + DONE, False, CREATED),
    "[DONE] behind an error that clients do not hear": (ResponseGuard, CREATED + FLAT + DONE, True, CREATED + FLAT),
    "[DONE] behind the ending": (ResponseGuard, CREATED + COMPLETED + DONE, True, None),
    "an ending without a response": (ResponseGuard, CREATED + named("response.completed"), False, CREATED),
    "a message": (MessageGuard, START + DELTA + END, True, None),
    "a message without a blank line": (MessageGuard, (START + DELTA + END)[:-2], True, START + DELTA + END),
    "a message without its stop": (MessageGuard, START + DELTA, False, None),
    "a stop without a reason": (MessageGuard, START + END, False, START),
    "a stop behind rubbish": (MessageGuard, START + DELTA[:-9] + b"\n\n" + END, False, START + DELTA[:-9] + b"\n\n"),
}


@pytest.mark.parametrize("size", [1, 10_000])
@pytest.mark.parametrize(("kind", "stream", "whole", "passed"), OTHERS.values(), ids=OTHERS)
def test_the_end_of_the_other_formats(kind, stream, whole, passed, size):
    guard = kind()
    sent = b"".join(guard.release(stream[at : at + size]) for at in range(0, len(stream), size))
    sent += b"" if guard.over else guard.finish(True)
    assert (guard.complete, sent) == (whole, stream if passed is None else passed)


COMMENTS = {
    "a comment": ([b": keep-alive\n"], [b": keep-alive\n"]),
    "with a blank line": ([b": keep-alive\n\n"], [b": keep-alive\n\n"]),
    "several": ([b": a\n", b": b\r\n", b"\n", b":\n"], [b": a\n", b": b\r\n", b"\n", b":\n"]),
    "half a comment": ([b": keep", b"-alive\n"], [b"", b": keep-alive\n"]),
    "behind an event": ([b"data: 1\n\n: x\n"], [b"data: 1\n\n: x\n"]),
    "before half an event": ([b": x\ndata: 1\n", b"\n"], [b": x\n", b"data: 1\n\n"]),
    "inside an event": ([b"data: 1\n: x\n", b"\n"], [b"", b"data: 1\n: x\n\n"]),
}


@pytest.mark.parametrize(("chunks", "passed"), COMMENTS.values(), ids=COMMENTS)
def test_a_comment_passes_as_soon_as_its_line_is_there(chunks, passed):
    guard = EventGuard()
    assert [guard.release(each) for each in chunks] == passed


@pytest.mark.parametrize("piece", [b"x" * 65_536, b": " + b"x" * 65_536, b"data: x\n" * 8192])
def test_what_is_held_of_an_event_that_does_not_end_has_a_bound(piece):
    guard = EventGuard()
    tracemalloc.start()
    try:
        with pytest.raises(BackendError) as caught:
            for _ in range(1000):
                guard.release(b"data: " + piece if piece[:1] == b"x" and not guard.boundary() else piece.rstrip(b"\n"))
        assert tracemalloc.get_traced_memory()[1] < 4 * EVENT_BYTES
    finally:
        tracemalloc.stop()
    assert caught.value.code == "too_large"


def test_a_large_event_that_ends_passes():
    event = b"data: " + b"x" * (EVENT_BYTES - 8) + b"\n\n"
    guard = EventGuard()
    assert b"".join(guard.release(event[at : at + 65_536]) for at in range(0, len(event), 65_536)) == event
