"""Streams as the world sends them, from a socket to the official client: odd ones pass, broken ones raise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import openai
import pytest

from router.server.settings import BackendSettings, LimitSettings
from tests.support.serving import serving_router
from tests.transparency.asking import Stage, ask, play_of, read
from tests.transparency.conftest import HERE
from tests.transparency.exchanges import STREAMS, WHOLE, Exchange, events_of
from tests.transparency.playing import ID, Framing, Play, playing

COMMENT = b": keep-alive\n\n"
PLAIN = [each for each in STREAMS if each.name.endswith("/plain") and each.method == "POST"]
_numbers = count(1)


@pytest.fixture(scope="module")
def world() -> Iterator[Stage]:
    arguments = ("--pack", str(HERE / "empty.yaml"), "--config", str(HERE / "world.yaml"))
    with playing() as player, serving_router(*arguments, env={"PLAYER": player.url}) as router:
        yield Stage(player, router.url)


# --------------------------------------------------------------------------------------------------------- silence


def test_a_model_may_think_for_minutes() -> None:
    assert BackendSettings(type="echo").timeouts.idle_s >= 300
    assert LimitSettings().stream_comment_s == 15


async def hear_comments(world: Stage, exchange: Exchange, pieces: tuple[bytes, ...]) -> bytes:
    """Return the body that came where every piece is said only after two comments have come since the one before."""
    gate, seen = threading.Semaphore(1), 0

    def see(raw: bytes) -> None:
        nonlocal seen
        comments = read(raw).body.count(COMMENT) // 2
        for _ in range(comments - seen):
            gate.release()
        seen = max(seen, comments)

    play_id = f"silent {next(_numbers)}"
    world.player.plays[play_id] = replace(play_of(exchange, framing="chunked", gate=gate), pieces=pieces)
    got = await ask(world.router_url, exchange, play_id, see=see)
    assert got.whole and seen >= len(pieces) - 1
    return got.body


@pytest.mark.parametrize("exchange", PLAIN, ids=str)
async def test_a_silent_stream_is_kept_alive_by_comments(exchange: Exchange, world: Stage) -> None:
    first, *rest = events_of(exchange.answer)
    body = await hear_comments(world, exchange, (first, b"".join(rest)))
    assert body.startswith(first + COMMENT)
    assert body.replace(COMMENT, b"") == exchange.answer


@pytest.mark.parametrize("exchange", PLAIN, ids=str)
async def test_no_comment_comes_into_the_midst_of_an_event(exchange: Exchange, world: Stage) -> None:
    first, second, *rest = events_of(exchange.answer)
    half = len(second) // 2
    body = await hear_comments(world, exchange, (first + second[:half], second[half:] + b"".join(rest)))
    assert [event for event in events_of(body) if event != COMMENT] == events_of(exchange.answer)


def test_behind_ids_no_blank_line_is_added(world: Stage) -> None:
    gate = threading.Semaphore(1)
    play = replace(events(b""), pieces=(b"id: 1\n" + HI, b"id: 2\n" + STOP + DONE), gate=gate)
    threading.Timer(0.5, gate.release).start()
    assert read_chat(world, play, "m") == ("Hi", "stop")  # the client fails on a blank line behind an id


@pytest.mark.parametrize("exchange", [each for each in WHOLE if each.name.endswith("/plain")], ids=str)
async def test_a_whole_answer_gets_no_comments(exchange: Exchange, world: Stage) -> None:
    gate = threading.Semaphore(1)
    half = len(exchange.answer) // 2
    pieces = (exchange.answer[:half], exchange.answer[half:])
    play_id = f"whole {next(_numbers)}"
    world.player.plays[play_id] = replace(play_of(exchange, framing="chunked", gate=gate), pieces=pieces)
    threading.Timer(0.3, gate.release).start()
    assert (await ask(world.router_url, exchange, play_id)).body == exchange.answer


async def test_a_comment_with_one_line_break_comes_at_once(world: Stage) -> None:
    gate, theirs = threading.Semaphore(2), b": PROCESSING\n"
    seen = 0

    def see(raw: bytes) -> None:
        nonlocal seen
        if (now := read(raw).body.count(theirs)) > seen:
            gate.release(now - seen)
            seen = now

    (exchange,) = [each for each in PLAIN if each.format == "chat"][:1]
    first, *rest = events_of(exchange.answer)
    play_id = f"comments {next(_numbers)}"
    pieces = (first, theirs, theirs, theirs, b"\n" + b"".join(rest))
    world.player.plays[play_id] = replace(play_of(exchange, framing="chunked", gate=gate), pieces=pieces)
    got = await ask(world.router_url, exchange, play_id, see=see)
    assert got.body.replace(COMMENT, b"").replace(theirs, b"") == first + b"\n" + b"".join(rest)


# ------------------------------------------------------------------------------------------------------------ ends


def chunk(text: str = "", reason: str | None = None, index: object = 0) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": reason}
    said = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


HI, STOP, DONE = chunk("Hi"), chunk(reason="stop"), b"data: [DONE]\n\n"
NAMED = b'event: error\ndata: {"message": "Overloaded"}\n\n'
ENDLESS = b"data: " + b"x" * (9 << 20)
SEEN_WHOLE: dict[str, tuple[bytes, str, Framing]] = {
    "one line break behind [DONE]": ((HI + STOP + DONE)[:-1], "m", "chunked"),
    "none": ((HI + STOP + DONE)[:-2], "m", "chunked"),
    "none, and the connection is closed": ((HI + STOP + DONE)[:-2], "m", "close"),
    "no [DONE]": (HI + STOP, "m", "chunked"),
    "no [DONE], of a lenient backend": (HI + STOP, "lenient", "close"),
    "no reason, of a lenient backend": (HI + DONE, "lenient", "chunked"),
    "index null": (chunk("Hi", index=None) + chunk(reason="stop", index=None) + DONE, "m", "chunked"),
    "an index here, null there": (HI + chunk(reason="stop", index=None) + DONE, "m", "chunked"),
    "CR": ((HI + STOP + DONE).replace(b"\n", b"\r"), "m", "chunked"),
}
SEEN_BROKEN: dict[str, tuple[bytes, str, Framing, str]] = {
    "no reason": (HI + DONE, "m", "chunked", "truncated"),
    "nothing but [DONE]": (DONE, "m", "chunked", "truncated"),
    "neither, of a lenient backend": (HI, "lenient", "chunked", "truncated"),
    "no [DONE], and the connection is closed": (HI + STOP, "m", "close", "truncated"),
    "an error that clients do not hear": (HI + NAMED + DONE, "m", "chunked", "stream_error"),
    "an event without an end": (HI + ENDLESS, "m", "chunked", "too_large"),
}


def client(world: Stage, play: Play) -> openai.OpenAI:
    play_id = f"world {next(_numbers)}"
    world.player.plays[play_id] = play
    return openai.OpenAI(
        api_key="x", base_url=f"{world.router_url}/v1", max_retries=0, timeout=30, default_headers={ID: play_id}
    )


def events(body: bytes, framing: Framing = "chunked") -> Play:
    step = 1 << 20
    pieces = tuple(body[at : at + step] for at in range(0, len(body), step))
    return Play(pieces, headers={"content-type": "text/event-stream"}, framing=framing)


def read_chat(world: Stage, play: Play, model: str) -> tuple[str, str | None]:
    """Return the text and the reason that the official client reads."""
    with client(world, play) as asking:
        stream = asking.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
        choices = [choice for chunk in stream for choice in chunk.choices or ()]
    reasons = [choice.finish_reason for choice in choices if choice.finish_reason]
    return "".join(choice.delta.content or "" for choice in choices), reasons[-1] if reasons else None


@pytest.mark.parametrize(("stream", "model", "framing"), SEEN_WHOLE.values(), ids=SEEN_WHOLE)
def test_an_odd_stream_that_is_whole_is_read(stream: bytes, model: str, framing: Framing, world: Stage) -> None:
    text, reason = read_chat(world, events(stream, framing), model)
    assert (text, reason) == ("Hi", "stop" if b'"stop"' in stream else None)


@pytest.mark.parametrize(("stream", "model", "framing", "code"), SEEN_BROKEN.values(), ids=SEEN_BROKEN)
def test_a_stream_that_is_not_whole_raises(
    stream: bytes, model: str, framing: Framing, code: str, world: Stage
) -> None:
    with pytest.raises(openai.APIError) as caught:
        read_chat(world, events(stream, framing), model)
    assert caught.value.code == code


async def test_our_error_stands_in_place_of_a_done_too_early(world: Stage) -> None:
    (exchange,) = [each for each in PLAIN if each.format == "chat"][:1]
    # The connection stays open behind it: nobody waits for what will not come.
    play = replace(play_of(exchange, framing="chunked", ending="silence"), pieces=(HI + DONE + STOP + DONE,))
    got, _ = await world.through(exchange, play)
    assert got.whole and got.body.startswith(HI) and b"DONE" not in got.body
    assert json.loads(got.body[len(HI) :].removeprefix(b"data: "))["error"]["code"] == "truncated"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
def test_a_whole_answer_to_a_request_for_a_stream_is_streamed(kind: str, world: Stage) -> None:
    message = {"role": "assistant", "content": "Hi"}
    answer = {"id": "chatcmpl-1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    pieces = (b"\n", b" \n", json.dumps(answer).encode())  # white space in front keeps connections alive
    play = Play(pieces, headers={"content-type": kind} if kind else {}, framing="chunked")
    assert read_chat(world, play, "m") == ("Hi", "stop")


def test_a_whole_response_to_a_request_for_a_stream_is_streamed(world: Stage) -> None:
    part = {"type": "output_text", "text": "Hi", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
    answer = {"id": "resp_1", "object": "response", "status": "completed", "output": [message]}
    with client(world, Play((json.dumps(answer).encode(),))) as asking:
        told = list(asking.responses.create(model="m", input="Hi", stream=True))
    assert told[-1].type == "response.completed"
    assert [each.delta for each in told if each.type == "response.output_text.delta"] == ["Hi"]


@pytest.mark.parametrize("answer", [b'{"object": "list"}', b'{"choices": [', b'{"a": 1}\n{"b": 2}\n'])
def test_what_is_neither_an_answer_nor_a_stream_is_an_error(answer: bytes, world: Stage) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        read_chat(world, Play((answer,)), "m")
    assert (caught.value.status_code, caught.value.code) == (502, "backend_garbage")
