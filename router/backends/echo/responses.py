"""The echo's Responses. Source: OpenAI's API reference and the types of its Python SDK.

What is kept of them, to be read again or continued, is in `kept`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.backends.echo.readable import response_blocks
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

Payload = dict[str, Any]

_REPEATED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
"""What an answer repeats of its request, and what it says where the request said nothing."""


def response(said: Said, body: Body) -> Payload:
    """Return a whole answer."""
    return _begun(said, body) | {
        "status": "completed",
        "completed_at": said.created,
        "output": [_item(said)],
        "usage": {
            "input_tokens": said.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.prompt_tokens + said.completion_tokens,
        },
    }


def response_events(whole: Payload) -> Iterator[bytes]:
    """Yield a whole answer as the events of a stream."""
    begun = whole | {"status": "in_progress", "completed_at": None, "output": [], "usage": None}
    events = [{"type": f"response.{step}", "response": begun} for step in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        events += _item_events(item, index)
    events.append({"type": "response.completed", "response": whole})
    for number, event in enumerate(events):
        yield named_event(event | {"sequence_number": number})


def _events(said: Said, body: Body) -> Iterator[bytes]:
    return response_events(response(said, body))


def _begun(said: Said, body: Body) -> Payload:
    top = {
        "id": f"resp_{said.number}",
        "object": "response",
        "created_at": said.created,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": said.model,
        "output": [],
        "usage": None,
    }
    repeated = {name: default if body.get(name) is None else body[name] for name, default in _REPEATED.items()}
    return top | repeated | {"text": {"format": {"type": "text"}, **mapping(repeated["text"])}}


def _item(said: Said) -> Payload:
    if said.call is None:
        text = {"type": "output_text", "text": said.content, "annotations": [], "logprobs": []}
        top = {"type": "message", "id": f"msg_{said.number}", "status": "completed", "role": "assistant"}
        return top | {"content": [text]}
    return {
        "type": "function_call",
        "id": f"fc_{said.number}",
        "call_id": f"call_{said.number}",
        "status": "completed",
        "name": said.call.name,
        "arguments": said.call.arguments,
    }


def _item_events(item: Payload, index: int) -> Iterator[Payload]:
    place = {"item_id": item["id"], "output_index": index}
    if item["type"] == "function_call":
        added = item | {"status": "in_progress", "arguments": ""}
        within = _argument_events(item, place)
    else:
        added = item | {"status": "in_progress", "content": []}
        within = _text_events(item["content"][0], place | {"content_index": 0})
    yield {"type": "response.output_item.added", "output_index": index, "item": added}
    yield from within
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _argument_events(item: Payload, place: Payload) -> Iterator[Payload]:
    step = "response.function_call_arguments"
    for text in pieces(item["arguments"]):
        yield {"type": f"{step}.delta", **place, "delta": text}
    yield {"type": f"{step}.done", **place, "name": item["name"], "arguments": item["arguments"]}


def _text_events(part: Payload, place: Payload) -> Iterator[Payload]:
    yield {"type": "response.content_part.added", **place, "part": part | {"text": ""}}
    for text in pieces(part["text"]):
        yield {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}


def _demanded_call(body: Body) -> Call | None:
    choice = body.get("tool_choice")
    tools = [mapping(tool) for tool in listed(body.get("tools"))]
    functions = [(tool.get("name"), tool.get("parameters")) for tool in tools if tool.get("type") == "function"]
    if choice == "required":
        return forced_call(ANY_TOOL, functions)
    named = mapping(choice)
    if named.get("type") == "allowed_tools" and named.get("mode") == "required":
        allowed = {mapping(tool).get("name") for tool in listed(named.get("tools"))}
        return forced_call(ANY_TOOL, [(name, schema) for name, schema in functions if name in allowed])
    return forced_call(str(named.get("name")), functions) if named.get("type") == "function" else None


def _demanded_shape(body: Body) -> Shape | None:
    wanted = mapping(mapping(body.get("text")).get("format"))
    if wanted.get("type") == "json_schema":
        return Shape(wanted.get("schema", {}))
    return Shape() if wanted.get("type") == "json_object" else None


RESPONSES = Format(
    blocks=response_blocks,
    hidden=frozenset({"instructions", "input", "model"}),
    call=_demanded_call,
    shape=_demanded_shape,
    whole=response,
    events=_events,
)
