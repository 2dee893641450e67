"""Instructor: typed answers over Chat Completions, Responses and Messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anthropic
import instructor
import openai

from tests.clients.drivers.driving import STRUCTURED_QUESTION, Ask, drive
from tests.clients.drivers.verdict import Verdict

MODES = {
    "chat": instructor.Mode.TOOLS,
    "responses": instructor.Mode.RESPONSES_TOOLS,
    "messages": instructor.Mode.ANTHROPIC_TOOLS,
}


@asynccontextmanager
async def client(ask: Ask, mode: instructor.Mode | None = None) -> AsyncIterator[Any]:
    """Give a client as an app makes one."""
    common: dict[str, Any] = {
        "api_key": ask.key,
        "timeout": ask.timeout_s,
        "max_retries": ask.retries,
        "default_headers": ask.headers,
    }
    mode = mode or MODES[ask.format]
    if ask.format == "messages":
        async with anthropic.AsyncAnthropic(base_url=ask.base_url, **common) as sdk:
            yield instructor.from_anthropic(sdk, mode=mode)
        return
    async with openai.AsyncOpenAI(base_url=f"{ask.base_url}/v1", **common) as sdk:
        yield instructor.from_openai(sdk, mode=mode)


def request(ask: Ask) -> dict[str, Any]:
    """Return the arguments of a first turn."""
    said = [{"role": "user", "content": STRUCTURED_QUESTION}]
    if ask.system and ask.format != "messages":
        said.insert(0, {"role": "system", "content": ask.instructions})
    system = {"system": ask.instructions} if ask.system and ask.format == "messages" else {}
    limit = {"max_tokens": 256} if ask.format == "messages" else {}
    return {"model": ask.model, "messages": said, "max_retries": 0, **system, **limit}


async def structured(ask: Ask) -> Mapping[str, Any]:
    """A typed answer."""
    async with client(ask) as typed:
        answer = await typed.create(response_model=Verdict, **request(ask))
    return {"value": answer.model_dump()}


async def structured_json(ask: Ask) -> Mapping[str, Any]:
    """A typed answer by the format's own schema."""
    async with client(ask, instructor.Mode.JSON_SCHEMA) as typed:
        answer = await typed.create(response_model=Verdict, **request(ask))
    return {"value": answer.model_dump()}


async def structured_stream(ask: Ask) -> Mapping[str, Any]:
    """A typed answer that grows."""
    async with client(ask) as typed:
        last = None
        async for partial in typed.create_partial(response_model=Verdict, **request(ask)):
            last = partial
    assert last is not None
    return {"value": last.model_dump()}


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first part of a typed answer that grows, then close it."""
    async with client(ask) as typed, aclosing(typed.create_partial(response_model=Verdict, **request(ask))) as parts:
        async for _ in parts:
            break
    return {"left": True}


if __name__ == "__main__":
    drive(
        {
            "structured": structured,
            "chat/structured_native": structured_json,
            "structured_stream": structured_stream,
            "leave": leave,
        }
    )
