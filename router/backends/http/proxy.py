"""The way to an origin through a forward proxy, as company networks have them.

To an encrypted origin the proxy is asked for a tunnel (CONNECT, RFC 9110, 9.3.6), and what goes through is for the
origin alone. To one in plain text it is asked for the whole address (RFC 9112, 3.2.2). User name and password in the
proxy's own address become `proxy-authorization`, which never reaches the origin of a tunnel.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from router.core.errors import SettingsError

_PORTS = {"http": 80, "https": 443}
_MOST_HEAD_BYTES = 64 * 1024
_EXAMPLE = "write it like http://user:password@proxy.example.com:3128"


@dataclass(frozen=True, slots=True)
class ForwardProxy:
    """Where a proxy listens, whether it is spoken to in TLS, and the value of `proxy-authorization`, or nothing."""

    host: str
    port: int
    tls: bool
    authorization: str

    async def tunnel(
        self, loop: asyncio.AbstractEventLoop, target: str, inside: asyncio.Protocol, context: ssl.SSLContext, name: str
    ) -> None:
        """Connect `inside` to `target` (host and port) in TLS, with the certificate of `name`. Raises OSError."""
        transport, asked = await loop.create_connection(
            lambda: _Tunnel(loop), self.host, self.port, ssl=ssl.create_default_context() if self.tls else None
        )
        try:
            lines = [f"CONNECT {target} HTTP/1.1", f"host: {target}"]
            if self.authorization:
                lines.append(f"proxy-authorization: {self.authorization}")
            transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            await asked.opened
            secured = await loop.start_tls(transport, inside, context, server_hostname=name)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise ConnectionResetError(errno.ECONNRESET, "the proxy closed the tunnel as soon as it was open")
        inside.connection_made(secured)


def parse_proxy(url: str) -> ForwardProxy:
    """Return the proxy at an address. Raises SettingsError, which never shows the address: it may hold a password.

    >>> parse_proxy("http://ada:secret@proxy.example.com:3128").port
    3128
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise SettingsError(f"proxy is no address; {_EXAMPLE}") from None
    if parts.scheme not in _PORTS:
        raise SettingsError(
            f"proxy begins with {parts.scheme}://, which is not supported; {_EXAMPLE}, or turn it off: `proxy: none`"
        )
    if not parts.hostname:
        raise SettingsError(f"proxy names no host; {_EXAMPLE}")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return ForwardProxy(parts.hostname, port or _PORTS[parts.scheme], parts.scheme == "https", authorization)


class _Tunnel(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.opened: asyncio.Future[None] = loop.create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        """Take the head of the answer (asyncio.Protocol)."""
        self._head += data
        if self.opened.done() or (b"\r\n\r\n" not in self._head and len(self._head) < _MOST_HEAD_BYTES):
            return
        status = self._head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)[1:2]
        if status and len(status[0]) == 3 and status[0].startswith("2"):
            self.opened.set_result(None)
            return
        wants = ", for it wants a user name and a password: set them in `proxy`" if status == ["407"] else ""
        said = f"the proxy answered CONNECT with {' '.join(status)[:3] or 'no status'}{wants}"
        self.opened.set_exception(ConnectionRefusedError(errno.ECONNREFUSED, said))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that there will be no answer (asyncio.Protocol)."""
        if not self.opened.done():
            said = "the proxy closed the connection without an answer to CONNECT"
            self.opened.set_exception(ConnectionResetError(errno.ECONNRESET, said))
            self.opened.exception()  # seen, if nobody waits any more
