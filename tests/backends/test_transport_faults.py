"""The contract of a transport when the origin, the network or the caller does not keep to theirs."""

from __future__ import annotations

import asyncio
import socket

import pytest

from router.backends.http.limits import FAILURES, Limits, Timeouts
from router.core.errors import BackendError

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 2\r\n\r\nok"
SHORT_S = 0.02


async def failure_of(transport, *, stream=False, body=b"{}"):
    with pytest.raises(BackendError) as caught:
        response = await transport.send("POST", "/chat/completions", body, stream=stream)
        await response.read()
    error = caught.value
    assert (error.status, error.retryable) == FAILURES[error.code]
    return error


GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "http 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "another version": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 abc OK\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "both framings": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "negative length": OK + b"Content-Length: -1\r\n\r\nok",
    "huge length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nok",
    "bad chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n",
    "chunk too long": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
    "folded header": OK + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "zero byte in header": OK + b"X: a\x00b\r\nContent-Length: 2\r\n\r\nok",
    "compressed in a way of its own": OK + b"Content-Encoding: lzw\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
    "compressed badly": OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
    "compressed transfer": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "compressed transfer in two lines": OK
    + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "protocol change": b"HTTP/1.1 101 Switching\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\nok",
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_refused_and_the_connection_closed(origin, connect, answering, answer):
    transport = connect(await origin.start(answering(answer)))
    assert (await failure_of(transport)).code == "protocol_error"
    await origin.left.wait()


ENDLESS = {
    "header value": b"X: " + b"a" * 70_000,
    "header name": b"a" * 70_000,
    "headers": b"X-A: bcdefgh\r\n" * 7_000,
    "interim answers": b"\r\n" + b"HTTP/1.1 102 Wait\r\nX-A: bcdefgh\r\n\r\n" * 2_500,
    "chunk extension": b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 70_000,
    "trailers": b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"X-A: bcdefgh\r\n" * 60_000,
}


@pytest.mark.parametrize("rest", ENDLESS.values(), ids=ENDLESS)
async def test_what_is_no_body_may_not_grow_without_an_end(origin, connect, rest):
    async def script(peer):
        await peer.request()
        first = b"HTTP/1.1 102 Wait\r\n" if rest.startswith(b"\r\n") else OK
        for at in range(0, len(first + rest), 5_000):
            await peer.say((first + rest)[at : at + 5_000])
        await peer.gone()

    transport = connect(await origin.start(script), limits=Limits(head_bytes=64 * 1024))
    assert (await failure_of(transport)).code == "too_large"


async def test_a_head_that_comes_at_once_is_measured_too(origin, connect, answering):
    transport = connect(
        await origin.start(answering(OK + b"X: " + b"a" * 3_000 + b"\r\nContent-Length: 0\r\n\r\n")),
        limits=Limits(head_bytes=2_000),
    )
    assert (await failure_of(transport)).code == "too_large"


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n",
        OK + b"\r\n" + bytes(1001),
    ],
    ids=["length", "chunked", "until close"],
)
async def test_a_whole_answer_may_not_exceed_its_limit(origin, connect, answering, answer):
    transport = connect(await origin.start(answering(answer)), limits=Limits(body_bytes=1_000))
    assert (await failure_of(transport)).code == "too_large"


async def test_an_answer_of_the_very_limit_is_read(origin, connect, answering):
    answer = OK + b"Content-Length: 1000\r\n\r\n" + bytes(1000)
    transport = connect(await origin.start(answering(answer)), limits=Limits(body_bytes=1_000))
    assert len(await (await transport.send("GET", "/models")).read()) == 1000


STALLS = {
    "before the head": (b"", Timeouts(first_byte_s=SHORT_S), "timeout_first_byte"),
    "in the head": (OK + b"X: ", Timeouts(first_byte_s=SHORT_S), "timeout_first_byte"),
    "before the body": (OK + b"Content-Length: 2\r\n\r\n", Timeouts(first_byte_s=SHORT_S), "timeout_first_byte"),
    "in the body": (OK + b"Content-Length: 2\r\n\r\no", Timeouts(idle_s=SHORT_S), "timeout_idle"),
    "for too long in all": (OK + b"Content-Length: 2\r\n\r\no", Timeouts(total_s=SHORT_S), "timeout_total"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("said", "timeouts", "code"), STALLS.values(), ids=STALLS)
async def test_silence_is_not_waited_for(origin, connect, answering, said, timeouts, code, stream):
    transport = connect(await origin.start(answering(said)), timeouts=timeouts)
    error = await failure_of(transport, stream=stream)
    assert (error.code, error.status) == (code, 504)
    await origin.left.wait()


async def test_an_answer_that_drips_ends_by_its_total(origin, connect):
    async def script(peer):
        await peer.request()
        await peer.say(OK + b"Content-Type: text/event-stream\r\n\r\n")
        while True:
            await peer.say(b": still here\n\n")
            await asyncio.sleep(0.001)

    transport = connect(await origin.start(script), timeouts=Timeouts(total_s=0.04))
    assert (await failure_of(transport)).code == "timeout_total"


async def test_a_port_where_nobody_listens(connect):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        transport = connect(f"http://127.0.0.1:{free.getsockname()[1]}")
        error = await failure_of(transport)
    assert error.code == "connect_failed"


async def test_an_origin_that_does_not_take_the_connection(connect, monkeypatch):
    async def never(*_, **__):
        await asyncio.Event().wait()

    loop = asyncio.get_running_loop()

    class Loop:
        """The running loop, but for connecting: uvloop's cannot be patched."""

        create_connection = staticmethod(never)

        def __getattr__(self, name):
            return getattr(loop, name)

    monkeypatch.setattr("router.backends.http.pool.asyncio.get_running_loop", Loop)
    transport = connect("http://127.0.0.1:9", timeouts=Timeouts(connect_s=SHORT_S))
    assert (await failure_of(transport)).code == "timeout_connect"


INJECTIONS = [
    ("traceparent", "00-1\r\nx-admin: yes"),
    ("traceparent", "00-1\nx-admin: yes"),
    ("traceparent", "00-1\rx"),
    ("traceparent", "\x00"),
    ("traceparent", "€"),
    ("trace parent", "00"),
    ("traceparent:", "00"),
    ("", "00"),
]


@pytest.mark.parametrize(("name", "value"), INJECTIONS)
async def test_a_header_cannot_smuggle_another(origin, connect, answering, name, value):
    transport = connect(await origin.start(answering(PLAIN)))
    with pytest.raises(BackendError) as caught:
        await transport.send("POST", "/chat/completions", b"{}", [(name, value)])
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("invalid_header", 400, False)
    assert origin.requests == []


PATHS = [
    "",
    "models",
    "//evil.example/",
    "/models HTTP/1.1\r\nx: y",
    "/models\n",
    "/mod els",
    "/models/../../admin",
    "/models/%2e%2E/admin",
    "/models/..%2fadmin",
    "/models/.",
    "/models/%2f..%5c",
    "/models#x",
    "/mödels",
    "@evil.example/",
    "http://evil.example/",
]


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_cannot_leave_the_base_url(origin, connect, answering, path):
    transport = connect(await origin.start(answering(PLAIN)))
    if path == "//evil.example/":  # two slashes are a path below the base, not another host
        await transport.send("GET", path)
        assert origin.requests[0][0].startswith(b"GET /v1//evil.example/ HTTP/1.1\r\nhost: 127.0.0.1:")
        return
    with pytest.raises(BackendError) as caught:
        await transport.send("GET", path)
    assert (caught.value.code, caught.value.status) == ("invalid_path", 400)
    assert origin.requests == []


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "GET / HTTP/1.1\r\n\r\nGET", ""])
async def test_methods_are_listed(connect, method):
    with pytest.raises(BackendError, match="is not sent"):
        await connect("http://127.0.0.1:9").send(method, "/models")


@pytest.mark.parametrize(
    "path", ["/models/gpt-4o", "/models/org%2Fname", "/responses/resp_1?include=a&b=c", "/models/a..b"]
)
async def test_ordinary_paths_are_kept(origin, connect, answering, path):
    transport = connect(await origin.start(answering(PLAIN)))
    await transport.send("GET", path)
    assert origin.requests[0][0].startswith(f"GET /v1{path} HTTP/1.1\r\n".encode())


class TestLeaving:
    """A caller that goes away stops the origin at once, wherever it was."""

    async def test_while_nothing_has_come(self, origin, connect, answering):
        transport = connect(await origin.start(answering(b"")))
        task = asyncio.create_task(transport.send("POST", "/chat/completions", b"{}"))
        while not origin.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await origin.left.wait()

    async def test_while_a_chunk_is_awaited(self, origin, connect, answering):
        transport = connect(await origin.start(answering(OK + b"Content-Type: text/event-stream\r\n\r\n: hi\n\n")))
        response = await transport.send("POST", "/chat/completions", b"{}")
        assert await anext(response) == b": hi\n\n"
        task = asyncio.create_task(anext(response))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await origin.left.wait()

    async def test_by_closing_twice(self, origin, connect, answering):
        transport = connect(await origin.start(answering(OK + b"Content-Type: text/event-stream\r\n\r\n: hi\n\n")))
        response = await transport.send("POST", "/chat/completions", b"{}")
        await response.aclose()
        await response.aclose()
        await origin.left.wait()
        with pytest.raises(BackendError) as caught:
            await anext(response)
        assert caught.value.code == "closed"

    async def test_by_closing_while_another_reads(self, origin, connect, answering):
        transport = connect(await origin.start(answering(OK + b"Content-Type: text/event-stream\r\n\r\n")))
        response = await transport.send("POST", "/chat/completions", b"{}")
        reading = asyncio.create_task(anext(response))
        await asyncio.sleep(0)
        await response.aclose()
        with pytest.raises(BackendError, match="given up"):
            await reading

    async def test_while_sending(self, origin, connect):
        async def script(peer):
            await peer.reader.readuntil(b"\r\n\r\n")
            peer.origin.requests.append((b"", b""))
            await asyncio.Event().wait()

        transport = connect(await origin.start(script))
        task = asyncio.create_task(transport.send("POST", "/chat/completions", bytes(64 * 1024 * 1024)))
        while not origin.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_after_the_end_keeps_the_connection(self, origin, connect, answering):
        transport = connect(await origin.start(answering(PLAIN, PLAIN)))
        for _ in range(2):
            response = await transport.send("POST", "/chat/completions", b"{}", stream=True)
            while not response.complete:
                await asyncio.sleep(0)
            await response.aclose()
        assert origin.connections == 1
