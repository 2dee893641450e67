"""The echo's Anthropic Messages. Source: Anthropic's API reference and the types of its Python SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from router.backends.echo.readable import anthropic_blocks
from router.backends.echo.reply import (
    ANY_TOOL,
    Body,
    Call,
    Format,
    Said,
    Shape,
    forced_call,
    listed,
    mapping,
    pieces,
)
from router.backends.sse import named_event


def _whole(said: Said, _: Body) -> dict[str, Any]:
    call = said.call
    content: dict[str, Any] = {"type": "text", "text": said.content}
    if call is not None:
        content = _tool_use(said, call, msgspec.json.decode(call.arguments))
    return _message(said, [content], _stop_reason(said), said.completion_tokens)


def _events(said: Said, _: Body) -> Iterator[bytes]:
    yield named_event({"type": "message_start", "message": _message(said, [], None, 1)})
    if said.call is None:
        block: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": text} for text in pieces(said.content)]
    else:
        block = _tool_use(said, said.call, {})
        deltas = [{"type": "input_json_delta", "partial_json": text} for text in pieces(said.call.arguments)]
    yield named_event({"type": "content_block_start", "index": 0, "content_block": block})
    yield named_event({"type": "ping"})
    for delta in deltas:
        yield named_event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield named_event({"type": "content_block_stop", "index": 0})
    ending = {"stop_reason": _stop_reason(said), "stop_sequence": None}
    usage = {"output_tokens": said.completion_tokens}
    yield named_event({"type": "message_delta", "delta": ending, "usage": usage})
    yield named_event({"type": "message_stop"})


def _message(said: Said, content: list[Any], stop_reason: str | None, output_tokens: int) -> dict[str, Any]:
    return {
        "id": f"msg_{said.number}",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": said.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    }


def _tool_use(said: Said, call: Call, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{said.number}", "name": call.name, "input": given}


def _stop_reason(said: Said) -> str:
    return "end_turn" if said.call is None else "tool_use"


def _demanded_call(body: Body) -> Call | None:
    choice = mapping(body.get("tool_choice"))
    if choice.get("type") not in ("any", "tool"):
        return None
    wanted = ANY_TOOL if choice["type"] == "any" else str(choice.get("name"))
    tools = [mapping(tool) for tool in listed(body.get("tools"))]
    return forced_call(wanted, [(tool.get("name"), tool.get("input_schema")) for tool in tools])


def _demanded_shape(body: Body) -> Shape | None:
    # `output_format` is the name that it had while it was a beta.
    wanted = mapping(mapping(body.get("output_config")).get("format") or body.get("output_format"))
    return Shape(wanted.get("schema", {})) if wanted.get("type") == "json_schema" else None


MESSAGES = Format(
    blocks=anthropic_blocks,
    hidden=frozenset({"system", "messages", "model"}),
    call=_demanded_call,
    shape=_demanded_shape,
    whole=_whole,
    events=_events,
)
