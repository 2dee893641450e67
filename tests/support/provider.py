"""A provider on loopback that notes what comes, as it comes, and answers as a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Answer = Callable[["Asked"], "bytes | Awaitable[bytes]"]


@dataclass
class Asked:
    """One request. `began` is set with the first bytes of its body; `gone` when its connection ends before its body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    began: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def said(body: Any, status: int = 200, kind: str = "application/json", **headers: str) -> bytes:
    """Return a whole answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(raw)}\r\n{more}\r\n"
    return head.encode() + raw


class Provider:
    """Answers every request with what `answer` returns: the bytes of an HTTP answer. An answer cut short hangs up."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[Asked] = []
        self.came: asyncio.Queue[Asked] = asyncio.Queue()
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        asked: Asked | None = None
        try:
            while True:
                asked = None
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = lines[0].split()
                pairs = (line.partition(":") for line in lines[1:] if line)
                asked = Asked(method, path, {name.lower(): value.strip() for name, _, value in pairs})
                self.asked.append(asked)
                self.came.put_nowait(asked)
                await self._read(asked, reader)
                answer = self._answer(asked)
                raw = answer if isinstance(answer, bytes) else await answer
                writer.write(raw)
                await writer.drain()
                if b"x-hang-up" in raw:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            if asked is not None:
                asked.gone.set()
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, asked: Asked, reader: asyncio.StreamReader) -> None:
        if asked.headers.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                asked.body += await reader.readexactly(size)
                asked.began.set()
                await reader.readexactly(2)
            await reader.readexactly(2)
            return
        left = int(asked.headers.get("content-length", "0"))
        while left:
            piece = await reader.read(min(left, 1 << 16))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            asked.body += piece
            asked.began.set()
            left -= len(piece)
