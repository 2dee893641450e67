"""TLS: the certificate must be trusted and must name the host."""

from __future__ import annotations

import ssl

import pytest
import trustme

from router.core.errors import BackendError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def code_of(transport):
    with pytest.raises(BackendError) as caught:
        await transport.send("GET", "/models")
    return caught.value.code


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_trusted_origin_is_spoken_to(origin, connect, answering, server_tls, trusting, host):
    names = []
    server_tls.sni_callback = lambda _, name, __: names.append(name)
    url = await origin.start(answering(PLAIN, PLAIN), tls=server_tls)
    transport = connect(url.replace("127.0.0.1", host), ssl_context=trusting)
    for _ in range(2):
        assert await (await transport.send("POST", "/chat/completions", b"{}")).read() == b"ok"
    assert origin.connections == 1
    assert names == [None if host == "127.0.0.1" else "localhost"]  # an address is no server name (RFC 6066, 3)


async def test_large_bodies_pass(origin, connect, server_tls, trusting):
    async def script(peer):
        body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    transport = connect(await origin.start(script, tls=server_tls), ssl_context=trusting)
    sent = bytes(range(256)) * 4096
    response = await transport.send("POST", "/chat/completions", sent, stream=True)
    assert b"".join([chunk async for chunk in response]) == sent


async def test_an_unknown_authority_is_refused(origin, connect, answering, server_tls):
    transport = connect(await origin.start(answering(PLAIN), tls=server_tls))
    assert await code_of(transport) == "tls_failed"
    assert origin.requests == []


async def test_a_certificate_for_another_host_is_refused(origin, connect, answering, authority: trustme.CA, trusting):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    transport = connect(await origin.start(answering(PLAIN), tls=context), ssl_context=trusting)
    assert await code_of(transport) == "tls_failed"
    assert origin.requests == []


async def test_an_origin_without_tls_is_refused(origin, connect, trusting):
    async def script(peer):
        await peer.reader.read(100)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    url = (await origin.start(script)).replace("http://", "https://")
    assert await code_of(connect(url, ssl_context=trusting)) == "tls_failed"


async def test_an_answer_cut_anywhere_never_looks_complete(origin, connect, server_tls, trusting):
    cuts = iter(range(len(PLAIN)))

    async def script(peer):
        await peer.request()
        await peer.say(PLAIN[: next(cuts)])

    transport = connect(await origin.start(script, tls=server_tls), ssl_context=trusting)
    for _ in range(len(PLAIN)):
        assert await code_of(transport) in ("reset", "truncated")


async def test_closing_stops_the_origin(origin, connect, answering, server_tls, trusting):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    transport = connect(await origin.start(answering(head), tls=server_tls), ssl_context=trusting)
    response = await transport.send("POST", "/chat/completions", b"{}")
    await response.aclose()
    await origin.left.wait()
