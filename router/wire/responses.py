"""`/responses`: what a body says. Where text goes is `router.wire.responses_weave`.

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
from types import MappingProxyType
from typing import Any

import msgspec

from router.core.conversation import Conversation, Role, Turn
from router.core.errors import RequestError
from router.core.ports import StreamGuard
from router.wire import as_stream, responses_stream, responses_weave
from router.wire.edits import Edit
from router.wire.format import LEADING, METADATA, ParsedRequest, Plan, Read, Top, WireFormat, read_content
from router.wire.plain import Plain
from router.wire.portable import without_reasoning
from router.wire.responses_weave import is_prompted
from router.wire.strict_json import check_count, find_unread, names, wrong_type

_VIEW: Mapping[str, Role] = MappingProxyType({"user": "user", "assistant": "assistant"})
_TEXTS = frozenset({"input_text", "output_text", "text"})  # the last is not OpenAI's, but servers take it
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


class _Stored(msgspec.Struct, gc=False):
    id: str


class _Reference(msgspec.Struct, gc=False):
    type: Any = None
    role: Any = None
    id: Any = None
    result: Any = None


class _Named(Top, gc=False):
    stream_options: msgspec.Raw = msgspec.Raw()
    user: str | None = None
    input: msgspec.Raw = msgspec.Raw()
    previous_response_id: str | None = None
    conversation: str | _Stored | None = None
    prompt: msgspec.Raw = msgspec.Raw()


class _Body(Top, gc=False):
    input: str | list[msgspec.Raw] | None = None
    instructions: str | list[msgspec.Raw] | None = None
    tools: msgspec.Raw = msgspec.Raw()
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
    "stream_options",
    input=_ITEMS,
    instructions=_ITEMS,
    reasoning=names("effort"),
    text=names("verbosity"),
    conversation=names("id"),
    prompt=names("id"),
    metadata=METADATA,
)

_ITEM = msgspec.json.Decoder(_Item)
_REFERENCE = msgspec.json.Decoder(_Reference)
_PROMPT = msgspec.json.Decoder(_Prompt)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_SAID = msgspec.json.Decoder(str | list[_Part])


class Responses(WireFormat):
    """The wire of `/responses`. Has no state."""

    name = "responses"
    path = "/responses"
    chains = True

    body = msgspec.json.Decoder(_Body)
    usage = responses_stream.USAGE
    names = _NAMES
    outline = msgspec.json.Decoder(_Outline)
    lists = ("input", "instructions")
    noun = "items"
    text_type = "input_text"
    opening = b'{"type":"message","role":"'

    def read(self, top: _Body) -> Read:
        """Return the input as turns, and what it goes on from. Raises RequestError (400)."""
        raws = top.input if isinstance(top.input, list) else []
        items = _read_items(raws, "input")
        system, turns, leading, others = _view(items)
        if isinstance(top.input, str):
            turns = [Turn("user", top.input, 0)]
        continues = top.previous_response_id or _id_of(top.conversation) or ""
        prompted = is_prompted(top.prompt)
        if top.input is None and not (top.instructions or continues or prompted):
            message = "input: missing; send a string or a list of items, or instructions."
            raise RequestError(message, code="missing_input", param="input")
        system = [*_read_instructions(top.instructions), *system]
        stored = _stored_ids(top, prompted, {at: raws[at] for at in others}) if continues or prompted or others else ()
        spoken = Conversation("\n\n".join(system), tuple(turns), top.max_output_tokens, continues, stored)
        return (
            spoken,
            raws,
            [item.role or "" if _is_message(item) else "" for item in items],
            leading,
            _find_unread(raws, items),
        )

    def put_head(self, plan: Plan, users: Sequence[int]) -> None:
        """Put the head into the instructions, or where else it must go."""
        responses_weave.put_head(self, plan, users)

    def write(self, plan: Plan) -> None:
        """Make edits of blocks and items."""
        responses_weave.write(self, plan)

    def set_parameters(self, request: ParsedRequest, parameters: Mapping[str, Any]) -> list[Edit]:
        """Set each parameter that the client did not name and the format knows. A null counts as named."""
        return responses_weave.set_parameters(request.body, parameters)

    def portable(self, body: bytes) -> bytes:
        """Return a body without reasoning and the ids of items."""
        return without_reasoning(body)

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the bytes of the instructions, if there are any, and of each item as written."""
        top = _PROMPT.decode(body)
        said = bytes(top.input)
        items = [bytes(item) for item in _RAWS.decode(said)] if said.startswith(b"[") else [said] * bool(said)
        instructions = bytes(top.instructions)
        return items if instructions in (b"", b"null") else [instructions, *items]

    def guard(self, hide_usage: bool = False, choices: int = 1, lenient: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. Usage is told unasked, so it is never hidden."""
        return responses_stream.ResponseGuard()

    def as_stream(self, body: bytes) -> bytes:
        """Return a whole response as the stream that the client asked for. Raises BackendError when it is none."""
        return as_stream.of_response(body)

    def words(self, answer: bytes, stream: bool) -> str:
        """Return the words of an answer."""
        return responses_stream.words(answer, stream)


class _Compact(Plain):
    """The wire of `/responses/compact`: passed on as it came, but what it goes on from is told."""

    body = msgspec.json.Decoder(_Named)
    names = _NAMES

    def read(self, top: _Named) -> Read:
        """Return what a body goes on from."""
        said = bytes(top.input)
        raws = dict(enumerate(_RAWS.decode(said))) if said.startswith(b"[") else {}
        stored = _stored_ids(top, is_prompted(top.prompt), raws)
        return Conversation("", (), stored=stored), (), (), 0, ()


COMPACT = _Compact("compact", "/responses/compact")


class InputTokens(Responses):
    """The wire of `/responses/input_tokens`: what a request of `/responses` would cost, our text included."""

    name = "input_tokens"
    path = "/responses/input_tokens"
    chains = False
    counts = True


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


def _read_items(raws: list[msgspec.Raw], place: str) -> list[_Item]:
    check_count(raws, place, "items")
    items: list[_Item] = []
    for raw in raws:
        try:
            items.append(_ITEM.decode(raw))
        except msgspec.ValidationError as error:
            items.append(_skip(raw, error, f"{place}[{len(items)}]"))
    return items


def _find_unread(raws: list[msgspec.Raw], items: list[_Item]) -> Sequence[msgspec.Raw]:
    """Return the items that may hold more than was read of them."""
    strings = 0
    others: list[msgspec.Raw] = []
    for raw, item in zip(raws, items, strict=True):
        if isinstance(item.content, str) and item.role is not None:
            strings += 4 if item.type is None else 6
        else:
            others.append(raw)
    return find_unread((), raws, others, strings)


def _skip(raw: msgspec.Raw, error: msgspec.ValidationError, place: str) -> _Item:
    """Return an item of another kind than we read, whose fields of the same names hold something else."""
    try:
        kind = _REFERENCE.decode(raw)
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
        text, attachments, parts = read_content(item.content, "input[{}].content", at, _TEXTS)
        if item.role in LEADING and at == leading:
            leading += 1
            if text:
                system.append(text)
        else:
            turns.append(Turn(_VIEW.get(item.role, "system"), text, at, attachments, parts))
    return system, turns, leading, others


def _read_instructions(instructions: str | list[msgspec.Raw] | None) -> list[str]:
    if not instructions:
        return []
    if isinstance(instructions, str):
        return [instructions]
    messages = [
        read_content(item.content, "instructions[{}].content", at, _TEXTS)[0]
        for at, item in enumerate(_read_items(instructions, "instructions"))
        if _is_message(item)
    ]
    return [text for text in messages if text]


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
