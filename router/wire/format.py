"""The frame of every wire format: parse a body, weave into it, watch an answer. A format says only what is its own.

A fourth format is one file. It has a struct of what is read of a body, with the names that are checked in it, and a
class that says how a body is read and where text goes:

    class _Body(Top, gc=False):                                    # members that are read besides model and stream
        turns: list[msgspec.Raw] = []
        metadata: dict[str, Any] | None = None

    class Fourth(WireFormat):
        name, path = "fourth", "/fourth"
        body = msgspec.json.Decoder(_Body)
        names = names(*_Body.__struct_fields__, turns=names("role", "content"))

        def read(self, top):                                       # what deciding sees, and where it stands
            return Conversation(...), top.turns, roles, leading, top.turns
        def sender(self, top): ...                                 # the end user, and the metadata
        def put_head(self, plan, users):                           # text of the first turn: an edit, a block, a message
            plan.before.setdefault(0, []).append(self.message("system", encode(plan.placed.head)))
        def translate(self, parameters): ...                       # names of parameters, where they differ
        def prompt(self, body): ...                                # what a provider caches
        def words(self, answer, stream): ...                       # what a user reads of an answer
        def guard(self, *asked): ...                               # an `EventGuard` that knows a whole answer

Tails, the blocks in user turns, the model's name, the order of edits and the checks of what came are the frame's. Where
nothing else is said, answers and errors are those of OpenAI's chat completions. What the frame promises (byte for byte
the client's body but for our text; what was sent is a prefix of what is sent next) holds for every format on it, as
long as `put_head` looks only at messages before the place where it puts something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import msgspec

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.errors import RequestError, RouterError
from router.core.ports import AnswerMetadata, StreamGuard, Weaving
from router.core.voice import ANY_CASE_LINE, in_block
from router.wire import as_stream, chat_stream, faults
from router.wire.edits import (
    GAP,
    Edit,
    Part,
    add_members,
    apply_edits,
    by_place,
    encode,
    extend_content,
    find_span,
    insert,
    is_given,
    names_of,
    put_member,
)
from router.wire.placement import PlacedTexts, place
from router.wire.stream import read_told
from router.wire.strict_json import EVERY, LARGE, Names, check, check_count, check_names, decode, names, wrong_type

LEADING = frozenset({"system", "developer"})
"""Roles that carry the app's own instructions."""

STREAM_OPTIONS = names("include_usage")
"""What is read of `stream_options`."""

METADATA = names(EVERY, "conversation_id", "session_id", "user_id")
"""What is read of `metadata`, in every format: who speaks, in which conversation, and what packs declare as cues."""

NO_KINDS: tuple[str, ...] = ()
NO_PARTS: tuple[str, ...] = ()
NO_METADATA: Mapping[str, Any] = MappingProxyType({})

Read: TypeAlias = tuple[Conversation, Sequence[msgspec.Raw], Sequence[str], int, Sequence[msgspec.Raw]]
"""What a format reads: the conversation; its messages or items as written; their roles, "" for what is no message; how
many of them lead with the app's system text; which may hold more than was read of them (`find_unread`)."""


class Top(msgspec.Struct, gc=False):
    """What every format reads of a body. A format adds its own members."""

    model: msgspec.Raw = msgspec.Raw()
    stream: bool | None = None


_NAME = msgspec.json.Decoder(str)


class ParsedRequest(msgspec.Struct, frozen=True, gc=False):
    """A parsed body. `top` is the format's own struct of it; the last three are as in `Read`. Raw values are views."""

    body: bytes
    model: str
    stream: bool
    tells_usage: bool
    user: str
    metadata: Mapping[str, Any]
    conversation: Conversation
    top: Any
    items: Sequence[msgspec.Raw]
    roles: Sequence[str]
    leading: int
    choices: int


@dataclass(slots=True)
class Plan:
    """What is to be put into a body: edits so far, and text by the message (or item) at which it stands.

    `blocks` go to the top of a message, `before` are whole messages in front of it, `behind` is text for one behind it.
    """

    request: ParsedRequest
    weaving: Weaving
    placed: PlacedTexts
    edits: list[Edit] = field(default_factory=list)
    blocks: dict[int, str] = field(default_factory=dict)
    before: dict[int, list[bytes]] = field(default_factory=dict)
    behind: dict[int, str] = field(default_factory=dict)

    @property
    def gap(self) -> str:
        """What stands between the head and the app's text beside it."""
        if self.placed.open_case and self.weaving.place == "before":
            return GAP + ANY_CASE_LINE + GAP
        return GAP

    def put_block(self, at: int, text: str) -> None:
        """Put text into the marked blocks at the top of message `at`."""
        self.blocks[at] = self.blocks.get(at, "") + in_block(text, self.weaving.nonce)


class WireFormat:
    """One wire format. Has no state. `counts`: its route only counts tokens; `streams`: answers may be streamed."""

    name = ""
    path = ""
    chains = False
    counts = False
    streams = True
    default_model = ""

    body: ClassVar[msgspec.json.Decoder[Any]]
    names: ClassVar[Names]
    usage: ClassVar[msgspec.json.Decoder[Any]] = chat_stream.USAGE
    """Reads the usage of an answer, as `router.wire.stream.read_usage` wants it."""

    outline: ClassVar[msgspec.json.Decoder[Any] | None] = None
    """Reads the lists of a large body without their contents: a million items that are none fail at the first."""

    lists: tuple[str, ...] = ()
    noun = "messages"
    text_type = "text"
    opening = b'{"role":"'
    reserved = frozenset({"model", "messages", "stream", "stream_options"})
    """What the client waits for, or what is ours to weave: not a policy's to set."""

    synonyms: frozenset[str] = frozenset()
    """Names of one parameter, of which the client may have named any."""

    # ------------------------------------------------------------------------------------------------ requests

    def parse(self, body: bytes) -> ParsedRequest:
        """Return the parsed body. Raises RequestError (400) that names the place, such as `messages[3].content`."""
        check(body)
        if self.outline is not None and len(body) > LARGE:
            outline = decode(body, self.outline)
            for name in self.lists:
                check_count(getattr(outline, name), name, self.noun)
        top = decode(body, self.body)
        try:
            model = read_model(top.model, self.default_model)
            conversation, items, roles, leading, unread = self.read(top)
        except RequestError:
            check_names(body, self.names)  # what is missing may stand there in another case
            raise
        if unread is items:
            check_names(body, self.names)
        else:
            check_names(body, self.names, self.lists[0], unread)
        user, metadata = self.sender(top)
        stream = top.stream is True and self.streams and not self.counts
        told = not stream or self.tells_usage(top)
        n = getattr(top, "n", 1)
        choices = n if isinstance(n, int) else 1
        return ParsedRequest(
            body, model, stream, told, user, metadata, conversation, top, items, roles, leading, choices
        )

    def read(self, top: Any) -> Read:
        """Return what a body says. Raises RequestError (400)."""
        raise NotImplementedError

    def sender(self, top: Any) -> tuple[str, Mapping[str, Any]]:
        """Return the end user as the body names them, or "", and the body's metadata."""
        return top.safety_identifier or top.user or "", top.metadata or NO_METADATA

    def tells_usage(self, top: Any) -> bool:
        """Say whether a stream tells the client its usage without our asking."""
        return True

    # ------------------------------------------------------------------------------------------------ weaving

    def weave(self, request: ParsedRequest, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send; `request.body` itself when there is nothing to change.

        `decisions[-1]` belongs to the newest user turn. Where the request goes on from what the backend keeps, there
        may be more decisions than user turns in the body. Raises ValueError when there is text to place and there are
        fewer decisions than user turns, or more of them though nothing is kept.
        """
        return apply_edits(request.body, self.plan(request, decisions, weaving))

    def edits(self, request: ParsedRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return the edits that `weave` makes, by place in `request.body`: what `explain --wire` shows."""
        return sorted(self.plan(request, decisions, weaving), key=by_place)

    def plan(self, request: ParsedRequest, decisions: Sequence[Decision], weaving: Weaving) -> list[Edit]:
        """Return what changes in `request.body`; empty when nothing does. Edits never overlap."""
        edits: list[Edit] = []
        spoken = request.conversation
        users = [turn.at for turn in spoken.turns if turn.role == "user"]
        # Where no user speaks there is no turn to say anything at, and what is passing stands in the head as well.
        placed = place(decisions, weaving.on_switch if users or spoken.continues else "head", weaving.names)
        if placed.general or placed.special or placed.tails:
            kept = len(decisions) - len(users)
            if kept < 0 or (kept and users and not spoken.continues):
                raise ValueError(f"{len(decisions)} decisions for {len(users)} user turns")
            plan = Plan(request, weaving, placed, edits)
            if placed.general or placed.special:
                self.put_head(plan, [] if kept else users)
            for j, text in placed.tails:
                if j >= kept:
                    self.put_tail(plan, users[j - kept], text)
            self.write(plan)
        edits += self.replace_model(request, weaving.model)
        if weaving.parameters and not self.counts:
            edits += self.set_parameters(request, weaving.parameters)
        if weaving.ask_usage and not request.tells_usage:
            edits += put_member(request.body, "stream_options", request.top.stream_options, "include_usage", True)
        return edits

    def replace_model(self, request: ParsedRequest, model: str) -> list[Edit]:
        """Return the edit to the backend's name of the model; none where that, or no name, is the client's."""
        raw = request.top.model
        if not model or model == request.model or not is_given(raw):
            return []
        return [Edit(*find_span(request.body, raw), encode(model))]

    def put_head(self, plan: Plan, users: Sequence[int]) -> None:
        """Put the head where system text goes. `users` are the user turns, if the first one is in the body."""
        raise NotImplementedError

    def put_tail(self, plan: Plan, user: int, text: str) -> None:
        """Put the tail of a user turn before it as a message, or into it as a block, as the model takes it."""
        capability = plan.weaving.capability
        role: str = capability.mid_conversation
        if role == "user_block":
            plan.put_block(user, text)
            return
        if role == "system":  # a client that says `developer` is not sent `system` besides, where the model takes both
            spoken = first_role(plan.request.roles[:user])
            role = spoken if spoken in capability.roles else role
        plan.before.setdefault(user, []).append(self.message(role, encode(text)))

    def put_in_user_turn(self, plan: Plan, users: Sequence[int], text: str) -> None:
        """Put the head into the first user turn as a block; without any, into one of its own in front of all."""
        if users:
            plan.put_block(users[0], text)
        else:
            block = encode(in_block(text, plan.weaving.nonce))
            plan.before.setdefault(0, []).append(self.message("user", block))

    def write(self, plan: Plan) -> None:
        """Make edits of blocks and messages."""
        body, items, edits = plan.request.body, plan.request.items, plan.edits
        for at, block in plan.blocks.items():
            edits += self.put_on_top(body, items[at], block)
        for at, messages in plan.before.items():
            edits.append(insert(find_span(body, items[at])[0], b",".join(messages) + b","))
        for at, text in plan.behind.items():
            edits.append(insert(find_span(body, items[at])[1], b"," + self.message("system", encode(text))))

    def put_on_top(self, body: bytes, message: msgspec.Raw, text: str) -> list[Edit]:
        """Put text before all that a message says."""
        return extend_content(body, message, [Part(text)], "before", "", self.text_type)

    def message(self, role: str, content: bytes) -> bytes:
        """Return a message of ours as JSON; `content` is JSON already."""
        return self.opening + role.encode() + b'","content":' + content + b"}"

    def set_parameters(self, request: ParsedRequest, parameters: Mapping[str, Any]) -> list[Edit]:
        """Set each parameter that the client did not name, at the end of the body. A null counts as named."""
        named = names_of(request.body) | self.reserved
        if named & self.synonyms:
            named |= self.synonyms
        return add_members(
            request.body, {name: value for name, value in self.translate(parameters) if name not in named}
        )

    def translate(self, parameters: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Return a policy's parameters under the names and in the forms of this format."""
        return parameters.items()

    def portable(self, body: bytes) -> bytes:
        """Return a body without what only the model can read that wrote it; most formats have no such thing."""
        return body

    # ------------------------------------------------------------------------------------------------ answers

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the parts of a body that a provider caches: none where nothing is woven."""
        return ()

    def guard(self, hide_usage: bool = False, choices: int = 1, lenient: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. Usage is hidden only where it must be asked for."""
        return chat_stream.ChunkGuard(hide_usage, choices, lenient)

    def as_stream(self, body: bytes) -> bytes:
        """Return a whole answer as the stream that the client asked for. Raises BackendError when it is none."""
        return as_stream.of_chat(body)

    def read_answer(self, body: bytes) -> AnswerMetadata:
        """Return id and usage of a whole answer; a count has none. Raises BackendError when it is no JSON object."""
        told = self.answer(body)
        return AnswerMetadata() if self.counts else told

    def answer(self, body: bytes) -> AnswerMetadata:
        """Return id and usage of a whole answer. Raises BackendError when it is no JSON object."""
        return read_told(body, self.usage)

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer, text and refusals; "" for none, as for a count. Never raises."""
        return "" if self.counts else self.words(answer, stream)

    def words(self, answer: bytes, stream: bool) -> str:
        """Return the words of an answer: none where nothing is woven, since nothing is asked of them."""
        return ""

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in the format's shape, a provider's own as it came if it has it."""
        return faults.error_body(error)


# ------------------------------------------------------------------------------------------------ what formats share


def first_role(roles: Sequence[str]) -> str:
    """Return the role in which the client first gives instructions, or the empty string."""
    return next((role for role in roles if role in LEADING), "")


def read_content(
    content: Any, place: str, at: int = 0, texts: frozenset[str] = frozenset({"text"})
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the text of a message's content (None, a string or parts), the kinds of its other parts, and its texts.

    The last where there are several. `place`, with `at` in its braces, names the content for an error; parts of the
    types `texts` are text. Raises RequestError (400).
    """
    if content is None:
        return "", (), ()
    if isinstance(content, str):
        return content, (), ()
    said: list[str] = []
    kinds: list[str] = []
    for i, part in enumerate(content):
        if part.type not in texts:
            kinds.append(part.type)
        elif isinstance(part.text, str):
            said.append(part.text)
        else:
            where = f"{place.format(at)}[{i}].text"
            raise RequestError(f"{where}: expected a string.", code="invalid_type", param=where)
    return "\n".join(said), tuple(kinds), tuple(said) if len(said) > 1 else ()


def require_messages(raws: list[msgspec.Raw] | msgspec.UnsetType) -> list[msgspec.Raw]:
    """Return the messages of a body. Raises RequestError (400) when it has none."""
    if raws is msgspec.UNSET:
        message = "messages: missing; send a list with at least one user message."
        raise RequestError(message, code="missing_messages", param="messages")
    return raws


def read_model(value: msgspec.Raw, default: str = "") -> str:
    """Return the model's name from its raw value, empty when the key is missing. Raises RequestError (400).

    `default` is the name where the route can do without.
    """
    if not is_given(value):
        if default:
            return default
        raise RequestError("model: missing; name the model to use.", code="missing_model", param="model")
    try:
        name = _NAME.decode(value)
    except msgspec.ValidationError as error:
        raise wrong_type(error, inside="model") from None
    if not name:
        raise RequestError("model: the name is empty.", code="missing_model", param="model")
    return name
