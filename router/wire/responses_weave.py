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
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.ports import Capability
from router.wire.cache_marks import openai_marks
from router.wire.edits import (
    Edit,
    Part,
    Side,
    add_members,
    encode,
    extend_leading,
    find_span,
    insert,
    is_given,
    members_of,
    names_of,
    put_member,
    size_of,
    split_head,
    write_content,
)
from router.wire.format import ParsedRequest, Plan, WireFormat, first_role

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

_NO_INSTRUCTIONS = (b"", b"null", b'""')


class _Fields(msgspec.Struct, gc=False):
    input: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()


_FIELDS = msgspec.json.Decoder(_Fields)


def put_head(format_: WireFormat, plan: Plan, users: Sequence[int]) -> None:
    """Put the head where it goes; `users` are the user turns of the body if the first one is among them."""
    request, weaving, placed = plan.request, plan.weaving, plan.placed
    body, capability, starts = request.body, weaving.capability, not request.conversation.continues
    role = _system_role(request.roles, capability)
    if is_prompted(request.top.prompt) or not role:
        if users and role:
            format_.put_tail(plan, users[0], placed.head)
        elif users:
            plan.put_block(users[0], placed.head)
        elif starts and not role:
            format_.put_in_user_turn(plan, users, placed.head)
        elif starts:  # all that is asked stands in the stored prompt
            plan.before.setdefault(len(request.items), []).append(format_.message(role, encode(placed.head)))
        return
    kept = request.top.store is not False  # the backend may keep the answer
    if capability.cache_marks == "off" or not starts or kept or weaving.place != "after":
        instructions = _FIELDS.decode(body).instructions
        strict = capability.mid_conversation == "user_block"
        if request.leading and starts and strict and bytes(instructions) in _NO_INSTRUCTIONS:
            leading = request.items[: request.leading]
            head = [Part(placed.head)]
            plan.edits += extend_leading(body, leading, head, weaving.place, plan.gap, format_.text_type)
            return
        if request.leading and starts and weaving.place == "replace":
            plan.edits.append(_drop_leading(request))
        item = format_.message("developer", encode(placed.head))
        plan.edits.append(_extend_instructions(body, instructions, placed.head, item, weaving.place, plan.gap))
        return
    ahead = size_of(request.top.tools) + len(request.conversation.system.encode())
    breakpoints = openai_marks(body, capability, ahead, placed.general, placed.special)
    role = _system_role(request.roles[: request.leading], capability)
    content = write_content(split_head(placed, breakpoints), format_.text_type)
    plan.before.setdefault(request.leading, []).append(format_.message(role, content))


def is_prompted(prompt: msgspec.Raw) -> bool:
    """Say whether a body names a stored prompt."""
    return is_given(prompt) and bytes(prompt) != b"null"


def _system_role(roles: Sequence[str], capability: Capability) -> str:
    """Return the role for system text of ours, the client's own if the model takes it; empty where it knows none."""
    spoken = first_role(roles)
    return next((role for role in (spoken, "developer", "system") if role in capability.roles), "")


def _drop_leading(request: ParsedRequest) -> Edit:
    """Take out the app's leading system items."""
    body, raws, leading = request.body, request.items, request.leading
    start, _ = find_span(body, raws[0])
    if leading < len(raws):
        return Edit(start, find_span(body, raws[leading])[0], b"")
    return Edit(start, find_span(body, raws[-1])[1], b"")


def _extend_instructions(body: bytes, value: msgspec.Raw, text: str, item: bytes, side: Side, gap: str) -> Edit:
    """Put text into the instructions, whatever form they have; null, `""` and `[]` keep nothing.

    `item` is the text as an item, for instructions that are a list.
    """
    if not is_given(value):
        return add_members(body, {"instructions": text})[0]
    start, end = find_span(body, value)
    inner = body[start + 1 : end - 1]
    listed = body.startswith(b"[", start)
    if side == "replace" or body.startswith(b"n", start) or not (inner.strip() if listed else inner):
        return Edit(start, end, encode(text))
    if side == "before":
        new = item + b"," if listed else encode(text + gap)[1:-1]
        return Edit(start + 1, start + 1, new)
    new = b"," + item if listed else encode(gap + text)[1:-1]
    return Edit(end - 1, end - 1, new)


def write(format_: WireFormat, plan: Plan) -> None:
    """Make edits of the blocks and items."""
    if not (plan.blocks or plan.before):
        return
    body, raws, edits, before = plan.request.body, plan.request.items, plan.edits, plan.before
    said = _FIELDS.decode(body).input
    start, end = find_span(body, said) if is_given(said) else (0, 0)
    if body.startswith(b'"', start):  # a string: one user turn
        if 0 in before:
            opening = b"[" + b",".join(before[0]) + b"," + format_.opening + b'user","content":'
            edits += [insert(start, opening), insert(end, b"}]")]
        if 0 in plan.blocks:
            edits.append(insert(start + 1, encode(plan.blocks[0])[1:-1]))
        return
    # What goes behind the last item has no item to stand before, so it is put at the end of the list.
    last = before.pop(len(raws), [])
    WireFormat.write(format_, plan)
    if not last:
        return
    new = b",".join(last)
    if body.startswith(b"[", start):
        edits.append(insert(end - 1, b"," + new if raws else new))
    elif is_given(said):  # null
        edits.append(Edit(start, end, b"[" + new + b"]"))
    else:
        edits += add_members(body, {"input": msgspec.Raw(b"[" + new + b"]")})


def set_parameters(body: bytes, parameters: Mapping[str, Any]) -> list[Edit]:
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
