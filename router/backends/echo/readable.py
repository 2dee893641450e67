"""A request made readable: what the echo says.

    [system]
    You help the customers of a shop.

    [user]
    Where is my order?
    (image_url: https://example.com/box.png)

    [assistant]
    (calls find_order({"id": 7}) as call_1)

    [model echo; temperature 0.2; tools find_order]

Every message is a block: a line with its role, its text as it came, and a line for whatever else it holds. What is said
beside the messages comes first, as `[instructions]` (Responses) or `[system]` (Anthropic). Any JSON is taken; what has
no sensible shape is shown as JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

_LONGEST_VALUE = 200
_ENCODE = msgspec.json.Encoder().encode

_HEADING = ("role", "name", "tool_call_id")
_ITEM_HEADING = frozenset({*_HEADING, "type", "id", "status", "content"})
_MESSAGE_HEADING = frozenset({*_HEADING, "content"})


def message_blocks(body: Mapping[str, Any]) -> list[str]:
    """Return the messages of a chat completion as blocks, the first first."""
    messages = body.get("messages")
    return [_block(message, _MESSAGE_HEADING) for message in messages] if isinstance(messages, list) else []


def anthropic_blocks(body: Mapping[str, Any]) -> list[str]:
    """Return the system text and the messages of an Anthropic request as blocks."""
    system = body.get("system")
    blocks = [] if system is None else ["\n".join(["[system]", *_content(system)])]
    return blocks + message_blocks(body)


def response_blocks(body: Mapping[str, Any]) -> list[str]:
    """Return the instructions and the input items of a Responses request as blocks."""
    instructions, given = body.get("instructions"), body.get("input")
    blocks = [] if instructions is None else ["\n".join(["[instructions]", *_content(instructions)])]
    if isinstance(given, str):
        return [*blocks, f"[user]\n{given}"]
    return blocks + [_item(item) for item in given] if isinstance(given, list) else blocks


def parameters_line(body: Mapping[str, Any], hidden: Collection[str] = ("messages", "model")) -> str:
    """Return the last line: the model and every other field of the body that is not `hidden`.

    >>> parameters_line({"model": "echo", "temperature": 0.2, "messages": []})
    '[model echo; temperature 0.2]'
    """
    parts = [f"model {_word(body.get('model'))}"]
    for name, value in body.items():
        if name == "tools":
            parts.append(f"tools {', '.join(_tool_names(value))}")
        elif name not in hidden:
            parts.append(f"{name} {_word(value)}")
    return f"[{'; '.join(parts)}]"


def _block(message: Any, shown: frozenset[str]) -> str:
    if not isinstance(message, Mapping):
        return f"[message]\n{_word(message)}"
    heading = " ".join(_word(message[key]) for key in _HEADING if key in message)
    lines = [f"[{heading}]", *_content(message.get("content"))]
    if len(message) > 2:
        lines += _extras(message, shown)
    return "\n".join(lines)


def _item(item: Any) -> str:
    """Return one item of a Responses request or answer as a block."""
    kind = item.get("type") if isinstance(item, Mapping) else None
    if kind in ("function_call", "custom_tool_call"):
        given = item.get("arguments", item.get("input"))
        return f"[assistant]\n(calls {_word(item.get('name'))}({_word(given)}) as {_word(item.get('call_id'))})"
    if kind in ("function_call_output", "custom_tool_call_output"):
        return "\n".join([f"[tool {_word(item.get('call_id'))}]", *_content(item.get("output"))])
    if kind is None or kind == "message":
        return _block(item, _ITEM_HEADING)
    return f"[{_word(kind)}]\n{_word({name: value for name, value in item.items() if name != 'type'})}"


def _content(content: Any) -> list[str]:
    """Return the lines of a content: a text, or a list of parts."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [line for part in content for line in _part(part)]
    return []


def _extras(message: Mapping[str, Any], shown: frozenset[str]) -> Iterator[str]:
    for name, value in message.items():
        if name == "tool_calls" and isinstance(value, list):
            yield from (_call(call) for call in value)
        elif name not in shown:
            yield f"({name}: {_word(value)})"


def _part(part: Any) -> Iterator[str]:
    """Yield a part of a message, and what marks it: `cache_control`, `prompt_cache_breakpoint`."""
    if not isinstance(part, Mapping):
        yield _word(part)
        return
    kind = part.get("type")
    if isinstance(text := part.get("text"), str):
        yield text
    elif kind == "tool_use":
        yield f"(calls {_word(part.get('name'))}({_word(part.get('input'))}) as {_word(part.get('id'))})"
    elif kind == "tool_result":
        yield f"(result of {_word(part.get('tool_use_id'))})"
        yield from _content(part.get("content"))
    else:
        yield f"({_word(kind)}: {_word(_held(part, kind))})"
    for mark in ("cache_control", "prompt_cache_breakpoint"):
        if mark in part:
            yield f"({mark}: {_word(part[mark])})"


def _held(part: Mapping[str, Any], kind: Any) -> Any:
    """Return what tells most of a picture, a file or a sound, without its bytes if it has a name."""
    held = part.get(kind, part.get("source")) if isinstance(kind, str) else None
    if held is None and isinstance(kind, str):
        return _first_of(part, "image_url", "file_url", "file_id", "filename", "refusal")
    return _first_of(held, "url", "filename", "file_id", "format", "media_type") if isinstance(held, Mapping) else held


def _first_of(found: Mapping[str, Any], *names: str) -> Any:
    return next((found[name] for name in names if name in found), None)


def _call(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return f"(calls {_word(call)})"
    return f"(calls {_word(function.get('name'))}({_word(function.get('arguments'))}) as {_word(call.get('id'))})"


def _tool_names(tools: Any) -> Iterator[str]:
    """Yield the names of tools: in an object of their own (chat), or beside the type (the other formats)."""
    for tool in tools if isinstance(tools, list) else [tools]:
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        named = isinstance(function, Mapping) and ("name" in function or function is not tool)
        yield _word(function.get("name") if named and isinstance(function, Mapping) else tool)


def _word(value: Any) -> str:
    word = value if isinstance(value, str) else _json(value)
    return word if len(word) <= _LONGEST_VALUE else f"{word[:_LONGEST_VALUE]}… ({len(word)} characters)"


def _json(value: Any) -> str:
    return _ENCODE(value).decode()
