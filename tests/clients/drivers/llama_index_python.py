"""LlamaIndex: its model for OpenAI-compatible servers, and its Responses model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike

from tests.clients.drivers.driving import QUESTION, STRUCTURED_QUESTION, TOOLS, TOOLS_QUESTION, Ask, drive, run_tool
from tests.clients.drivers.verdict import Verdict

ROUNDS = 8
OFFERED = [FunctionTool.from_defaults(tool) for tool in TOOLS.values()]


def model(ask: Ask) -> FunctionCallingLLM:
    """Return a model as an app makes one."""
    common: dict[str, Any] = {
        "model": ask.model,
        "api_base": f"{ask.base_url}/v1",
        "api_key": ask.key,
        "timeout": ask.timeout_s,
        "max_retries": ask.retries,
        "default_headers": dict(ask.headers),
    }
    if ask.format == "responses":
        return OpenAIResponses(**common, context_window=8192)
    return OpenAILike(**common, is_chat_model=True, is_function_calling_model=True)


def messages(ask: Ask, question: str = QUESTION) -> list[ChatMessage]:
    """Return the messages of a first turn."""
    system = [ChatMessage(role=MessageRole.SYSTEM, content=ask.instructions)] if ask.system else []
    return [*system, ChatMessage(role=MessageRole.USER, content=question)]


async def ask_whole(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    answer = await model(ask).achat(messages(ask))
    return {"text": answer.message.content}


async def stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer."""
    pieces: list[ChatResponse] = [piece async for piece in await model(ask).astream_chat(messages(ask))]
    return {"text": "".join(piece.delta or "" for piece in pieces), "pieces": len(pieces)}


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with aclosing(await model(ask).astream_chat(messages(ask))) as pieces:
        async for piece in pieces:
            if piece.delta:
                break
    return {"left": True}


async def tools(ask: Ask, streamed: bool = False) -> Mapping[str, Any]:
    """Several rounds of tools."""
    llm = model(ask)
    said, called = messages(ask, TOOLS_QUESTION), []
    for _ in range(ROUNDS):
        if streamed:
            pieces = [piece async for piece in await llm.astream_chat_with_tools(OFFERED, chat_history=said)]
            answer = pieces[-1]
        else:
            answer = await llm.achat_with_tools(OFFERED, chat_history=said, allow_parallel_tool_calls=True)
        calls = llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
        if not calls:
            return {"text": answer.message.content, "called": called}
        said.append(answer.message)
        for call in calls:
            called.append([call.tool_name, call.tool_kwargs])
            result = run_tool(call.tool_name, call.tool_kwargs)
            named = {"tool_call_id": call.tool_id, "name": call.tool_name}
            said.append(ChatMessage(role=MessageRole.TOOL, content=result, additional_kwargs=named))
    raise AssertionError("the rounds have no end")


async def tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    return await tools(ask, streamed=True)


async def structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema, which this library asks for as a call of a tool."""
    answer = await model(ask).astructured_predict(Verdict, PromptTemplate(STRUCTURED_QUESTION))
    return {"value": answer.model_dump()}


if __name__ == "__main__":
    drive(
        {
            "ask": ask_whole,
            "stream": stream,
            "leave": leave,
            "tools": tools,
            "tools_stream": tools_stream,
            "structured": structured,
        }
    )
