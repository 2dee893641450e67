"""A history that another model wrote, made readable for this one: without what only its author understands.

Thinking in `/messages` is signed, and no other model takes the signature (https://docs.claude.com/en/docs/build-with-
claude/extended-thinking: "thinking blocks from other models"). Items of `/responses` have ids that only the provider
knows that keeps them, and reasoning that only it can decrypt. Whatever else was said stays, byte for byte.

This is done for a model that has refused the history as it came, and then only (`router.engine.send`).
"""

from __future__ import annotations

from typing import Any

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_NAMELESS = frozenset({"", "message", "function_call", "function_call_output"})
"""Items that are whole without their id; the last two refer to each other by `call_id`."""

_THINKING = frozenset({"thinking", "redacted_thinking"})
_encode = msgspec.json.Encoder().encode


def without_thinking(body: bytes) -> bytes:
    """Return a body of `/messages` without thinking blocks. A turn that is nothing else goes as a whole."""
    return _changed(body, "messages", _bare_message)


def without_reasoning(body: bytes) -> bytes:
    """Return a body of `/responses` without reasoning items and the ids of the others.

    Items that need theirs keep it, among them those that are nothing else.
    """
    return _changed(body, "input", _bare_item)


def _changed(body: bytes, name: str, bare: Any) -> bytes:
    top = _OBJECT.decode(body)
    try:
        items = _LIST.decode(top[name])
    except (KeyError, msgspec.ValidationError):  # a string, which has no parts
        return body
    kept = [each for item in items if (each := bare(item)) is not None]
    if len(kept) == len(items) and all(one is other for one, other in zip(kept, items, strict=True)):
        return body
    return _encode(top | {name: kept})


def _bare_message(message: msgspec.Raw) -> Any:
    members = _OBJECT.decode(message)
    if b"thinking" not in bytes(message) or _text(members, "role") != "assistant":
        return message
    try:
        blocks = _LIST.decode(members["content"])
    except (KeyError, msgspec.ValidationError):
        return message
    kept = [block for block in blocks if _text(_OBJECT.decode(block), "type") not in _THINKING]
    if len(kept) == len(blocks):
        return message
    return members | {"content": kept} if kept else None


def _bare_item(item: msgspec.Raw) -> Any:
    members = _OBJECT.decode(item)
    kind = _text(members, "type")
    if kind == "reasoning":
        return None
    if "id" not in members or kind not in _NAMELESS or len(members) == 1:
        return item
    return {name: value for name, value in members.items() if name != "id"}


def _text(members: dict[str, msgspec.Raw], name: str) -> str:
    try:
        return _TEXT.decode(members[name])
    except (KeyError, msgspec.ValidationError):
        return ""
