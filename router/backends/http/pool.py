"""A bounded pool of kept HTTP/1.1 connections to one origin.

The newest idle connection serves first, so that those nobody needs grow old and are closed. When all are busy, requests
stand in line and are served in the order in which they came: a freed connection goes to the first in line, never past
it. One timer sweeps over the deadlines of all connections, and only while there are any; so a time-out may be late by
one sweep, a quarter of the shortest time-out and never more than a second.

A request is sent a second time in one case only: it went out on a kept connection that the peer had closed while it was
idle, so that nobody has read it (RFC 9112, 9.3.1). The second one goes out on a connection that was opened for it,
or, where all places are taken, on another one; it is never sent a third time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections import deque
from pathlib import Path

from router.backends.http.connection import Connection
from router.backends.http.exchange import Exchange
from router.backends.http.limits import Headers, Limits, Timeouts, failed
from router.backends.http.proxy import parse_proxy
from router.backends.http.request import RequestHeads, parse_origin
from router.core.errors import BackendError, SettingsError
from router.core.ports import Upload

log = logging.getLogger("router.backends")

_LONGEST_TICK_S = 1.0
_SHORTEST_TICK_S = 0.005


class ConnectionPool:
    """Sends requests to the origin of `base_url` over kept connections. Belongs to the event loop of its first request.

    It never retries an answer and never follows a redirect. `headers` go out with every request.
    `ssl_context` replaces the system's trust store; certificates and host names are verified in any case that the
    context does not rule out; `ca_file` adds authorities to it. `proxy` is the address of a forward proxy.
    Raises SettingsError for a base URL, a header or another of these that cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Headers = (),
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        ssl_context: ssl.SSLContext | None = None,
        proxy: str = "",
        ca_file: Path | None = None,
    ) -> None:
        self.origin = parse_origin(base_url)
        self._proxy = parse_proxy(proxy) if proxy else None
        self._via = f"{self.origin.authority} through the proxy at {self._proxy.host}" if self._proxy else ""
        self._timeouts = timeouts or Timeouts()
        self._limits = limits or Limits()
        try:
            self._heads = RequestHeads(self.origin, headers, None if self.origin.tls else self._proxy)
        except BackendError as error:
            raise SettingsError(f"{error.message}; is there a line break at its end?") from None
        self._ssl: ssl.SSLContext | None = None
        if self.origin.tls:
            self._ssl = ssl_context or ssl.create_default_context()
            if ca_file is not None:
                try:
                    self._ssl.load_verify_locations(ca_file)
                except OSError as error:  # ssl.SSLError, for what is no certificate, is one
                    said = error.strerror or "it holds no certificate"
                    raise SettingsError(f"ca_file {ca_file}: {said}; name a file of certificates in PEM") from None
            self._ssl.set_alpn_protocols(["http/1.1"])
        self._all: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._waiting: deque[asyncio.Future[Connection | None]] = deque()
        self._slots = 0  # connections that are open or being opened
        self._closed = False
        self._unreachable = ""  # why the last attempt to connect failed, as it was logged
        self._sweeper: asyncio.TimerHandle | None = None
        shortest = min(
            self._timeouts.first_byte_s, self._timeouts.idle_s, self._timeouts.total_s, self._limits.keep_alive_s
        )
        self._tick_s = max(_SHORTEST_TICK_S, min(_LONGEST_TICK_S, shortest / 4))

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Headers = (),
        *,
        stream: bool = False,
        content_type: str = "application/json",
        upload: Upload | None = None,
    ) -> Exchange:
        """Send a request and return its answer: whole, or, for a stream, as soon as its head is there.

        It is a stream when asked for one, or when the answer is `text/event-stream`. Raises BackendError with a code of
        `limits.FAILURES`.
        """
        if upload is not None:  # it cannot be sent twice, so not on a connection that may have been closed
            head = self._heads.build(method, path, headers, upload.length, content_type)
            connection = await self._connection(fresh=True)
            exchange = connection.begin(streaming=stream)
            await connection.submit(exchange, head, body, upload)
            return exchange
        head = self._heads.build(method, path, headers, len(body), content_type)
        connection = self._kept() or await self._connection()
        exchange = connection.begin(streaming=stream)
        try:
            await connection.submit(exchange, head, body)
        except BackendError:
            if not exchange.stale:
                raise
            connection = await self._connection(fresh=True)
            exchange = connection.begin(streaming=stream)
            await connection.submit(exchange, head, body)
        return exchange

    async def aclose(self) -> None:
        """Close every connection; answers that are still under way fail with the code `closed`."""
        self._closed = True
        error = failed("closed", "the backend is being closed")
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiting.clear()
        for connection in list(self._all):
            connection.fail(error)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        await asyncio.sleep(0)  # the sockets close in the loop's next round

    # ------------------------------------------------------------------------------------------- getting a connection

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
            connection.abort()
        return None

    async def _connection(self, *, fresh: bool = False) -> Connection:
        """Return a connection: a kept one (not when `fresh` and there is room), a new one, or the first set free."""
        while not self._closed:
            room = self._slots < self._limits.connections
            kept = None if fresh and room else self._kept()
            if kept is not None:
                return kept
            if self._slots < self._limits.connections:
                self._slots += 1
                return await self._open()
            granted = await self._turn()
            if granted is None:
                return await self._open()
            if granted.usable:
                return granted
            granted.abort()
        raise failed("closed", "the backend is closed")

    async def _turn(self) -> Connection | None:
        """Stand in line; return a freed connection, or None for the right to open one."""
        if len(self._waiting) >= self._limits.waiting:
            message = f"all {self._limits.connections} connections to the backend are busy (its setting `connections`)"
            error = failed("saturated", message)
            error.headers = (("retry-after", "1"),)
            raise error
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                return await waiter
        except (TimeoutError, asyncio.CancelledError) as left:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._hand_back(waiter.result())  # the turn came while we were leaving
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            if isinstance(left, asyncio.CancelledError):
                raise
            message = f"no connection became free within {self._timeouts.connect_s:g} s"
            raise failed("timeout_connect", message) from None

    async def _open(self) -> Connection:
        """Open a connection in a slot that is taken already."""
        loop = asyncio.get_running_loop()
        connection = Connection(loop, self, self._limits, self._timeouts)
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                await self._connect(loop, connection)
            if self._closed:
                raise failed("closed", "the backend is closed")
            if connection.closed:
                raise failed("connect_failed", "the backend closed the connection as soon as it was open")
        except (OSError, BackendError, asyncio.CancelledError) as error:  # TimeoutError, ssl.SSLError are OSErrors
            connection.abort()
            self._free_slot()
            if isinstance(error, OSError):
                raise self._connect_failure(error) from error
            raise
        self._unreachable = ""
        self._all.add(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._tick_s, self._sweep, loop)
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        """Open the socket to the origin, or to the proxy before it, or a tunnel through that. Raises OSError."""
        origin, proxy = self.origin, self._proxy
        if proxy is not None and self._ssl is not None:
            shown = f"[{origin.host}]" if ":" in origin.host else origin.host
            await proxy.tunnel(loop, f"{shown}:{origin.port}", connection, self._ssl, origin.host)
            return
        secured = self._ssl
        if proxy is not None:
            secured = ssl.create_default_context() if proxy.tls else None
        peer = proxy or origin
        name = peer.host if secured else None
        await loop.create_connection(lambda: connection, peer.host, peer.port, ssl=secured, server_hostname=name)

    def _connect_failure(self, error: OSError) -> BackendError:
        """Return the error for the client, which names no host, and log once where it happened."""
        if isinstance(error, TimeoutError):
            found = failed("timeout_connect", f"the backend took longer than {self._timeouts.connect_s:g} s to connect")
            said = found.message
        elif isinstance(error, ssl.SSLError):
            said = str(getattr(error, "verify_message", "") or error.reason or "handshake failed")
            found = failed("tls_failed", f"no trusted connection to the backend: {said.partition(',')[0]}")
        else:
            said = reason_of(error)
            found = failed("connect_failed", "cannot connect to the backend")
        if said != self._unreachable:
            self._unreachable = said
            log.error("cannot connect to %s: %s", self._via or self.origin.authority, said)
        return found

    # ------------------------------------------------------------------------------------------ getting one back

    def released(self, connection: Connection) -> None:
        """Give a freed connection to the first in line, or keep it."""
        if self._waiting and self._give(connection):
            return
        connection.deadline = asyncio.get_running_loop().time() + self._limits.keep_alive_s
        self._idle.append(connection)
        if len(self._idle) > self._limits.idle:
            self._idle.popleft().abort()

    def lost(self, connection: Connection) -> None:
        """Forget a connection and free its slot. One that never got as far as to be ours has none."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()

    def _free_slot(self) -> None:
        if not self._give(None):
            self._slots -= 1

    def _hand_back(self, granted: Connection | None) -> None:
        if granted is None:
            self._free_slot()
        elif granted.usable:
            self.released(granted)
        else:
            granted.abort()

    def _give(self, granted: Connection | None) -> bool:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(granted)
                return True
        return False

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in [connection for connection in self._all if connection.deadline <= now]:
            connection.expire(now)
        self._sweeper = loop.call_later(self._tick_s, self._sweep, loop) if self._all else None


def reason_of(error: OSError) -> str:
    """Return why no connection came about, in the system's own words; asyncio's name no reason."""
    said = str(error.strerror or error)
    if "Connect call failed" not in said:
        return said
    return os.strerror(error.errno or errno.ECONNREFUSED)
