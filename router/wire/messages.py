"""`/messages` and `/messages/count_tokens` in Anthropic's format: what a body says, and the wires themselves.

The client's bytes are kept and never written anew. Each message is read as far as deciding needs it: role, text, kinds
of the other blocks. What a provider judges better than we (which blocks, which models, which limits) is left to it. The
shapes are those of https://docs.claude.com/en/api/messages and of the official Python SDK's types.

A user message that only returns tool results is no user turn, unless there is none before it: then the client cut off
the beginning, and something must be decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.core.decision import Decision
from router.core.errors import RequestError, RouterError
from router.core.ports import StreamGuard, Told, Weaving
from router.wire import message_events, messages_faults
from router.wire.cache_marks import drop_anthropic_marks
from router.wire.messages_weave import MessagesRequest, plan_edits
from router.wire.openai_format import METADATA, read_model
from router.wire.splice import Edit, apply_edits
from router.wire.spoken import spoken_in_messages
from router.wire.strict_json import LARGE, check, check_count, check_names, decode, decode_messages, names, wrong_type

_VIEW: Mapping[str, Role] = MappingProxyType({"user": "user", "assistant": "assistant"})
_NO_METADATA: Mapping[str, Any] = MappingProxyType({})

_BILLING = "x-anthropic-billing-header:"
"""Opens a system block of Claude Code that is no instruction and may differ on every call."""


class _Block(msgspec.Struct, gc=False):
    type: str
    text: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct, gc=False):
    role: str
    content: str | list[_Block] | None = None


class _Body(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    cache_control: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    metadata: dict[str, Any] | None = None
    max_tokens: int | None = None


class _Outline(msgspec.Struct, gc=False):
    class Item(msgspec.Struct, gc=False):
        role: str

    messages: list[Item] = []


class _Prompt(msgspec.Struct, gc=False):
    system: msgspec.Raw = msgspec.Raw()
    messages: list[msgspec.Raw] = []


_TEXT = names("type", "text")
_NAMES = names(
    *_Body.__struct_fields__,
    system=_TEXT,
    messages=names("role", content=names("type", "text", content=_TEXT)),
    metadata=METADATA,
)

_OUTLINE = msgspec.json.Decoder(_Outline)
_BODY = msgspec.json.Decoder(_Body)
_MESSAGE = msgspec.json.Decoder(_Message)
_SYSTEM = msgspec.json.Decoder(str | list[_Block] | None)
_PROMPT = msgspec.json.Decoder(_Prompt)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_RESULT = msgspec.json.Decoder(str | list[_Block])


class Messages:
    """The wire of `/messages`. Has no state."""

    name = "messages"
    path = "/messages"
    chains = False

    def parse(self, body: bytes) -> MessagesRequest:
        """Return the parsed body. Raises RequestError (400) that names the place, such as `messages[3].content`."""
        check(body)
        if len(body) > LARGE:
            check_count(decode(body, _OUTLINE).messages, "messages", "messages")
        top = decode(body, _BODY)
        check_names(body, _NAMES)
        model = read_model(top.model)
        raws = top.messages
        if raws is msgspec.UNSET:
            raise _refusal("messages: missing; send a list with at least one user message.", "missing_messages")
        messages = decode_messages(raws, _MESSAGE)
        metadata = top.metadata or _NO_METADATA
        user = metadata.get("user_id")
        return MessagesRequest(
            body=body,
            model=model,
            stream=top.stream is True,
            user=user if isinstance(user, str) else "",
            metadata=metadata,
            conversation=Conversation(_read_system(top.system), _read_turns(messages), top.max_tokens),
            raw_model=top.model,
            raw_system=top.system,
            raw_tools=top.tools,
            raw_cache_control=top.cache_control,
            raw_messages=raws,
            roles=[message.role for message in messages],
        )

    def weave(self, request: MessagesRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send; `request.body` itself when there is nothing to change.

        `decisions[j]` belongs to user turn j. Raises ValueError when there is text to place but not one decision for
        each user turn.
        """
        return apply_edits(request.body, plan_edits(request, decisions, weaving))

    def edits(self, request: MessagesRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edits that `weave` makes, by place in `request.body`: what `explain --wire` shows."""
        return sorted(plan_edits(request, decisions, weaving), key=lambda edit: edit.start)

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the blocks of `system` and the messages as written, but for cache marks, which are no part of it."""
        top = _PROMPT.decode(body)
        system = bytes(top.system)
        parts = [bytes(block) for block in _RAWS.decode(system)] if system.startswith(b"[") else [system] * bool(system)
        parts += map(bytes, top.messages)
        return [drop_anthropic_marks(part) for part in parts] if b'"cache_control"' in body else parts

    def guard(self, hide_usage: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. The format always tells the usage, so none is hidden."""
        return message_events.MessageGuard()

    def read_answer(self, body: bytes) -> Told:
        """Return id and usage of a whole answer. Raises BackendError when it is no JSON object."""
        return message_events.read_answer(body)

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer, text and refusals; "" for none. Never raises."""
        return spoken_in_messages(answer, stream=stream)

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in Anthropic's shape, a provider's own as it came if it has it."""
        return messages_faults.error_body(error)


class CountTokens(Messages):
    """The wire of `/messages/count_tokens`: what a request of `/messages` would cost, our text included."""

    name = "count_tokens"
    path = "/messages/count_tokens"

    def parse(self, body: bytes) -> MessagesRequest:
        """Return the parsed body. Raises RequestError (400). Never streams."""
        return msgspec.structs.replace(super().parse(body), stream=False)

    def weave(self, request: MessagesRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send, as for `/messages` but without parameters, which have no place here."""
        return apply_edits(request.body, self.edits(request, decisions, weaving))

    def edits(self, request: MessagesRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edits that `weave` makes, by place in `request.body`."""
        return super().edits(request, decisions, replace(weaving, parameters={}))

    def read_answer(self, body: bytes) -> Told:
        """Return nothing: a count has no id, and is no usage. Raises BackendError when it is no JSON object."""
        message_events.read_answer(body)
        return Told()

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return nothing: a count says no words."""
        return ""


def _refusal(message: str, code: str, param: str = "messages") -> RequestError:
    return RequestError(message, code=code, param=param)


def _read_system(raw: msgspec.Raw) -> str:
    if not memoryview(raw).nbytes:
        return ""
    try:
        system = _SYSTEM.decode(raw)
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside="system") from None
    if not isinstance(system, list):
        return system or ""
    text, _ = _read_blocks([block for block in system if not _is_billing(block)], "system")
    return text


def _is_billing(block: _Block) -> bool:
    return isinstance(block.text, str) and block.text.startswith(_BILLING)


def _read_turns(messages: list[_Message]) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    user: Turn | None = None
    for at, message in enumerate(messages):
        content, role = message.content, _VIEW.get(message.role, "system")
        attachments: tuple[str, ...] = ()
        if content is None:
            text = ""
        elif isinstance(content, str):
            text = content
        else:
            text, attachments = _read_blocks(content, f"messages[{at}].content")
            if role == "user" and user is not None and content and all(b.type == "tool_result" for b in content):
                role, text, attachments = "tool", "\n".join(filter(None, map(_read_result, content))), ()
        turn = Turn(role, text, at, attachments)
        turns.append(turn)
        if role == "user":
            user = turn
    if user is None:
        raise _refusal("messages: there is no user message, so there is nothing to answer.", "no_user_message")
    if not user.attachments and not user.text.strip():
        place = f"messages[{user.at}].content"
        raise _refusal(f"{place}: the newest user message is empty.", "empty_user_message", place)
    return tuple(turns)


def _read_blocks(blocks: list[_Block], inside: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of some blocks, and the kinds of the others."""
    texts: list[str] = []
    kinds: list[str] = []
    for i, block in enumerate(blocks):
        if block.type != "text":
            kinds.append(block.type)
        elif isinstance(block.text, str):
            texts.append(block.text)
        else:
            place = f"{inside}[{i}].text"
            raise _refusal(f"{place}: expected a string.", "invalid_type", place)
    return "\n".join(texts), tuple(kinds)


def _read_result(block: _Block) -> str:
    """Return the text of a tool's result; a result in a form that we do not know has none."""
    try:
        result = _RESULT.decode(block.content)
    except msgspec.DecodeError:  # no content at all, or of another type
        return ""
    return result if isinstance(result, str) else "\n".join(b.text for b in result if isinstance(b.text, str))
