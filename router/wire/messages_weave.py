"""Weave for `/messages`: the edits that put placed text, the backend's model name and parameters into a body.

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
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import TASK_GAP, Decision
from router.core.ports import Weaving
from router.wire.cache_marks import NO_MARKS, Marks, Theirs, anthropic_marks, find_anthropic_marks
from router.wire.edits import (
    GAP,
    Part,
    add_members,
    encode,
    is_given,
    names_of,
    split_head,
    write_content,
    write_parts,
)
from router.wire.placement import Placed, mark, place
from router.wire.splice import Edit, find_span

_RESERVED = frozenset({"model", "messages", "system", "stream"})  # ours to weave, or what the client waits for
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


class MessagesRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body. The raw fields are views into `body`, empty where it has no such key; `roles` are as written."""

    body: bytes
    model: str
    stream: bool
    user: str
    metadata: Mapping[str, Any]
    conversation: Conversation
    raw_model: msgspec.Raw
    raw_system: msgspec.Raw
    raw_tools: msgspec.Raw
    raw_cache_control: msgspec.Raw
    raw_messages: Sequence[msgspec.Raw]
    roles: Sequence[str]
    tells_usage: bool = True


class _Content(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw()


class _Block(msgspec.Struct, gc=False):
    type: str


_CONTENT = msgspec.json.Decoder(_Content)
_BLOCKS = msgspec.json.Decoder(list[msgspec.Raw])
_TYPE = msgspec.json.Decoder(_Block)


def plan_edits(request: MessagesRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
    """Return what changes in `request.body`; empty when nothing does. Edits never overlap."""
    edits: list[Edit] = []
    placed = place(decisions, weaving.on_switch)
    if placed.head or placed.tails:
        turns = [turn.at for turn in request.conversation.turns if turn.role == "user"]
        if len(decisions) != len(turns):
            raise ValueError(f"{len(decisions)} decisions for {len(turns)} user turns")
        blocks: dict[int, str] = {}
        if placed.head:
            if weaving.capability.roles.isdisjoint(("system", "developer")):
                blocks[turns[0]] = mark(placed.head)
            else:
                edits += _put_head(request, placed, weaving)
        if weaving.capability.mid_conversation != "user_block":
            edits += _put_behind(request, [(turns[j], text) for j, text in placed.tails])
        else:
            for j, text in placed.tails:
                blocks[turns[j]] = blocks.get(turns[j], "") + mark(text)
        for at, block in blocks.items():
            edits += _put_on_top(request, at, block)
    if weaving.model and weaving.model != request.model:
        edits.append(Edit(*find_span(request.body, request.raw_model), encode(weaving.model)))
    if weaving.parameters:
        named = names_of(request.body) | _RESERVED
        edits += add_members(request.body, {k: v for k, v in _translate(weaving.parameters) if k not in named})
    return edits


def _put_head(request: MessagesRequest, placed: Placed, weaving: Weaving) -> list[Edit]:
    body, raw = request.body, request.raw_system
    start, end = find_span(body, raw) if is_given(raw) else (0, 0)
    listed = body.startswith(b"[", start)
    empty = not body[start + 1 : end - 1].strip() if listed else not request.conversation.system.strip()
    alone = weaving.place == "replace" or empty
    parts = split_head(placed, _choose_marks(request, placed, weaving, 0 if alone else end - start))
    if not is_given(raw):
        return [_insert(body.index(b"{") + 1, b'"system":' + write_content(parts, "text") + b",")]
    if alone:
        return [Edit(start, end, write_content(parts, "text"))]
    before = weaving.place == "before"
    if before:
        parts[-1] = parts[-1]._replace(text=parts[-1].text + GAP)
    else:
        parts[0] = parts[0]._replace(text=GAP + parts[0].text)
    ours = write_parts(parts, "text")
    if listed:
        return [_insert(start + 1, ours + b",") if before else _insert(end - 1, b"," + ours)]
    theirs = b'{"type":"text","text":'
    if before:
        return [_insert(start, b"[" + ours + b"," + theirs), _insert(end, b"}]")]
    return [_insert(start, b"[" + theirs), _insert(end, b"}," + ours + b"]")]


def _choose_marks(request: MessagesRequest, placed: Placed, weaving: Weaving, system: int) -> Marks:
    """Return the marks of the head; `system` counts the bytes of the client's system text that stays."""
    if weaving.capability.cache_marks == "off":
        return NO_MARKS
    first = weaving.place == "before"
    ahead = memoryview(request.raw_tools).nbytes + (0 if first else system)
    theirs = _find_marks(request, system > 0)
    return anthropic_marks(theirs, first, weaving.capability, ahead, placed.general, placed.special)


def _find_marks(request: MessagesRequest, with_system: bool) -> Theirs:
    if b'"cache_control"' not in request.body:
        return Theirs()
    start, _ = find_span(request.body, request.raw_messages[0])
    _, end = find_span(request.body, request.raw_messages[-1])
    automatic = find_anthropic_marks(b'"cache_control":' + bytes(request.raw_cache_control))
    return Theirs(
        find_anthropic_marks(bytes(request.raw_tools)),
        find_anthropic_marks(bytes(request.raw_system)) if with_system else (),
        find_anthropic_marks(request.body[start:end]) + automatic,
    )


def _put_behind(request: MessagesRequest, tails: Sequence[tuple[int, str]]) -> Iterator[Edit]:
    """Put each text behind its user turn; texts that land at one place share a message."""
    behind: dict[int, str] = {}
    for at, text in tails:
        while request.roles[at + 1 : at + 2] == ["user"]:
            at += 1
        behind[at] = behind[at] + TASK_GAP + text if at in behind else text
    for at, text in behind.items():
        _, end = find_span(request.body, request.raw_messages[at])
        yield _insert(end, b',{"role":"system","content":' + encode(text) + b"}")


def _put_on_top(request: MessagesRequest, at: int, text: str) -> list[Edit]:
    """Put text before the first text of message `at`, behind the tool results, which must stand first.

    It is a block of its own even beside a string: a client that marks a message for the cache writes a block, and a
    string again once the mark has moved on, and to the provider both must be the same.
    """
    body, message = request.body, request.raw_messages[at]
    content = _CONTENT.decode(message).content
    block = write_parts([Part(text)], "text")
    if not is_given(content):
        return [_insert(find_span(body, message)[0] + 1, b'"content":[' + block + b"],")]
    start, end = find_span(body, content)
    if body.startswith(b'"', start) and end - start > 2:
        return [_insert(start, b"[" + block + b',{"type":"text","text":'), _insert(end, b"}]")]
    blocks = _BLOCKS.decode(content) if body.startswith(b"[", start) else []
    if not blocks:
        return [Edit(start, end, b"[" + block + b"]")]
    kinds = [_TYPE.decode(each).type for each in blocks]
    first = kinds.index("text") if "text" in kinds else _count_leading_results(kinds)
    if first == len(blocks):
        return [_insert(end - 1, b"," + block)]
    return [_insert(find_span(body, blocks[first])[0], block + b",")]


def _count_leading_results(kinds: Sequence[str]) -> int:
    return next((i for i, kind in enumerate(kinds) if kind != "tool_result"), len(kinds))


def _insert(at: int, new: bytes) -> Edit:
    return Edit(at, at, new)


def _translate(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield a policy's parameters under the names and in the forms of this format, without those it does not have."""
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
