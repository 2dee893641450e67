"""The client that asks: plain sockets, nothing read into what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar
from urllib.parse import urlsplit

from tests.transparency.exchanges import Exchange
from tests.transparency.playing import ID, Play, Player, Taken

PATIENCE_S = 30.0
AT_ONCE = 32
"""How many requests are under way at a time."""
WAITING_AT_ONCE = 256
"""The same where the backend says nothing and all of them only wait."""

CANARIES = {"authorization": "Bearer canary", "cookie": "canary=1", "x-api-key": "canary", "x-secret": "canary"}
"""What a client may send that is no business of a backend's."""

T = TypeVar("T")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Got:
    """An answer as it came. `whole` says whether its framing ended as HTTP demands."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    whole: bool


async def ask(
    url: str, exchange: Exchange, play_id: str, target: str = "", see: Callable[[bytes], None] | None = None
) -> Got:
    """Send an exchange's request to the server at `url`, and return its answer. `see` gets the bytes as they come."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 24)
    headers = {"host": parts.netloc, "connection": "close", "content-type": "application/json", ID: play_id}
    if exchange.sent:
        headers["content-length"] = str(len(exchange.sent))
    lines = [f"{exchange.method} {target or exchange.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**headers, **CANARIES, **exchange.sending}.items()]
    try:
        async with asyncio.timeout(PATIENCE_S):
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + exchange.sent)
            raw = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := await reader.read(1 << 20):
                    raw += piece
                    if see is not None:
                        see(raw)
    finally:
        writer.close()
    return read(raw)


def read(raw: bytes) -> Got:
    """Return what the bytes of one answer say, read to the connection's end."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
    told = dict(headers)
    body, whole = rest, True
    if told.get("transfer-encoding") == "chunked":
        body, whole = _unchunked(rest)
    elif "content-length" in told:
        whole = len(rest) == int(told["content-length"])
    return Got(int(lines[0].split(" ")[1]) if lines[0] else 0, headers, body, whole)


def _unchunked(rest: bytes) -> tuple[bytes, bool]:
    pieces, at = [], 0
    while (line := rest.find(b"\r\n", at)) > 0:
        size = int(rest[at:line], 16)
        if size == 0:
            return b"".join(pieces), rest[line:] == b"\r\n\r\n"
        pieces.append(rest[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return b"".join(pieces), False


@dataclass(frozen=True)
class Stage:
    """The router, the player behind it, and a client in front of both."""

    player: Player
    router_url: str

    async def through(self, exchange: Exchange, play: Play, target: str = "") -> tuple[Got, Taken | None]:
        """Ask the router; return what came back and what arrived at the player, None if nothing did."""
        return await self._ask(self.router_url, exchange, play, target)

    async def direct(self, exchange: Exchange, play: Play) -> tuple[Got, Taken | None]:
        """Ask the player itself."""
        return await self._ask(self.player.url, exchange, play)

    async def _ask(self, url: str, exchange: Exchange, play: Play, target: str = "") -> tuple[Got, Taken | None]:
        play_id = f"play-{next(_numbers)}"
        self.player.plays[play_id] = play
        got = await ask(url, exchange, play_id, target)
        del self.player.plays[play_id]
        return got, self.player.taken.pop(play_id, None)


def play_of(exchange: Exchange, size: int = 0, **more: object) -> Play:
    """Return the play of an exchange's whole answer, in pieces of `size` bytes, or in one."""
    answer = exchange.answer
    step = size or max(1, len(answer))
    pieces = tuple(answer[at : at + step] for at in range(0, len(answer), step))
    return replace(Play(pieces, exchange.status, exchange.answer_headers), **more)  # type: ignore[arg-type]


async def all_of(asked: Iterable[Awaitable[T]], at_once: int = AT_ONCE) -> list[T]:
    """Return what comes of many questions, in their order, with `at_once` of them under way at a time."""
    turns = asyncio.Semaphore(at_once)

    async def one(question: Awaitable[T]) -> T:
        async with turns:
            return await question

    return await asyncio.gather(*map(one, asked))
