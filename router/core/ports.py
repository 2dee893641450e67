"""What the engine asks of the rooms on floor 1. It knows these shapes, never the rooms behind them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from router.core.conversation import Conversation
from router.core.decision import Decision
from router.core.errors import RouterError
from router.core.evidence import Belief, Certificate, Thresholds
from router.core.policy import CueValue

# ---------------------------------------------------------------------------------------------------- recognition


class RecogniserState(Protocol):
    """A recogniser's memory of a conversation up to one user turn. Opaque, immutable."""


class Recogniser(Protocol):
    """Recognises what a user turn asks for, along the conversation. Deterministic; safe to call from any thread.

    `inline` says that a step takes well under a millisecond and may run on the event loop; others run in a thread under
    the deadline, for at most `deadline_s` a request. `certificates`, by rising depth, say how the thresholds came
    about; none where nothing was fitted.
    """

    inline: bool
    deadline_s: float
    thresholds: Thresholds
    certificate: Certificate

    def step(
        self, before: RecogniserState | None, text: str, reply_before: str = "", parts: Sequence[str] = ()
    ) -> tuple[RecogniserState, Belief]:
        """Return the state after a user turn, and the belief at it.

        `before` is the state of the user turn before (None at the first), `reply_before` the assistant's last words,
        `parts` the text parts of the turn where it has several.
        """
        ...


class CueReader(Protocol):
    """Reads the declared cues of one policy."""

    def read(
        self, headers: Mapping[str, str], metadata: Mapping[str, Any]
    ) -> tuple[dict[str, CueValue], tuple[str, ...]]:
        """Return the request's cues by header and metadata, and the fault codes of those that fell to their default.

        Raises RequestError when a cue that the pack calls required is missing or invalid.
        """
        ...

    def detect(self, text: str, turn: int) -> dict[str, CueValue]:
        """Return the cues detected in the words of user turn number `turn` (0-based)."""
        ...


# ---------------------------------------------------------------------------------------------------- wire formats


@dataclass(frozen=True, slots=True)
class Capability:
    """What a backend's model takes: how text may be said in mid-conversation, which roles it knows, what it caches.

    `cache_marks`: whether marks may be set that tell the provider up to where to cache a prompt. `auto` sets them only
    where the client sets none itself, `always` beside the client's too. A prefix of fewer than `cache_min_tokens` is
    never marked. `usage_in_streams` says that it tells the usage of a stream when asked (chat completions only; the
    other formats always tell). `lenient`: a stream of it may do with one sign of its end where the format has two.
    `refuses` names parameters of a policy that it does not take: they are left out.
    """

    mid_conversation: Literal["system", "developer", "user_block"] = "user_block"
    roles: frozenset[str] = frozenset({"system", "user", "assistant", "tool"})
    cache_marks: Literal["off", "auto", "always"] = "off"
    cache_min_tokens: int = 1024
    usage_in_streams: bool = True
    lenient: bool = False
    refuses: frozenset[str] = frozenset()


class Usage(NamedTuple):
    """Tokens of one answer as the backend counted them.

    `prompt` counts the whole prompt; of it, `cached` were read from the provider's cache and `written` to it.
    """

    prompt: int = 0
    cached: int = 0
    written: int = 0
    completion: int = 0


class AnswerMetadata(NamedTuple):
    """What a whole answer says of itself: its id (may be empty), and its usage where it tells one."""

    id: str = ""
    usage: Usage | None = None


class Request(Protocol):
    """A parsed body. Never changed; `conversation` is what deciding sees."""

    @property
    def body(self) -> bytes:
        """The bytes that came."""
        ...

    @property
    def model(self) -> str:
        """The model name the client asked for."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the client wants a stream."""
        ...

    @property
    def tells_usage(self) -> bool:
        """Whether the client gets the usage without our asking: false only for a stream that it did not ask it of."""
        ...

    @property
    def user(self) -> str:
        """The end user as the body names them, or the empty string."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The body's own metadata object."""
        ...

    @property
    def choices(self) -> int:
        """How many answers the client wants side by side."""
        ...

    @property
    def conversation(self) -> Conversation:
        """The protocol-neutral view."""
        ...


@dataclass(frozen=True, slots=True)
class Weaving:
    """What to put into a request besides the mixes: the backend's model name and parameters that the policy sets.

    `model` replaces the client's word only where it differs. A parameter is set only where the client set none.
    `ask_usage` asks for the usage of a stream whose client did not; the guard then hides it again. `names` says how
    tasks are named to the model, where not by the last word of their path. `nonce` is the conversation's word, by which
    our blocks in user turns are told from what a user writes like them.
    """

    place: Literal["after", "before", "replace"] = "after"
    on_switch: Literal["tail", "head"] = "tail"
    model: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    capability: Capability = field(default_factory=Capability)
    ask_usage: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    nonce: str = ""


class StreamGuard(Protocol):
    """Watches the bytes of a streamed answer pass and knows whether they form a whole one."""

    def release(self, chunk: bytes) -> bytes:
        """Take the next bytes and return those that end whole events; the rest follows when its event is whole.

        Raises BackendError (`too_large`) where an event does not end.
        """
        ...

    def finish(self, framed: bool) -> bytes:
        """Take the orderly end of the stream, and return its last event if that lacks only its blank line.

        `framed` says that HTTP told the end; else the connection was closed, which may be a cut.
        """
        ...

    @property
    def over(self) -> bool:
        """Whether the stream told an end that it has not reached. That was kept back: nothing more may pass."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the answer has ended as its format demands."""
        ...

    @property
    def error(self) -> str:
        """The code of an error that the stream itself reported, or the empty string."""
        ...

    @property
    def heard(self) -> bool:
        """Whether the official clients raise on the error that the stream itself reported."""
        ...

    @property
    def response_id(self) -> str:
        """The id of the answer, once seen."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The tokens of the answer, once told."""
        ...

    def boundary(self) -> bytes:
        """Return the bytes that end a half-written event, so that another event may follow."""
        ...

    def error_event(self, error: RouterError) -> bytes:
        """Return the error as the event that ends the stream."""
        ...


class Wire(Protocol):
    """One wire format. `chains` says that a request may go on from an answer that the backend keeps."""

    name: str
    path: str
    chains: bool

    def parse(self, body: bytes) -> Request:
        """Return the parsed body. Raises RequestError."""
        ...

    def weave(self, request: Any, decisions: Sequence[Decision], weaving: Weaving) -> bytes:
        """Return the body to send. `decisions[j]` belongs to user turn j; an empty mix gives the body that came.

        Where the backend keeps earlier turns (`Conversation.continues`), the first decisions belong to those.
        """
        ...

    def portable(self, body: bytes) -> bytes:
        """Return a body without what only the model can read that wrote it: signed thinking, ids of its items."""
        ...

    def prompt(self, body: bytes) -> Sequence[bytes]:
        """Return the parts of a body that a provider caches, in the order of the prompt: system text, then messages."""
        ...

    def guard(self, hide_usage: bool = False, choices: int = 1, lenient: bool = False) -> StreamGuard:
        """Return a fresh guard for one streamed answer. `hide_usage` takes out the usage that `ask_usage` asked for.

        `choices` is how many the client wants, `lenient` what `Capability` says.
        """
        ...

    def as_stream(self, body: bytes) -> bytes:
        """Return a whole answer as the stream that the client asked for. Raises BackendError when it is none."""
        ...

    def read_answer(self, body: bytes) -> AnswerMetadata:
        """Return what a whole answer says of itself. Raises BackendError when it is no answer at all."""
        ...

    def spoken(self, answer: bytes, *, stream: bool) -> str:
        """Return the words of an answer: its text parts, of a whole body or of the bytes of a stream; "" for none.

        Never raises: what cannot be read says nothing.
        """
        ...

    def error_body(self, error: RouterError) -> bytes:
        """Return the error in the shape of the format."""
        ...


# ---------------------------------------------------------------------------------------------------- backends


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that is passed on as it comes, and so only once. `length` is None where nobody has told it."""

    chunks: AsyncIterator[bytes]
    length: int | None


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """One call to a backend. `path` is the wire's own, such as `/chat/completions`; an `upload` replaces `body`.

    `parameters` names those that a policy may have set in the body.
    """

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool = False
    model: str = ""
    method: str = "POST"
    content_type: str = "application/json"
    upload: Upload | None = None
    parameters: Collection[str] = ()


@dataclass(slots=True)
class BackendAnswer:
    """What a backend answered. A whole answer has `body`; a stream has `chunks`, to be closed with `aclose`.

    `until_close` says that only the end of the connection ends the stream, so that a cut looks like its end.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    chunks: AsyncIterator[bytes] | None = None
    until_close: bool = False

    async def aclose(self) -> None:
        """Stop the backend if it is still answering. Safe to call twice."""
        close = getattr(self.chunks, "aclose", None)
        if close is not None:
            await close()


class Backend(Protocol):
    """What answers. Never retries; raises BackendError for whatever is not an answer with status 2xx."""

    name: str

    async def send(self, outgoing: BackendRequest) -> BackendAnswer:
        """Send and return as soon as the status and, for a stream, the headers are there."""
        ...

    async def aclose(self) -> None:
        """Close pooled connections."""
        ...
