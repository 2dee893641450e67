"""Server-sent events: `data: {json}` and an empty line; the newer formats put the event's type before it as a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()

DONE = b"data: [DONE]\n\n"
"""The end of a stream of chat completions, and of no other format."""


def event(payload: Any) -> bytes:
    r"""Return one event.

    >>> event({"choices": []})
    b'data: {"choices":[]}\n\n'
    """
    return b"data: " + _ENCODER.encode(payload) + b"\n\n"


def named_event(payload: Mapping[str, Any]) -> bytes:
    r"""Return one event with the name that its `type` says.

    >>> named_event({"type": "ping"})
    b'event: ping\ndata: {"type":"ping"}\n\n'
    """
    return b"event: %b\n" % str(payload["type"]).encode() + event(payload)
