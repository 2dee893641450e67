"""The shapes of the OpenAI API that the echo answers in.

Sources: the API reference of OpenAI for chat completions, completions, embeddings and models, and the types of its
Python SDK.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from router.backends.echo_faults import refusal
from router.backends.sse import DONE, event

MODELS = ("echo", "echo-fail-503", "echo-stall-2s", "echo-slow-50ms", "echo-cut-3", "echo-garbage")

_CHUNK = re.compile(r".{1,24}(?:\s+|$)|.{1,24}", re.DOTALL)
"""A chunk of a stream is a few words, as a fast model sends them."""

_DIMENSIONS = 16
_MOST_DIMENSIONS = 4096
_MOST_INPUTS = 2048  # as the OpenAI API


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Said:
    """One answer, before it takes a shape."""

    id: str
    created: int
    model: Any
    chat: bool
    content: str
    call: Call | None
    choices: int
    prompt_tokens: int
    completion_tokens: int
    usage_wanted: bool

    @property
    def usage(self) -> dict[str, int]:
        """The usage object; every choice counts."""
        completion = self.completion_tokens * self.choices
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion,
            "total_tokens": self.prompt_tokens + completion,
        }


def completion(said: Said) -> dict[str, Any]:
    """Return a whole answer."""
    if said.chat:
        message: dict[str, Any] = {"role": "assistant", "content": said.content, "refusal": None}
        if said.call is not None:
            message |= {"content": None, "tool_calls": [_tool_call(said, said.call)]}
        choice: dict[str, Any] = {"message": message, "logprobs": None, "finish_reason": _finish(said)}
    else:
        choice = {"text": said.content, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": said.id,
        "object": "chat.completion" if said.chat else "text_completion",
        "created": said.created,
        "model": said.model,
        "choices": [{"index": index, **choice} for index in range(said.choices)],
        "usage": said.usage,
    }


def completion_events(said: Said) -> Iterator[bytes]:
    """Return a stream: for each choice its pieces, then its finish; usage if wanted; the end."""
    top = {
        "id": said.id,
        "object": "chat.completion.chunk" if said.chat else "text_completion",
        "created": said.created,
        "model": said.model,
    }
    pieces = list(_chat_pieces(said) if said.chat else _text_pieces(said))
    for index in range(said.choices):
        for piece in pieces:
            yield event(top | {"choices": [{"index": index, "logprobs": None, "finish_reason": None} | piece]})
    if said.usage_wanted:
        yield event(top | {"choices": [], "usage": said.usage})
    yield DONE


def _chat_pieces(said: Said) -> Iterator[dict[str, Any]]:
    if said.call is None:
        yield {"delta": {"role": "assistant", "content": ""}}
        for text in _CHUNK.findall(said.content):
            yield {"delta": {"content": text}}
    else:
        begun = {"index": 0, **_tool_call(said, Call(said.call.name, ""))}
        yield {"delta": {"role": "assistant", "content": None, "tool_calls": [begun]}}
        for text in _CHUNK.findall(said.call.arguments):
            yield {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}
    yield {"delta": {}, "finish_reason": _finish(said)}


def _text_pieces(said: Said) -> Iterator[dict[str, Any]]:
    for text in _CHUNK.findall(said.content):
        yield {"text": text}
    yield {"text": "", "finish_reason": "stop"}


def _tool_call(said: Said, call: Call) -> dict[str, Any]:
    number = said.id.removeprefix("chatcmpl-")
    return {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _finish(said: Said) -> str:
    return "stop" if said.call is None else "tool_calls"


def embeddings(body: dict[str, Any], count: Callable[[str], int]) -> dict[str, Any]:
    """Return a unit vector per input, drawn from its hash: equal inputs, equal vectors. Raises BackendError."""
    given = body.get("input")
    several = isinstance(given, list) and bool(given) and not isinstance(given[0], int)
    inputs: list[Any] = given if isinstance(given, list) and several else [given]
    if len(inputs) > _MOST_INPUTS or not all(isinstance(each, str | list) and each for each in inputs):
        message = f"input must be a text or a list of up to {_MOST_INPUTS} texts, none of them empty"
        raise refusal(400, message, param="input")
    dimensions = body.get("dimensions", _DIMENSIONS)
    if not isinstance(dimensions, int) or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise refusal(400, f"dimensions must be a whole number from 1 to {_MOST_DIMENSIONS}", param="dimensions")
    packed = body.get("encoding_format") == "base64"
    tokens = sum(count(each) if isinstance(each, str) else len(each) for each in inputs)
    return {
        "object": "list",
        "model": body.get("model"),
        "data": [
            {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else vector}
            for index, vector in enumerate(_vector(each, dimensions) for each in inputs)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _vector(text: str | list[Any], dimensions: int) -> list[float]:
    """Return a vector of length 1 whose entries are exact in four bytes, so that both encodings say the same."""
    digest = hashlib.shake_256(str(text).encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [number + 0.5 for number in struct.unpack(f"<{dimensions}h", digest)]
    length = math.sqrt(sum(number * number for number in raw))
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(number / length for number in raw))))


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def models(path: str) -> dict[str, Any]:
    """Return the list of models, or one of them. Raises BackendError (404)."""
    known = [{"id": name, "object": "model", "created": 0, "owned_by": "prompt-router"} for name in MODELS]
    if path == "/models":
        return {"object": "list", "data": known}
    for model in known:
        if path == f"/models/{model['id']}":
            return model
    raise refusal(404, f"nothing at {path[:128]}", code="not_found")
