"""Relaying: bytes as they came, and never a broken stream that looks whole."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from router.assembly import WIRES
from router.backends import EchoBackend
from router.core.errors import BackendError
from router.core.ports import BackendAnswer, BackendRequest
from router.engine.send import CLIENT_LEFT, BackendResult, BackendTarget, StreamEnding, relay

FORMATS = list(WIRES)
ASKED = {
    "chat": {"messages": [{"role": "user", "content": "Grüße 😀"}]},
    "responses": {"input": "Grüße 😀"},
    "messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "Grüße 😀"}]},
}
LAST_WORD = {"chat": b"data: [DONE]", "responses": b"event: response.completed", "messages": b"event: message_stop"}
"""What a client takes for the end of a whole answer."""


async def whole(format_: str) -> bytes:
    """Return a whole stream, as the backend that ships sends it."""
    wire = WIRES[format_]
    body = json.dumps({"model": "echo", "stream": True} | ASKED[format_]).encode()
    answer = await EchoBackend(name="echo", nonce="0").send(BackendRequest(wire.path, body, stream=True, model="echo"))
    assert answer.chunks is not None
    return b"".join([chunk async for chunk in answer.chunks])


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


async def relayed(format_: str, *chunks: bytes | BackendError) -> tuple[bytes, StreamEnding, Stream]:
    stream = Stream(*chunks[1:])
    ending = StreamEnding()
    sent = BackendResult(BackendAnswer(200, chunks=stream), BackendTarget(None), 1, chunks[0])  # type: ignore[arg-type]
    return b"".join([piece async for piece in relay(sent, WIRES[format_], ending)]), ending, stream


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100_000])
@pytest.mark.parametrize("format_", FORMATS)
async def test_a_whole_stream_passes_byte_for_byte_however_it_is_cut(format_: str, size: int) -> None:
    stream = await whole(format_)
    out, ending, closed = await relayed(format_, *(stream[at : at + size] for at in range(0, len(stream), size)))
    assert out == stream
    assert ending.error == "" and closed.closed
    assert ending.answer_metadata.id and ending.answer_metadata.id.encode() in stream
    assert (ending.answer_metadata.usage is None) == (format_ == "chat")  # it was not asked for it


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_stream_split_in_two_anywhere_passes_byte_for_byte(format_: str) -> None:
    stream = await whole(format_)
    for at in range(1, len(stream)):
        out, ending, _ = await relayed(format_, stream[:at], stream[at:])
        assert (out, ending.error) == (stream, ""), at


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_stream_cut_anywhere_ends_in_an_error_and_never_looks_complete(format_: str) -> None:
    stream = await whole(format_)
    finished = re.compile(rb"(?:^|\n)" + re.escape(LAST_WORD[format_]) + rb".*?\n\n", re.DOTALL)
    assert finished.search(stream)
    for cut in range(1, len(stream)):
        out, ending, _ = await relayed(format_, stream[:cut])
        if ending.error == "":  # the last word was said whole; what is missing comes after it
            done = b'"finish_reason":"stop","delta":{}}]}'  # after which chat may do without
            assert finished.search(stream[:cut] + b"\n\n") or stream[:cut].rstrip().endswith(done), cut
            continue
        assert ending.error == "truncated", cut
        assert not finished.search(out), cut
        last = out.rstrip(b"\n").rpartition(b"\n\n")[2]
        assert (b"event: error" in last) == (format_ != "chat"), cut
        told = json.loads(last[last.index(b"{") :])
        assert (told.get("error") or told)["message"], cut


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    "rubbish",
    [
        b"<html>502 Bad Gateway</html>",
        b"data: {broken\n\n",
        b"data: \xff\xfe\n\n",
        b"event: x\n\n",
        b"\n\n",
        b": only talk\n\n",
    ],
)
async def test_rubbish_never_looks_complete(format_: str, rubbish: bytes) -> None:
    stream = await whole(format_)
    middle = stream.index(b"\n\n") + 2
    alone, ending, _ = await relayed(format_, rubbish)
    assert ending.error and b"error" in alone
    if rubbish.startswith(b"data"):
        named = (
            b"event: content_block_delta\n" if format_ == "messages" else b""
        )  # its clients look at named events only
        out, ending, _ = await relayed(format_, stream[:middle] + named + rubbish + stream[middle:])
        assert ending.error, out


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_stream_that_fails_says_so_in_the_stream(format_: str) -> None:
    failed = BackendError("silent for 30 s", code="timeout_idle")
    out, ending, stream = await relayed(format_, (await whole(format_))[:300], failed)
    assert ending.error == "timeout_idle"
    assert b"silent for 30 s" in out and stream.closed


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_client_that_leaves_stops_the_backend(format_: str) -> None:
    bytes_ = await whole(format_)
    stream = Stream(bytes_)
    ending = StreamEnding()
    first = bytes_[: bytes_.index(b"\n\n") + 4]
    relaying = relay(
        BackendResult(BackendAnswer(200, chunks=stream), BackendTarget(None), 1, first), WIRES[format_], ending
    )  # type: ignore[arg-type]
    await anext(relaying)
    await relaying.aclose()
    assert (ending.error, stream.closed) == (CLIENT_LEFT, True)
