"""The official OpenAI SDK through `router serve` when something goes wrong: errors by class, time-outs, going away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

LONG: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "I want my money back"}],
    "max_tokens": 3000,
    "extra_body": {"ignore_eos": True},  # llama.cpp's own field: it writes on until max_tokens, for a minute and more
}
SHORT: dict[str, Any] = {"model": "smollm2", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}

REFUSED: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str | None]] = {
    "unknown_model": ({"model": "gpt-unknown"}, openai.NotFoundError, "model_not_found"),
    "no_messages": ({"messages": []}, openai.BadRequestError, None),
    "messages_of_a_wrong_type": ({"messages": "hello"}, openai.BadRequestError, None),
    "a_policy_that_does_not_exist": (
        {"extra_headers": {"x-router-policy": "nobody-s"}},
        openai.NotFoundError,
        "policy_not_found",
    ),
    "a_backend_that_is_not_there": ({"model": "nobody"}, openai.InternalServerError, None),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_errors_have_the_class_the_sdk_gives_them(name: str, stream: bool, through: openai.OpenAI) -> None:
    changes, kind, code = REFUSED[name]
    with pytest.raises(openai.APIStatusError) as refused:
        through.chat.completions.create(**{**SHORT, **changes, "stream": stream})
    error = refused.value
    assert type(error) is kind
    assert isinstance(error.body, dict)
    assert isinstance(error.body["message"], str) and isinstance(error.body["type"], str)
    assert error.request_id
    if code is not None:
        assert error.code == code


def test_a_missing_backend_is_no_dead_end_where_there_is_a_fallback(through: openai.OpenAI) -> None:
    answer = through.chat.completions.create(**{**SHORT, "model": "with-fallback"})
    assert answer.model == "smollm2"
    assert answer.choices[0].message.content


def test_an_unknown_path_is_not_found(through: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        through.get("/nothing-here", cast_to=object)


# ------------------------------------------------------------------------------------------------ the client goes away


def test_after_a_stream_is_closed_the_model_stops(through: openai.OpenAI, busy: Callable[[int], bool]) -> None:
    with through.chat.completions.create(**LONG, stream=True) as stream:
        next(chunk for chunk in stream if chunk.choices and chunk.choices[0].delta.content)
        assert busy(1)
    assert busy(0)


async def test_after_a_task_is_cancelled_the_model_stops(
    athrough: openai.AsyncOpenAI, busy: Callable[[int], bool]
) -> None:
    async def ask() -> None:
        async for _ in await athrough.chat.completions.create(**LONG, stream=True):
            pass

    task = asyncio.create_task(ask())
    assert await asyncio.to_thread(busy, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(busy, 0)


def test_a_time_out_is_the_client_s_own(through: openai.OpenAI, busy: Callable[[int], bool]) -> None:
    # llama.cpp finishes a whole answer even when nobody waits for it any longer, so this one is short.
    with pytest.raises(openai.APITimeoutError):
        through.with_options(timeout=0.5).chat.completions.create(**{**LONG, "max_tokens": 100})
    assert busy(0)


def test_a_time_out_before_the_first_word_stops_the_model(through: openai.OpenAI, busy: Callable[[int], bool]) -> None:
    # Reading a long prompt takes the model longer than the client's patience. The SDK lets httpx's own error out where
    # the headers have come already.
    long = {**LONG, "messages": [{"role": "user", "content": "I want my money back. " * 60}]}
    impatient = through.with_options(timeout=1.0)
    with (
        pytest.raises((openai.APITimeoutError, httpx.ReadTimeout)),
        impatient.chat.completions.create(**long, stream=True) as stream,
    ):
        list(stream)
    assert busy(0)


def test_the_proxy_serves_on_after_all_that(through: openai.OpenAI) -> None:
    assert through.chat.completions.create(**SHORT).choices[0].finish_reason == "length"
