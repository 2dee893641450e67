"""Anthropic Messages, from the provider's side (https://docs.anthropic.com/en/api/messages)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.clients.script import CACHED_TOKENS, COMPLETION_TOKENS, PROMPT_TOKENS, Asked, Said

_USAGE = {
    "input_tokens": PROMPT_TOKENS - CACHED_TOKENS,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": CACHED_TOKENS,
    "output_tokens": COMPLETION_TOKENS,
}
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class MessagesSpeaker:
    """Implements `script.Speaker`."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools", ())}
        choice = body.get("tool_choice") or {}
        forced = {"tool": choice.get("name", ""), "any": "any"}.get(choice.get("type", ""), "")
        kind = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
        rounds: list[list[str]] = []
        for message in body["messages"]:
            blocks = message["content"] if isinstance(message["content"], list) else []
            results = [block for block in blocks if block["type"] == "tool_result"]
            if results:
                rounds[-1] += [_text(block.get("content", "")) for block in results]
            elif message["role"] == "user":
                rounds.clear()
            elif any(block["type"] == "tool_use" for block in blocks):
                rounds.append([])
        return Asked(body["model"], bool(body.get("stream")), tools, forced, kind.get("schema"), rounds)

    def whole(self, asked: Asked, said: Said) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.words else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
            for call in said.calls
        ]
        ending = {"stop_reason": _stop(said), "stop_sequence": None}
        return {**_head(asked), "content": content, **ending, "usage": _USAGE, "x_of_the_provider": {"kept": True}}

    def events(self, asked: Asked, said: Said) -> list[bytes]:
        empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": {**_USAGE, "output_tokens": 1}}
        events = [_event({"type": "message_start", "message": {**_head(asked), **empty}})]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if said.words:
            deltas = [{"type": "text_delta", "text": word} for word in said.words]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for call in said.calls:
            half = len(call.arguments) // 2
            pieces = ("", call.arguments[:half], call.arguments[half:])
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            blocks.append(({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas))
        for index, (block, deltas) in enumerate(blocks):
            events.append(_event({"type": "content_block_start", "index": index, "content_block": block}))
            if not index:
                events.append(_event({"type": "ping"}))
            events += [_event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
            events.append(_event({"type": "content_block_stop", "index": index}))
        delta = {"stop_reason": _stop(said), "stop_sequence": None}
        events.append(_event({"type": "message_delta", "delta": delta, "usage": _USAGE}))
        return [*events, _event({"type": "message_stop"})]

    def error(self, status: int) -> dict[str, Any]:
        kind = ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": f"scripted {status}"},
            "request_id": "req_scripted",
        }

    def late_error(self) -> bytes:
        error = {"type": "overloaded_error", "message": "scripted late"}
        return _event({"type": "error", "error": error})


def _head(asked: Asked) -> dict[str, Any]:
    return {"id": "msg_scripted", "type": "message", "role": "assistant", "model": asked.model}


def _stop(said: Said) -> str:
    return "tool_use" if said.calls else "end_turn"


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
