"""What the router added to a request, and that it took nothing away. Knows no wire format."""

from __future__ import annotations

from typing import Any

ADDED_BESIDES_TEXT = {"stream_options": {"include_usage": True}}
"""What the router may ask of the backend for its own accounting; it is hidden from the client again."""

GROWING = (".content", ".text", ".system", ".instructions")
"""Where a string may gain text, or nothing become one."""


class Lost(AssertionError):
    """Something of the client's did not arrive."""


def added(sent: Any, arrived: Any, at: str = "body") -> list[str]:
    """Return the texts that are in `arrived` and not in `sent`. Raises Lost where anything of `sent` is missing.

    Objects may gain keys, lists may gain items between the client's own, and strings may gain text before or after.
    """
    if isinstance(sent, dict) and isinstance(arrived, dict):
        return _added_to_object(sent, arrived, at)
    if isinstance(sent, list) and isinstance(arrived, list):
        return _added_to_list(sent, arrived, at)
    if isinstance(sent, str) and isinstance(arrived, list):  # a string that has become a list of parts, as its own part
        return _added_to_list([{"text": sent}], [{"text": part.get("text")} for part in arrived], at)
    if sent != arrived and isinstance(sent, str | None) and isinstance(arrived, str) and at.endswith(GROWING):
        if not sent:
            return [arrived]
        if sent in arrived:
            return [part for part in arrived.split(sent, 1) if part]
    if type(sent) is not type(arrived) or sent != arrived:
        raise Lost(f"{at}: {sent!r} arrived as {arrived!r}")
    return []


def _added_to_object(sent: dict[str, Any], arrived: dict[str, Any], at: str) -> list[str]:
    texts: list[str] = []
    for key, value in arrived.items():
        if key in sent:
            texts += added(sent[key], value, f"{at}.{key}")
        elif ADDED_BESIDES_TEXT.get(key) != value:
            texts += _texts(value)
    gone = sent.keys() - arrived.keys()
    if gone:
        raise Lost(f"{at}: {sorted(gone)} did not arrive")
    return texts


def _added_to_list(sent: list[Any], arrived: list[Any], at: str) -> list[str]:
    texts: list[str] = []
    waiting = list(sent)
    for index, item in enumerate(arrived):
        if waiting:
            try:
                texts += added(waiting[0], item, f"{at}[{index}]")
            except Lost:
                if len(arrived) - index <= len(waiting):
                    raise
            else:
                waiting.pop(0)
                continue
        texts += _texts(item)
    if waiting:
        raise Lost(f"{at}: {waiting!r} did not arrive")
    return texts


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []
