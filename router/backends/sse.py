"""Server-sent events as the OpenAI format writes them: `data: {json}`, an empty line, and `data: [DONE]` at the end."""

from __future__ import annotations

from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()

DONE = b"data: [DONE]\n\n"


def event(payload: Any) -> bytes:
    r"""Return one event.

    >>> event({"choices": []})
    b'data: {"choices":[]}\n\n'
    """
    return b"data: " + _ENCODER.encode(payload) + b"\n\n"
