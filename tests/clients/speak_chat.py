"""Chat Completions, from the provider's side (https://platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.clients.script import CACHED_TOKENS, COMPLETION_TOKENS, PROMPT_TOKENS, Asked, Said

_HEAD = {"id": "chatcmpl-scripted", "created": 1_700_000_000, "system_fingerprint": "fp_scripted"}
_USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3},
}


class ChatSpeaker:
    """Implements `script.Speaker`."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools", ())}
        choice = body.get("tool_choice", "auto")
        forced = choice["function"]["name"] if isinstance(choice, dict) else "any" if choice == "required" else ""
        kind = body.get("response_format") or {}
        schema = kind["json_schema"]["schema"] if kind.get("type") == "json_schema" else None
        rounds: list[list[str]] = []
        for message in body["messages"]:
            match message["role"]:
                case "user":
                    rounds.clear()
                case "assistant" if message.get("tool_calls"):
                    rounds.append([])
                case "tool":
                    rounds[-1].append(_text(message["content"]))
        wants = bool((body.get("stream_options") or {}).get("include_usage"))
        return Asked(body["model"], bool(body.get("stream")), tools, forced, schema, rounds, wants)

    def whole(self, asked: Asked, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text if said.words else None, "refusal": None}
        message["annotations"] = []
        if said.calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in said.calls
            ]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(said)}
        head = {**_HEAD, "object": "chat.completion", "model": asked.model, "service_tier": "default"}
        return {**head, "choices": [choice], "usage": _USAGE, "x_of_the_provider": {"kept": True}}

    def events(self, asked: Asked, said: Said) -> list[bytes]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "", "refusal": None}]
        deltas += [{"content": word} for word in said.words]
        for index, call in enumerate(said.calls):
            half = len(call.arguments) // 2
            opening = {"name": call.name, "arguments": ""}
            deltas.append({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": opening}]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in (call.arguments[:half], call.arguments[half:])
            ]
        null = {"usage": None} if asked.wants_usage else {}
        chunks = [_chunk(asked, [_choice(delta)], obfuscation="xyz", **null) for delta in deltas]
        chunks.append(_chunk(asked, [_choice({}, _finish(said))], **null))
        if asked.wants_usage:
            chunks.append(_chunk(asked, [], usage=_USAGE))
        return [*chunks, b"data: [DONE]\n\n"]

    def error(self, status: int) -> dict[str, Any]:
        return {"error": {"message": f"scripted {status}", "type": "scripted_error", "param": None, "code": "scripted"}}

    def late_error(self) -> bytes:
        return b"data: " + json.dumps(self.error(500)).encode() + b"\n\n"


def _chunk(asked: Asked, choices: list[dict[str, Any]], **more: Any) -> bytes:
    head = {**_HEAD, "object": "chat.completion.chunk", "model": asked.model}
    return b"data: " + json.dumps({**head, "choices": choices, **more}, ensure_ascii=False).encode() + b"\n\n"


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(said: Said) -> str:
    return "tool_calls" if said.calls else "stop"


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
