"""A whole answer as the stream that its client asked for, in each format.

Some servers answer `stream: true` with one JSON object, and the official SDKs read that as a stream of nothing. Here it
becomes the events that a server would have sent, each part in one piece. What a stream has no place of its own for
stays where the answer had it: beside the choices, in the item, in the message. Nothing is made up, so an answer that
does not say why it ended becomes a stream that is not whole. Sources of the shapes: those of `router.wire`'s streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from router.core.errors import BackendError

_Object: TypeAlias = dict[str, Any]


def of_chat(body: bytes) -> bytes:
    """Return a chat completion, or a text completion, as a stream. Usage comes in a chunk of its own.

    Raises BackendError (502) for what is no answer, as do the others here.
    """
    answer = _read(body, "choices")
    usage, choices = answer.pop("usage", None), _objects(answer.pop("choices"))
    chunks: list[list[_Object]] = []
    ends: list[list[_Object]] = []
    for at, choice in enumerate(choices):
        message, reason = choice.pop("message", None), choice.pop("finish_reason", None)
        place = {"index": choice.get("index", at), "finish_reason": None}
        if isinstance(message, dict):
            answer["object"] = "chat.completion.chunk"
            for number, call in enumerate(_objects(message.get("tool_calls"))):
                call.setdefault("index", number)
            choice["delta"] = message
        chunks.append([choice | place])
        rest: _Object = {"delta": {}} if "delta" in choice else {"text": ""}
        ends.append([place | {"finish_reason": reason} | rest])
    events = [answer | {"choices": said} for said in chunks + ends]
    if usage is not None:
        events.append(answer | {"choices": [], "usage": usage})
    return b"".join(map(_event, events)) + b"data: [DONE]\n\n"


def of_response(body: bytes) -> bytes:
    """Return a response as a stream; one that is still under way gets no ending."""
    answer = _read(body, "output")
    begun = answer | {"status": "in_progress", "output": [], "usage": None}
    events: list[_Object] = [{"type": f"response.{step}", "response": begun} for step in ("created", "in_progress")]
    for index, item in enumerate(_objects(answer["output"])):
        events += _item_events(item, index)
    ending = answer.get("status") or "completed"
    if ending in ("completed", "incomplete", "failed"):
        events.append({"type": f"response.{ending}", "response": answer})
    return _named(each | {"sequence_number": number} for number, each in enumerate(events))


def of_message(body: bytes) -> bytes:
    """Return a message of Anthropic's as a stream."""
    answer = _read(body, "content")
    ended = {name: answer.get(name) for name in ("stop_reason", "stop_sequence")}
    begun = answer | {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[_Object] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(_objects(answer["content"])):
        place = {"index": index}
        empty, deltas = _block_parts(block)
        events.append({"type": "content_block_start", **place, "content_block": empty})
        events += ({"type": "content_block_delta", **place, "delta": delta} for delta in deltas)
        events.append({"type": "content_block_stop", **place})
    usage = {"usage": answer["usage"]} if "usage" in answer else {}
    return _named([*events, {"type": "message_delta", "delta": ended, **usage}, {"type": "message_stop"}])


def _item_events(item: _Object, index: int) -> Iterator[_Object]:
    """Yield the events of one item of a response's output."""
    place = {"item_id": item.get("id", ""), "output_index": index}
    begun = item | ({"status": "in_progress"} if "status" in item else {})
    if item.get("type") == "message":
        begun["content"] = []
    elif item.get("type") == "function_call":
        begun["arguments"] = ""
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    if item.get("type") == "message":
        for at, part in enumerate(_objects(item.get("content"))):
            yield from _part_events(part, place | {"content_index": at})
    elif item.get("type") == "function_call":
        arguments = item.get("arguments", "")
        kind = "response.function_call_arguments"
        yield {"type": f"{kind}.delta", **place, "delta": arguments}
        yield {"type": f"{kind}.done", **place, "name": item.get("name", ""), "arguments": arguments}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _part_events(part: _Object, place: _Object) -> Iterator[_Object]:
    """Yield the events of one part of a message of a response."""
    name = {"output_text": "text", "refusal": "refusal"}.get(part.get("type", ""), "")
    yield {"type": "response.content_part.added", **place, "part": part | ({name: ""} if name else {})}
    if name:
        kind, text = f"response.{part['type']}", part.get(name, "")
        more = {"logprobs": part.get("logprobs") or []} if name == "text" else {}
        yield {"type": f"{kind}.delta", **place, "delta": text, **more}
        yield {"type": f"{kind}.done", **place, name: text, **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def _block_parts(block: _Object) -> tuple[_Object, list[_Object]]:
    """Return what a block of a message begins with, and what is added to it; a block of another kind begins whole."""
    kind = block.get("type")
    if kind == "text":
        deltas = [{"type": "text_delta", "text": block.get("text", "")}]
        deltas += [{"type": "citations_delta", "citation": each} for each in block.get("citations") or ()]
        return block | {"text": ""} | ({"citations": []} if block.get("citations") else {}), deltas
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": block.get("signature", "")}
        thought = {"type": "thinking_delta", "thinking": block.get("thinking", "")}
        return block | {"thinking": "", "signature": ""}, [thought, signed]
    if isinstance(block.get("input"), dict):
        return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return block, []


def _read(body: bytes, listed: str) -> _Object:
    """Return an answer that has the list `listed`. Raises BackendError (502) with what the backend told instead."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get(listed), list):
        told = body if isinstance(answer, dict) and answer.get("error") else b""
        message = "Asked for a stream, the backend sent something that is neither a stream nor an answer."
        raise BackendError(message, code="backend_garbage", body=told)
    return answer


def _objects(values: Any) -> list[_Object]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _event(payload: _Object) -> bytes:
    return b"data: %b\n\n" % json.dumps(payload, separators=(",", ":")).encode()  # all of it ASCII


def _named(payloads: Iterable[_Object]) -> bytes:
    return b"".join([b"event: %b\n%b" % (each["type"].encode(), _event(each)) for each in payloads])
