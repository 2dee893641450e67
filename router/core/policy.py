"""What the operator wants, loaded: the task tree, its instructions, the cues, the settings. Immutable.

A policy is built once by `router.packs` and never changed. Everything that can be worked out at load time is: token
counts, the order of a task's instructions, lineages, placeholders.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

ROOT = "/"

CueValue: TypeAlias = str | int | float | bool
"""The value of one cue: a fact about this request. Dates are ISO 8601 strings."""


class Level(enum.IntEnum):
    """How much is said."""

    OFF = 0
    BRIEF = 1
    GUIDED = 2
    DETAILED = 3

    @property
    def word(self) -> str:
        """The level as operators write it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Condition:
    """One clause of `when` or `unless`: a cue is one of some values, or is present, or is absent."""

    cue: str
    values: tuple[CueValue, ...] = ()
    present: bool | None = None

    def holds(self, cues: Mapping[str, CueValue]) -> bool:
        """Say whether the clause is true of these cues. A missing cue equals nothing."""
        if self.present is not None:
            return (self.cue in cues) is self.present
        value = cues.get(self.cue)
        # bool is an int in Python: `true` must not match the number 1.
        return value is not None and any(
            value == v and isinstance(value, bool) is isinstance(v, bool) for v in self.values
        )


@dataclass(frozen=True, slots=True)
class Check:
    """A test of the answer that an instruction carries. `kind` is the key it was written under."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Piece:
    """One instruction as it is said: placeholders filled. `tokens` includes its line break.

    `case` is the task of a shortlist under whose condition it is said, "" where it holds whatever is asked.
    """

    id: str
    task: str
    level: Level
    text: str
    tokens: int
    required: bool = False
    volatile: bool = False
    case: str = ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One piece of text attached to a task.

    `text` is the line as it is said, list marker included, with `{cue}` placeholders where `cues` is not empty.
    `tokens` counts the line and its line break, placeholders as written. An instruction is said when every clause of
    `when` holds and, if there are any, not every clause of `unless` does. `piece` is what it says when it has no
    placeholders, made once.
    """

    id: str
    task: str
    level: Level
    text: str
    tokens: int
    required: bool = False
    when: tuple[Condition, ...] = ()
    unless: tuple[Condition, ...] = ()
    check: Check | None = None
    cues: tuple[str, ...] = ()
    volatile: bool = False
    piece: Piece = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        piece = Piece(self.id, self.task, self.level, self.text, self.tokens, self.required, self.volatile)
        object.__setattr__(self, "piece", piece)


HEADING_WORDS, HEADING_LETTERS = 40, 300
"""The most that heads a case: it is said whenever the task is only likely."""


def fits_as_heading(text: str) -> bool:
    """Say whether a text is short enough to head a case."""
    return len(text) <= HEADING_LETTERS and len(text.split()) <= HEADING_WORDS


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the tree. `instructions` are in the order in which they are said: required, brief, guided, detailed.

    `levels` says where the task starts, by the request's complexity, "" for any; empty where it has no word of its own.
    `when_asked` says what the customer wants, where that is not what `about` says. `case` heads what is said of
    the task as a case: `when_asked`, or the first sentence of `about`, or the title.
    """

    path: str
    about: str = ""
    instructions: tuple[Instruction, ...] = ()
    examples: tuple[str, ...] = ()
    complexity: Literal["core", "standard", "complex"] | None = None
    stakes: Literal["normal", "high"] = "normal"
    courtesy: bool = False
    model: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    children: tuple[str, ...] = ()
    levels: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    when_asked: str = ""
    case: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        about = " ".join(self.about.split()).split(". ")[0].removesuffix(".")
        heading = self.when_asked or (about if fits_as_heading(about) else "") or self.title
        object.__setattr__(self, "case", heading)

    @property
    def title(self) -> str:
        """The last word of the path in plain words, for sentences that name the task."""
        return title(self.path)


@dataclass(frozen=True, slots=True)
class Cue:
    """A declared, typed fact about a request, where it comes from and whether it is said.

    `kind` is one of enum, boolean, number, date, text, detect. `sources` are (place, name) pairs tried in order, place
    being `header` or `metadata`. `limit` caps a text in characters. A `volatile` cue changes from call to call and is
    only ever said at the newest user turn.
    """

    name: str
    kind: Literal["enum", "boolean", "number", "date", "text", "detect"]
    values: tuple[str, ...] = ()
    limit: int = 0
    detector: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    default: CueValue | None = None
    say: str = ""
    required: bool = False
    volatile: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A typed outcome that feedback may report.

    `default` is the value of a conversation of which nobody said anything by the horizon; without one it has no value.
    `better` says which end of the range is good. A `guardrail` stops a trial when it gets worse.
    """

    name: str
    kind: Literal["boolean", "rating", "number", "checks"]
    low: float = 0.0
    high: float = 1.0
    primary: bool = False
    horizon_s: float = 72 * 3600.0
    default: float | None = None
    better: Literal["high", "low"] = "high"
    guardrail: bool = False


@dataclass(frozen=True, slots=True)
class Signal:
    """Something in how a conversation goes on that tells how the answer before was. It says `metric` is `value`.

    One of the conditions is given. `user_says`: patterns (RE2), found in the user's next turn. `answer_says`: the same,
    in the answer itself. `tasks`: the conversation comes to one of these tasks. `again_within_s`: the same user comes
    back to the task within so long, in another conversation.
    """

    name: str
    metric: str
    value: float
    user_says: tuple[str, ...] = ()
    answer_says: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    again_within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that is asked how good an answer was, for a share `rate` of conversations, by a `rubric`.

    It says `metric`, best at the rubric's best.
    """

    model: str
    metric: str
    rubric: str
    rate: float = 0.1


@dataclass(frozen=True, slots=True)
class AuxiliaryRule:
    """Recognises calls that machines make for themselves (chat titles, pings). All given fields must hold.

    `stream` is whether the client asks for a stream. What an app sets in each call (`of_call`) tells of that call
    alone. Where an app says nothing of the kind, in its system text either, people can type what the rule looks for.
    """

    name: str
    system_contains: tuple[str, ...] = ()
    user_starts: tuple[str, ...] = ()
    user_contains: tuple[str, ...] = ()
    max_tokens_below: int | None = None
    stream: bool | None = None

    @property
    def of_call(self) -> bool:
        """Whether it looks at what an app sets anew in each call."""
        return self.max_tokens_below is not None or self.stream is not None

    @property
    def typed(self) -> bool:
        """Whether it looks at nothing but a user's words."""
        return not self.of_call and not self.system_contains


@dataclass(frozen=True, slots=True)
class DialogueTurn:
    """One turn of a labelled dialogue.

    `task` is the path that the conversation is at after a user's turn, `/` for none of the tasks; the assistant's turns
    have none.
    """

    role: Literal["user", "assistant"]
    text: str
    task: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation of which it is known, at each of the user's turns, what it is about."""

    turns: tuple[DialogueTurn, ...]


@dataclass(frozen=True, slots=True)
class EncoderCascade:
    """A stronger encoder, asked of the `share` of messages that the policy's own encoder is least sure of.

    `encoder` is `onnx:` with the absolute path of a model file, or `litellm:` with the name of a model. It is waited
    for no longer than `budget_s`.
    """

    encoder: str
    share: float
    budget_s: float


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """How a policy behaves as a whole; each field is described in docs/pack-keys.md."""

    level: Level = Level.GUIDED
    levels: Mapping[str, Level] = field(default_factory=lambda: MappingProxyType({}))
    budget_tokens: int = 500
    max_tasks: int = 2
    shortlist: int = 3
    error: float = 0.05
    unconditional: float = 0.03
    exposure: float = 0.10
    threshold_sure: float | None = None
    threshold_shortlist: float | None = None
    place: Literal["after", "before", "replace"] = "after"
    on_switch: Literal["tail", "head"] = "tail"
    pin_idle_s: float = 3600.0
    tuning: Literal["observe", "suggest", "auto"] = "suggest"
    holdout: float = 0.02
    encoder: Literal["static", "lexical"] = "static"
    cascade: EncoderCascade | None = None


@dataclass(frozen=True)
class Policy:
    """A loaded pack. `tasks` maps path to task in pre-order, `/` first; `revision` is the hash of its meaning.

    `boilerplate` is cut from user turns for recognition; `user_words` say where in them the user's own words are.
    `generated` are those examples, as task and text (`/` for unrelated ones), that no customer wrote: they train, but
    nothing is certified on them. `languages` maps texts to their language, where that is not the pack's own.
    """

    name: str
    revision: str
    tasks: Mapping[str, Task]
    about: str = ""
    settings: PolicySettings = field(default_factory=PolicySettings)
    cues: Mapping[str, Cue] = field(default_factory=lambda: MappingProxyType({}))
    metrics: Mapping[str, Metric] = field(default_factory=lambda: MappingProxyType({}))
    auxiliary: tuple[AuxiliaryRule, ...] = ()
    boilerplate: tuple[str, ...] = ()
    user_words: tuple[str, ...] = ()
    unrelated: tuple[str, ...] = ()
    generated: frozenset[tuple[str, str]] = frozenset()
    languages: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    dialogues: tuple[Dialogue, ...] = ()
    signals: tuple[Signal, ...] = ()
    judge: Judge | None = None

    @cached_property
    def primary(self) -> Metric | None:
        """The metric that tuning improves, if the pack has one."""
        return next((metric for metric in self.metrics.values() if metric.primary), None)

    @cached_property
    def heard(self) -> bool:
        """Whether the words of answers tell this policy anything: for checks, signals, or a judge."""
        lines = (line for task in self.tasks.values() for line in task.instructions)
        return bool(self.signals or self.judge or any(line.check for line in lines))

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """By path, a digest of all that the task and those below it can say, and of where they start.

        Where it changes, what was learned of the old text says nothing of the new one.
        """
        digests: dict[str, str] = {}
        for path, task in reversed(list(self.tasks.items())):
            said = [(i.level, i.text, i.required, i.when, i.unless) for i in task.instructions]
            below = [digests[child] for child in task.children]
            meaning = repr((path, said, task.complexity, sorted(task.levels.items()), below))
            digests[path] = blake2b(meaning.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return MappingProxyType(digests)

    @cached_property
    def lineages(self) -> Mapping[str, tuple[str, ...]]:
        """Each path with its ancestors, root first."""
        return MappingProxyType({path: lineage(path) for path in self.tasks})

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What customers want at each task, in words: how a task is named to a model."""
        return MappingProxyType({path: task.case for path, task in self.tasks.items()})

    @cached_property
    def personal(self) -> frozenset[str]:
        """The cues that hold free text."""
        return frozenset(name for name, cue in self.cues.items() if cue.kind == "text")

    @cached_property
    def empty(self) -> bool:
        """Whether no request can ever gain a word from this policy."""
        return not any(task.instructions for task in self.tasks.values()) and not any(c.say for c in self.cues.values())


@lru_cache(maxsize=8192)
def lineage(path: str) -> tuple[str, ...]:
    """Return a path and its ancestors, root first.

    >>> lineage("/billing/refund")
    ('/', '/billing', '/billing/refund')
    """
    if path == ROOT:
        return (ROOT,)
    names = path[1:].split("/")
    return (ROOT, *("/" + "/".join(names[: i + 1]) for i in range(len(names))))


def title(path: str) -> str:
    """Return the last word of a path in plain words.

    >>> title("/billing/late_fee")
    'late fee'
    """
    return path.rsplit("/", 1)[-1].replace("_", " ").replace("-", " ")


def depth(path: str) -> int:
    """Return how many steps below the root a path lies; 0 for `/`."""
    return 0 if path == ROOT else path.count("/")


_WORD_LIKE = re.compile(r"[A-Za-z]+|\d{1,3}|[^\x00-\x7f]|[^\sA-Za-z\d]+|\n+")
_LETTERS_PER_TOKEN = 9  # English words of up to this many letters are mostly one token in cl100k_base


def count_tokens(text: str) -> int:
    """Estimate the tokens of `text`, without any model's vocabulary; 0 only for the empty text.

    Budgets must hold for every provider, and no tokenizer may be fetched at run time; so it goes by the shape of the
    text. `python -m tests.bench tokens` compares the estimate with cl100k_base.

    >>> count_tokens("Ask for the order number.")
    6
    """
    total = 0
    for piece in _WORD_LIKE.findall(text):
        total += -(-len(piece) // _LETTERS_PER_TOKEN) if piece[0].isalpha() and piece[0].isascii() else 1
    return total or bool(text)
