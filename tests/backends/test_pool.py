"""When a connection serves again, who gets it, and what is sent twice."""

from __future__ import annotations

import asyncio

import pytest

from router.backends.http.limits import Limits, Timeouts
from router.core.errors import BackendError, SettingsError

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 2\r\n\r\nok"


async def ask(transport, body=b"{}"):
    response = await transport.send("POST", "/chat/completions", body)
    return await response.read()


async def serve_all(peer):
    while True:
        body = await peer.request()
        await peer.say(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def test_one_connection_serves_request_after_request(origin, connect):
    transport = connect(await origin.start(serve_all))
    assert [await ask(transport, b"%d" % n) for n in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert origin.connections == 1


NOT_AGAIN = {
    "close": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "old version": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "another answer behind": PLAIN + PLAIN,
    "rubbish behind": PLAIN + b"rubbish",
    "rubbish behind close": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok rubbish",
}


@pytest.mark.parametrize("answer", NOT_AGAIN.values(), ids=NOT_AGAIN)
async def test_some_answers_spend_their_connection(origin, connect, answering, answer):
    transport = connect(await origin.start(answering(answer)))
    assert [await ask(transport), await ask(transport)] == [b"ok", b"ok"]
    assert origin.connections == 2


async def test_bytes_that_nobody_asked_for_close_an_idle_connection(origin, connect):
    more = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(PLAIN)
        await more.wait()
        await peer.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    transport = connect(await origin.start(script))
    await ask(transport)
    more.set()
    await origin.left.wait()
    assert await ask(transport) == b"ok"
    assert origin.connections == 2


async def test_empty_lines_behind_an_answer_are_forgiven(origin, connect, answering):
    """RFC 9112, 2.2 asks servers to, of clients; some servers send them too."""
    transport = connect(await origin.start(answering(PLAIN + b"\r\n", PLAIN)))
    assert [await ask(transport), await ask(transport)] == [b"ok", b"ok"]
    assert origin.connections == 1


async def test_an_idle_connection_that_the_origin_closes_is_not_used(origin, connect, answering):
    transport = connect(await origin.start(answering(PLAIN, then_close=True)))
    for number in range(1, 4):
        assert await ask(transport) == b"ok"
        assert len(origin.requests) == number


async def test_an_idle_connection_is_closed_when_its_time_is_over(origin, connect, answering):
    transport = connect(await origin.start(answering(PLAIN)), limits=Limits(keep_alive_s=0.02))
    await ask(transport)
    await origin.left.wait()


async def test_no_more_idle_connections_than_allowed(origin, connect):
    transport = connect(await origin.start(serve_all), limits=Limits(idle=2))
    await asyncio.gather(*[ask(transport) for _ in range(5)])
    await origin.left.wait()
    before = origin.connections
    await asyncio.gather(*[ask(transport) for _ in range(2)])
    assert (before, origin.connections) == (5, 5)


@pytest.mark.parametrize("orderly", [True, False], ids=["end", "reset"])
class TestStale:
    """A kept connection that was closed just as a request went out."""

    async def test_the_request_goes_out_once_more_on_a_fresh_connection(self, origin, connect, orderly):
        async def script(peer):
            await peer.request()
            await peer.say(PLAIN)
            await peer.request()
            if peer.number > 1:
                await peer.say(PLAIN)
            elif not orderly:
                peer.reset()

        transport = connect(await origin.start(script))
        assert [await ask(transport, b"1"), await ask(transport, b"2")] == [b"ok", b"ok"]
        assert [body for _, body in origin.requests] == [b"1", b"2", b"2"]
        assert origin.connections == 2

    async def test_but_not_twice(self, origin, connect, orderly):
        async def script(peer):
            await peer.request()
            if peer.number == 1:
                await peer.say(PLAIN)
                await peer.request()
            if not orderly:
                peer.reset()

        transport = connect(await origin.start(script))
        await ask(transport, b"1")
        with pytest.raises(BackendError) as caught:
            await ask(transport, b"2")
        assert caught.value.code == "reset"
        assert [body for _, body in origin.requests] == [b"1", b"2", b"2"]

    async def test_nor_when_the_connection_was_new(self, origin, connect, orderly):
        async def script(peer):
            await peer.request()
            if not orderly:
                peer.reset()

        transport = connect(await origin.start(script))
        with pytest.raises(BackendError, match="without an answer"):
            await ask(transport)
        assert len(origin.requests) == 1

    async def test_nor_when_the_answer_had_begun(self, origin, connect, orderly):
        async def script(peer):
            await peer.request()
            await peer.say(PLAIN)
            await peer.request()
            await peer.say(b"H")
            if not orderly:
                await asyncio.sleep(0.01)  # the byte must not be overtaken by the reset
                peer.reset()

        transport = connect(await origin.start(script))
        await ask(transport)
        with pytest.raises(BackendError) as caught:
            await ask(transport)
        assert caught.value.code == "truncated"
        assert len(origin.requests) == 2


async def test_a_request_that_was_being_served_is_not_sent_again(origin, connect, monkeypatch):
    monkeypatch.setattr("router.backends.http.connection.STALE_S", 0.0)

    async def script(peer):
        await peer.request()
        await peer.say(PLAIN)
        await peer.request()

    transport = connect(await origin.start(script))
    await ask(transport)
    with pytest.raises(BackendError, match="without an answer"):
        await ask(transport)
    assert len(origin.requests) == 2


class TestLimit:
    """More requests than connections."""

    async def test_those_who_wait_are_served_in_their_order(self, origin, connect):
        transport = connect(await origin.start(serve_all), limits=Limits(connections=2))
        bodies = [b"%d" % n for n in range(20)]
        assert await asyncio.gather(*[ask(transport, body) for body in bodies]) == bodies
        assert origin.connections == 2
        served = [body for _, body in origin.requests]
        assert all(abs(served.index(body) - place) <= 1 for place, body in enumerate(bodies))

    async def test_a_connection_that_breaks_makes_room_for_the_next(self, origin, connect, answering):
        answer = OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"
        transport = connect(await origin.start(answering(answer)), limits=Limits(connections=1))
        assert await asyncio.gather(*[ask(transport) for _ in range(5)]) == [b"ok"] * 5
        assert origin.connections == 5

    async def test_the_line_has_an_end(self, origin, connect, answering):
        transport = connect(await origin.start(answering(b"")), limits=Limits(connections=1, waiting=1))
        tasks = [asyncio.create_task(ask(transport)) for _ in range(2)]
        while not origin.requests:
            await asyncio.sleep(0)
        with pytest.raises(BackendError) as caught:
            await ask(transport)
        assert (caught.value.code, caught.value.status) == ("saturated", 503)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_waiting_has_an_end(self, origin, connect, answering):
        transport = connect(
            await origin.start(answering(b"")), limits=Limits(connections=1), timeouts=Timeouts(connect_s=0.02)
        )
        first = asyncio.create_task(ask(transport))
        while not origin.requests:
            await asyncio.sleep(0)
        with pytest.raises(BackendError) as caught:
            await ask(transport)
        assert caught.value.code == "timeout_connect"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    async def test_one_who_leaves_the_line_takes_nothing_along(self, origin, connect):
        turn = asyncio.Event()

        async def script(peer):
            while True:
                await peer.request()
                await turn.wait()
                await peer.say(PLAIN)

        transport = connect(await origin.start(script), limits=Limits(connections=1))
        tasks = [asyncio.create_task(ask(transport, b"%d" % n)) for n in range(4)]
        while not origin.requests:
            await asyncio.sleep(0)
        tasks[1].cancel()  # in the line
        tasks[0].cancel()  # being served: its connection closes
        turn.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[2:] == [b"ok", b"ok"]
        assert await ask(transport) == b"ok"

    async def test_one_who_leaves_as_the_turn_comes_passes_it_on(self, origin, connect):
        transport = connect(await origin.start(serve_all), limits=Limits(connections=1))
        first, second, third = (asyncio.create_task(ask(transport, body)) for body in (b"1", b"2", b"3"))
        released = transport.released

        def and_leave(connection):
            released(connection)  # it is second's now
            second.cancel()

        transport.released = and_leave
        done = await asyncio.gather(first, second, third, return_exceptions=True)
        assert (done[0], done[2]) == (b"1", b"3") and isinstance(done[1], asyncio.CancelledError)
        assert await ask(transport, b"4") == b"4"
        assert origin.connections == 1

    async def test_failing_to_connect_frees_the_place(self, origin, connect, answering):
        url = await origin.start(answering(PLAIN))
        await origin.stop()
        transport = connect(url, limits=Limits(connections=1))
        for _ in range(3):
            with pytest.raises(BackendError) as caught:
                await ask(transport)
            assert caught.value.code == "connect_failed"

    async def test_a_stale_connection_makes_room_when_all_places_are_taken(self, origin, connect):
        async def script(peer):
            await peer.request()
            await peer.say(PLAIN)
            if peer.number == 1:
                await peer.request()
                return
            await serve_all(peer)

        transport = connect(await origin.start(script), limits=Limits(connections=1))
        assert [await ask(transport, b"ok"), await ask(transport, b"ok")] == [b"ok", b"ok"]
        assert origin.connections == 2


class TestClosing:
    async def test_idle_connections_close(self, origin, connect, answering):
        transport = connect(await origin.start(answering(PLAIN)))
        await ask(transport)
        await transport.aclose()
        await origin.left.wait()
        with pytest.raises(BackendError) as caught:
            await ask(transport)
        assert caught.value.code == "closed"

    async def test_those_who_are_served_and_those_who_wait_fail(self, origin, connect, answering):
        transport = connect(await origin.start(answering(b"")), limits=Limits(connections=1))
        tasks = [asyncio.create_task(ask(transport)) for _ in range(3)]
        while not origin.requests:
            await asyncio.sleep(0)
        await transport.aclose()
        errors = await asyncio.gather(*tasks, return_exceptions=True)
        assert [error.code for error in errors] == ["closed"] * 3


@pytest.mark.parametrize("headers", [[("authorization", "Bearer k\n")], [("a b", "c")], [("x", "ключ")]])
def test_headers_that_cannot_be_sent_are_an_error_at_start(connect, headers):
    with pytest.raises(SettingsError, match="cannot be sent"):
        connect("http://127.0.0.1:9", headers=headers)
