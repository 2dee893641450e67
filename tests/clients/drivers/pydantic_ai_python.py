"""Pydantic AI: agents over Chat Completions, Responses and Messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.drivers.driving import QUESTION, STRUCTURED_QUESTION, TOOLS, TOOLS_QUESTION, Ask, drive
from tests.clients.drivers.verdict import Verdict


@asynccontextmanager
async def model(ask: Ask) -> AsyncIterator[Model]:
    """Give a model as an app makes one."""
    common: dict[str, Any] = {
        "api_key": ask.key,
        "timeout": ask.timeout_s,
        "max_retries": ask.retries,
        "default_headers": ask.headers,
    }
    if ask.format == "messages":
        async with anthropic.AsyncAnthropic(base_url=ask.base_url, **common) as sdk:
            yield AnthropicModel(ask.model, provider=AnthropicProvider(anthropic_client=sdk))
        return
    async with openai.AsyncOpenAI(base_url=f"{ask.base_url}/v1", **common) as sdk:
        kind = OpenAIResponsesModel if ask.format == "responses" else OpenAIChatModel
        yield kind(ask.model, provider=OpenAIProvider(openai_client=sdk))


def agent(ask: Ask, model: Model, **more: Any) -> Agent[None, Any]:
    """Return an agent with the app's own instructions."""
    return Agent(model, instructions=ask.instructions or None, retries=0, **more)


async def ask_whole(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    async with model(ask) as llm:
        run = await agent(ask, llm).run(QUESTION)
    return {"text": run.output, "usage": _usage(run)}


def _usage(run: Any) -> list[int]:
    usage = run.usage if not callable(run.usage) else run.usage()
    return [usage.input_tokens, usage.cache_read_tokens, usage.output_tokens]


async def stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer."""
    async with model(ask) as llm, agent(ask, llm).run_stream(QUESTION) as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
        return {"text": "".join(pieces), "pieces": len(pieces), "usage": _usage(run)}


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with model(ask) as llm, agent(ask, llm).run_stream(QUESTION) as run:
        async for piece in run.stream_text(delta=True, debounce_by=None):
            if piece:
                break
    return {"left": True}


async def tools(ask: Ask) -> Mapping[str, Any]:
    """Several rounds of tools, run by the agent."""
    async with model(ask) as llm:
        run = await agent(ask, llm, tools=list(TOOLS.values())).run(TOOLS_QUESTION)
    return {"text": run.output, "called": _called(run.all_messages())}


async def tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    async with (
        model(ask) as llm,
        agent(ask, llm, tools=list(TOOLS.values())).run_stream(TOOLS_QUESTION) as run,
    ):
        return {"text": await run.get_output(), "called": _called(run.all_messages())}


def _called(messages: list[Any]) -> list[Any]:
    parts = [part for message in messages if isinstance(message, ModelResponse) for part in message.parts]
    return [[part.tool_name, part.args_as_dict()] for part in parts if isinstance(part, ToolCallPart)]


async def structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema, which this library asks for as a call of a tool."""
    async with model(ask) as llm:
        run = await agent(ask, llm, output_type=Verdict).run(STRUCTURED_QUESTION)
    return {"value": run.output.model_dump()}


async def structured_native(ask: Ask) -> Mapping[str, Any]:
    """An answer by the format's own schema."""
    async with model(ask) as llm:
        run = await agent(ask, llm, output_type=NativeOutput(Verdict)).run(STRUCTURED_QUESTION)
    return {"value": run.output.model_dump()}


if __name__ == "__main__":
    drive(
        {
            "ask": ask_whole,
            "stream": stream,
            "leave": leave,
            "tools": tools,
            "tools_stream": tools_stream,
            "structured": structured,
            "chat/structured_native": structured_native,
            "responses/structured_native": structured_native,
        }
    )
