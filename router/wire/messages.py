"""`/messages` and `/messages/count_tokens` in Anthropic's format: what a body says, and where text goes.

The client's bytes are kept and never written anew. Each message is read as far as deciding needs it: role, text, kinds
of the other blocks. What a provider judges better than we (which blocks, which models, which limits) is left to it. The
shapes are those of https://docs.claude.com/en/api/messages and of the official Python SDK's types.

A user message that only returns tool results is no user turn, unless there is none before it: then the client cut off
the beginning, and something must be decided.

Where text goes (what goes is `router.wire.placement`'s word):

- head: into `system`. The client's text stays a block of its own, byte for byte, ours beside it as one block, or two
  where the first is marked for the cache. Blocks may be joined without a gap (llama.cpp does), so ours bring their own.
  Where the model knows no system role, a marked block at the top of the first user turn;
- tail of user turn j: as a `system` message right behind that turn, or as a marked block at its top.

Behind, not before as in chat completions: the API takes a `system` message only behind a user message, and only before
an assistant's or at the end (https://docs.claude.com/en/docs/build-with-claude/mid-conversation-system-messages).
Nothing of ours can come between tool calls and their results: a user turn may begin with results, never end a call.

Every rule looks only at what stands before its place, else a conversation that grows would move text that was sent
already. One cannot: where a client sends a second user message before any answer, a `system` message between the two
would be refused, so it moves behind the second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.core.decision import TASK_GAP
from router.core.errors import RouterError
from router.core.ports import AnswerMetadata, StreamGuard
from router.wire import as_stream, faults, messages_stream
from router.wire.cache_marks import (
    NO_BREAKPOINTS,
    CacheBreakpoints,
    ClientBreakpoints,
    anthropic_marks,
    drop_anthropic_marks,
    find_anthropic_marks,
)
from router.wire.edits import (
    Edit,
    Part,
    content_of,
    find_span,
    insert,
    is_given,
    put_beside,
    size_of,
    split_head,
    write_content,
    write_parts,
)
from router.wire.format import (
    METADATA,
    NO_KINDS,
    NO_METADATA,
    NO_PARTS,
    ParsedRequest,
    Plan,
    Read,
    Top,
    WireFormat,
    read_content,
    require_messages,
)
from router.wire.portable import without_thinking
from router.wire.strict_json import MESSAGES_OUTLINE, decode_messages, find_unread, names, wrong_type

_VIEW: Mapping[str, Role] = MappingProxyType({"user": "user", "assistant": "assistant"})

_BILLING = "x-anthropic-billing-header:"
"""Opens a system block of Claude Code that is no instruction and may differ on every call."""

_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})  # names of one parameter

# Parameters of OpenAI's two formats that this one does not have, and whose provider refuses names it does not know:
# `CompletionCreateParams` and `ResponseCreateParams` of openai-python 2.54 without those of anthropic-python 2.12.
_UNKNOWN = frozenset(
    (
        "audio background conversation frequency_penalty function_call functions include input instructions "
        "logit_bias logprobs max_tool_calls modalities moderation n parallel_tool_calls prediction "
        "presence_penalty previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention "
        "reasoning reasoning_effort response_format safety_identifier seed store stream_options text top_logprobs "
        "truncation user verbosity web_search_options"
    ).split()
)
_TOOL_CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


class _Block(msgspec.Struct, gc=False, omit_defaults=True):
    type: str
    text: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct, gc=False, omit_defaults=True):
    role: str
    content: str | list[_Block] | None = None


class _Kind(msgspec.Struct, gc=False):
    type: str


class _Body(Top, gc=False):
    messages: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    cache_control: msgspec.Raw = msgspec.Raw()
    metadata: dict[str, Any] | None = None
    max_tokens: int | None = None


_TEXT = names("type", "text")
_NAMES = names(
    *_Body.__struct_fields__,
    system=_TEXT,
    messages=names("role", content=names("type", "text", content=_TEXT)),
    metadata=METADATA,
)

_MESSAGE = msgspec.json.Decoder(_Message)
_SYSTEM = msgspec.json.Decoder(str | list[_Block] | None)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RESULT = msgspec.json.Decoder(str | list[_Block])
_TYPE = msgspec.json.Decoder(_Kind)


class Messages(WireFormat):
    """The wire of `/messages`. Has no state."""

    name = "messages"
    path = "/messages"
    body = msgspec.json.Decoder(_Body)
    names = _NAMES
    outline = MESSAGES_OUTLINE
    lists = ("messages",)
    reserved = frozenset({"model", "messages", "system", "stream"})

    def read(self, top: _Body) -> Read:
        """Return the messages as turns. Raises RequestError (400)."""
        raws = require_messages(top.messages)
        messages = decode_messages(raws, _MESSAGE)
        system = _read_system(top.system)
        turns: list[Turn] = []
        asked = False
        strings = 4 * len(messages)  # two names and their values
        others: list[msgspec.Raw] = []
        for at, message in enumerate(messages):
            content, role = message.content, _VIEW.get(message.role, "system")
            if isinstance(content, str):
                text, attachments, parts = content, NO_KINDS, NO_PARTS
            else:
                text, attachments, parts = read_content(content, "messages[{}].content", at)
                if content and not attachments:  # as many again for each part, but for its own value
                    strings += 4 * len(content) - 1
                else:
                    strings -= 4
                    others.append(raws[at])
            if role == "user" and asked and isinstance(content, list) and content:
                if all(block.type == "tool_result" for block in content):
                    role, attachments = "tool", NO_KINDS
                    text = "\n".join(filter(None, map(_read_result, content)))
            turns.append(Turn(role, text, at, attachments, parts))
            asked = asked or role == "user"
        roles = [message.role for message in messages]
        return (
            Conversation(system, tuple(turns), top.max_tokens),
            raws,
            roles,
            0,
            find_unread(messages, raws, others, strings),
        )

    def sender(self, top: _Body) -> tuple[str, Mapping[str, Any]]:
        """Return the end user, who stands in the metadata, and the metadata."""
        metadata = top.metadata or NO_METADATA
        user = metadata.get("user_id")
        return user if isinstance(user, str) else "", metadata

    def put_head(self, plan: Plan, users: Sequence[int]) -> None:
        """Put the head into `system`, or into the first user turn where the model knows no system role."""
        if plan.weaving.capability.roles.isdisjoint(("system", "developer")):
            self.put_in_user_turn(plan, users, plan.placed.head)
        else:
            plan.edits += _extend_system(plan)

    def put_tail(self, plan: Plan, user: int, text: str) -> None:
        """Put the tail behind its user turn, or into it; texts that land at one place share a message."""
        if plan.weaving.capability.mid_conversation == "user_block":
            plan.put_block(user, text)
            return
        while plan.request.roles[user + 1 : user + 2] == ["user"]:
            user += 1
        before = plan.behind.get(user)
        plan.behind[user] = text if before is None else before + TASK_GAP + text

    def put_on_top(self, body: bytes, message: msgspec.Raw, text: str) -> list[Edit]:
        """Put text before the first text of a message, behind the tool results, which must stand first.

        It is a block of its own even beside a string: a client that marks a message for the cache writes a block, and a
        string again once the mark has moved on, and to the provider both must be the same.
        """
        content = content_of(message)
        block = write_parts([Part(text)], "text")
        if not is_given(content):
            return [insert(find_span(body, message)[0] + 1, b'"content":[' + block + b"],")]
        start, end = find_span(body, content)
        if body.startswith(b'"', start) and end - start > 2:
            return [insert(start, b"[" + block + b',{"type":"text","text":'), insert(end, b"}]")]
        blocks = _RAWS.decode(content) if body.startswith(b"[", start) else []
        if not blocks:
            return [Edit(start, end, b"[" + block + b"]")]
        kinds = [_TYPE.decode(each).type for each in blocks]
        first = kinds.index("text") if "text" in kinds else _count_leading_results(kinds)
        if first == len(blocks):
            return [insert(end - 1, b"," + block)]
        return [insert(find_span(body, blocks[first])[0], block + b",")]

    def translate(self, parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield a policy's parameters under the names and in the forms of this format, less those it does not have."""
        for name, value in parameters.items():
            if name in _LIMITS:
                yield "max_tokens", value
            elif name == "stop":
                yield "stop_sequences", [value] if isinstance(value, str) else value
            elif name == "tool_choice" and isinstance(value, str):
                if value in _TOOL_CHOICES:
                    yield name, _TOOL_CHOICES[value]
            elif name not in _UNKNOWN:
                yield name, value

    def portable(self, body: bytes) -> bytes:
        """Return a body without the signed thinking of its assistant's turns."""
        return without_thinking(body)

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the blocks of `system` and the messages as written, but for cache marks, which are no part of it."""
        top = self.body.decode(body)
        system = bytes(top.system)
        parts = [bytes(block) for block in _RAWS.decode(system)] if system.startswith(b"[") else [system] * bool(system)
        parts += map(bytes, top.messages)
        return [drop_anthropic_marks(part) for part in parts] if b'"cache_control"' in body else parts

    def guard(self, hide_usage: bool = False, choices: int = 1, lenient: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. The format always tells the usage, so none is hidden."""
        return messages_stream.MessageGuard()

    def as_stream(self, body: bytes) -> bytes:
        """Return a whole message as the stream that the client asked for. Raises BackendError when it is none."""
        return as_stream.of_message(body)

    def answer(self, body: bytes) -> AnswerMetadata:
        """Return id and usage of a whole answer. Raises BackendError when it is no JSON object."""
        return messages_stream.read_answer(body)

    def words(self, answer: bytes, stream: bool) -> str:
        """Return the words of an answer."""
        return messages_stream.words(answer, stream)

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in Anthropic's shape, a provider's own as it came if it has it."""
        return faults.anthropic_body(error)


class CountTokens(Messages):
    """The wire of `/messages/count_tokens`: what a request of `/messages` would cost, our text included."""

    name = "count_tokens"
    path = "/messages/count_tokens"
    counts = True


def _extend_system(plan: Plan) -> list[Edit]:
    request, weaving, placed = plan.request, plan.weaving, plan.placed
    body, raw = request.body, request.top.system
    start, end = find_span(body, raw) if is_given(raw) else (0, 0)
    listed = body.startswith(b"[", start)
    empty = not body[start + 1 : end - 1].strip() if listed else not request.conversation.system.strip()
    alone = weaving.place == "replace" or empty
    parts = split_head(placed, _choose_breakpoints(plan, 0 if alone else end - start))
    if not is_given(raw):
        return [insert(body.index(b"{") + 1, b'"system":' + write_content(parts, "text") + b",")]
    if alone:
        return [Edit(start, end, write_content(parts, "text"))]
    return put_beside(body, (start, end), parts, weaving.place, plan.gap, "text", split=True)


def _choose_breakpoints(plan: Plan, system: int) -> CacheBreakpoints:
    """Return the cache marks of the head; `system` counts the bytes of the client's system text that stays."""
    request, weaving, placed = plan.request, plan.weaving, plan.placed
    if weaving.capability.cache_marks == "off":
        return NO_BREAKPOINTS
    first = weaving.place == "before"
    ahead = size_of(request.top.tools) + (0 if first else system)
    theirs = _find_breakpoints(request, system > 0)
    return anthropic_marks(theirs, first, weaving.capability, ahead, placed.general, placed.special)


def _find_breakpoints(request: ParsedRequest, with_system: bool) -> ClientBreakpoints:
    if b'"cache_control"' not in request.body:
        return ClientBreakpoints()
    start, _ = find_span(request.body, request.items[0])
    _, end = find_span(request.body, request.items[-1])
    automatic = find_anthropic_marks(b'"cache_control":' + bytes(request.top.cache_control))
    return ClientBreakpoints(
        find_anthropic_marks(bytes(request.top.tools)),
        find_anthropic_marks(bytes(request.top.system)) if with_system else (),
        find_anthropic_marks(request.body[start:end]) + automatic,
    )


def _read_system(raw: msgspec.Raw) -> str:
    if not memoryview(raw).nbytes:
        return ""
    try:
        system = _SYSTEM.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside="system") from None
    if not isinstance(system, list):
        return system or ""
    return read_content([block for block in system if not _is_billing(block)], "system")[0]


def _is_billing(block: _Block) -> bool:
    return isinstance(block.text, str) and block.text.startswith(_BILLING)


def _read_result(block: _Block) -> str:
    """Return the text of a tool's result; a result in a form that we do not know has none."""
    try:
        result = _RESULT.decode(block.content)
    except msgspec.DecodeError:  # no content at all, or of another type
        return ""
    return result if isinstance(result, str) else "\n".join(b.text for b in result if isinstance(b.text, str))


def _count_leading_results(kinds: Sequence[str]) -> int:
    return next((i for i, kind in enumerate(kinds) if kind != "tool_result"), len(kinds))
