"""Records exchanges with the local llama.cpp server into `exchanges/llama_cpp.yaml`, byte for byte.

python -m tests.transparency.record
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import yaml

from tests.support.local_model import MODEL, local_model
from tests.transparency.exchanges import FOLDER

_ASKED = "Say hello to Zoë"
_EXACT = {"model": MODEL, "temperature": 0, "seed": 1}
_SAID = [{"role": "user", "content": _ASKED}]
_TOOL = {"name": "greet", "description": "Greet", "parameters": {"type": "object", "properties": {}}}
_CHAT = {**_EXACT, "messages": _SAID, "max_tokens": 5}
_MESSAGES = {**_EXACT, "messages": _SAID, "max_tokens": 5}
_RESPONSES = {**_EXACT, "input": _ASKED, "max_output_tokens": 5}
_ANTHROPIC_TOOL = {"name": "greet", "input_schema": _TOOL["parameters"]}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {**_CHAT, "logprobs": True, "top_logprobs": 2}),
    "chat_streamed": ("/v1/chat/completions", {**_CHAT, "stream": True}),
    "chat_with_usage_streamed": (
        "/v1/chat/completions",
        {**_CHAT, "stream": True, "n": 2, "stream_options": {"include_usage": True}},
    ),
    "chat_tools_streamed": (
        "/v1/chat/completions",
        {**_CHAT, "stream": True, "tools": [{"type": "function", "function": _TOOL}], "tool_choice": "required"}
        | {"max_tokens": 60},
    ),
    "chat_refused": ("/v1/chat/completions", {**_CHAT, "response_format": {"type": "json_schema"}}),
    "responses": ("/v1/responses", _RESPONSES),
    "responses_streamed": ("/v1/responses", {**_RESPONSES, "stream": True}),
    "messages": ("/v1/messages", _MESSAGES),
    "messages_streamed": ("/v1/messages", {**_MESSAGES, "stream": True}),
    "messages_tools_streamed": (
        "/v1/messages",
        {**_MESSAGES, "stream": True, "tools": [_ANTHROPIC_TOOL], "tool_choice": {"type": "any"}, "max_tokens": 60},
    ),
    "count_tokens": ("/v1/messages/count_tokens", _MESSAGES),
    "completion": ("/v1/completions", {**_EXACT, "prompt": "Once", "max_tokens": 3}),
    "completion_streamed": ("/v1/completions", {**_EXACT, "prompt": "Once", "max_tokens": 3, "stream": True}),
    "embeddings_refused": ("/v1/embeddings", {"model": MODEL, "input": "Once"}),
}


class _Literal(str):
    """A text that is written as it is, line by line."""


def _write(dumper: yaml.SafeDumper, text: _Literal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|")


def main() -> None:
    """Record everything."""
    yaml.SafeDumper.add_representer(_Literal, _write)
    table = {}
    with local_model() as server:
        for name, (path, asked) in ASKED.items():
            sent = json.dumps(asked, ensure_ascii=False)
            headers = {"content-type": "application/json"}
            answer = httpx.post(server.url + path, content=sent.encode(), headers=headers, trust_env=False, timeout=60)
            table[name] = {
                "request": f"POST {path}",
                "sent": _Literal(sent),
                "status": answer.status_code,
                "headers": {"content-type": answer.headers["content-type"]},
                "answer": _Literal(answer.text),
            }
    said = yaml.safe_dump(table, allow_unicode=True, sort_keys=False, width=1 << 20)
    head = "# Recorded from llama.cpp's server by `python -m tests.transparency.record`.\n\n"
    (FOLDER / "llama_cpp.yaml").write_text(head + said, encoding="utf-8")


if __name__ == "__main__":
    main()
