"""`/chat/completions`: what a body says, and the wire itself.

The client's bytes are kept and never written anew. Each message is read as far as deciding needs it (role, text, kinds
of the other parts); unknown fields, tool calls and images are skipped, not copied. Source of the shapes:
https://platform.openai.com/docs/api-reference/chat/create and the official Python SDK's types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.core.decision import Decision
from router.core.errors import RequestError
from router.core.ports import Weaving
from router.wire.chat_weave import LEADING, ChatRequest, plan_edits
from router.wire.openai_format import METADATA, STREAM_OPTIONS, OpenAIFormat, gives_usage, read_model
from router.wire.splice import Edit, apply_edits
from router.wire.spoken import spoken_in_chat
from router.wire.strict_json import LARGE, check, check_count, check_names, decode, decode_messages, names

_VIEW: Mapping[str, Role] = MappingProxyType(
    {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}
)


class _Part(msgspec.Struct, gc=False):
    type: str
    text: Any = None


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Part] | None = None


class _Body(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    stream_options: msgspec.Raw = msgspec.Raw()
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class _Prompt(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] = []


class _Outline(msgspec.Struct, gc=False):
    class Item(msgspec.Struct, gc=False):
        role: str

    messages: list[Item] = []


_NAMES = names(
    *_Body.__struct_fields__,
    "tools",
    messages=names("role", content=names("type", "text")),
    stream_options=STREAM_OPTIONS,
    metadata=METADATA,
)

_OUTLINE = msgspec.json.Decoder(_Outline)
_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_PROMPT = msgspec.json.Decoder(_Prompt)
_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class ChatCompletions(OpenAIFormat):
    """The wire of `/chat/completions`. Has no state."""

    name = "chat"
    path = "/chat/completions"

    def parse(self, body: bytes) -> ChatRequest:
        """Return the parsed body. Raises RequestError (400) that names the place, such as `messages[3].content`."""
        check(body)
        if len(body) > LARGE:
            check_count(decode(body, _OUTLINE).messages, "messages", "messages")
        top = decode(body, _BODY)
        check_names(body, _NAMES)
        model = read_model(top.model)
        raws = top.messages
        if raws is msgspec.UNSET:
            raise RequestError(
                "messages: missing; send a list with at least one user message.",
                code="missing_messages",
                param="messages",
            )
        messages = decode_messages(raws, _MESSAGE)
        limit = top.max_completion_tokens
        leading, conversation = _view(messages, top.max_tokens if limit is None else limit)
        return ChatRequest(
            body=body,
            model=model,
            stream=top.stream is True,
            tells_usage=top.stream is not True or gives_usage(top.stream_options),
            user=top.safety_identifier or top.user or "",
            metadata=top.metadata or _NO_METADATA,
            conversation=conversation,
            raw_model=top.model,
            raw_stream_options=top.stream_options,
            raw_messages=raws,
            roles=[message.role for message in messages],
            leading=leading,
        )

    def weave(self, request: ChatRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send; `request.body` itself when there is nothing to change.

        `decisions[j]` belongs to user turn j. Raises ValueError when there is text to place but not one decision for
        each user turn.
        """
        return apply_edits(request.body, plan_edits(request, decisions, weaving))

    def edits(self, request: ChatRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edits that `weave` makes, by place in `request.body`: what `explain --wire` shows."""
        return sorted(plan_edits(request, decisions, weaving), key=lambda edit: edit.start)

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer, text and refusals; "" for none. Never raises."""
        return spoken_in_chat(answer, stream=stream)

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return each message's bytes as written."""
        return [bytes(message) for message in _PROMPT.decode(body).messages]


def _view(messages: list[_Message], max_tokens: int | None) -> tuple[int, Conversation]:
    """Return how many messages lead with system text, and what deciding sees."""
    system: list[str] = []
    turns: list[Turn] = []
    leading = 0
    user: Turn | None = None
    for at, message in enumerate(messages):
        content, role = message.content, message.role
        attachments: tuple[str, ...] = ()
        if content is None:
            text = ""
        elif isinstance(content, str):
            text = content
        else:
            text, attachments = _read_parts(content, at)
        if role in LEADING and at == leading:
            leading += 1
            if text:
                system.append(text)
            continue
        turn = Turn(_VIEW.get(role, "system"), text, at, attachments)
        turns.append(turn)
        if role == "user":
            user = turn
    if user is None:
        raise RequestError(
            "messages: there is no user message, so there is nothing to answer.",
            code="no_user_message",
            param="messages",
        )
    if not user.attachments and not user.text.strip():
        raise RequestError(
            f"messages[{user.at}].content: the newest user message is empty.",
            code="empty_user_message",
            param=f"messages[{user.at}].content",
        )
    return leading, Conversation("\n\n".join(system), tuple(turns), max_tokens)


def _read_parts(parts: list[_Part], at: int) -> tuple[str, tuple[str, ...]]:
    texts: list[str] = []
    attachments: list[str] = []
    for i, part in enumerate(parts):
        if part.type != "text":
            attachments.append(part.type)
        elif isinstance(part.text, str):
            texts.append(part.text)
        else:
            place = f"messages[{at}].content[{i}].text"
            raise RequestError(f"{place}: expected a string.", code="invalid_type", param=place)
    return "\n".join(texts), tuple(attachments)
