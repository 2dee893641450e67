"""The contract of a transport: what comes back is what the origin framed, in one piece or in many."""

from __future__ import annotations

import asyncio

import pytest

from router.backends.http.limits import Limits
from router.core.errors import BackendError

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
JSON = b'{"id":"chatcmpl-1","choices":[]}'

FRAMINGS = {
    "length": OK + b"Content-Length: 32\r\n\r\n" + JSON,
    "length and close": OK + b"Connection: close\r\nContent-Length: 32\r\n\r\n" + JSON,
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + JSON[:5] + b"\r\n1b\r\n" + JSON[5:] + b"\r\n0\r\n\r\n",
    "extension and trailer": OK + b"Transfer-Encoding: Chunked\r\n\r\n20;a=b\r\n" + JSON + b"\r\n0\r\nX-Sum: 1\r\n\r\n",
    "after interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    + OK
    + b"content-length:32\r\n\r\n"
    + JSON,
    "old version": b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n" + JSON,
    "no reason": b"HTTP/1.1 200\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n" + JSON,
}
UNTIL_CLOSE = OK + b"\r\n" + JSON


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("answer", [*FRAMINGS.values(), UNTIL_CLOSE], ids=[*FRAMINGS, "until close"])
async def test_every_framing_gives_the_same_answer(origin, connect, answering, answer, stream):
    transport = connect(await origin.start(answering(answer, then_close=answer is UNTIL_CLOSE)))
    response = await transport.send("POST", "/chat/completions", b"{}", stream=stream)
    assert response.status == 200
    assert response.content_type == b"application/json"
    assert response.until_close is (answer is UNTIL_CLOSE)
    assert b"".join([chunk async for chunk in response]) == JSON


@pytest.mark.parametrize("answer", FRAMINGS.values(), ids=FRAMINGS)
async def test_an_answer_in_single_bytes(origin, connect, answer):
    async def script(peer):
        await peer.request()
        for at in range(len(answer)):
            await peer.say(answer[at : at + 1])
            await asyncio.sleep(0)
        await peer.gone()

    transport = connect(await origin.start(script))
    response = await transport.send("POST", "/chat/completions", b"{}")
    assert await response.read() == JSON


@pytest.mark.parametrize("orderly", [True, False], ids=["end", "reset"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("answer", FRAMINGS.values(), ids=FRAMINGS)
async def test_an_answer_cut_anywhere_never_looks_complete(origin, connect, answer, stream, orderly):
    cuts = iter(range(len(answer)))

    async def script(peer):
        await peer.request()
        await peer.say(answer[: next(cuts)])
        if not orderly:
            peer.reset()

    transport = connect(await origin.start(script))
    for cut in range(len(answer)):
        with pytest.raises(BackendError) as caught:
            response = await transport.send("POST", "/chat/completions", b"{}", stream=stream)
            await response.read()
        allowed = {"reset"} if cut == 0 else {"truncated"} if orderly else {"truncated", "reset"}
        assert caught.value.code in allowed
        assert caught.value.status == 502 and caught.value.retryable
    assert origin.connections == len(answer)


async def test_what_came_before_a_cut_is_read_before_the_error(origin, connect, answering):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    transport = connect(await origin.start(answering(head + b"5\r\nhello\r\n", then_close=True)))
    response = await transport.send("POST", "/chat/completions", b"{}")
    read = []
    with pytest.raises(BackendError, match="middle of its answer"):
        async for chunk in response:
            read.append(chunk)
    assert b"".join(read) == b"hello"


async def test_a_stream_is_relayed_as_it_comes(origin, connect):
    turn = asyncio.Event()

    async def script(peer):
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n")
        await peer.say(b"Transfer-Encoding: chunked\r\n\r\n")
        for event in (b"one", b"two", b"six"):
            await turn.wait()
            turn.clear()
            await peer.say(b"3\r\n" + event + b"\r\n")
        await peer.say(b"0\r\n\r\n")
        await peer.gone()

    transport = connect(await origin.start(script))
    response = await transport.send("POST", "/chat/completions", b"{}")
    read = []
    turn.set()
    async for chunk in response:
        read.append(chunk)
        turn.set()
    assert read == [b"one", b"two", b"six"]
    assert response.streaming and response.complete


async def test_statuses_and_headers_arrive_as_they_are(origin, connect, answering):
    answer = b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nX-Two: a\r\nX-Two: b\r\nX-None:\r\nContent-Length: 2\r\n\r\nno"
    transport = connect(await origin.start(answering(answer)))
    response = await transport.send("POST", "/chat/completions", b"{}", stream=True)
    assert response.status == 429
    assert response.headers == [
        (b"retry-after", b"7"),
        (b"x-two", b"a"),
        (b"x-two", b"b"),
        (b"x-none", b""),
        (b"content-length", b"2"),
    ]
    assert await response.read() == b"no"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(origin, connect, answering, status):
    answer = b"HTTP/1.1 %d X\r\nETag: a\r\n\r\n" % status
    transport = connect(await origin.start(answering(answer, answer)))
    for _ in range(2):
        response = await transport.send("GET", "/models")
        assert (response.status, await response.read()) == (status, b"")
    assert origin.connections == 1


async def test_the_request_is_what_was_asked_and_no_more(origin, connect, answering):
    transport = connect(
        await origin.start(answering(FRAMINGS["length"], FRAMINGS["length"])), headers=[("authorization", "Bearer k")]
    )
    await transport.send("POST", "/chat/completions", b'{"a":1}', [("traceparent", "00-1")])
    await transport.send("GET", "/models")
    address = origin.url.removeprefix("http://").removesuffix("/v1").encode()
    fixed = b"host: " + address + b"\r\nauthorization: Bearer k\r\naccept-encoding: identity\r\n"
    posted, got = origin.requests
    assert posted == (
        b"POST /v1/chat/completions HTTP/1.1\r\n"
        + fixed
        + b"traceparent: 00-1\r\ncontent-type: application/json\r\ncontent-length: 7\r\n\r\n",
        b'{"a":1}',
    )
    assert got == (b"GET /v1/models HTTP/1.1\r\n" + fixed + b"\r\n", b"")


async def test_large_bodies_both_ways(origin, connect):
    async def script(peer):
        body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 100_000):
            await peer.say(body[at : at + 100_000])
        await peer.gone()

    sent = bytes(range(256)) * 32_768  # 8 MiB
    transport = connect(await origin.start(script), limits=Limits(buffer_bytes=65_536))
    response = await transport.send("POST", "/chat/completions", sent, stream=True)
    got = bytearray()
    async for chunk in response:
        got += chunk
        await asyncio.sleep(0)
    assert bytes(got) == sent


async def test_a_reader_that_does_not_read_stops_the_origin(origin, connect):
    sent = 0

    async def script(peer):
        nonlocal sent
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        peer.writer.transport.set_write_buffer_limits(high=0)
        for _ in range(1000):
            await peer.say(bytes(100_000))
            sent += 100_000

    limits = Limits(buffer_bytes=65_536)
    transport = connect(await origin.start(script), limits=limits)
    response = await transport.send("POST", "/chat/completions", b"{}", stream=True)
    while not response.paused:
        await asyncio.sleep(0)
    before = -1
    while before != sent:  # until the kernel's buffers are full as well
        before = sent
        await asyncio.sleep(0.02)
    assert sent < 50_000_000
    assert response.held <= limits.buffer_bytes + 256 * 1024
    await response.aclose()


async def test_names_and_both_families_are_reached(origin, connect, answering):
    for host in ("localhost", "::1"):
        url = await origin.start(answering(FRAMINGS["length"]), host="::1" if host == "::1" else "127.0.0.1")
        transport = connect(url.replace("127.0.0.1", host))
        assert await (await transport.send("GET", "/models")).read() == JSON
