"""Servers on loopback that each speak one format and nothing else, and what clients of each format ask and read.

A server greets, or calls the tool that it is given, or tells what the tool returned: a whole tool round. Its stream can
be cut after any of its events, and its answers held back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from router.backends.echo.formats import FORMATS, EchoReply
from tests.support.echo.demands import ToolCall, calling, response_stream

CHAT, RESPONSES, MESSAGES = "/chat/completions", "/responses", "/messages"
GREETING, ARGUMENTS, RESULT = "Hello there", '{"id": 7}', "It left on Monday"
USED = {"in": 5, "cached": 3, "out": 7}
PARAMETERS = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}

Json = dict[str, Any]


class Speaker:
    """Speaks the format of `path`. `asked` holds the bodies that came for it, `strangers` all other paths."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.asked: list[Json] = []
        self.heads: list[str] = []
        self.strangers: list[str] = []
        self.cut: int | None = None
        self.held = False
        self.refusal: tuple[int, Json] | None = None
        self.left = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        except asyncio.CancelledError:
            pass  # the end of the test
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
        body = json.loads(await reader.readexactly(int(length[15:])))
        path = head.split()[1].removeprefix("/v1").partition("?")[0]
        if path == self.path + "/count_tokens":
            self.asked.append(body)
            writer.write(_http(200, {"input_tokens": 42}))
        elif path != self.path:
            self.strangers.append(path)
            writer.write(_http(404, {"detail": "Not Found"}))
        else:
            self.asked.append(body)
            self.heads.append(head)
            writer.write(self._reply(body))
        await writer.drain()

    def _reply(self, body: Json) -> bytes:
        if self.refusal is not None:
            return _http(*self.refusal)
        said = SPEAK[self.path](body)
        if isinstance(said, dict):
            return _http(200, said)
        raw = b"".join(said[: self.cut])
        if not self.held:
            return _http(200, raw, "text/event-stream")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100000\r\n\r\n"
        return head + b"".join(said[: len(said) * 3 // 5])


def _http(status: int, body: Json | bytes, kind: str = "application/json") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


def _chat(body: Json) -> Json | list[bytes]:
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    calls = bool(body.get("tools")) and not results
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    function = {"name": "find", "arguments": ARGUMENTS}
    message: Json = {"role": "assistant", "content": f"Told: {results[0]}" if results else GREETING}
    if calls:
        call = {"id": "call_x7", "type": "function", "function": function}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    finish = "tool_calls" if calls else "stop"
    top = {"id": "chatcmpl-9", "object": "chat.completion", "created": 1, "model": "m"}
    if not body.get("stream"):
        return top | {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
    top |= {"object": "chat.completion.chunk"}
    if calls:
        begun = {"index": 0, "id": "call_x7", "type": "function", "function": {"name": "find", "arguments": ""}}
        deltas = [{"role": "assistant", "content": None, "tool_calls": [begun]}]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in _halves(ARGUMENTS)]
    else:
        deltas = [{"role": "assistant", "content": ""}, *({"content": part} for part in _halves(message["content"]))]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}, {"choices": [], "usage": usage}]
    return [*(b"data: %s\n\n" % json.dumps(top | chunk).encode() for chunk in chunks), b"data: [DONE]\n\n"]


def _responses(body: Json) -> Json | list[bytes]:
    items = body["input"] if isinstance(body["input"], list) else []
    results = [item["output"] for item in items if item.get("type") == "function_call_output"]
    reply = EchoReply("x7", 1, "m", f"Told: {_plain(results[0])}" if results else GREETING, 5, 7)
    whole = FORMATS[RESPONSES].whole(reply, body)
    if body.get("tools") and not results:
        whole = calling(RESPONSES, whole, reply, ToolCall("find", ARGUMENTS))
    whole["usage"]["input_tokens_details"]["cached_tokens"] = 3
    return response_stream(whole) if body.get("stream") else whole


def _messages(body: Json) -> Json | list[bytes]:
    blocks = [
        block for message in body["messages"] if isinstance(message["content"], list) for block in message["content"]
    ]
    results = [block.get("content") for block in blocks if block["type"] == "tool_result"]
    calls = bool(body.get("tools")) and not results
    text = f"Told: {_plain(results[0])}" if results else GREETING
    content: Json = {"type": "tool_use", "id": "call_x7", "name": "find", "input": json.loads(ARGUMENTS)}
    content = content if calls else {"type": "text", "text": text}
    usage = {"input_tokens": 2, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 7}
    ending = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    whole = {"id": "msg_9", "type": "message", "role": "assistant", "model": "m", "content": [content], "usage": usage}
    if not body.get("stream"):
        return whole | ending
    kind, field = ("input_json_delta", "partial_json") if calls else ("text_delta", "text")
    started = content | ({"input": {}} if calls else {"text": ""})
    events = [
        {"type": "message_start", "message": whole | {"content": [], "stop_reason": None, "stop_sequence": None}},
        {"type": "content_block_start", "index": 0, "content_block": started},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: part}}
            for part in _halves(ARGUMENTS if calls else text)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ending, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]


SPEAK = {CHAT: _chat, RESPONSES: _responses, MESSAGES: _messages}


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# ------------------------------------------------------------------------------------------------------- the clients


def greeting(path: str, **more: Any) -> Json:
    """Return a first request in the format of `path`."""
    user = [{"role": "user", "content": "Hi"}]
    if path == CHAT:
        return {"model": "m", "messages": [{"role": "system", "content": "Be kind."}, *user], **more}
    if path == RESPONSES:
        return {"model": "m", "instructions": "Be kind.", "input": user, **more}
    return {"model": "m", "max_tokens": 50, "system": "Be kind.", "messages": user, **more}


def with_tools(path: str, **more: Any) -> Json:
    """Return a first request that brings a tool."""
    function = {"name": "find", "description": "Finds orders", "parameters": PARAMETERS}
    tool = {
        CHAT: {"type": "function", "function": function},
        RESPONSES: {"type": "function", **function},
        MESSAGES: {"name": "find", "description": "Finds orders", "input_schema": PARAMETERS},
    }
    return greeting(path, tools=[tool[path]], **more)


def with_result(path: str, call_id: str, **more: Any) -> Json:
    """Return the request that follows upon a call of the tool."""
    asked = with_tools(path, **more)
    if path == CHAT:
        call = {"id": call_id, "type": "function", "function": {"name": "find", "arguments": ARGUMENTS}}
        asked["messages"] += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": RESULT},
        ]
    elif path == RESPONSES:
        asked["input"] += [
            {"type": "function_call", "call_id": call_id, "name": "find", "arguments": ARGUMENTS},
            {"type": "function_call_output", "call_id": call_id, "output": RESULT},
        ]
    else:
        use = {"type": "tool_use", "id": call_id, "name": "find", "input": json.loads(ARGUMENTS)}
        result = {"type": "tool_result", "tool_use_id": call_id, "content": RESULT}
        asked["messages"] += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    return asked


class Read:
    """What a client makes of an answer, whole or as events: its text, its call, why it ended, what it cost."""

    def __init__(self, path: str, answer: bytes | list[bytes]) -> None:
        self.text, self.call, self.call_id, self.arguments, self.end = "", "", "", "", ""
        self.usage: Mapping[str, int] = {}
        self.told: dict[str, int] = {}
        payloads = [json.loads(answer)] if isinstance(answer, bytes) else _payloads(answer)
        self.kinds = [payload.get("type", payload.get("object")) for payload in payloads]
        read = {CHAT: self._chat, RESPONSES: self._responses, MESSAGES: self._messages}[path]
        for payload in payloads:
            read(payload)
        self.payloads = payloads

    def _chat(self, payload: Json) -> None:
        for choice in payload["choices"]:
            said = choice.get("message") or choice.get("delta") or {}
            self.text += said.get("content") or ""
            for call in said.get("tool_calls") or ():
                self.call += call["function"].get("name") or ""
                self.call_id += call.get("id") or ""
                self.arguments += call["function"].get("arguments") or ""
            self.end = choice["finish_reason"] or self.end
        if usage := payload.get("usage"):
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            self.usage = {"in": usage["prompt_tokens"], "cached": cached, "out": usage["completion_tokens"]}

    def _responses(self, payload: Json) -> None:
        whole = payload.get("response", payload) if payload.get("type") in (None, "response.completed") else None
        if payload.get("type") == "response.output_text.delta":
            self.text += payload["delta"]
        elif payload.get("type") == "response.function_call_arguments.delta":
            self.arguments += payload["delta"]
        if whole is None:
            return
        self.end = whole["status"]
        usage = whole["usage"]
        cached = usage["input_tokens_details"]["cached_tokens"]
        self.usage = {"in": usage["input_tokens"], "cached": cached, "out": usage["output_tokens"]}
        text, arguments = "", ""
        for item in whole["output"]:
            if item["type"] == "function_call":
                self.call, self.call_id, arguments = item["name"], item["call_id"], item["arguments"]
            elif item["type"] == "message":
                text += item["content"][0]["text"]
        assert "type" not in payload or (text, arguments) == (self.text, self.arguments)
        self.text, self.arguments = text, arguments

    def _messages(self, payload: Json) -> None:
        kind = payload["type"]
        blocks = (
            payload["content"]
            if kind == "message"
            else [payload["content_block"]]
            if "content_block" in payload
            else []
        )
        for block in blocks:
            self.text += block.get("text", "")
            if block["type"] == "tool_use":
                self.call, self.call_id = block["name"], block["id"]
                self.arguments += json.dumps(block["input"]) if block["input"] else ""
        delta = payload.get("delta", {})
        self.text += delta.get("text", "")
        self.arguments += delta.get("partial_json", "")
        self.end = payload.get("stop_reason") or delta.get("stop_reason") or self.end
        if usage := payload.get("usage") or payload.get("message", {}).get("usage"):
            self.told |= usage
            cached = self.told.get("cache_read_input_tokens", 0)
            total = self.told["input_tokens"] + cached
            self.usage = {"in": total, "cached": cached, "out": self.told["output_tokens"]}


def _payloads(events: list[bytes]) -> list[Json]:
    read: list[Json] = []
    for event in b"".join(events).decode().split("\n\n")[:-1]:
        lines = event.split("\n")
        data = lines[-1].removeprefix("data: ")
        if data == "[DONE]":
            continue
        read.append(json.loads(data))
        assert len(lines) == 1 or lines[0] == f"event: {read[-1]['type']}"
    return read
