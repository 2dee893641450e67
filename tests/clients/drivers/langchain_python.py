"""LangChain for Python: its chat models over Chat Completions, Responses and Messages."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.clients.drivers.driving import QUESTION, STRUCTURED_QUESTION, TOOLS, TOOLS_QUESTION, Ask, drive, run_tool
from tests.clients.drivers.verdict import Verdict

ROUNDS = 8
OFFERED = [StructuredTool.from_function(tool) for tool in TOOLS.values()]


def model(ask: Ask) -> BaseChatModel:
    """Return a chat model as an app makes one."""
    common: dict[str, Any] = {
        "model": ask.model,
        "base_url": ask.base_url if ask.format == "messages" else f"{ask.base_url}/v1",
        "api_key": ask.key,
        "timeout": ask.timeout_s,
        "max_retries": ask.retries,
        "default_headers": dict(ask.headers),
    }
    if ask.format == "messages":
        return ChatAnthropic(**common, max_tokens=64)
    return ChatOpenAI(**common, use_responses_api=ask.format == "responses", stream_usage=True)


def messages(ask: Ask, question: str = QUESTION) -> list[BaseMessage]:
    """Return the messages of a first turn."""
    return [*([SystemMessage(ask.instructions)] if ask.system else []), HumanMessage(question)]


def told(answer: AIMessage) -> dict[str, Any]:
    """Return what an app reads of an answer."""
    usage = answer.usage_metadata
    details = (usage or {}).get("input_token_details", {})
    meta = answer.response_metadata
    return {
        "text": answer.text,
        "finish": meta.get("finish_reason") or meta.get("stop_reason") or meta.get("status"),
        "usage": usage and [usage["input_tokens"], details.get("cache_read"), usage["output_tokens"]],
    }


async def ask_whole(ask: Ask) -> Mapping[str, Any]:
    """One whole answer."""
    return told(await model(ask).ainvoke(messages(ask)))


async def stream(ask: Ask) -> Mapping[str, Any]:
    """One streamed answer."""
    pieces = [chunk async for chunk in model(ask).astream(messages(ask))]
    return {**told(_joined(pieces)), "pieces": len(pieces)}


def _joined(pieces: list[AIMessageChunk]) -> AIMessageChunk:
    joined = pieces[0]
    for piece in pieces[1:]:
        joined += piece
    return joined


async def leave(ask: Ask) -> Mapping[str, Any]:
    """Read the first words of a stream, then close it."""
    async with aclosing(model(ask).astream(messages(ask))) as pieces:
        async for piece in pieces:
            if piece.text:
                break
    return {"left": True}


async def tools(ask: Ask, streamed: bool = False) -> Mapping[str, Any]:
    """Several rounds of tools."""
    bound = model(ask).bind_tools(OFFERED)
    said, called = messages(ask, TOOLS_QUESTION), []
    for _ in range(ROUNDS):
        answer = _joined([piece async for piece in bound.astream(said)]) if streamed else await bound.ainvoke(said)
        if not answer.tool_calls:
            return {"text": answer.text, "called": called}
        said.append(answer)
        for call in answer.tool_calls:
            called.append([call["name"], call["args"]])
            said.append(ToolMessage(run_tool(call["name"], call["args"]), tool_call_id=call["id"]))
    raise AssertionError("the rounds have no end")


async def tools_stream(ask: Ask) -> Mapping[str, Any]:
    """The same, streamed."""
    return await tools(ask, streamed=True)


async def structured(ask: Ask) -> Mapping[str, Any]:
    """An answer by schema."""
    answer = await model(ask).with_structured_output(Verdict).ainvoke(messages(ask, STRUCTURED_QUESTION))
    return {"value": answer.model_dump()}


async def embeddings(ask: Ask) -> Mapping[str, Any]:
    """Vectors of two texts."""
    embedder = OpenAIEmbeddings(
        model=ask.model, base_url=f"{ask.base_url}/v1", api_key=ask.key, check_embedding_ctx_length=False
    )
    return {"vectors": await embedder.aembed_documents(["one", "two"])}


if __name__ == "__main__":
    drive(
        {
            "ask": ask_whole,
            "stream": stream,
            "leave": leave,
            "tools": tools,
            "tools_stream": tools_stream,
            "structured": structured,
            "chat/embeddings": embeddings,
        }
    )
