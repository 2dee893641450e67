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
from typing import Any, Literal

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Capability, Weaving
from router.wire.placement import mark, place
from router.wire.splice import Edit, find_span

LEADING = frozenset({"system", "developer"})
"""Roles that carry the app's own instructions."""

_RESERVED = frozenset({"model", "messages", "stream"})  # what the client waits for is not a policy's to change
_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})  # two names of one parameter
_GAP = "\n\n"


class ChatRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body. `raw_messages` are views into `body`; the first `leading` ones are the app's system text."""

    body: bytes
    model: str
    stream: bool
    user: str
    metadata: Mapping[str, Any]
    conversation: Conversation
    raw_model: msgspec.Raw
    raw_messages: Sequence[msgspec.Raw]
    roles: Sequence[str]
    leading: int


class _Content(msgspec.Struct, gc=False):
    content: msgspec.Raw = msgspec.Raw()


_CONTENT = msgspec.json.Decoder(_Content)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


def plan_edits(request: ChatRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
    """Return what changes in `request.body`; empty when nothing does. Edits never overlap."""
    edits: list[Edit] = []
    placed = place(decisions, weaving.on_switch)
    head, tails = placed.head, placed.tails
    if head or tails:
        turns = [turn.at for turn in request.conversation.turns if turn.role == "user"]
        if len(decisions) != len(turns):
            raise ValueError(f"{len(decisions)} decisions for {len(turns)} user turns")
        blocks: dict[int, str] = {}
        if head:
            _put_head(request, head, weaving, turns[0], edits, blocks)
        for j, text in tails:
            _put_tail(request, text, weaving.capability, turns[j], edits, blocks)
        for at, block in blocks.items():
            edits.append(_extend(request, at, block, "before", ""))
    if weaving.model and weaving.model != request.model:
        edits.append(Edit(*find_span(request.body, request.raw_model), _encode(weaving.model)))
    if weaving.parameters:
        edits += _add_parameters(request.body, weaving.parameters)
    return edits


def _put_head(
    request: ChatRequest, text: str, weaving: Weaving, first_user: int, edits: list[Edit], blocks: dict[int, str]
) -> None:
    if request.leading:
        last = request.leading - 1
        if weaving.place == "replace" and last:
            start, _ = find_span(request.body, request.raw_messages[0])
            end, _ = find_span(request.body, request.raw_messages[last])
            edits.append(Edit(start, end, b""))
        edits.append(_extend(request, last, text, weaving.place, _GAP))
        return
    spoken = _role_before(request, first_user)
    known = weaving.capability.roles
    role = spoken or ("system" if "system" in known else "developer" if "developer" in known else "")
    if role:
        edits.append(_insert_message(request, 0, role, text))
    else:
        blocks[first_user] = mark(text)


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
    edits.append(_insert_message(request, user, role, text))


def _role_before(request: ChatRequest, at: int) -> str:
    """Return the role in which the client first gave instructions before message `at`, or the empty string."""
    return next((role for role in request.roles[:at] if role in LEADING), "")


def _insert_message(request: ChatRequest, at: int, role: str, text: str) -> Edit:
    start, _ = find_span(request.body, request.raw_messages[at])
    return Edit(start, start, b'{"role":"' + role.encode() + b'","content":' + _encode(text) + b"},")


def _extend(request: ChatRequest, at: int, text: str, side: Literal["before", "after", "replace"], gap: str) -> Edit:
    """Put text into the content of message `at`, `gap` between it and what is there, whatever form the content has."""
    body = request.body
    message = request.raw_messages[at]
    content = _CONTENT.decode(message).content
    if not memoryview(content).nbytes:  # no such key
        start = find_span(body, message)[0] + 1
        return Edit(start, start, b'"content":' + _encode(text) + b",")
    start, end = find_span(body, content)
    inner = body[start + 1 : end - 1]
    listed = body.startswith(b"[", start)
    if side == "replace" or body.startswith(b"n", start) or (not inner and not listed):  # null and "" keep nothing
        return Edit(start, end, _encode(text))
    if listed and not inner.strip():
        return Edit(start, end, b'[{"type":"text","text":' + _encode(text) + b"}]")
    if side == "before":
        new = _encode(text + gap)
        new = b'{"type":"text","text":' + new + b"}," if listed else new[1:-1]
        return Edit(start + 1, start + 1, new)
    new = _encode(gap + text)
    new = b',{"type":"text","text":' + new + b"}" if listed else new[1:-1]
    return Edit(end - 1, end - 1, new)


def _add_parameters(body: bytes, parameters: Mapping[str, Any]) -> list[Edit]:
    """Set each parameter that the client did not name, at the end of the body. A null counts as named."""
    named = _KEYS.decode(body).keys() | _RESERVED
    if named & _LIMITS:
        named |= _LIMITS
    new = b"".join(
        b"," + _encode(name) + b":" + _encode(value) for name, value in parameters.items() if name not in named
    )
    end = body.rindex(b"}")
    return [Edit(end, end, new)] if new else []
