"""One connection, without a network: every split of the bytes, the clock, and both kinds of back-pressure."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.backends.http.connection import ONE_WRITE, SLICE, Connection
from router.backends.http.limits import Limits, Timeouts
from router.core.errors import BackendError

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nSum: 1\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + LENGTH
EVENTS = OK + b"Content-Type: text/event-stream\r\nContent-Length: 100\r\n\r\n"


class Wire:
    """Stands for asyncio's transport and for the loop's clock."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self.reading = True
        self.now = 100.0
        self.after_write = lambda: None

    def write(self, data) -> None:
        self.sent.append(bytes(data))
        self.after_write()

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


class Owner:
    def __init__(self) -> None:
        self.events: list[str] = []

    def released(self, connection) -> None:
        self.events.append("released")

    def lost(self, connection) -> None:
        self.events.append("lost")


def connected(limits: Limits | None = None) -> tuple[Connection, Wire, Owner]:
    wire, owner = Wire(), Owner()
    timeouts = Timeouts(first_byte_s=20, idle_s=5, total_s=60)
    connection = Connection(wire, owner, limits or Limits(), timeouts)  # type: ignore[arg-type]
    connection.connection_made(wire)  # type: ignore[arg-type]
    return connection, wire, owner


def whole(exchange) -> bytes:
    """Read an answer that has ended, without a loop."""
    reading = exchange.read()
    with pytest.raises(StopIteration) as done:
        reading.send(None)
    return done.value.value


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED, INTERIM], ids=["length", "chunked", "interim"])
def test_every_pair_of_cuts_gives_the_same_answer(answer):
    for first, second in itertools.combinations(range(len(answer)), 2):
        connection, _, owner = connected()
        exchange = connection.begin(streaming=False)
        for piece in (answer[:first], answer[first:second], answer[second:]):
            if piece:
                assert not exchange.over
                connection.data_received(piece)
        assert (exchange.status, whole(exchange), owner.events) == (200, b"hello", ["released"])


@given(st.lists(st.sampled_from([LENGTH, CHUNKED, INTERIM]), min_size=1, max_size=4), st.data())
def test_a_connection_serves_again_and_again(answers, data):
    connection, _, owner = connected()
    for answer in answers:
        exchange = connection.begin(streaming=data.draw(st.booleans()))
        while answer:
            size = data.draw(st.integers(1, len(answer)))
            connection.data_received(answer[:size])
            answer = answer[size:]
        assert whole(exchange) == b"hello"
    assert owner.events == ["released"] * len(answers)


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_at_all_upset_it(rubbish, streaming):
    connection, wire, owner = connected()
    exchange = connection.begin(streaming=streaming)
    connection.data_received(OK + rubbish)
    connection.eof_received()
    connection.connection_lost(None)
    assert exchange.over and wire.closed
    assert owner.events[-1] == "lost" and owner.events.count("lost") == 1
    if exchange.complete:
        assert exchange.status == 200


def test_trailers_are_no_headers():
    connection, _, _ = connected()
    exchange = connection.begin(streaming=False)
    connection.data_received(CHUNKED)
    assert exchange.headers == [(b"transfer-encoding", b"chunked")]


def test_what_it_is_told_after_the_end_changes_nothing():
    connection, _, owner = connected()
    exchange = connection.begin(streaming=False)
    connection.data_received(LENGTH + b"HTTP/1.1 500 No\r\nX: y\r\nContent-Length: 3\r\n\r\nbad")
    assert (exchange.status, exchange.headers) == (200, [(b"content-length", b"5")])
    assert whole(exchange) == b"hello"
    assert owner.events == ["lost"]


@pytest.mark.parametrize(("loss", "whole"), [(None, True), (ConnectionResetError(), False)])
def test_only_an_orderly_end_ends_an_answer_without_a_length(loss, whole):
    connection, _, _ = connected()
    exchange = connection.begin(streaming=False)
    connection.data_received(OK + b"\r\nhello")
    connection.connection_lost(loss)
    assert exchange.complete is whole
    assert whole or exchange.error.code == "truncated"


class TestClock:
    """`deadline` is when the connection is looked at again."""

    def test_it_waits_for_the_body_and_not_for_the_head(self):
        connection, wire, _ = connected()
        connection.begin(streaming=True)
        assert connection.deadline == 120
        wire.now = 110
        connection.data_received(EVENTS)
        assert connection.deadline == 120
        connection.data_received(b"a")
        assert connection.deadline == 115

    def test_each_chunk_buys_time_but_no_more_than_the_total(self):
        connection, wire, _ = connected()
        connection.begin(streaming=True)
        connection.data_received(EVENTS)
        for wire.now, deadline in ((104, 109), (108, 113), (158, 160), (159, 160)):
            connection.data_received(b"a")
            assert connection.deadline == deadline

    def test_a_reader_that_is_slow_is_no_silent_backend(self):
        connection, wire, _ = connected(Limits(buffer_bytes=10))
        exchange = connection.begin(streaming=True)
        connection.data_received(EVENTS + b"a" * 11)
        assert (wire.reading, exchange.paused, connection.deadline) == (False, True, 160)
        wire.now = 150
        reading = exchange.__anext__()
        with pytest.raises(StopIteration):
            reading.send(None)
        assert (wire.reading, exchange.paused, connection.deadline) == (True, False, 155)

    def test_an_idle_connection_has_none_of_its_own(self):
        connection, _, _ = connected()
        connection.begin(streaming=False)
        connection.data_received(LENGTH)
        assert connection.deadline == math.inf

    @pytest.mark.parametrize(
        ("said", "now", "code"),
        [
            (b"", 120, "timeout_first_byte"),
            (EVENTS, 120, "timeout_first_byte"),
            (EVENTS + b"a", 105, "timeout_idle"),
            (EVENTS + b"a", 160, "timeout_total"),
        ],
    )
    def test_what_is_late_is_told_apart(self, said, now, code):
        connection, wire, owner = connected()
        exchange = connection.begin(streaming=True)
        if said:
            connection.data_received(said)
        connection.expire(now)
        assert exchange.error is not None and exchange.error.code == code
        assert wire.closed and owner.events == ["lost"]


async def test_a_small_request_is_one_write():
    connection, wire, _ = connected()
    exchange = connection.begin(streaming=False)
    task = asyncio.create_task(connection.submit(exchange, b"head", b"b" * ONE_WRITE))
    await asyncio.sleep(0)
    assert wire.sent == [b"head" + b"b" * ONE_WRITE]
    connection.data_received(LENGTH)
    await task


async def test_a_large_request_waits_for_the_peer():
    connection, wire, owner = connected()
    exchange = connection.begin(streaming=False)
    body = bytes(3 * SLICE + 1)
    wire.after_write = connection.pause_writing  # full after every write
    task = asyncio.create_task(connection.submit(exchange, b"head", body))
    for written in range(1, 5):
        await asyncio.sleep(0)
        assert len(wire.sent) == written
        connection.resume_writing()
    await asyncio.sleep(0)
    assert b"".join(wire.sent) == b"head" + body
    connection.data_received(LENGTH)
    await task
    assert owner.events == ["released"]


async def test_an_early_answer_ends_a_large_request():
    connection, wire, owner = connected()
    exchange = connection.begin(streaming=False)
    connection.pause_writing()
    task = asyncio.create_task(connection.submit(exchange, b"head", bytes(3 * SLICE)))
    await asyncio.sleep(0)
    connection.data_received(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
    await task
    assert (exchange.status, await exchange.read()) == (413, b"hello")
    assert wire.sent == [b"head"]
    assert owner.events == ["lost"]  # half a request is still to come: nothing else may be sent here


async def test_an_early_head_does_not():
    connection, wire, _ = connected()
    exchange = connection.begin(streaming=True)
    connection.pause_writing()
    task = asyncio.create_task(connection.submit(exchange, b"head", bytes(2 * SLICE)))
    await asyncio.sleep(0)
    connection.data_received(EVENTS)
    await asyncio.sleep(0)
    assert not task.done()
    connection.resume_writing()
    await task
    assert len(b"".join(wire.sent)) == 4 + 2 * SLICE


async def test_a_stream_that_is_read_whole_after_all_is_not_held_back():
    connection, wire, _ = connected(Limits(buffer_bytes=10))
    exchange = connection.begin(streaming=True)
    connection.data_received(OK + b"Content-Length: 40\r\n\r\n" + b"a" * 20)
    assert not wire.reading
    task = asyncio.create_task(exchange.read())
    await asyncio.sleep(0)
    assert wire.reading
    connection.data_received(b"a" * 20)
    assert await task == b"a" * 40


async def test_what_the_parser_was_refused_reaches_the_reader():
    connection, _, _ = connected(Limits(body_bytes=10))
    exchange = connection.begin(streaming=False)
    connection.data_received(OK + b"Content-Length: 11\r\n\r\n")
    with pytest.raises(BackendError, match="exceeds 10 bytes"):
        await exchange.read()
