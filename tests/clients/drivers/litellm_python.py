"""LiteLLM as a client library: Chat Completions, Responses and Messages, each towards a base address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import litellm

from tests.clients.drivers.driving import (
    PARAMETERS,
    QUESTION,
    STRUCTURED_QUESTION,
    TOOLS,
    TOOLS_QUESTION,
    Ask,
    drive,
    run_tool,
)
from tests.clients.drivers.verdict import Verdict

ROUNDS = 8
litellm.suppress_debug_info = True


def common(ask: Ask) -> dict[str, Any]:
    """Return the arguments that say where to and how."""
    provider = "anthropic" if ask.format == "messages" else "openai"
    return {
        "model": f"{provider}/{ask.model}",
        "api_base": ask.base_url if ask.format == "messages" else f"{ask.base_url}/v1",
        "api_key": ask.key,
        "timeout": ask.timeout_s,
        # In chat completions the OpenAI SDK below tries again; elsewhere LiteLLM itself does.
        "max_retries" if ask.format == "chat" else "num_retries": ask.retries,
        "extra_headers": dict(ask.headers),
    }


def messages(ask: Ask, question: str = QUESTION) -> list[Any]:
    """Return the messages of a first turn."""
    system = [{"role": "system", "content": ask.instructions}] if ask.system else []
    return [*system, {"role": "user", "content": question}]


def _usage(usage: Any) -> list[int] | None:
    if usage is None:
        return None
    return [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens]


async def ask_whole(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    answer = await litellm.acompletion(messages=messages(ask), **common(ask))
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "usage": _usage(answer.usage)}


async def stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer, with its usage."""
    pieces, finish, usage = [], None, None
    answer = await litellm.acompletion(
        messages=messages(ask), stream=True, stream_options={"include_usage": True}, **common(ask)
    )
    async for chunk in answer:
        usage = getattr(chunk, "usage", None) or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    return {"text": "".join(pieces), "pieces": len(pieces), "finish": finish, "usage": _usage(usage)}


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    answer = await litellm.acompletion(messages=messages(ask), stream=True, **common(ask))
    async with aclosing(answer) as chunks:
        async for chunk in chunks:
            if chunk.choices[0].delta.content:
                break
    return {"left": True}


OFFERED = [
    {"type": "function", "function": {"name": name, "description": tool.__doc__, "parameters": PARAMETERS}}
    for name, tool in TOOLS.items()
]


async def tools(ask: Ask, streamed: bool = False) -> Mapping[str, Any]:
    """Several rounds of tools."""
    said, called = messages(ask, TOOLS_QUESTION), []
    for _ in range(ROUNDS):
        answer = await litellm.acompletion(
            messages=said,
            tools=OFFERED,
            stream=streamed,
            **common(ask),
        )
        if streamed:
            answer = litellm.stream_chunk_builder([chunk async for chunk in answer])
        message = answer.choices[0].message
        if not message.tool_calls:
            return {"text": message.content, "called": called}
        said.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            arguments = json.loads(call.function.arguments)
            called.append([call.function.name, arguments])
            result = run_tool(call.function.name, arguments)
            said.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise AssertionError("the rounds have no end")


async def tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    return await tools(ask, streamed=True)


async def structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema."""
    answer = await litellm.acompletion(
        messages=messages(ask, STRUCTURED_QUESTION), response_format=Verdict, **common(ask)
    )
    return {"value": json.loads(answer.choices[0].message.content)}


# ------------------------------------------------------------------------------------------------------- Responses


async def responses(ask: Ask) -> Mapping[str, Any]:
    """One whole response."""
    told = {"instructions": ask.instructions} if ask.system else {}
    answer = await litellm.aresponses(input=QUESTION, **told, **common(ask))
    return {"text": answer.output_text, "finish": answer.status}


def _know(ask: Ask) -> None:
    # Of a model that it does not know, LiteLLM asks a whole response and plays the stream.
    known = {"litellm_provider": "openai", "mode": "responses", "supports_native_streaming": True}
    litellm.register_model({ask.model: known, f"openai/{ask.model}": known})


async def responses_stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed response."""
    _know(ask)
    told = {"instructions": ask.instructions} if ask.system else {}
    pieces, kinds = [], []
    async for event in await litellm.aresponses(input=QUESTION, stream=True, **told, **common(ask)):
        kinds.append(str(event.type))
        if event.type == "response.output_text.delta":
            pieces.append(event.delta)
    return {"text": "".join(pieces), "pieces": len(pieces), "events": kinds}


async def responses_leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then stop: this library closes nothing by itself, so the task ends."""
    _know(ask)
    async for event in await litellm.aresponses(input=QUESTION, stream=True, **common(ask)):
        if event.type == "response.output_text.delta":
            break
    return {"left": True}


async def responses_tools(ask: Ask, streamed: bool = False) -> Mapping[str, Any]:
    """Several rounds of tools."""
    _know(ask)
    items: list[Any] = [{"role": "user", "content": TOOLS_QUESTION}]
    offered = [{"type": "function", **tool["function"]} for tool in OFFERED]
    called = []
    for _ in range(ROUNDS):
        answer = await litellm.aresponses(input=items, tools=offered, stream=streamed, **common(ask))
        if streamed:
            answer = [event async for event in answer][-1].response
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return {"text": answer.output_text, "called": called}
        for call in calls:
            said = {"call_id": call.call_id, "name": call.name, "arguments": call.arguments}
            items.append({"type": "function_call", **said})
        for call in calls:
            arguments = json.loads(call.arguments)
            called.append([call.name, arguments])
            result = run_tool(call.name, arguments)
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    raise AssertionError("the rounds have no end")


async def responses_tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    return await responses_tools(ask, streamed=True)


async def responses_structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema."""
    answer = await litellm.aresponses(input=STRUCTURED_QUESTION, text_format=Verdict, **common(ask))
    return {"value": json.loads(answer.output_text)}


async def embeddings(ask: Ask) -> Mapping[str, Any]:
    """Vectors of two texts."""
    answer = await litellm.aembedding(input=["one", "two"], encoding_format="float", **common(ask))
    return {"vectors": [row["embedding"] for row in answer.data]}


if __name__ == "__main__":
    chat = {
        "ask": ask_whole,
        "stream": stream,
        "leave": leave,
        "tools": tools,
        "tools_stream": tools_stream,
        "structured": structured,
    }
    whole_responses = {
        "ask": responses,
        "stream": responses_stream,
        "leave": responses_leave,
        "tools": responses_tools,
        "tools_stream": responses_tools_stream,
        "structured": responses_structured,
    }
    formats = {"chat": {**chat, "embeddings": embeddings}, "messages": chat, "responses": whole_responses}
    drive({f"{wire}/{name}": case for wire, cases in formats.items() for name, case in cases.items()})
