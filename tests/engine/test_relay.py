"""Relaying: bytes as they came, and never a broken stream that looks whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from router.core.errors import BackendError
from router.core.ports import Answer
from router.engine.relay import CLIENT_LEFT, Ending, relay
from router.engine.send import Sent, Target
from tests.support.parts import CHAT


def chunk(**delta: object) -> bytes:
    finish = delta.pop("finish", None)
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "chatcmpl-1", "choices": [choice]}).encode() + b"\n\n"


WHOLE = chunk(content="Hel") + chunk(content="lo") + chunk(finish="stop") + b"data: [DONE]\n\n"


class Stream:
    """Chunks that may end in an error; remembers that it was closed."""

    def __init__(self, *chunks: bytes | BackendError) -> None:
        self.chunks = list(chunks)
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        step = self.chunks.pop(0)
        if isinstance(step, BackendError):
            raise step
        return step

    async def aclose(self) -> None:
        self.closed = True


async def relayed(*chunks: bytes | BackendError) -> tuple[bytes, Ending, Stream]:
    stream = Stream(*chunks[1:])
    ending = Ending()
    sent = Sent(Answer(200, chunks=stream), Target(None), 1, chunks[0])  # type: ignore[arg-type]
    return b"".join([piece async for piece in relay(sent, CHAT, ending)]), ending, stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, len(WHOLE)])
async def test_a_whole_stream_passes_byte_for_byte_however_it_is_cut(size: int) -> None:
    pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
    out, ending, stream = await relayed(*pieces)
    assert out == WHOLE
    assert (ending.error, ending.told.id, stream.closed) == ("", "chatcmpl-1", True)


async def test_a_stream_cut_anywhere_ends_in_an_error_and_never_looks_complete() -> None:
    for cut in range(1, len(WHOLE) - 2):
        out, ending, _ = await relayed(WHOLE[:cut])
        if WHOLE[:cut].rstrip(b"\n").endswith(b"data: [DONE]"):
            continue  # the terminator is there; only line ends are missing
        assert ending.error == "truncated", cut
        last = out.strip().rpartition(b"\n\n")[2]
        assert json.loads(last.removeprefix(b"data: "))["error"]["message"], cut
        assert not out.rstrip().endswith(b"[DONE]")


async def test_a_stream_that_fails_says_so_in_the_stream() -> None:
    out, ending, stream = await relayed(WHOLE[:60], BackendError("silent for 30 s", code="timeout_idle"))
    assert ending.error == "timeout_idle"
    assert b'"error"' in out and stream.closed


async def test_a_client_that_leaves_stops_the_backend() -> None:
    stream = Stream(WHOLE)
    ending = Ending()
    relaying = relay(Sent(Answer(200, chunks=stream), Target(None), 1, WHOLE[:10]), CHAT, ending)  # type: ignore[arg-type]
    await anext(relaying)
    await relaying.aclose()
    assert (ending.error, stream.closed) == (CLIENT_LEFT, True)
