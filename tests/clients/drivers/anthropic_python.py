"""The official Anthropic SDK for Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anthropic

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
MAX_TOKENS = 64


def client(ask: Ask) -> anthropic.AsyncAnthropic:
    """Return a client as an app makes one."""
    return anthropic.AsyncAnthropic(
        base_url=ask.base_url,
        api_key=ask.key,
        timeout=ask.timeout_s,
        max_retries=ask.retries,
        default_headers=ask.headers,
    )


def request(ask: Ask, question: str = QUESTION) -> dict[str, Any]:
    """Return the arguments of a first turn."""
    system = {"system": ask.instructions} if ask.system else {}
    said = [{"role": "user", "content": question}]
    return {"model": ask.model, "max_tokens": MAX_TOKENS, "messages": said, **system}


def told(message: Any) -> dict[str, Any]:
    """Return what an app reads of a message."""
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "finish": message.stop_reason,
        "usage": [usage.input_tokens + cached, cached, usage.output_tokens],
        "id": message.id,
    }


async def ask_whole(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    async with client(ask) as sdk:
        message = await sdk.messages.create(**request(ask))
    return {**told(message), "extra": (message.model_extra or {}).get("x_of_the_provider")}


async def stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer, put together by the SDK."""
    kinds, pieces = [], []
    async with client(ask) as sdk, sdk.messages.stream(**request(ask)) as events:
        async for event in events:
            kinds.append(event.type)
            if event.type == "text":
                pieces.append(event.text)
        message = await events.get_final_message()
    return {**told(message), "pieces": len(pieces), "events": kinds}


async def raw_stream(ask: Ask) -> Mapping[str, Any]:
    """The bare events."""
    async with client(ask) as sdk:
        return {"chunks": [e.model_dump() async for e in await sdk.messages.create(**request(ask), stream=True)]}


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with client(ask) as sdk, sdk.messages.stream(**request(ask)) as events:
        async for event in events:
            if event.type == "text":
                break
    return {"left": True}


DECLARED: list[Any] = [
    {"name": name, "description": tool.__doc__, "input_schema": PARAMETERS} for name, tool in TOOLS.items()
]


async def tools(ask: Ask, streamed: bool = False) -> Mapping[str, Any]:
    """Several rounds of tools."""
    asking = request(ask, TOOLS_QUESTION)
    called = []
    async with client(ask) as sdk:
        for _ in range(ROUNDS):
            if streamed:
                async with sdk.messages.stream(**asking, tools=DECLARED) as events:
                    message = await events.get_final_message()
            else:
                message = await sdk.messages.create(**asking, tools=DECLARED)
            calls = [block for block in message.content if block.type == "tool_use"]
            if not calls:
                return {**told(message), "called": called}
            called += [[call.name, call.input] for call in calls]
            results = [
                {"type": "tool_result", "tool_use_id": call.id, "content": run_tool(call.name, call.input)}
                for call in calls
            ]
            turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
            asking["messages"] = [*asking["messages"], *turns]
    raise AssertionError("the rounds have no end")


async def tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    return await tools(ask, streamed=True)


async def structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema, parsed by the SDK."""
    async with client(ask) as sdk:
        message = await sdk.messages.parse(**request(ask, STRUCTURED_QUESTION), output_format=Verdict)
    assert message.parsed_output is not None
    return {"value": message.parsed_output.model_dump()}


async def structured_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    async with (
        client(ask) as sdk,
        sdk.messages.stream(**request(ask, STRUCTURED_QUESTION), output_format=Verdict) as events,
    ):
        message = await events.get_final_message()
    assert message.parsed_output is not None
    return {"value": message.parsed_output.model_dump()}


async def count_tokens(ask: Ask) -> Mapping[str, Any]:
    """How many tokens a request would have."""
    asking = {key: value for key, value in request(ask).items() if key != "max_tokens"}
    async with client(ask) as sdk:
        return {"tokens": (await sdk.messages.count_tokens(**asking)).input_tokens}


async def request_id(ask: Ask) -> Mapping[str, Any]:
    """The id under which a provider's support would look for a call."""
    async with client(ask) as sdk:
        return {"id": (await sdk.messages.create(**request(ask)))._request_id}


if __name__ == "__main__":
    drive(
        {
            "ask": ask_whole,
            "stream": stream,
            "bare_stream": raw_stream,
            "leave": leave,
            "tools": tools,
            "tools_stream": tools_stream,
            "structured": structured,
            "structured_stream": structured_stream,
            "count_tokens": count_tokens,
            "request_id": request_id,
        }
    )
