"""`/chat/completions`: what a body says, and where text goes.

The client's bytes are kept and never written anew. Each message is read as far as deciding needs it (role, text, kinds
of the other parts); unknown fields, tool calls and images are skipped, not copied. Source of the shapes:
https://platform.openai.com/docs/api-reference/chat/create and the official Python SDK's types.

Where text goes (what goes is `router.wire.placement`'s word):

- head: into the last of the leading system or developer messages, as more string or as one more text part; without any,
  as a new message in front; where the model knows no such role, as a marked block at the top of the first user turn,
  or in a user message of its own in front of a body that has none;
- tail of user turn j: as a message right before it, or as a marked block at its top. Nothing of ours ever comes between
  an assistant's tool calls and their results, since only a user message can follow a new message.

Every rule looks only at messages before the place it decides about, never at later ones: else a conversation that grows
would move text that was sent already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.wire import chat_stream
from router.wire.cache_marks import NO_BREAKPOINTS, CacheBreakpoints, openai_marks
from router.wire.edits import extend_leading, size_of, split_head, write_content
from router.wire.format import (
    LEADING,
    METADATA,
    NO_KINDS,
    NO_PARTS,
    STREAM_OPTIONS,
    Plan,
    Read,
    Top,
    WireFormat,
    first_role,
    read_content,
    require_messages,
)
from router.wire.strict_json import MESSAGES_OUTLINE, decode_messages, find_unread, names

_VIEW: Mapping[str, Role] = MappingProxyType(
    {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}
)


class _Part(msgspec.Struct, gc=False, omit_defaults=True):
    type: str
    text: Any = None


class _Message(msgspec.Struct, gc=False, omit_defaults=True):
    role: str
    content: str | list[_Part] | None = None


class _Body(Top, gc=False):
    messages: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    tools: msgspec.Raw = msgspec.Raw()
    stream_options: msgspec.Raw = msgspec.Raw()
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: Any = 1


_NAMES = names(
    *_Body.__struct_fields__,
    messages=names("role", content=names("type", "text")),
    stream_options=STREAM_OPTIONS,
    metadata=METADATA,
)
_MESSAGE = msgspec.json.Decoder(_Message)


class ChatCompletions(WireFormat):
    """The wire of `/chat/completions`. Has no state."""

    name = "chat"
    path = "/chat/completions"
    body = msgspec.json.Decoder(_Body)
    names = _NAMES
    outline = MESSAGES_OUTLINE
    lists = ("messages",)
    synonyms = frozenset({"max_tokens", "max_completion_tokens"})

    def read(self, top: _Body) -> Read:
        """Return the messages as turns. Raises RequestError (400)."""
        raws = require_messages(top.messages)
        messages = decode_messages(raws, _MESSAGE)
        limit = top.max_tokens if top.max_completion_tokens is None else top.max_completion_tokens
        system: list[str] = []
        turns: list[Turn] = []
        leading = 0
        strings = 4 * len(messages)  # two names and their values
        others: list[msgspec.Raw] = []
        for at, message in enumerate(messages):
            role, content = message.role, message.content
            if isinstance(content, str):  # nearly always, and a call for each message adds up
                text, attachments, parts = content, NO_KINDS, NO_PARTS
                if role == "tool":  # it names its call besides
                    strings -= 4
                    others.append(raws[at])
            else:
                text, attachments, parts = read_content(content, "messages[{}].content", at)
                if content and not attachments:  # as many again for each part, but for its own value
                    strings += 4 * len(content) - 1
                else:
                    strings -= 4
                    others.append(raws[at])
            if role in LEADING and at == leading:
                leading += 1
                if text:
                    system.append(text)
                continue
            turns.append(Turn(_VIEW.get(role, "system"), text, at, attachments, parts))
        spoken = Conversation("\n\n".join(system), tuple(turns), limit)
        return (
            spoken,
            raws,
            [message.role for message in messages],
            leading,
            find_unread(messages, raws, others, strings),
        )

    def tells_usage(self, top: _Body) -> bool:
        """Say whether the client asked for the usage of its stream."""
        return chat_stream.gives_usage(top.stream_options)

    def put_head(self, plan: Plan, users: Sequence[int]) -> None:
        """Put the head into the app's system message, or into one of its own, or into the first user turn."""
        request, placed, side = plan.request, plan.placed, plan.weaving.place
        if request.leading:
            parts = split_head(placed, _choose_breakpoints(plan))
            leading = request.items[: request.leading]
            plan.edits += extend_leading(request.body, leading, parts, side, plan.gap, self.text_type)
            return
        known = plan.weaving.capability.roles
        own = "system" if "system" in known else "developer" if "developer" in known else ""
        role = first_role(request.roles[: users[0]] if users else request.roles) or own
        if not role:
            self.put_in_user_turn(plan, users, placed.head)
            return
        content = write_content(split_head(placed, _choose_breakpoints(plan)), self.text_type)
        plan.before.setdefault(0, []).append(self.message(role, content))

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return each message's bytes as written."""
        return [bytes(message) for message in self.body.decode(body).messages]

    def words(self, answer: bytes, stream: bool) -> str:
        """Return the words of an answer."""
        return chat_stream.words(answer, stream)


def _choose_breakpoints(plan: Plan) -> CacheBreakpoints:
    """Return the cache marks of the head."""
    request, capability, placed = plan.request, plan.weaving.capability, plan.placed
    if capability.cache_marks == "off":
        return NO_BREAKPOINTS
    ahead = size_of(request.top.tools)
    if plan.weaving.place == "after":
        ahead += len(request.conversation.system.encode())
    return openai_marks(request.body, capability, ahead, placed.general, placed.special)
