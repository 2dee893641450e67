"""What a request may demand of the echo: a call of a tool, or JSON that fits a schema; and how a call is said.

Sources: the API references of OpenAI and Anthropic, and the types of their Python SDKs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from router.backends.echo.formats import (
    Body,
    EchoReply,
    Payload,
    chat_stream,
    message_events,
    message_stream,
    pieces,
    refusal,
    response_events,
)
from tests.support.echo.example import example_of

_ANY_TOOL = ""
_ENCODE = msgspec.json.Encoder().encode


class ToolCall(NamedTuple):
    """A call of a tool; `arguments` is JSON text."""

    name: str
    arguments: str


def demanded_call(path: str, body: Body) -> ToolCall | None:
    """Return the call that a request forces. Raises BackendError (400)."""
    return {"/chat/completions": _chat_call, "/responses": _response_call, "/messages": _message_call}[path](body)


def demanded_json(path: str, body: Body, text: str) -> str | None:
    """Return JSON text that fits the demanded schema; where any object will do, one that holds `text`."""
    wanted = {
        "/chat/completions": lambda: mapping(body.get("response_format")),
        "/responses": lambda: mapping(mapping(body.get("text")).get("format")),
        # `output_format` is the name that it had while it was a beta.
        "/messages": lambda: mapping(mapping(body.get("output_config")).get("format") or body.get("output_format")),
    }[path]()
    if wanted.get("type") == "json_object" and path != "/messages":
        return _ENCODE({"echo": text}).decode()
    schema = wanted.get("json_schema") if path == "/chat/completions" else wanted
    if wanted.get("type") != "json_schema" or not isinstance(schema, dict):
        return None
    schema = schema.get("schema", {})
    return _ENCODE({"echo": text} if schema is None else example_of(schema)).decode()


def calling(path: str, whole: Payload, reply: EchoReply, call: ToolCall) -> Payload:
    """Return a whole answer that calls a tool instead of saying something."""
    if path == "/messages":
        used = _tool_use(reply, call, msgspec.json.decode(call.arguments))
        return whole | {"content": [used], "stop_reason": "tool_use"}
    if path == "/responses":
        return whole | {"output": [_function_call(reply, call)]}
    said = {"content": None, "tool_calls": [_tool_call(reply, call)]}
    choices = [
        choice | {"message": choice["message"] | said, "finish_reason": "tool_calls"} for choice in whole["choices"]
    ]
    return whole | {"choices": choices}


def calling_events(path: str, whole: Payload, reply: EchoReply, body: Body, call: ToolCall) -> Iterable[bytes]:
    """Return the events of a stream that calls a tool."""
    given = pieces(call.arguments)
    if path == "/messages":
        deltas = [{"type": "input_json_delta", "partial_json": text} for text in given]
        return message_stream(reply, _tool_use(reply, call, {}), deltas, "tool_use")
    if path == "/responses":
        return response_stream(whole)
    begun = {"index": 0, **_tool_call(reply, ToolCall(call.name, ""))}
    parts: list[Payload] = [{"delta": {"role": "assistant", "content": None, "tool_calls": [begun]}}]
    parts += [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}} for text in given]
    top = {"id": f"chatcmpl-{reply.number}", "object": "chat.completion.chunk"}
    return chat_stream(reply, body, top, [*parts, {"delta": {}, "finish_reason": "tool_calls"}])


def response_stream(whole: Payload) -> list[bytes]:
    """Return a whole answer in the Responses format as the events of a stream."""
    return response_events(whole, _item_events)


def mapping(value: Any) -> Mapping[str, Any]:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def _item_events(item: Payload, place: Payload) -> list[Payload]:
    if item["type"] != "function_call":
        return message_events(item, place)
    step, index = "response.function_call_arguments", place["output_index"]
    added = item | {"status": "in_progress", "arguments": ""}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": added},
        *({"type": f"{step}.delta", **place, "delta": text} for text in pieces(item["arguments"])),
        {"type": f"{step}.done", **place, "name": item["name"], "arguments": item["arguments"]},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _tool_use(reply: EchoReply, call: ToolCall, given: Any) -> Payload:
    return {"type": "tool_use", "id": f"toolu_{reply.number}", "name": call.name, "input": given}


def _tool_call(reply: EchoReply, call: ToolCall) -> Payload:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{reply.number}", "type": "function", "function": function}


def _function_call(reply: EchoReply, call: ToolCall) -> Payload:
    return {
        "type": "function_call",
        "id": f"fc_{reply.number}",
        "call_id": f"call_{reply.number}",
        "status": "completed",
        "name": call.name,
        "arguments": call.arguments,
    }


def _chat_call(body: Body) -> ToolCall | None:
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return None
    wanted = _ANY_TOOL if choice == "required" else str(mapping(mapping(choice).get("function")).get("name"))
    functions = [mapping(mapping(tool).get("function")) for tool in _listed(body.get("tools"))]
    return _forced(wanted, [(function.get("name"), function.get("parameters")) for function in functions])


def _response_call(body: Body) -> ToolCall | None:
    choice = body.get("tool_choice")
    tools = [mapping(tool) for tool in _listed(body.get("tools"))]
    functions = [(tool.get("name"), tool.get("parameters")) for tool in tools if tool.get("type") == "function"]
    if choice == "required":
        return _forced(_ANY_TOOL, functions)
    named = mapping(choice)
    if named.get("type") == "allowed_tools" and named.get("mode") == "required":
        allowed = {mapping(tool).get("name") for tool in _listed(named.get("tools"))}
        return _forced(_ANY_TOOL, [(name, schema) for name, schema in functions if name in allowed])
    return _forced(str(named.get("name")), functions) if named.get("type") == "function" else None


def _message_call(body: Body) -> ToolCall | None:
    choice = mapping(body.get("tool_choice"))
    if choice.get("type") not in ("any", "tool"):
        return None
    wanted = _ANY_TOOL if choice["type"] == "any" else str(choice.get("name"))
    tools = [mapping(tool) for tool in _listed(body.get("tools"))]
    return _forced(wanted, [(tool.get("name"), tool.get("input_schema")) for tool in tools])


def _forced(wanted: str, tools: Iterable[tuple[Any, Any]]) -> ToolCall:
    for name, schema in tools:
        if wanted in (_ANY_TOOL, name):
            return ToolCall(str(name), _ENCODE(example_of(schema) or {}).decode())
    raise refusal(400, "tool_choice forces a tool that is not among the tools", param="tool_choice")


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
