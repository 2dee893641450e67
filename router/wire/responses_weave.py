"""Weave for `/responses`: the edits that put placed text, the backend's model name and parameters into a body.

Where text goes (what goes is `router.wire.placement`'s word):

- head: into `instructions`, in every request, since `previous_response_id` does not carry them over. Two exceptions
  where a request goes on from nothing: instructions cannot hold cache marks, so where those are wanted and the client
  resends everything (`store: false`), the head is an item of its own behind the app's leading system items; and where
  the app says its system text in such items only, and the model may take one system message and no more, the head goes
  into the last of them as with chat completions;
- not into `instructions` where the body names a stored `prompt`, whose own instructions they would displace, or where
  the model knows no system text: then it stands at the first user turn as a tail does;
- tail of user turn j: an item right before it, or a marked block at its top. Only a user message ever follows a new
  item, so nothing of ours comes between a call and its output, or between reasoning and what it led to. A string
  `input` becomes a list only where an item must go before it.

Where the backend keeps earlier turns, it keeps what we put there: the texts of those turns are not written again.

Every rule looks only at what stands before the place it decides about, and at what does not change in a conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.ports import Capability, Weaving
from router.wire.cache_marks import openai_marks
from router.wire.edits import (
    GAP,
    Part,
    Side,
    add_members,
    count_tools,
    encode,
    extend_content,
    extend_leading,
    is_given,
    members_of,
    names_of,
    put_member,
    split_head,
    write_content,
)
from router.wire.placement import Placed, mark, place
from router.wire.splice import Edit, find_span

LEADING = frozenset({"system", "developer"})
"""Roles that carry the app's own instructions."""

PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "temperature": "temperature",
        "top_p": "top_p",
        "top_logprobs": "top_logprobs",
        "max_output_tokens": "max_output_tokens",
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "max_tool_calls": "max_tool_calls",
        "parallel_tool_calls": "parallel_tool_calls",
        "service_tier": "service_tier",
        "truncation": "truncation",
    }
)
"""Parameters of a policy by name, and their name here; of two with one name here the first counts.

The format refuses names that it does not know, so all others are left out. Source: `ResponseCreateParamsBase` of the
official Python SDK (2.54).
"""

NESTED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"reasoning_effort": ("reasoning", "effort"), "verbosity": ("text", "verbosity")}
)
"""Parameters that are a member of an object here. Source: `Reasoning` and `ResponseTextConfigParam` of that SDK."""

_TEXT = "input_text"
_NO_INSTRUCTIONS = (b"", b"null", b'""')


class ResponsesRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body. The raw fields are views into `body`; `raw_items` is empty for a string `input`, too.

    `roles` are those of messages, empty for other items; the first `leading` items are the app's system text. `stored`
    says that the backend may keep the answer, `prompted` that the body names a stored prompt.
    """

    body: bytes
    model: str
    stream: bool
    tells_usage: bool
    user: str
    metadata: Mapping[str, Any]
    conversation: Conversation
    raw_model: msgspec.Raw
    raw_items: Sequence[msgspec.Raw]
    roles: Sequence[str]
    leading: int
    stored: bool
    prompted: bool


class _Fields(msgspec.Struct, gc=False):
    input: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()


@dataclass(slots=True)
class _Plan:
    """Edits so far, blocks by item, and new items by the item they go before."""

    edits: list[Edit] = field(default_factory=list)
    blocks: dict[int, str] = field(default_factory=dict)
    items: dict[int, list[bytes]] = field(default_factory=dict)


_FIELDS = msgspec.json.Decoder(_Fields)


def plan_edits(request: ResponsesRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
    """Return what changes in `request.body`; empty when nothing does. Edits never overlap."""
    plan = _Plan()
    placed = place(decisions, weaving.on_switch)
    if placed.head or placed.tails:
        users = [turn.at for turn in request.conversation.turns if turn.role == "user"]
        kept = len(decisions) - len(users)
        if kept < 0 or (kept and users and not request.conversation.continues):
            raise ValueError(f"{len(decisions)} decisions for {len(users)} user turns")
        fields = _FIELDS.decode(request.body)
        if placed.head:
            _put_head(request, placed, weaving, fields, users if not kept else [], plan)
        for j, text in placed.tails:
            if j >= kept:
                _put_tail(request, text, weaving.capability, users[j - kept], plan)
        _write(request, fields, plan)
    edits = plan.edits
    if weaving.model and weaving.model != request.model:
        edits.append(Edit(*find_span(request.body, request.raw_model), encode(weaving.model)))
    if weaving.parameters:
        edits += _add_parameters(request.body, weaving.parameters)
    return edits


def _put_head(
    request: ResponsesRequest, placed: Placed, weaving: Weaving, fields: _Fields, users: list[int], plan: _Plan
) -> None:
    """Put the head where it goes; `users` are the user turns of the body if the first one is among them."""
    body, capability = request.body, weaving.capability
    role = _system_role(request, len(request.roles), capability)
    if request.prompted or not role:
        if users:
            mid = capability if role else Capability("user_block")
            _put_tail(request, placed.head, mid, users[0], plan)
        elif not request.conversation.continues:  # all that is asked stands in the stored prompt
            plan.items.setdefault(len(request.raw_items), []).append(_item(role or "system", encode(placed.head)))
        return
    starts = not request.conversation.continues
    marked = capability.cache_marks != "off" and starts and not request.stored and weaving.place == "after"
    if not marked:
        strict = capability.mid_conversation == "user_block"
        if request.leading and starts and strict and bytes(fields.instructions) in _NO_INSTRUCTIONS:
            leading = request.raw_items[: request.leading]
            plan.edits += extend_leading(body, leading, [Part(placed.head)], weaving.place, _TEXT)
            return
        if request.leading and starts and weaving.place == "replace":
            plan.edits.append(_drop_leading(request))
        plan.edits.append(_extend_instructions(body, fields.instructions, placed.head, weaving.place))
        return
    ahead = count_tools(body) + len(request.conversation.system.encode())
    marks = openai_marks(body, capability, ahead, placed.general, placed.special)
    role = _system_role(request, request.leading, capability)
    content = write_content(split_head(placed, marks), _TEXT)
    plan.items.setdefault(request.leading, []).append(_item(role, content))


def _put_tail(request: ResponsesRequest, text: str, capability: Capability, user: int, plan: _Plan) -> None:
    role: str = capability.mid_conversation
    if role == "user_block":
        plan.blocks[user] = plan.blocks.get(user, "") + mark(text)
        return
    if role == "system":  # a client that says `developer` is not sent `system` besides, where the model takes both
        role = _spoken(request, user, capability) or role
    plan.items.setdefault(user, []).append(_item(role, encode(text)))


def _system_role(request: ResponsesRequest, upto: int, capability: Capability) -> str:
    """Return the role for system text of ours; empty where the model knows none."""
    known = capability.roles
    return _spoken(request, upto, capability) or next((role for role in ("developer", "system") if role in known), "")


def _spoken(request: ResponsesRequest, upto: int, capability: Capability) -> str:
    """Return the role in which the client first gave instructions before item `upto`, if the model takes it."""
    role = next((role for role in request.roles[:upto] if role in LEADING), "")
    return role if role in capability.roles else ""


def _item(role: str, content: bytes) -> bytes:
    return b'{"type":"message","role":"' + role.encode() + b'","content":' + content + b"}"


def _drop_leading(request: ResponsesRequest) -> Edit:
    """Take out the app's leading system items."""
    body, raws, leading = request.body, request.raw_items, request.leading
    start, _ = find_span(body, raws[0])
    if leading < len(raws):
        return Edit(start, find_span(body, raws[leading])[0], b"")
    return Edit(start, find_span(body, raws[-1])[1], b"")


def _extend_instructions(body: bytes, value: msgspec.Raw, text: str, side: Side) -> Edit:
    """Put text into the instructions, whatever form they have; null, `""` and `[]` keep nothing."""
    if not is_given(value):
        return add_members(body, {"instructions": text})[0]
    start, end = find_span(body, value)
    inner = body[start + 1 : end - 1]
    listed = body.startswith(b"[", start)
    if side == "replace" or body.startswith(b"n", start) or not (inner.strip() if listed else inner):
        return Edit(start, end, encode(text))
    if side == "before":
        new = _item("developer", encode(text)) + b"," if listed else encode(text + GAP)[1:-1]
        return Edit(start + 1, start + 1, new)
    new = b"," + _item("developer", encode(text)) if listed else encode(GAP + text)[1:-1]
    return Edit(end - 1, end - 1, new)


def _write(request: ResponsesRequest, fields: _Fields, plan: _Plan) -> None:
    """Make edits of the blocks and items."""
    body, raws, edits = request.body, request.raw_items, plan.edits
    start, end = find_span(body, fields.input) if is_given(fields.input) else (0, 0)
    if body.startswith(b'"', start):  # a string: one user turn
        if 0 in plan.items:
            before = b"[" + b",".join(plan.items[0]) + b',{"type":"message","role":"user","content":'
            edits += [Edit(start, start, before), Edit(end, end, b"}]")]
        if 0 in plan.blocks:
            edits.append(Edit(start + 1, start + 1, encode(plan.blocks[0])[1:-1]))
        return
    for at, block in plan.blocks.items():
        edits += extend_content(body, raws[at], [Part(block)], "before", "", _TEXT)
    for at, items in plan.items.items():
        new = b",".join(items)
        if at < len(raws):
            where, _ = find_span(body, raws[at])
            edits.append(Edit(where, where, new + b","))
        elif body.startswith(b"[", start):
            edits.append(Edit(end - 1, end - 1, b"," + new if raws else new))
        elif is_given(fields.input):  # null
            edits.append(Edit(start, end, b"[" + new + b"]"))
        else:
            edits += add_members(body, {"input": msgspec.Raw(b"[" + new + b"]")})


def _add_parameters(body: bytes, parameters: Mapping[str, Any]) -> list[Edit]:
    """Set each parameter that the client did not name and the format knows. A null counts as named."""
    members, named = members_of(body), names_of(body)
    new: dict[str, Any] = {}
    for name, ours in PARAMETERS.items():
        if name in parameters and ours not in named:
            new.setdefault(ours, parameters[name])
    edits: list[Edit] = []
    for name, (owner, member) in NESTED.items():
        if name not in parameters:
            continue
        if owner not in named:
            new[owner] = {member: parameters[name]}
        elif owner in members and bytes(members[owner]).startswith(b"{") and member not in members_of(members[owner]):
            edits += put_member(body, owner, members[owner], member, parameters[name])
    return add_members(body, new) + edits
