"""All that can be seen of a server that `router serve` puts together, as far as the socket.

What it is made of, and what its application answers, in made-up time. Settings themselves are no part of it, so that
one which nobody takes out of them leaves no trace here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import selectors
import shutil
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import BaseModel, SecretStr
from uvicorn.server import ServerState

from router.core.errors import RequestError
from router.engine.pipeline import Reply
from router.server import serving
from router.server.app import build_app
from router.server.composition import Components

SECRET = "a-secret-that-nobody-guesses"


def picture(value: Any, seen: set[int] | None = None) -> Any:
    """Return what an object of ours is made of, down to plain values. Settings are no part of it: they do nothing."""
    seen = set() if seen is None else seen
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    if isinstance(value, SecretStr | BaseModel | asyncio.Event | Enum) or id(value) in seen:
        return type(value).__name__
    seen.add(id(value))
    if isinstance(value, ssl.SSLContext):
        return value.cert_store_stats()
    if isinstance(value, defaultdict) and value.default_factory is not None:
        return picture(value.default_factory(), seen)
    if isinstance(value, dict):
        return {str(key): picture(each, seen) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [picture(each, seen) for each in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if cells := getattr(value, "__closure__", None):
        return [picture(cell.cell_contents, seen) for cell in cells]
    if hasattr(value, "__self__"):
        return picture(value.__self__, seen)
    if not type(value).__module__.startswith("router."):
        return str(value) if isinstance(value, Path) else type(value).__name__
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    held = {**{name: getattr(value, name, None) for name in slots}, **getattr(value, "__dict__", {})}
    return {
        name: picture(each, seen)
        for name, each in sorted(held.items())
        if name not in ("recogniser", "_file", "_nonce")
    }


class _MadeUpTime(asyncio.SelectorEventLoop):
    """A loop that never waits: where nothing else is to be done, its clock goes on to the next timer."""

    def __init__(self) -> None:
        super().__init__(_Impatient(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _Impatient(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    def __init__(self, loop: _MadeUpTime) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0 if timeout is None or timeout >= 0 else timeout)
        if not found and timeout:
            self._loop.now += timeout
        return found


class _SlowPipeline:
    """The line, but that a message that says slow is answered slowly."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    async def run(self, call: Any) -> Any:
        if b"slow" not in call.body:
            return await self._pipeline.run(call)
        return Reply(200, (("content-type", "text/event-stream"),), chunks=_slowly(), id=call.id)


async def _slowly() -> AsyncIterator[bytes]:
    await asyncio.sleep(40)
    yield b"data: x\n\n"


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "big-echo", "messages": [{"role": "user", "content": text}], **more}).encode()


HELLO, SLOW = chat("hello"), chat("slow", stream=True)
BEARER = (b"authorization", f"Bearer {SECRET}".encode())
RATING = json.dumps({"conversation": "c", "metric": "m", "value": 1}).encode()
CHAT, SPEECH, FILES, FEEDBACK = "/v1/chat/completions", "/v1/audio/speech", "/v1/files", "/v1/feedback"
REQUESTS: list[tuple[str, str, list[tuple[bytes, bytes]], list[bytes]]] = [
    ("POST", CHAT, [BEARER, (b"x-chat", b"c1"), (b"x-user", b"u1")], [HELLO]),
    ("POST", CHAT, [BEARER, (b"x-router-policy", b"desk")], [HELLO]),
    ("POST", CHAT, [BEARER, (b"x-router-off", b"1"), (b"x-router-mode", b"off")], [HELLO]),
    ("POST", CHAT, [BEARER, (b"host", b"shop.example")], [HELLO]),
    ("POST", CHAT, [BEARER, (b"origin", b"https://shop.example")], [HELLO]),
    ("POST", CHAT, [BEARER, (b"x-long", b"x" * 2000)], [HELLO]),
    ("POST", CHAT, [BEARER, (b"content-encoding", b"gzip")], [gzip.compress(chat("hello", x="a" * 1_200_000))]),
    ("POST", CHAT, [BEARER], [HELLO[:9], HELLO[9:]]),
    ("POST", CHAT, [BEARER], [chat("a" * 1500)]),
    ("POST", CHAT, [BEARER], [b" " * 200] * 9 + [HELLO]),
    ("POST", CHAT, [BEARER], [SLOW]),
    ("POST", FILES, [BEARER, (b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"5000")], []),
    ("POST", SPEECH, [BEARER], [b'{"model": "tts", "input": "a"}']),
    ("GET", "/metrics", [], []),
    ("GET", "/v1/router/levels", [BEARER], []),
    ("OPTIONS", FEEDBACK, [(b"origin", b"https://other.example")], []),
    ("POST", FEEDBACK, [BEARER, (b"origin", b"https://other.example")], [RATING]),
]
SLOWLY = 3.0
"""Seconds between the parts of a body."""

LENGTH = b"content-length"
VARIES = re.compile(
    rb"chatcmpl-\w+|dec_\w+|fb_\w+|\b\d{9,}\b|[0-9a-f]{12,}|req_\w+|\d\.\d+(e-\d+)?|v1\.[\w.-]+|ft_[\w.-]+"
)


async def ask(app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: list[bytes]) -> Any:
    """Return what an application answers, and when."""
    loop = asyncio.get_running_loop()
    names = {name for name, _ in headers}
    given = [*headers, *([] if b"host" in names else [(b"host", b"127.0.0.1")])]
    if len(body) == 1 and b"content-length" not in names:
        given.append((b"content-length", str(len(body[0])).encode()))
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": given,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
    if len(body) > 1:
        given.append((b"transfer-encoding", b"chunked"))
    parts, told, began = enumerate(body), [], loop.time()

    async def receive() -> dict[str, Any]:
        at, part = next(parts, (len(body), b""))
        if at:
            await asyncio.sleep(SLOWLY if at < len(body) else 10_000)
        return {"type": "http.request", "body": part, "more_body": at < len(body) - 1}

    async def send(message: Any) -> None:
        plain = sorted((name, VARIES.sub(b"*", value)) for name, value in message.get("headers", ()) if name != LENGTH)
        told.append(
            (round(loop.time() - began, 3), message.get("status"), plain, VARIES.sub(b"*", message.get("body", b"")))
        )

    await app(scope, receive, send)
    return told


class _Transport(asyncio.Transport):
    """A connection that is never read from."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class _Timers:
    """A loop that only notes how long it is told to wait."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def call_later(self, delay: float, *_: Any) -> Any:
        self.delays.append(delay)
        return type("Handle", (), {"cancel": lambda self: None})()


def connection(config: uvicorn.Config) -> list[float]:
    """Return how long a connection waits for a head, and for a client that does not read."""
    loop = _Timers()
    protocol = config.http(config, ServerState(), {}, _loop=loop)  # type: ignore[call-arg]
    protocol.connection_made(_Transport())  # type: ignore[arg-type]
    protocol.pause_writing()
    return loop.delays


async def answers(app: Any) -> list[Any]:
    """Return what an application answers, one request after another, and two at a time."""
    told = [await ask(app, *request) for request in REQUESTS]
    slow = ("POST", CHAT, [BEARER], [SLOW])
    told += await asyncio.gather(ask(app, *slow), ask(app, *slow))
    body = [b" " * 1000, SLOW]
    return [*told, *await asyncio.gather(*(ask(app, "POST", CHAT, [BEARER], body) for _ in range(3)))]


class ServeCommand:
    """What `router serve` puts together for some settings."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = monkeypatch
        self.seen: dict[tuple[str, bool], Any] = {}

    def observed(self, written: dict[str, Any], *, asked: bool = True) -> Any:
        """Return all that can be seen of the server with these settings; `asked` says whether it is asked anything."""
        text = json.dumps({"packs": ["desk.yaml"], **written}).replace("{folder}", str(self.folder))
        if (text, asked) not in self.seen:
            self.seen[text, asked] = self._observed(text, asked)
        return self.seen[text, asked]

    def _observed(self, text: str, asked: bool) -> Any:
        for name in ("data", "other"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            shutil.copytree(self.folder / "template", self.folder / name)
        file = self.folder / "router.yaml"
        file.write_text(text)
        found: list[Any] = []
        with self.patch.context() as patch:
            patch.setattr(
                serving,
                "gc",
                type("Gc", (), {name: lambda *_: None for name in ("collect", "freeze", "set_threshold")}),
            )
            patch.setattr(logging, "basicConfig", lambda handlers, level, force: found.append((handlers, level)))
            patch.setattr(serving, "build_app", lambda parts: found.append(parts) or slow_app(parts))
            patch.setattr(
                serving._Announcing, "run", lambda server: found.append(server) or setattr(server, "started", True)
            )
            serving.serve(file, {}, {}, json_lines=False)
        (handlers, level), parts, server = found
        seen = {
            "log": (level, [type(handler.formatter).__name__ for handler in handlers]),
            "listens": (server.config.host, server.config.port, connection(server.config)),
            "banner": serving.announcement(parts, "", False),
            "made of": {name: picture(getattr(parts, name)) for name in MADE},
            "targets": [picture(parts.pipeline.resolve(name)) for name in ("big", "small", "x")],
            "caller": callers(parts),
            "database": str(parts.database.place),
        }
        loop = _MadeUpTime()
        try:
            if asked:
                seen["answers"] = loop.run_until_complete(answers(server.config.app))
        finally:
            loop.close()
            parts.database.close()
        return seen


MADE = ("retention", "feedback", "reloader", "pipeline", "backends", "keyring", "ownership", "registry")
"""The parts of a server whose make is looked at."""


def callers(parts: Any) -> list[Any]:
    """Return who a key lets in, for what, and how often."""
    found: list[Any] = []
    for scope in ("infer", "feedback", "read", "admin"):
        try:
            caller = parts.keyring.admit({"authorization": f"Bearer {SECRET}"}, scope)
            found.append(repr(caller))
        except RequestError as error:
            found.append(error.code)
            continue
        try:
            with parts.keyring.slot(caller), parts.keyring.slot(caller):
                found.append(caller.policy_for("desk"))
        except RequestError as error:
            found.append(error.code)
    return found


def slow_app(parts: Components) -> Any:
    """Return the application, with a line that can be slow."""
    return build_app(replace(parts, pipeline=_SlowPipeline(parts.pipeline)))
