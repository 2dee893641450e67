"""OpenAI Responses, from the provider's side (https://platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.clients.script import CACHED_TOKENS, COMPLETION_TOKENS, PROMPT_TOKENS, Asked, CallOf, Said

_USAGE = {
    "input_tokens": PROMPT_TOKENS,
    "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
    "output_tokens": COMPLETION_TOKENS,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
}


class ResponsesSpeaker:
    """Implements `script.Speaker`."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        tools = {tool["name"]: tool.get("parameters", {}) for tool in body.get("tools", ()) if "name" in tool}
        choice = body.get("tool_choice", "auto")
        forced = choice["name"] if isinstance(choice, dict) else "any" if choice == "required" else ""
        kind = (body.get("text") or {}).get("format") or {}
        rounds: list[list[str]] = []
        called = False
        for item in body["input"] if isinstance(body["input"], list) else ():
            match item.get("type", "message"):
                case "function_call":
                    if not called:
                        rounds.append([])
                    called = True
                    continue
                case "function_call_output":
                    rounds[-1].append(_text(item["output"]))
                case "message" if item["role"] == "user":
                    rounds.clear()
            called = False
        schema = kind["schema"] if kind.get("type") == "json_schema" else None
        return Asked(body["model"], bool(body.get("stream")), tools, forced, schema, rounds)

    def whole(self, asked: Asked, said: Said) -> dict[str, Any]:
        return {**_response(asked, "completed", _items(said)), "usage": _USAGE, "x_of_the_provider": {"kept": True}}

    def events(self, asked: Asked, said: Said) -> list[bytes]:
        begun = {**_response(asked, "in_progress", []), "usage": None}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(_items(said)):
            at = {"output_index": index}
            opening = {**item, "status": "in_progress", **({"content": []} if said.words else {"arguments": ""})}
            events.append({"type": "response.output_item.added", **at, "item": opening})
            at["item_id"] = item["id"]
            events += _written(said, at) if said.words else _called(said.calls[index], at)
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        events.append({"type": "response.completed", "response": self.whole(asked, said)})
        return [_event({**event, "sequence_number": number}) for number, event in enumerate(events)]

    def error(self, status: int) -> dict[str, Any]:
        return {"error": {"message": f"scripted {status}", "type": "scripted_error", "param": None, "code": "scripted"}}

    def late_error(self) -> bytes:
        error = {"type": "error", "code": "server_error", "message": "scripted late", "param": None}
        return _event({**error, "sequence_number": 99})


def _response(asked: Asked, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "resp_scripted",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "model": asked.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
        "metadata": {},
    }


def _items(said: Said) -> list[dict[str, Any]]:
    if said.words:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        return [
            {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [part]},
        ]
    return [
        {
            "id": f"fc_{call.id}",
            "type": "function_call",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for call in said.calls
    ]


def _written(said: Said, at: dict[str, Any]) -> list[dict[str, Any]]:
    at = {**at, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    deltas = [
        {"type": "response.output_text.delta", **at, "delta": word, "logprobs": [], "obfuscation": "xyz"}
        for word in said.words
    ]
    return [
        {"type": "response.content_part.added", **at, "part": part},
        *deltas,
        {"type": "response.output_text.done", **at, "text": said.text, "logprobs": []},
        {"type": "response.content_part.done", **at, "part": {**part, "text": said.text}},
    ]


def _called(call: CallOf, at: dict[str, Any]) -> list[dict[str, Any]]:
    half = len(call.arguments) // 2
    deltas = [
        {"type": "response.function_call_arguments.delta", **at, "delta": piece, "obfuscation": "xyz"}
        for piece in (call.arguments[:half], call.arguments[half:])
    ]
    done = {"type": "response.function_call_arguments.done", **at, "name": call.name, "arguments": call.arguments}
    return [*deltas, done]


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
