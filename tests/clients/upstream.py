"""The scripted backend: a real HTTP server on loopback that speaks all three formats and remembers what it was asked.

What it does is in the model's name, after `scripted`:

    -status-S        answers with status S, always
    -once-S          answers with status S once, then as usual; 429 says for how long to wait
    -firm-S          like -status-S, with `x-should-retry: false`
    -silent          takes the request and says nothing
    -halting         begins its stream, then says nothing more
    -endless         begins its stream and goes on until nobody listens
    -late-error      reports an error in the middle of its stream
    -cut             ends its stream in the middle, as if all were well
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from tests.clients.script import TEXT, Asked, Speaker, answer_to
from tests.clients.speak_chat import ChatSpeaker
from tests.clients.speak_messages import MessagesSpeaker
from tests.clients.speak_responses import ResponsesSpeaker
from tests.support.serving import LOOPBACK

MODEL = "scripted"
SPEAKERS: dict[str, Speaker] = {
    "/v1/chat/completions": ChatSpeaker(),
    "/v1/responses": ResponsesSpeaker(),
    "/v1/messages": MessagesSpeaker(),
}
VECTOR = [0.25, -0.5, 0.125]
RETRY_AFTER_S = 0.7
"""Longer than the first pause that any SDK makes of itself but Vercel's."""

_PACE_S = 0.02


@dataclass(slots=True)
class Taken:
    """A request that came: when (monotonic seconds), what, and whether its client has gone before the end."""

    path: str
    headers: dict[str, str]
    raw: bytes
    at: float
    gone: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    @property
    def body(self) -> Any:
        """The body as JSON."""
        return json.loads(self.raw)


class Upstream(uvicorn.Server):
    """The server, in a thread and loop of its own. `taken` are the requests since `forget`, in order."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self._came = threading.Condition()
        self._failed: Counter[str] = Counter()
        self._ready = threading.Event()
        self.url = ""
        super().__init__(
            uvicorn.Config(
                self._app, host=LOOPBACK, port=0, interface="asgi3", ws="none", lifespan="off", log_config=None
            )
        )

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.url = f"http://{LOOPBACK}:{self.servers[0].sockets[0].getsockname()[1]}"
        self._ready.set()

    def await_ready(self) -> None:
        """Wait until requests are taken. Raises TimeoutError."""
        if not self._ready.wait(20):
            raise TimeoutError("the scripted backend did not start")

    def forget(self) -> None:
        """Forget every request and every failure so far."""
        with self._came:
            self.taken.clear()
            self._failed.clear()

    def await_taken(self, count: int = 1, timeout_s: float = 20.0) -> Taken:
        """Return request number `count` since `forget` as soon as it is there. Raises TimeoutError."""
        with self._came:
            if not self._came.wait_for(lambda: len(self.taken) >= count, timeout_s):
                raise TimeoutError(f"{len(self.taken)} requests came, not {count}")
            return self.taken[count - 1]

    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        raw, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            raw += message["body"]
            more = message["more_body"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        taken = Taken(scope["path"], headers, raw, time.monotonic())
        with self._came:
            if scope["path"] != "/v1/models":  # asked for by a router that starts, whenever it gets to it
                self.taken.append(taken)
            self._came.notify_all()
        answering = asyncio.ensure_future(self._answer(taken, scope["method"], send))
        leaving = asyncio.ensure_future(_until_gone(receive))
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            taken.gone.set()
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, taken: Taken, method: str, send: Any) -> None:
        speaker = SPEAKERS.get(taken.path)
        if method == "POST" and speaker is not None:
            await self._speak(taken, speaker, send)
        elif method == "POST" and taken.path == "/v1/embeddings":
            await _whole(send, 200, _embeddings(taken.body))
        elif method == "POST" and taken.path == "/v1/completions":
            await _whole(send, 200, _completion(taken.body))
        elif method == "POST" and taken.path == "/v1/messages/count_tokens":
            await _whole(send, 200, {"input_tokens": len(taken.raw) // 4})
        elif taken.path == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 1_700_000_000, "owned_by": "scripted"}
            await _whole(send, 200, {"object": "list", "data": [model]})
        else:
            await _whole(send, 404, ChatSpeaker().error(404))

    async def _speak(self, taken: Taken, speaker: Speaker, send: Any) -> None:
        asked = speaker.read(taken.body)
        manner = asked.model.rpartition("/")[2].removeprefix(MODEL).removeprefix("-")
        word, _, status = manner.rpartition("-")
        if word in ("status", "firm") or (word == "once" and not self._failed[asked.model]):
            self._failed[asked.model] += 1
            extra = {"firm": [(b"x-should-retry", b"false")]}.get(word, [])
            if status == "429":
                extra = [*extra, (b"retry-after", b"1"), (b"retry-after-ms", b"%d" % (1000 * RETRY_AFTER_S))]
            await _whole(send, int(status), speaker.error(int(status)), extra)
        elif manner == "silent":
            taken.begun.set()
            await asyncio.Event().wait()
        elif asked.stream:
            await _stream(taken, asked, speaker, manner, send)
        else:
            await _whole(send, 200, speaker.whole(asked, answer_to(asked)))


async def _stream(taken: Taken, asked: Asked, speaker: Speaker, manner: str, send: Any) -> None:
    events = speaker.events(asked, answer_to(asked))
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), *_TOLD]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if manner in ("halting", "endless", "late-error", "cut"):
        middle = len(events) // 2  # a piece of the text or of a call's arguments, repeated while somebody listens
        await _push(send, b"".join(events[: middle + 1]))
        taken.begun.set()
        if manner == "late-error":
            await _push(send, speaker.late_error())
        while manner == "endless":
            await asyncio.sleep(_PACE_S)
            await _push(send, events[middle])
        if manner == "halting":
            await asyncio.Event().wait()
    else:
        taken.begun.set()
        for event in events:
            await _push(send, event)
    await send({"type": "http.response.body", "body": b""})


_TOLD = [
    (b"openai-processing-ms", b"12"),
    (b"x-ratelimit-remaining-requests", b"99"),
    (b"x-request-id", b"req_scripted"),
    (b"request-id", b"req_scripted"),
]
"""Headers that a provider tells and an app may read."""


async def _push(send: Any, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _whole(
    send: Any, status: int, answer: dict[str, Any], extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps(answer, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *_TOLD, *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    coded = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
    vector = coded if body.get("encoding_format") == "base64" else VECTOR
    rows = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return {"object": "list", "data": rows, "model": body["model"], "usage": usage}


def _completion(body: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}
    head = {"id": "cmpl-scripted", "object": "text_completion", "created": 1_700_000_000, "model": body["model"]}
    return {**head, "choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}}


@contextmanager
def scripted_upstream() -> Iterator[Upstream]:
    """Run the scripted backend until the block ends."""
    server = Upstream()
    thread = threading.Thread(target=server.run, name="scripted-upstream")
    thread.start()
    try:
        server.await_ready()
        yield server
    finally:
        server.should_exit = server.force_exit = True
        thread.join(20)
