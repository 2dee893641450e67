"""`/responses`: what a body says, and the wire itself.

The client's bytes are kept and never written anew. `input` is a string, which is one user turn, or a list of items.
Messages are read as far as deciding needs it, with or without their `type`; the output of a tool is a tool turn; what
else there is (calls, reasoning, references, and kinds that come to be) is skipped, not copied. Source of the shapes:
https://platform.openai.com/docs/api-reference/responses/create and the official Python SDK's types.

A request may go on from what the backend keeps (`previous_response_id`, `conversation`). It then says only what is new,
and need not have a user turn. These ids, and those of prompts and of items that only refer to a kept one, are told as
`Conversation.stored`: whose they are is asked before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.core.decision import Decision
from router.core.errors import RequestError
from router.core.ports import StreamGuard, Told, Weaving
from router.wire import response_events
from router.wire.openai_format import METADATA, OpenAIFormat, read_model
from router.wire.plain import Plain, PlainRequest
from router.wire.responses_weave import LEADING, ResponsesRequest, plan_edits
from router.wire.splice import Edit, apply_edits
from router.wire.spoken import spoken_in_responses
from router.wire.strict_json import LARGE, check, check_count, check_names, decode, names, wrong_type

_VIEW: Mapping[str, Role] = MappingProxyType({"user": "user", "assistant": "assistant"})
_TEXTS = frozenset({"input_text", "output_text", "text"})  # the last is not OpenAI's, but servers take it
_KEPT = frozenset({"item_reference", "compaction"})  # stand for items that only the backend knows
_REFERENCE_TYPE = "item_reference"  # an item without type and role is one, too
_IMAGE = "image_generation_call"  # refers to the kept image, unless it brings the image along
_OUTPUT = "_output"  # how the types of all items end that give a tool's output
_APPROVAL = "mcp_approval_response"  # answers a tool's question, too


class _Part(msgspec.Struct, gc=False):
    type: str
    text: Any = None


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    role: str | None = None
    content: str | list[_Part] | None = None
    output: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Kind(msgspec.Struct, gc=False):
    type: Any = None
    role: Any = None


class _Stored(msgspec.Struct, gc=False):
    id: str


class _Reference(msgspec.Struct, gc=False):
    type: Any = None
    role: Any = None
    id: Any = None
    result: Any = None


class _Named(msgspec.Struct, gc=False):
    model: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    previous_response_id: str | None = None
    conversation: str | _Stored | None = None
    prompt: msgspec.Raw = msgspec.Raw()


class _Body(msgspec.Struct, gc=False):
    input: str | list[msgspec.Raw] | None = None
    instructions: str | list[msgspec.Raw] | None = None
    model: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None
    store: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    conversation: str | _Stored | None = None
    prompt: msgspec.Raw = msgspec.Raw()


class _Outline(msgspec.Struct, gc=False):
    class Thing(msgspec.Struct, gc=False):
        pass

    input: str | list[Thing] | None = None
    instructions: str | list[Thing] | None = None


class _Prompt(msgspec.Struct, gc=False):
    input: msgspec.Raw = msgspec.Raw()
    instructions: msgspec.Raw = msgspec.Raw()


_TEXT = names("type", "text")
_ITEMS = names("type", "role", "id", "result", content=_TEXT, output=_TEXT)
_NAMES = names(
    *_Body.__struct_fields__,
    "tools",
    input=_ITEMS,
    instructions=_ITEMS,
    reasoning=names("effort"),
    text=names("verbosity"),
    conversation=names("id"),
    prompt=names("id"),
    metadata=METADATA,
)

_BODY = msgspec.json.Decoder(_Body)
_ITEM = msgspec.json.Decoder(_Item)
_KIND = msgspec.json.Decoder(_Kind)
_OUTLINE = msgspec.json.Decoder(_Outline)
_REFERENCE = msgspec.json.Decoder(_Reference)
_NAMED = msgspec.json.Decoder(_Named)
_PROMPT = msgspec.json.Decoder(_Prompt)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_SAID = msgspec.json.Decoder(str | list[_Part])
_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class Responses(OpenAIFormat):
    """The wire of `/responses`. Has no state."""

    name = "responses"
    path = "/responses"
    chains = True

    def parse(self, body: bytes) -> ResponsesRequest:
        """Return the parsed body. Raises RequestError (400) that names the place, such as `input[3].content`."""
        check(body)
        if len(body) > LARGE:
            outline = decode(body, _OUTLINE)
            _count(outline.input, "input")
            _count(outline.instructions, "instructions")
        top = decode(body, _BODY)
        check_names(body, _NAMES)
        model = read_model(top.model)
        raws = top.input if isinstance(top.input, list) else []
        items = _read_items(raws, "input")
        system, turns, leading, others = _view(items)
        if isinstance(top.input, str):
            turns = [Turn("user", top.input, 0)]
        continues = top.previous_response_id or _id_of(top.conversation) or ""
        prompted = memoryview(top.prompt).nbytes > 0 and bytes(top.prompt) != b"null"
        _check_turns(top.input, turns, bool(continues) or prompted or any(item.type in _KEPT for item in items))
        system = [*_read_instructions(top.instructions), *system]
        stored = _stored_ids(top, prompted, {at: raws[at] for at in others}) if continues or prompted or others else ()
        return ResponsesRequest(
            body=body,
            model=model,
            stream=top.stream is True,
            tells_usage=True,
            user=top.safety_identifier or top.user or "",
            metadata=top.metadata or _NO_METADATA,
            conversation=Conversation("\n\n".join(system), tuple(turns), top.max_output_tokens, continues, stored),
            raw_model=top.model,
            raw_items=raws,
            roles=[item.role or "" if _is_message(item) else "" for item in items],
            leading=leading,
            stored=top.store is not False,
            prompted=prompted,
        )

    def weave(self, request: ResponsesRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send; `request.body` itself when there is nothing to change.

        `decisions[-1]` belongs to the newest user turn. Where the request goes on from what the backend keeps, there
        may be more decisions than user turns in the body. Raises ValueError when there is text to place and there are
        fewer decisions than user turns, or more of them though nothing is kept.
        """
        return apply_edits(request.body, plan_edits(request, decisions, weaving))

    def edits(self, request: ResponsesRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edits that `weave` makes, by place in `request.body`: what `explain --wire` shows."""
        return sorted(plan_edits(request, decisions, weaving), key=lambda edit: edit.start)

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the bytes of the instructions, if there are any, and of each item as written."""
        top = _PROMPT.decode(body)
        said = bytes(top.input)
        items = [bytes(item) for item in _RAWS.decode(said)] if said.startswith(b"[") else [said] * bool(said)
        instructions = bytes(top.instructions)
        return items if instructions in (b"", b"null") else [instructions, *items]

    def guard(self, hide_usage: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. Usage is told unasked, so it is never hidden."""
        return response_events.ResponseGuard()

    def read_answer(self, body: bytes) -> Told:
        """Return id and usage of a whole answer, one that failed too. Raises BackendError when it is no object."""
        return response_events.read_answer(body)

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer, text and refusals; "" for none. Never raises."""
        return spoken_in_responses(answer, stream=stream)


class Compact(Plain):
    """The wire of `/responses/compact`: passed on as it came, but what it goes on from is told."""

    def parse(self, body: bytes) -> PlainRequest:
        """Return the parsed body. Raises RequestError (400)."""
        request = super().parse(body)
        top = decode(body, _NAMED)
        check_names(body, _NAMES)
        said = bytes(top.input)
        raws = dict(enumerate(_RAWS.decode(said))) if said.startswith(b"[") else {}
        prompted = memoryview(top.prompt).nbytes > 0 and bytes(top.prompt) != b"null"
        spoken = Conversation("", (), stored=_stored_ids(top, prompted, raws))
        return msgspec.structs.replace(request, conversation=spoken)


COMPACT = Compact("compact", "/responses/compact")


class InputTokens(Responses):
    """The wire of `/responses/input_tokens`: what a request of `/responses` would cost, our text included."""

    name = "input_tokens"
    path = "/responses/input_tokens"
    chains = False

    def parse(self, body: bytes) -> ResponsesRequest:
        """Return the parsed body. Raises RequestError (400). Never streams."""
        return msgspec.structs.replace(super().parse(body), stream=False)

    def weave(self, request: ResponsesRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send, as for `/responses` but without parameters, which have no place here."""
        return super().weave(request, decisions, replace(weaving, parameters={}))

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return nothing: a count says no words."""
        return ""


def _id_of(conversation: str | _Stored | None) -> str | None:
    return conversation.id if isinstance(conversation, _Stored) else conversation


def _stored_ids(top: _Body | _Named, prompted: bool, items: Mapping[int, msgspec.Raw]) -> tuple[tuple[str, str], ...]:
    """Return places and ids by which a body asks for what the backend keeps; the id is "" where it is no text.

    `items` are those that may be references, by their number.
    """
    found: list[tuple[str, str]] = []
    if top.previous_response_id:
        found.append(("previous_response_id", top.previous_response_id))
    if conversation := _id_of(top.conversation):
        found.append(("conversation", conversation))
    if prompted:
        found.append(("prompt.id", _reference(top.prompt).id or ""))
    for at, raw in items.items():
        item = _reference(raw)
        untyped = item.type is None and item.role is None
        if item.id is not None and (
            item.type == _REFERENCE_TYPE or untyped or (item.type == _IMAGE and not item.result)
        ):
            found.append((f"input[{at}].id", item.id))
    return tuple(found)


def _reference(raw: msgspec.Raw) -> _Reference:
    """Return an object as far as it refers to a kept one; its `id` is a text, or None where it has none."""
    try:
        found = _REFERENCE.decode(raw)
    except msgspec.ValidationError:
        return _Reference(type="")
    if not isinstance(found.type, str | None):
        found.type = ""
    if not isinstance(found.id, str | None):
        found.id = ""
    return found


def _count(items: Sequence[object] | None, place: str) -> None:
    if items is not None and not isinstance(items, str):
        check_count(items, place, "items")


def _read_items(raws: list[msgspec.Raw], place: str) -> list[_Item]:
    _count(raws, place)
    items: list[_Item] = []
    for raw in raws:
        try:
            items.append(_ITEM.decode(raw))
        except msgspec.ValidationError as error:
            items.append(_skip(raw, error, f"{place}[{len(items)}]"))
    return items


def _skip(raw: msgspec.Raw, error: msgspec.ValidationError, place: str) -> _Item:
    """Return an item of another kind than we read, whose fields of the same names hold something else."""
    try:
        kind = _KIND.decode(raw)
    except msgspec.ValidationError:
        raise wrong_type(error, inside=place) from None
    if isinstance(kind.type, str) and kind.type != "message":
        return _Item(type=kind.type)
    raise wrong_type(error, inside=place) from None


def _is_message(item: _Item) -> bool:
    return item.type == "message" or (item.type is None and item.role is not None)


def _view(items: list[_Item]) -> tuple[list[str], list[Turn], int, list[int]]:
    """Return the app's leading system texts, the turns, how many items lead with system text, and who may refer."""
    system: list[str] = []
    turns: list[Turn] = []
    leading = 0
    others: list[int] = []
    for at, item in enumerate(items):
        if not _is_message(item):
            if item.type is not None and (item.type.endswith(_OUTPUT) or item.type == _APPROVAL):
                turns.append(Turn("tool", _output_text(item.output), at))
            elif item.type in (None, _REFERENCE_TYPE, _IMAGE):
                others.append(at)
            continue
        if item.role is None:
            place = f"input[{at}].role"
            raise RequestError(f"{place}: missing.", code="missing_field", param=place)
        text, attachments = _read_content(item.content, "input", at)
        if item.role in LEADING and at == leading:
            leading += 1
            if text:
                system.append(text)
        else:
            turns.append(Turn(_VIEW.get(item.role, "system"), text, at, attachments))
    return system, turns, leading, others


def _read_instructions(instructions: str | list[msgspec.Raw] | None) -> list[str]:
    if not instructions:
        return []
    if isinstance(instructions, str):
        return [instructions]
    messages = [
        _read_content(item.content, "instructions", at)[0]
        for at, item in enumerate(_read_items(instructions, "instructions"))
        if _is_message(item)
    ]
    return [text for text in messages if text]


def _read_content(content: str | list[_Part] | None, place: str, at: int) -> tuple[str, tuple[str, ...]]:
    """Return the text of a message and the kinds of its other parts."""
    if content is None:
        return "", ()
    if isinstance(content, str):
        return content, ()
    texts: list[str] = []
    attachments: list[str] = []
    for i, part in enumerate(content):
        if part.type not in _TEXTS:
            attachments.append(part.type)
        elif isinstance(part.text, str):
            texts.append(part.text)
        else:
            where = f"{place}[{at}].content[{i}].text"
            raise RequestError(f"{where}: expected a string.", code="invalid_type", param=where)
    return "\n".join(texts), tuple(attachments)


def _output_text(output: msgspec.Raw | msgspec.UnsetType) -> str:
    """Return the text of a tool's output; empty where it is of another shape (screenshots, shell commands)."""
    if isinstance(output, msgspec.UnsetType):
        return ""
    try:
        said = _SAID.decode(output)
    except msgspec.ValidationError:
        return ""
    if isinstance(said, str):
        return said
    return "\n".join([part.text for part in said if part.type in _TEXTS and isinstance(part.text, str)])


def _check_turns(said: object, turns: list[Turn], kept: bool) -> None:
    """Refuse a body that asks nothing. `kept` says that the backend may know what is asked."""
    if said is None and not kept:
        raise RequestError(
            "input: missing; send a string, or a list with at least one user message.",
            code="missing_input",
            param="input",
        )
    user = next((turn for turn in reversed(turns) if turn.role == "user"), None)
    if user is None:
        if kept:
            return
        raise RequestError(
            "input: there is no user message, so there is nothing to answer.", code="no_user_message", param="input"
        )
    if not user.attachments and not user.text.strip():
        place = "input" if isinstance(said, str) else f"input[{user.at}].content"
        raise RequestError(f"{place}: the newest user message is empty.", code="empty_user_message", param=place)
