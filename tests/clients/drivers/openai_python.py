"""The official OpenAI SDK for Python: Chat Completions and Responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import openai

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


class StreamError(Exception):
    """What an app makes of an event that reports an error."""


def client(ask: Ask) -> openai.AsyncOpenAI:
    """Return a client as an app makes one."""
    return openai.AsyncOpenAI(
        base_url=f"{ask.base_url}/v1",
        api_key=ask.key,
        timeout=ask.timeout_s,
        max_retries=ask.retries,
        default_headers=ask.headers,
    )


def messages(ask: Ask, question: str = QUESTION) -> list[Any]:
    """Return the messages of a first turn."""
    system = [{"role": "system", "content": ask.instructions}] if ask.system else []
    return [*system, {"role": "user", "content": question}]


def usage_of(usage: Any) -> list[int] | None:
    """Return the tokens of a chat completion: prompt, cached, completion."""
    if usage is None:
        return None
    return [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens]


# ------------------------------------------------------------------------------------------------- Chat Completions


async def chat(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    async with client(ask) as sdk:
        answer = await sdk.chat.completions.create(model=ask.model, messages=messages(ask))
    choice = answer.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "usage": usage_of(answer.usage),
        "id": answer.id,
        "extra": (answer.model_extra or {}).get("x_of_the_provider"),
    }


async def chat_stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer, with its usage."""
    words, finish, usage = [], None, None
    async with client(ask) as sdk:
        stream = await sdk.chat.completions.create(
            model=ask.model, messages=messages(ask), stream=True, stream_options={"include_usage": True}
        )
        async with stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    words.append(choice.delta.content or "")
                    finish = choice.finish_reason or finish
    return {"text": "".join(words), "pieces": len(words), "finish": finish, "usage": usage_of(usage)}


async def chat_bare_stream(ask: Ask) -> Mapping[str, Any]:
    """A stream whose app did not ask for the usage."""
    chunks = []
    async with client(ask) as sdk:
        async for chunk in await sdk.chat.completions.create(model=ask.model, messages=messages(ask), stream=True):
            chunks.append(chunk.model_dump())
    return {"chunks": chunks}


async def chat_leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with client(ask) as sdk:
        stream = await sdk.chat.completions.create(model=ask.model, messages=messages(ask), stream=True)
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    break
    return {"left": True}


CHAT_TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "description": tool.__doc__, "parameters": PARAMETERS, "strict": True},
    }
    for name, tool in TOOLS.items()
]


async def chat_tools(ask: Ask) -> Mapping[str, Any]:
    """Several rounds of tools, the first with two calls at once."""
    said, called = messages(ask, TOOLS_QUESTION), []
    async with client(ask) as sdk:
        for _ in range(ROUNDS):
            answer = await sdk.chat.completions.create(model=ask.model, messages=said, tools=CHAT_TOOLS)
            message = answer.choices[0].message
            if not message.tool_calls:
                return {"text": message.content, "called": called, "finish": answer.choices[0].finish_reason}
            said.append(message)
            for call in message.tool_calls:
                arguments = json.loads(call.function.arguments)
                called.append([call.function.name, arguments])
                result = run_tool(call.function.name, arguments)
                said.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise AssertionError("the rounds have no end")


async def chat_tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed, put together by the SDK's own helper."""
    said, called = messages(ask, TOOLS_QUESTION), []
    async with client(ask) as sdk:
        for _ in range(ROUNDS):
            async with sdk.chat.completions.stream(model=ask.model, messages=said, tools=CHAT_TOOLS) as stream:
                async for _ in stream:
                    pass
                message = (await stream.get_final_completion()).choices[0].message
            if not message.tool_calls:
                return {"text": message.content, "called": called}
            said.append({"role": "assistant", "content": message.content, "tool_calls": _bare(message.tool_calls)})
            for call in message.tool_calls:
                arguments = json.loads(call.function.arguments)
                called.append([call.function.name, arguments])
                result = run_tool(call.function.name, arguments)
                said.append({"role": "tool", "tool_call_id": call.id, "content": result})
    raise AssertionError("the rounds have no end")


def _bare(calls: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in calls
    ]


async def chat_structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema, parsed by the SDK."""
    async with client(ask) as sdk:
        answer = await sdk.chat.completions.parse(
            model=ask.model, messages=messages(ask, STRUCTURED_QUESTION), response_format=Verdict
        )
    parsed = answer.choices[0].message.parsed
    assert parsed is not None
    return {"value": parsed.model_dump()}


# ------------------------------------------------------------------------------------------------------- Responses


def response_usage(usage: Any) -> list[int] | None:
    """Return the tokens of a response: prompt, cached, completion."""
    if usage is None:
        return None
    return [usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens]


def _told(ask: Ask) -> dict[str, Any]:
    return {"instructions": ask.instructions} if ask.system else {}


async def responses(ask: Ask) -> Mapping[str, Any]:
    """One whole response."""
    async with client(ask) as sdk:
        answer = await sdk.responses.create(model=ask.model, input=QUESTION, **_told(ask))
    return {
        "text": answer.output_text,
        "finish": answer.status,
        "usage": response_usage(answer.usage),
        "id": answer.id,
        "extra": (answer.model_extra or {}).get("x_of_the_provider"),
    }


async def responses_stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed response; its sequence numbers must rise."""
    words, kinds, numbers, final = [], [], [], None
    asked = {"model": ask.model, "input": QUESTION, **_told(ask)}
    async with client(ask) as sdk, await sdk.responses.create(**asked, stream=True) as stream:
        async for event in stream:
            kinds.append(event.type)
            numbers.append(event.sequence_number)
            if event.type == "error":
                raise StreamError(event.message)
            if event.type == "response.output_text.delta":
                words.append(event.delta)
            if event.type == "response.completed":
                final = event.response
    return {
        "text": "".join(words),
        "pieces": len(words),
        "finish": final and final.status,
        "usage": response_usage(final and final.usage),
        "events": kinds,
        "rising": numbers == sorted(set(numbers)),
    }


async def responses_leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with client(ask) as sdk, await sdk.responses.create(model=ask.model, input=QUESTION, stream=True) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
    return {"left": True}


RESPONSE_TOOLS: list[Any] = [
    {"type": "function", "name": name, "description": tool.__doc__, "parameters": PARAMETERS, "strict": True}
    for name, tool in TOOLS.items()
]


async def responses_tools(ask: Ask) -> Mapping[str, Any]:
    """Several rounds of tools."""
    items: list[Any] = [{"role": "user", "content": TOOLS_QUESTION}]
    called = []
    async with client(ask) as sdk:
        for _ in range(ROUNDS):
            answer = await sdk.responses.create(model=ask.model, input=items, tools=RESPONSE_TOOLS, **_told(ask))
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return {"text": answer.output_text, "called": called, "finish": answer.status}
            items += answer.output
            for call in calls:
                arguments = json.loads(call.arguments)
                called.append([call.name, arguments])
                result = run_tool(call.name, arguments)
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    raise AssertionError("the rounds have no end")


async def responses_tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed, put together by the SDK's own helper."""
    items: list[Any] = [{"role": "user", "content": TOOLS_QUESTION}]
    called = []
    async with client(ask) as sdk:
        for _ in range(ROUNDS):
            async with (
                sdk.responses.stream(model=ask.model, input=items, tools=RESPONSE_TOOLS, **_told(ask)) as stream,
                aclosing(aiter(stream)) as events,
            ):
                async for _ in events:
                    pass
                answer = await stream.get_final_response()
            calls = [item for item in answer.output if item.type == "function_call"]
            if not calls:
                return {"text": answer.output_text, "called": called}
            for call in calls:
                arguments = json.loads(call.arguments)
                called.append([call.name, arguments])
                items.append(
                    {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments}
                )
            for call in calls:
                result = run_tool(call.name, json.loads(call.arguments))
                items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    raise AssertionError("the rounds have no end")


async def responses_structured(ask: Ask) -> Mapping[str, Any]:
    """A response by schema, parsed by the SDK."""
    async with client(ask) as sdk:
        answer = await sdk.responses.parse(
            model=ask.model, input=STRUCTURED_QUESTION, text_format=Verdict, **_told(ask)
        )
    assert answer.output_parsed is not None
    return {"value": answer.output_parsed.model_dump()}


# --------------------------------------------------------------------------------------------------------- the rest


async def chat_request_id(ask: Ask) -> Mapping[str, Any]:
    """The id under which a provider's support would look for a call."""
    async with client(ask) as sdk:
        return {"id": (await sdk.chat.completions.create(model=ask.model, messages=messages(ask)))._request_id}


async def responses_request_id(ask: Ask) -> Mapping[str, Any]:
    """The same, of a response."""
    async with client(ask) as sdk:
        return {"id": (await sdk.responses.create(model=ask.model, input=QUESTION))._request_id}


async def models(ask: Ask) -> Mapping[str, Any]:
    """The list of models, and one of them."""
    async with client(ask) as sdk:
        listed = [model.id async for model in sdk.models.list()]
        one = await sdk.models.retrieve(ask.model)
    return {"models": sorted(listed), "one": one.id}


async def embeddings(ask: Ask) -> Mapping[str, Any]:
    """Vectors of two texts."""
    async with client(ask) as sdk:
        answer = await sdk.embeddings.create(model=ask.model, input=["one", "two"])
    return {"vectors": [list(row.embedding) for row in answer.data]}


if __name__ == "__main__":
    drive(
        {
            "chat/ask": chat,
            "chat/stream": chat_stream,
            "chat/bare_stream": chat_bare_stream,
            "chat/leave": chat_leave,
            "chat/tools": chat_tools,
            "chat/tools_stream": chat_tools_stream,
            "chat/structured": chat_structured,
            "responses/ask": responses,
            "responses/stream": responses_stream,
            "responses/leave": responses_leave,
            "responses/tools": responses_tools,
            "responses/tools_stream": responses_tools_stream,
            "responses/structured": responses_structured,
            "chat/request_id": chat_request_id,
            "responses/request_id": responses_request_id,
            "models": models,
            "embeddings": embeddings,
        }
    )
