"""The end of a stream of litellm's, told by what it has received and not by what it sends. Without litellm."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from router.backends.http.limits import Timeouts
from router.backends.litellm.stream import EventStream, LiteLLMChunks, chat_events
from router.backends.sse import named_event
from router.core.errors import BackendError


class Chunk:
    def __init__(self, **payload: Any) -> None:
        self.payload = payload

    def model_dump(self, **_: Any) -> dict[str, Any]:
        return dict(self.payload)

    @property
    def choices(self) -> list[Any]:
        return [SimpleNamespace(**choice) for choice in self.payload.get("choices", ())]


def said(text: str, finish: str | None = None, **more: Any) -> Chunk:
    return Chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], **more)


class Source:
    """Stands for litellm's CustomStreamWrapper: yields chunks, raises exceptions, sleeps through numbers."""

    def __init__(self, *steps: Any, received: str | None = None, intermittent: str | None = None) -> None:
        self.steps = list(steps)
        self.received_finish_reason = received
        self.intermittent_finish_reason = intermittent
        self.closed = 0

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Chunk:
        if not self.steps:
            raise StopAsyncIteration
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
            return await self.__anext__()
        return step

    async def aclose(self) -> None:
        self.closed += 1


def failure(error: Exception) -> BackendError:
    return BackendError(str(error), code="mapped")


def chunks_of(source: Source, *, total_s: float = 60, **timeouts: float) -> LiteLLMChunks:
    return LiteLLMChunks(
        source,
        named=failure,
        errors=(ValueError,),
        timeouts=Timeouts(total_s=total_s, **timeouts),
        ends=asyncio.get_running_loop().time() + total_s,
    )


async def over(source: Source, *, usage: bool = False, **timeouts: float) -> EventStream:
    chunks = chunks_of(source, **timeouts)
    await chunks.start()
    return EventStream(chunks, chat_events(chunks, usage=usage))


async def read(source: Source, **more: Any) -> list[bytes]:
    return [event async for event in await over(source, **more)]


async def test_a_whole_stream_ends_with_its_mark():
    events = await read(Source(said("a"), said("", "stop"), received="stop"))
    assert len(events) == 3 and events[-1] == b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "source",
    [
        Source(),
        Source(said("a")),
        Source(said("a"), said("", "stop")),
        Source(said("a"), received="stop"),
    ],
    ids=["nothing", "no finish", "an invented finish", "no finish sent"],
)
async def test_a_stream_without_a_reason_is_cut_and_closed(source):
    with pytest.raises(BackendError) as caught:
        await read(source)
    assert (caught.value.code, source.closed) == ("truncated", 1)


async def test_a_reason_in_the_middle_counts():
    events = await read(Source(said("a"), said("", "length"), intermittent="length"))
    assert b'"length"' in events[1]


async def test_usage_in_passing_is_left_out_and_at_the_end_as_asked():
    def source():
        return Source(said("a", usage={"n": 1}), said("", "stop"), said("", usage={"n": 2}), received="stop")

    assert b"usage" not in b"".join(await read(source()))
    events = await read(source(), usage=True)
    assert events[2] == b'data: {"choices":[],"usage":{"n":2}}\n\n'


async def test_errors_are_mapped_where_they_come():
    source = Source(said("a"), ValueError("no"))
    stream = await over(source)
    assert b'"a"' in await anext(stream)
    with pytest.raises(BackendError) as caught:
        await anext(stream)
    assert (caught.value.code, source.closed) == ("mapped", 1)


@pytest.mark.parametrize(
    ("steps", "timeouts", "code"),
    [
        ((9.0,), {"first_byte_s": 0.01}, "timeout_first_byte"),
        ((said("a"), 9.0), {"idle_s": 0.01}, "timeout_idle"),
        ((said("a"), 9.0), {"total_s": 0.01}, "timeout_total"),
    ],
)
async def test_silence_is_told_apart(steps, timeouts, code):
    source = Source(*steps)
    with pytest.raises(BackendError) as caught:
        await read(source, **timeouts)
    assert (caught.value.code, caught.value.status, source.closed) == (code, 504, 1)


async def test_closing_closes_the_source_and_ends_the_stream():
    source = Source(said("a"), said("b"))
    stream = await over(source)
    await stream.aclose()
    assert source.closed == 1
    assert [event async for event in stream] == []


class Translator:
    """Stands for litellm's translators: makes one event of each chunk, and may do worse."""

    def __init__(self, chunks: LiteLLMChunks, *, swallow: bool = False, stumble: bool = False) -> None:
        self.chunks = chunks
        self.swallow = swallow
        self.stumble = stumble
        self.ended = False

    def __aiter__(self) -> Translator:
        return self

    async def __anext__(self) -> bytes:
        if self.ended:
            raise StopAsyncIteration
        if self.stumble:
            raise ValueError("no such field")
        try:
            await anext(self.chunks)
        except StopAsyncIteration:
            self.ended = True
            return named_event({"type": "end"})
        except BackendError:
            if not self.swallow:
                raise
            return named_event({"type": "end"})
        return named_event({"type": "piece"})


async def translated(source: Source, **how: bool) -> EventStream:
    chunks = chunks_of(source)
    await chunks.start()
    return EventStream(chunks, Translator(chunks, **how))


async def test_translated_events_have_names():
    stream = await translated(Source(said("a"), said("", "stop"), received="stop"))
    kinds = [event.partition(b"\n")[0] for event in [event async for event in stream]]
    assert kinds == [b"event: piece", b"event: piece", b"event: end"]


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_translator_cannot_hide_a_cut(swallow):
    source = Source(said("a"), said("", "stop"))
    stream, events = await translated(source, swallow=swallow), []
    with pytest.raises(BackendError) as caught:
        async for event in stream:
            events.append(event)
    assert (caught.value.code, source.closed, len(events)) == ("truncated", 1, 1)


async def test_a_translator_that_stumbles_is_a_failure():
    source = Source(said("a"))
    stream = await translated(source, stumble=True)
    with pytest.raises(BackendError, match="no such field"):
        await anext(stream)
    assert source.closed == 1


async def test_closing_ends_a_translated_stream():
    source = Source(said("a"), said("b"))
    stream = await translated(source)
    await stream.aclose()
    assert source.closed == 1 and [event async for event in stream] == []
