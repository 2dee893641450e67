"""A request made readable: what the echo says.

    [system]
    You help the customers of a shop.

    [user]
    Where is my order?
    (image_url: https://example.com/box.png)

    [assistant]
    (calls find_order({"id": 7}) as call_1)

    [model echo; temperature 0.2; tools find_order]

Every message is a block: a line with its role, its text as it came, and a line for whatever else it holds. Any JSON is
taken; what has no sensible shape is shown as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

_LONGEST_VALUE = 200
_ENCODE = msgspec.json.Encoder().encode


def blocks_of(body: Mapping[str, Any]) -> list[str]:
    """Return the messages of a chat completion as blocks, the first first."""
    messages = body.get("messages")
    return [_block(message) for message in messages] if isinstance(messages, list) else []


def prompt_block(prompt: Any) -> str:
    """Return one prompt of a text completion as a block."""
    text = (
        prompt if isinstance(prompt, str) else f"({len(prompt)} tokens)" if isinstance(prompt, list) else _json(prompt)
    )
    return f"[prompt]\n{text}"


def parameters_line(body: Mapping[str, Any]) -> str:
    """Return the last line: the model and every other field of the body besides the messages.

    >>> parameters_line({"model": "echo", "temperature": 0.2, "messages": []})
    '[model echo; temperature 0.2]'
    """
    parts = [f"model {_word(body.get('model'))}"]
    for name, value in body.items():
        if name == "tools":
            parts.append(f"tools {', '.join(_tool_names(value))}")
        elif name not in ("messages", "model", "prompt"):
            parts.append(f"{name} {_word(value)}")
    return f"[{'; '.join(parts)}]"


def _block(message: Any) -> str:
    if not isinstance(message, Mapping):
        return f"[message]\n{_word(message)}"
    heading = " ".join(_word(message[key]) for key in ("role", "name", "tool_call_id") if key in message)
    content = message.get("content")
    lines = [f"[{heading}]"]
    if isinstance(content, str):
        lines.append(content)
    elif isinstance(content, list):
        lines += [_part(part) for part in content]
    if len(message) > 2:
        lines += _extras(message)
    return "\n".join(lines)


def _extras(message: Mapping[str, Any]) -> Iterator[str]:
    for name, value in message.items():
        if name == "tool_calls" and isinstance(value, list):
            yield from (_call(call) for call in value)
        elif name not in ("role", "name", "tool_call_id", "content"):
            yield f"({name}: {_word(value)})"


def _part(part: Any) -> str:
    if not isinstance(part, Mapping):
        return _word(part)
    if isinstance(text := part.get("text"), str):
        return text
    kind = part.get("type")
    held = part.get(kind) if isinstance(kind, str) else None
    if isinstance(held, Mapping):
        held = held.get("url", held.get("filename", held.get("file_id", held.get("format"))))
    return f"({_word(kind)}: {_word(held)})"


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return f"(calls {_word(call)})"
    return f"(calls {_word(function.get('name'))}({_word(function.get('arguments'))}) as {_word(call.get('id'))})"


def _tool_names(tools: Any) -> Iterator[str]:
    for tool in tools if isinstance(tools, list) else [tools]:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        yield _word(function.get("name") if isinstance(function, Mapping) else tool)


def _word(value: Any) -> str:
    word = value if isinstance(value, str) else _json(value)
    return word if len(word) <= _LONGEST_VALUE else f"{word[:_LONGEST_VALUE]}… ({len(word)} characters)"


def _json(value: Any) -> str:
    return _ENCODE(value).decode()
