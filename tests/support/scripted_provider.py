"""A provider on loopback whose answers a test makes up: every request is kept, with its head, and answered by a function."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
"""Status, body (bytes as they are, all else as JSON), and headers."""


@dataclass
class Asked:
    """A request as it came; `body` is what its JSON says, None without any."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Provider:
    """Answers as `answer` says, on connections that are kept."""

    answer: Callable[[Asked], Answer]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                raw = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split(" ")
                asked = Asked(method, path, headers, json.loads(raw) if raw else None)
                self.asked.append(asked)
                status, body, *more = self.answer(asked)
                sent = body if isinstance(body, bytes) else json.dumps(body).encode()
                kind = "application/json" if sent[:1] in b"{[" else "text/event-stream"
                told = {"content-type": kind, "content-length": str(len(sent)), **(more[0] if more else {})}
                fields = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{fields}\r\n".encode() + sent)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def provider(answer: Callable[[Asked], Answer]) -> AsyncIterator[Provider]:
    """Run a provider until the block ends."""
    it = Provider(answer)
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


def chat(text: str = "Yes.") -> dict[str, Any]:
    """Return a whole answer of chat completions."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice]}


def chat_stream(text: str = "Yes.") -> bytes:
    """Return a whole stream of chat completions."""
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    told = [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]
    ended = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    events = [{**chunk, "choices": told}, {**chunk, "choices": ended}]
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def message(text: str = "Yes.") -> dict[str, Any]:
    """Return a whole answer of Anthropic Messages."""
    usage = {"input_tokens": 3, "output_tokens": 1}
    said = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": None}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", **said, "usage": usage}
