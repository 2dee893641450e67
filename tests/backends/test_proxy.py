"""Through a forward proxy: a tunnel to what is encrypted, whole addresses to what is not, and credentials for the proxy."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from router.backends import PassThroughBackend
from router.core.errors import BackendError, SettingsError
from router.core.ports import BackendRequest
from router.server.settings import BackendSettings
from router.server.settings_source import load_settings, proxy_for

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"id":"1"}'
ASK = BackendRequest("/chat/completions", b'{"model":"m"}')


class Proxy:
    """Opens tunnels, and passes on what is asked with a whole address; `status` refuses both."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.status = 200
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head.decode())
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            if self.status != 200:
                writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\n\r\n".encode())
            else:
                host, _, port = (target if method == "CONNECT" else target.split("/")[2]).rpartition(":")
                there, back = await asyncio.open_connection(host.strip("[]"), int(port))
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    back.write(head)
                await asyncio.gather(_pump(reader, back), _pump(there, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    it = Proxy()
    server = await asyncio.start_server(it, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield it
    server.close()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


async def asked(base_url: str, proxy: str, ca_file: Path | None = None, times: int = 1) -> list[bytes]:
    backend = PassThroughBackend(name="main", base_url=base_url, api_key="sk-1", proxy=proxy, ca_file=ca_file)
    try:
        return [(await backend.send(ASK)).body for _ in range(times)]
    finally:
        await backend.aclose()


def with_password(url: str) -> str:
    return url.replace("http://", "http://ada:se%40cret@")


CREDENTIALS = "proxy-authorization: Basic " + base64.b64encode(b"ada:se@cret").decode()


async def test_what_is_encrypted_goes_through_a_tunnel(origin, answering, server_tls, proxy: Proxy, ca_file: Path):
    url = await origin.start(answering(ANSWER, ANSWER), tls=server_tls)
    assert await asked(url, with_password(proxy.url), ca_file, times=2) == [b'{"id":"1"}'] * 2
    (head,) = proxy.heads
    assert head.startswith(f"CONNECT {url.removeprefix('https://').removesuffix('/v1')} HTTP/1.1\r\n")
    assert CREDENTIALS in head and "sk-1" not in head
    assert all(b"proxy-authorization" not in told and b"Bearer sk-1" in told for told, _ in origin.requests)
    assert origin.requests[0][0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")


async def test_what_is_not_is_asked_of_the_proxy(origin, answering, proxy: Proxy):
    url = await origin.start(answering(ANSWER))
    assert await asked(url, with_password(proxy.url)) == [b'{"id":"1"}']
    (head,) = proxy.heads
    assert head.startswith(f"POST {url}/chat/completions HTTP/1.1\r\n") and CREDENTIALS in head


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("status", [407, 403])
async def test_a_proxy_that_refuses(
    origin, answering, server_tls, proxy: Proxy, ca_file: Path, encrypted: bool, status: int, caplog
):
    url = await origin.start(answering(ANSWER), tls=server_tls if encrypted else None)
    proxy.status = status
    with pytest.raises(BackendError) as caught:
        await asked(url, proxy.url, ca_file)
    assert "127.0.0.1" not in caught.value.message and not origin.requests
    if encrypted or status == 407:
        assert caught.value.code == "connect_failed"
    if encrypted:
        assert f"the proxy answered CONNECT with {status}" in caplog.text


async def test_a_proxy_that_is_not_there():
    with pytest.raises(BackendError) as caught:
        await asked("https://origin.invalid/v1", "http://127.0.0.1:9")
    assert caught.value.code == "connect_failed"


async def test_an_authority_of_ones_own_needs_no_proxy(origin, answering, server_tls, ca_file: Path):
    url = await origin.start(answering(ANSWER), tls=server_tls)
    assert await asked(url, "", ca_file) == [b'{"id":"1"}']
    with pytest.raises(BackendError) as caught:
        await asked(url, "")
    assert caught.value.code == "tls_failed"


@pytest.mark.parametrize(
    ("proxy", "said"),
    [("socks5://u:secret@h:1", "socks5://, which is not supported"), ("http://", "no host")],
)
def test_a_proxy_that_cannot_be_used(proxy: str, said: str):
    with pytest.raises(SettingsError, match=said) as caught:
        PassThroughBackend(name="main", base_url="http://h/v1", proxy=proxy)
    assert "main" in str(caught.value) and "secret" not in str(caught.value)


def test_certificates_that_cannot_be_read(tmp_path: Path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (empty, tmp_path / "none.pem"):
        with pytest.raises(SettingsError, match=rf'backend "main": ca_file {file}'):
            PassThroughBackend(name="main", base_url="https://h/v1", ca_file=file)


PROXIED = {"HTTPS_PROXY": "http://s:1", "http_proxy": "http://p:2", "HTTP_PROXY": "http://no:9"}


@pytest.mark.parametrize(
    ("address", "environ", "expected"),
    [
        ("https://a.example/v1", PROXIED, "http://s:1"),
        ("http://a.example/v1", PROXIED, "http://p:2"),
        ("http://127.0.0.1:9/v1", {"ALL_PROXY": "http://a:3"}, "http://a:3"),
        ("https://a.example/v1", {}, ""),
        ("https://a.example/v1", PROXIED | {"NO_PROXY": "b.example, .example"}, ""),
        ("https://a.example/v1", PROXIED | {"no_proxy": "*"}, ""),
        ("https://a.example/v1", PROXIED | {"NO_PROXY": "le,xa.example"}, "http://s:1"),
        ("https://a.example:8443/v1", PROXIED | {"NO_PROXY": "a.example:8443"}, ""),
        ("https://a.example/v1", PROXIED | {"NO_PROXY": "a.example:8443"}, "http://s:1"),
        ("http://10.1.2.3:8000/v1", PROXIED | {"NO_PROXY": "10.0.0.0/8"}, ""),
        ("http://[::1]:8000/v1", PROXIED | {"NO_PROXY": "localhost,::1"}, ""),
    ],
)
def test_what_the_environment_says(address: str, environ: dict[str, str], expected: str):
    assert proxy_for(address, environ) == expected


def test_a_backend_has_the_last_word(tmp_path: Path):
    def chosen(more: str) -> str | None:
        file = tmp_path / "router.yaml"
        file.write_text(f'backends: {{up: {{type: openai, base_url: "https://a.example/v1"{more}}}}}')
        proxy = load_settings(file, PROXIED).backends["up"].proxy
        return None if proxy is None else proxy.get_secret_value()

    assert chosen("") == "http://s:1"
    assert chosen(', proxy: "http://own:4"') == "http://own:4"
    assert chosen(", proxy: none") == ""
    with pytest.raises(ValueError, match="takes HTTPS_PROXY"):
        BackendSettings(type="litellm", proxy="http://x:1")  # type: ignore[arg-type]
