"""The echo's answers in the three wire formats: chat completions, Responses and Anthropic Messages, whole or streamed.

Sources: the API references of OpenAI and Anthropic, and the types of their Python SDKs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec

from router.backends.echo.readable import anthropic_blocks, message_blocks, response_blocks
from router.backends.sse import DONE, event, named_event
from router.core.errors import BackendError

Body = Mapping[str, Any]
Payload = dict[str, Any]

_PIECE = re.compile(r".{1,24}(?:\s+|$)|.{1,24}", re.DOTALL)
"""A piece of a stream is a few words, as a fast model sends them."""

_MOST_CHOICES = 128  # as the OpenAI API
_RETRYABLE = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True)
class EchoReply:
    """One answer before it has a format. `number` is unique; the ids of the answer and its parts are made of it."""

    number: str
    created: int
    model: Any
    content: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class EchoFormat:
    """How the echo reads the requests of one wire format, and answers in it.

    `blocks` are what was said, `hidden` the fields that they have shown. `whole` and `events` are the answer; they
    raise BackendError before the first event.
    """

    blocks: Callable[[Body], list[str]]
    hidden: frozenset[str]
    whole: Callable[[EchoReply, Body], Payload]
    events: Callable[[EchoReply, Body], Iterator[bytes]]


def refusal(status: int, message: str, *, code: str | None = None, param: str | None = None) -> BackendError:
    """Return an error with a body in the shape of the OpenAI API."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return BackendError(
        message,
        status=status,
        code="backend_status",
        body=msgspec.json.encode({"error": error}),
        headers=(("content-type", "application/json"),),
        retryable=status in _RETRYABLE or status >= 500,
    )


def pieces(text: str) -> list[str]:
    """Return a text as the pieces of a stream."""
    return _PIECE.findall(text)


# ------------------------------------------------------------------------------------------------ chat completions


def choices_of(body: Body) -> int:
    """Return how many choices a request wants. Raises BackendError (400)."""
    wanted = 1 if body.get("n") is None else body["n"]
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= _MOST_CHOICES:
        raise refusal(400, f"n must be a whole number from 1 to {_MOST_CHOICES}", param="n")
    return wanted


def chat_usage(reply: EchoReply, choices: int) -> dict[str, int]:
    """Return the usage of an answer of so many choices."""
    completion = reply.completion_tokens * choices
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": reply.prompt_tokens + completion,
    }


def chat_stream(reply: EchoReply, body: Body, top: Payload, parts: Iterable[Payload]) -> Iterator[bytes]:
    """Return the events of a stream: for each choice its parts, then usage if that is wanted, then the end."""
    choices = choices_of(body)
    options = body.get("stream_options")
    top = top | {"created": reply.created, "model": reply.model}
    common = {"logprobs": None, "finish_reason": None}
    said = [top | {"choices": [{"index": index} | common | part]} for index in range(choices) for part in parts]
    if isinstance(options, Mapping) and options.get("include_usage") is True:
        said.append(top | {"choices": [], "usage": chat_usage(reply, choices)})
    return iter([*map(event, said), DONE])


def _chat(reply: EchoReply, body: Body) -> Payload:
    choices = choices_of(body)
    message = {"role": "assistant", "content": reply.content, "refusal": None}
    choice = {"message": message, "logprobs": None, "finish_reason": "stop"}
    return {
        "id": f"chatcmpl-{reply.number}",
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [{"index": index, **choice} for index in range(choices)],
        "usage": chat_usage(reply, choices),
    }


def _chat_events(reply: EchoReply, body: Body) -> Iterator[bytes]:
    top = {"id": f"chatcmpl-{reply.number}", "object": "chat.completion.chunk"}
    opening = {"delta": {"role": "assistant", "content": ""}}
    said = [{"delta": {"content": text}} for text in pieces(reply.content)]
    return chat_stream(reply, body, top, [opening, *said, {"delta": {}, "finish_reason": "stop"}])


# ------------------------------------------------------------------------------------------------------- Responses

_REPEATED: Mapping[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
    "metadata": {},
}
"""What an answer repeats of its request, and what it says where the request said nothing."""


def response_events(whole: Payload, within: Callable[[Payload, Payload], list[Payload]] | None = None) -> list[bytes]:
    """Return a whole answer as the events of a stream; `within` gives those of an item at its place."""
    begun = whole | {"status": "in_progress", "completed_at": None, "output": [], "usage": None}
    events: list[Payload] = [{"type": f"response.{step}", "response": begun} for step in ("created", "in_progress")]
    for index, item in enumerate(whole["output"]):
        events += (within or message_events)(item, {"item_id": item["id"], "output_index": index})
    events.append({"type": "response.completed", "response": whole})
    return [named_event(each | {"sequence_number": number}) for number, each in enumerate(events)]


def message_events(item: Payload, place: Payload) -> list[Payload]:
    """Return the events of a message at its place in the output."""
    part, index = item["content"][0], place["output_index"]
    spot = place | {"content_index": 0}
    deltas = [{"type": "response.output_text.delta", **spot, "delta": text} for text in pieces(part["text"])]
    added = item | {"status": "in_progress", "content": []}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": added},
        {"type": "response.content_part.added", **spot, "part": part | {"text": ""}},
        *(delta | {"logprobs": []} for delta in deltas),
        {"type": "response.output_text.done", **spot, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **spot, "part": part},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _response(reply: EchoReply, body: Body) -> Payload:
    text = {"type": "output_text", "text": reply.content, "annotations": [], "logprobs": []}
    message = {"type": "message", "id": f"msg_{reply.number}", "status": "completed", "role": "assistant"}
    repeated = {name: default if body.get(name) is None else body[name] for name, default in _REPEATED.items()}
    if not isinstance(repeated["text"], Mapping):
        repeated["text"] = {}
    repeated["text"] = {"format": {"type": "text"}, **repeated["text"]}
    return {
        "id": f"resp_{reply.number}",
        "object": "response",
        "created_at": reply.created,
        "completed_at": reply.created,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": reply.model,
        "output": [message | {"content": [text]}],
        "store": False,
        "usage": {
            "input_tokens": reply.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": reply.prompt_tokens + reply.completion_tokens,
        },
        **repeated,
    }


# ---------------------------------------------------------------------------------------------- Anthropic Messages


def message_stream(reply: EchoReply, block: Payload, deltas: Iterable[Payload], stop_reason: str) -> Iterator[bytes]:
    """Return the events of a stream of one block, which is empty at first, and what is added to it."""
    events: list[Payload] = [
        {"type": "message_start", "message": _message(reply, [], None, 1)},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": {"output_tokens": reply.completion_tokens},
        },
        {"type": "message_stop"},
    ]
    return map(named_event, events)


def _message_whole(reply: EchoReply, _: Body) -> Payload:
    return _message(reply, [{"type": "text", "text": reply.content}], "end_turn", reply.completion_tokens)


def _message_events(reply: EchoReply, _: Body) -> Iterator[bytes]:
    deltas = [{"type": "text_delta", "text": text} for text in pieces(reply.content)]
    return message_stream(reply, {"type": "text", "text": ""}, deltas, "end_turn")


def _message(reply: EchoReply, content: list[Any], stop_reason: str | None, output_tokens: int) -> Payload:
    return {
        "id": f"msg_{reply.number}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": reply.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    }


FORMATS = MappingProxyType(
    {
        "/chat/completions": EchoFormat(message_blocks, frozenset({"messages", "model"}), _chat, _chat_events),
        "/responses": EchoFormat(
            response_blocks,
            frozenset({"instructions", "input", "model"}),
            _response,
            lambda reply, body: iter(response_events(_response(reply, body))),
        ),
        "/messages": EchoFormat(
            anthropic_blocks, frozenset({"system", "messages", "model"}), _message_whole, _message_events
        ),
    }
)
"""The formats by the paths where they are asked for."""
