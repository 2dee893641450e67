"""Weave for `/chat/completions`: the edits that put placed text, the backend's model name and parameters into a body.

Where text goes (what goes is `router.wire.placement`'s word):

- head: into the last of the leading system or developer messages, as more string or as one more text part; without any,
  as a new message in front; where the model knows no such role, as a marked block at the top of the first user turn;
- tail of user turn j: as a message right before it, or as a marked block at its top. Nothing of ours ever comes between
  an assistant's tool calls and their results, since only a user message can follow a new message.

Every rule looks only at messages before the place it decides about, never at later ones: else a conversation that grows
would move text that was sent already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Capability, Weaving
from router.wire.cache_marks import Marks, openai_marks
from router.wire.edits import (
    Part,
    add_members,
    count_tools,
    encode,
    extend_content,
    extend_leading,
    names_of,
    put_member,
    split_head,
    write_content,
)
from router.wire.placement import Placed, mark, place
from router.wire.splice import Edit, find_span

LEADING = frozenset({"system", "developer"})
"""Roles that carry the app's own instructions."""

# What the client waits for is not a policy's to change.
_RESERVED = frozenset({"model", "messages", "stream", "stream_options"})
_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})  # two names of one parameter


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body. The raw fields are views into `body`; the first `leading` messages are the app's system text."""

    body: bytes
    model: str
    stream: bool
    tells_usage: bool
    user: str
    metadata: Mapping[str, Any]
    conversation: Conversation
    raw_model: msgspec.Raw
    raw_stream_options: msgspec.Raw
    raw_messages: Sequence[msgspec.Raw]
    roles: Sequence[str]
    leading: int


def plan_edits(request: ChatRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
    """Return what changes in `request.body`; empty when nothing does. Edits never overlap."""
    edits: list[Edit] = []
    placed = place(decisions, weaving.on_switch)
    if placed.head or placed.tails:
        turns = [turn.at for turn in request.conversation.turns if turn.role == "user"]
        if len(decisions) != len(turns):
            raise ValueError(f"{len(decisions)} decisions for {len(turns)} user turns")
        blocks: dict[int, str] = {}
        if placed.head:
            _put_head(request, placed, weaving, turns[0], edits, blocks)
        for j, text in placed.tails:
            _put_tail(request, text, weaving.capability, turns[j], edits, blocks)
        for at, block in blocks.items():
            edits += extend_content(request.body, request.raw_messages[at], [Part(block)], "before", "", "text")
    if weaving.model and weaving.model != request.model:
        edits.append(Edit(*find_span(request.body, request.raw_model), encode(weaving.model)))
    if weaving.parameters:
        edits += _add_parameters(request.body, weaving.parameters)
    if weaving.ask_usage and not request.tells_usage:
        edits += put_member(request.body, "stream_options", request.raw_stream_options, "include_usage", True)
    return edits


def _put_head(
    request: ChatRequest, placed: Placed, weaving: Weaving, first_user: int, edits: list[Edit], blocks: dict[int, str]
) -> None:
    if request.leading:
        parts = split_head(placed, _choose_marks(request, placed, weaving))
        edits += extend_leading(request.body, request.raw_messages[: request.leading], parts, weaving.place, "text")
        return
    spoken = _role_before(request, first_user)
    known = weaving.capability.roles
    role = spoken or ("system" if "system" in known else "developer" if "developer" in known else "")
    if not role:
        blocks[first_user] = mark(placed.head)
        return
    parts = split_head(placed, _choose_marks(request, placed, weaving))
    edits.append(_insert_message(request, 0, role, write_content(parts, "text")))


def _choose_marks(request: ChatRequest, placed: Placed, weaving: Weaving) -> Marks:
    """Return the marks of the head."""
    if weaving.capability.cache_marks == "off":
        return Marks()
    ahead = count_tools(request.body)
    if weaving.place == "after":
        ahead += len(request.conversation.system.encode())
    return openai_marks(request.body, weaving.capability, ahead, placed.general, placed.special)


def _put_tail(
    request: ChatRequest, text: str, capability: Capability, user: int, edits: list[Edit], blocks: dict[int, str]
) -> None:
    role: str = capability.mid_conversation
    if role == "user_block":
        blocks[user] = blocks.get(user, "") + mark(text)
        return
    spoken = _role_before(request, user)
    if spoken and spoken in capability.roles and role == "system":
        role = spoken  # a client that says `developer` is not sent `system` besides, where the model takes both
    edits.append(_insert_message(request, user, role, encode(text)))


def _role_before(request: ChatRequest, at: int) -> str:
    """Return the role in which the client first gave instructions before message `at`, or the empty string."""
    return next((role for role in request.roles[:at] if role in LEADING), "")


def _insert_message(request: ChatRequest, at: int, role: str, content: bytes) -> Edit:
    start, _ = find_span(request.body, request.raw_messages[at])
    return Edit(start, start, b'{"role":"' + role.encode() + b'","content":' + content + b"},")


def _add_parameters(body: bytes, parameters: Mapping[str, Any]) -> list[Edit]:
    """Set each parameter that the client did not name, at the end of the body. A null counts as named."""
    named = names_of(body) | _RESERVED
    if named & _LIMITS:
        named |= _LIMITS
    return add_members(body, {name: value for name, value in parameters.items() if name not in named})
