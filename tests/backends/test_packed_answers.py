"""Answers that come packed although none was asked for: unpacked as they come, bounded, and never whole when cut."""

from __future__ import annotations

import asyncio
import random
import zlib

import pytest

from router.backends.http.limits import Limits
from router.core.errors import BackendError
from tests.core.test_codings import PACK

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: "
TEXT = b'{"said": "' + random.Random(1).randbytes(100_000).hex().encode() + b'"}'


def framed(coding: str, packed: bytes, framing: str) -> bytes:
    head = OK + coding.encode() + b"\r\n"
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed
    if framing == "chunked":
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(packed) + packed + b"\r\n0\r\n\r\n"
    return head + b"\r\n" + packed


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", PACK)
async def test_a_packed_answer_is_unpacked(origin, connect, answering, name, stream, framing):
    coding, pack = PACK[name]
    transport = connect(await origin.start(answering(framed(coding, pack(TEXT), framing), then_close=True)))
    response = await transport.send("POST", "/chat/completions", b"{}", stream=stream)
    assert await response.read() == TEXT


async def test_the_next_answer_of_the_connection_is_plain(origin, connect):
    async def script(peer):
        await peer.request()
        await peer.say(framed("gzip", PACK["gzip"][1](TEXT), "length"))
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await peer.gone()

    transport = connect(await origin.start(script))
    assert [await (await transport.send("POST", "/x", b"{}")).read() for _ in range(2)] == [TEXT, b"ok"]


async def test_an_event_of_a_packed_stream_is_passed_on_at_once(origin, connect):
    read = asyncio.Event()

    async def script(peer):
        packer = zlib.compressobj(wbits=31)
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n"
        await peer.say(head + packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH))
        await read.wait()
        await peer.say(packer.compress(b"data: 2\n\n") + packer.flush())

    transport = connect(await origin.start(script))
    response = await transport.send("POST", "/chat/completions", b"{}", stream=True)
    assert await anext(response) == b"data: 1\n\n"
    read.set()
    assert b"".join([chunk async for chunk in response]) == b"data: 2\n\n"


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
@pytest.mark.parametrize("name", PACK)
async def test_what_was_packed_and_cut_is_never_whole(origin, connect, answering, name, framing):
    coding, pack = PACK[name]
    transport = connect(await origin.start(answering(framed(coding, pack(TEXT)[:-5], framing), then_close=True)))
    with pytest.raises(BackendError) as caught:
        await (await transport.send("POST", "/chat/completions", b"{}")).read()
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", PACK)
async def test_a_bomb_stays_within_the_limit(origin, connect, answering, name, stream):
    coding, pack = PACK[name]
    limits = Limits(body_bytes=1 << 20)
    transport = connect(await origin.start(answering(framed(coding, pack(bytes(50 << 20)), "length"))), limits=limits)
    with pytest.raises(BackendError) as caught:
        await (await transport.send("POST", "/chat/completions", b"{}", stream=stream)).read()
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_nothing_may_be_said_to_be_packed(origin, connect, answering, status):
    answer = b"HTTP/1.1 %d X\r\nContent-Encoding: gzip\r\n" % status
    answer += b"Content-Length: 0\r\n\r\n" if status == 200 else b"\r\n"
    transport = connect(await origin.start(answering(answer)))
    assert await (await transport.send("POST", "/chat/completions", b"{}")).read() == b""
