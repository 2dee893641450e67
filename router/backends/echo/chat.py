"""The echo's chat completions, and the text completions of old.

Source: OpenAI's API reference and the types of its Python SDK.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router.backends.echo.faults import refusal
from router.backends.echo.readable import message_blocks, prompt_blocks
from router.backends.echo.reply import (
    ANY_TOOL,
    Body,
    Call,
    Format,
    Said,
    Shape,
    forced_call,
    listed,
    mapping,
    no_call,
    no_shape,
    pieces,
)
from router.backends.sse import DONE, event

_MOST_CHOICES = 128  # as the OpenAI API


def _chat(said: Said, body: Body) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.content, "refusal": None}
    if said.call is not None:
        message |= {"content": None, "tool_calls": [_tool_call(said, said.call)]}
    choice = {"message": message, "logprobs": None, "finish_reason": _finish(said)}
    return _whole(said, body, {"id": f"chatcmpl-{said.number}", "object": "chat.completion"}, choice)


def _text(said: Said, body: Body) -> dict[str, Any]:
    choice = {"text": said.content, "logprobs": None, "finish_reason": "stop"}
    return _whole(said, body, {"id": f"cmpl-{said.number}", "object": "text_completion"}, choice)


def _whole(said: Said, body: Body, top: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    choices = _choices(body)
    return top | {
        "created": said.created,
        "model": said.model,
        "choices": [{"index": index, **choice} for index in range(choices)],
        "usage": _usage(said, choices),
    }


def _chat_events(said: Said, body: Body) -> Iterator[bytes]:
    top = {"id": f"chatcmpl-{said.number}", "object": "chat.completion.chunk"}
    return _events(said, body, _choices(body), top, list(_chat_pieces(said)))


def _text_events(said: Said, body: Body) -> Iterator[bytes]:
    top = {"id": f"cmpl-{said.number}", "object": "text_completion"}
    return _events(said, body, _choices(body), top, list(_text_pieces(said)))


def _events(said: Said, body: Body, choices: int, top: dict[str, Any], parts: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield for each choice its pieces, then its finish; usage if wanted; the end."""
    top |= {"created": said.created, "model": said.model}
    for index in range(choices):
        for part in parts:
            yield event(top | {"choices": [{"index": index, "logprobs": None, "finish_reason": None} | part]})
    if mapping(body.get("stream_options")).get("include_usage") is True:
        yield event(top | {"choices": [], "usage": _usage(said, choices)})
    yield DONE


def _chat_pieces(said: Said) -> Iterator[dict[str, Any]]:
    if said.call is None:
        yield {"delta": {"role": "assistant", "content": ""}}
        for text in pieces(said.content):
            yield {"delta": {"content": text}}
    else:
        begun = {"index": 0, **_tool_call(said, Call(said.call.name, ""))}
        yield {"delta": {"role": "assistant", "content": None, "tool_calls": [begun]}}
        for text in pieces(said.call.arguments):
            yield {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}}
    yield {"delta": {}, "finish_reason": _finish(said)}


def _text_pieces(said: Said) -> Iterator[dict[str, Any]]:
    for text in pieces(said.content):
        yield {"text": text}
    yield {"text": "", "finish_reason": "stop"}


def _usage(said: Said, choices: int) -> dict[str, int]:
    completion = said.completion_tokens * choices
    return {
        "prompt_tokens": said.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": said.prompt_tokens + completion,
    }


def _tool_call(said: Said, call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{said.number}", "type": "function", "function": function}


def _finish(said: Said) -> str:
    return "stop" if said.call is None else "tool_calls"


def _choices(body: Body) -> int:
    wanted = body.get("n")
    if wanted is None:
        return 1
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted <= _MOST_CHOICES:
        raise refusal(400, f"n must be a whole number from 1 to {_MOST_CHOICES}", param="n")
    return wanted


def _demanded_call(body: Body) -> Call | None:
    choice = body.get("tool_choice")
    if choice is None or choice in ("auto", "none"):
        return None
    wanted = ANY_TOOL if choice == "required" else str(mapping(mapping(choice).get("function")).get("name"))
    functions = [mapping(mapping(tool).get("function")) for tool in listed(body.get("tools"))]
    return forced_call(wanted, [(function.get("name"), function.get("parameters")) for function in functions])


def _demanded_shape(body: Body) -> Shape | None:
    wanted = mapping(body.get("response_format"))
    if wanted.get("type") == "json_object":
        return Shape()
    shape = wanted.get("json_schema")
    if wanted.get("type") != "json_schema" or not isinstance(shape, dict):
        return None
    return Shape(shape.get("schema", {}))


CHAT = Format(
    blocks=message_blocks,
    hidden=frozenset({"messages", "model"}),
    call=_demanded_call,
    shape=_demanded_shape,
    whole=_chat,
    events=_chat_events,
)
TEXT = Format(
    blocks=prompt_blocks,
    hidden=frozenset({"prompt", "model"}),
    call=no_call,
    shape=no_shape,
    whole=_text,
    events=_text_events,
)
