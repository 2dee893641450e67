"""What an operator may write: the policy format as models.

These models hold a file as it was written, nothing resolved: keys are strict, types are strict, nothing is coerced.
What the words mean is the business of the other files of this room; a field's description here is what an editor shows.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from router.core.decision import Outcome
from router.packs.dialogue_forms import DialogueLines
from router.packs.encoders import CascadeForm, Encoder
from router.packs.outcome_forms import JudgeForm, MetricForm, SignalForm
from router.packs.words import (
    Alias,
    Duration,
    Fact,
    Form,
    Header,
    Identity,
    Language,
    Name,
    Pattern,
    Saying,
    TaskPath,
    Text,
    Texts,
    by_kind,
    exactly_one,
    one_of,
    unique,
    wrong,
)

LevelWord: TypeAlias = Literal["off", "brief", "guided", "detailed"]
CHECKS = (
    "mentions_any",
    "mentions_all",
    "mentions_none",
    "matches",
    "max_words",
    "max_sentences",
    "language",
    "json",
    "ends_with_question",
)
MAX_VALUES = 1_000
"""Values that a cue can have, and that a condition can name."""

CUE_KINDS = ("values", "type", "text", "detect")


class Presence(Form):
    """A cue is there, or is not."""

    present: bool = Field(description="true: the cue has a value; false: it has none")


Wanted: TypeAlias = Annotated[
    Annotated[Fact, Tag("<value>")]
    | Annotated[Annotated[list[Fact], Field(min_length=1, max_length=MAX_VALUES)], Tag("<list>")]
    | Annotated[Presence, Tag("<presence>")],
    Discriminator(by_kind(**{"<value>": object, "<list>": list, "<presence>": dict})),
]
Clauses: TypeAlias = Annotated[dict[str, Wanted], Field(min_length=1)]


class CheckForm(Form):
    """A test of the answer, run after it; exactly one key."""

    model_config = ConfigDict(json_schema_extra=exactly_one(CHECKS))

    mentions_any: list[Text] | None = Field(
        default=None, min_length=1, description="At least one of these phrases occurs, in any case"
    )
    mentions_all: list[Text] | None = Field(
        default=None, min_length=1, description="All of these phrases occur, in any case"
    )
    mentions_none: list[Text] | None = Field(
        default=None, min_length=1, description="None of these phrases occurs, in any case"
    )
    matches: Pattern | None = Field(default=None, description="The pattern (RE2) is found in the answer")
    max_words: int | None = Field(default=None, ge=1, description="The answer has at most this many words")
    max_sentences: int | None = Field(default=None, ge=1, description="The answer has at most this many sentences")
    language: Language | None = Field(default=None, description="The answer is in this language (ISO 639-1)")
    json_: Literal[True] | None = Field(default=None, alias="json", description="The answer is JSON")
    ends_with_question: bool | None = Field(default=None, description="Whether the answer ends with a question")

    @model_validator(mode="after")
    def _one_key(self) -> CheckForm:
        one_of(CHECKS, {"json" if key == "json_" else key for key in self.model_fields_set}, "check")
        return self


class InstructionForm(Form):
    """One instruction with what goes with it."""

    text: Text = Field(description="What is said; {cue} stands for the value of a cue")
    when: Clauses | None = Field(
        default=None, description="Said only if all of these hold: cue -> value, values or presence"
    )
    unless: Clauses | None = Field(default=None, description="Not said if all of these hold")
    check: CheckForm | None = Field(default=None, description="A test of the answer")
    id: Identity | None = Field(default=None, description="A name for traces; otherwise path, level and position")


Line: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[InstructionForm, Tag("<item>")],
    Discriminator(by_kind(**{"<text>": str, "<item>": dict})),
]
Lines: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[list[Line], Tag("<list>")],
    Discriminator(by_kind(**{"<text>": str, "<list>": list})),
]


class ExampleText(Form):
    """An example in the long form, for texts that hold colons or braces."""

    text: Text = Field(description="What a user may write")


class ExampleFile(Form):
    """A text file of examples."""

    file: Text = Field(description="File of this pack, relative to this one, with one example a line")


def _example_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "<file>" if "file" in value else "<example>"
    return "<text>"


Example: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[ExampleText, Tag("<example>")] | Annotated[ExampleFile, Tag("<file>")],
    Discriminator(_example_kind),
]


class ModelForm(Form):
    """Which model serves a task, and sampling parameters for it where the client set none."""

    use: Alias | None = Field(default=None, description="Model alias of router.yaml")
    temperature: float | None = Field(default=None, ge=0, le=2, description="How freely the model draws")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Share of the likeliest tokens to draw from")
    top_k: int | None = Field(default=None, ge=1, description="Number of the likeliest tokens to draw from")
    min_p: float | None = Field(
        default=None, ge=0, le=1, description="Least probability, as a share of the likeliest token's"
    )
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer (older name)")
    max_completion_tokens: int | None = Field(default=None, ge=1, description="Longest answer, reasoning included")
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, description="Penalty for tokens that occurred")
    frequency_penalty: float | None = Field(
        default=None, ge=-2, le=2, description="Penalty by how often a token occurred"
    )
    repetition_penalty: float | None = Field(
        default=None, gt=0, le=2, description="Factor for repeated tokens (vLLM and others)"
    )
    seed: int | None = Field(default=None, description="Seed of the draw")
    stop: Texts | None = Field(default=None, description="Texts that end the answer")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = Field(
        default=None, description="How much the model reasons"
    )
    verbosity: Literal["low", "medium", "high"] | None = Field(default=None, description="How much the model says")


class ExpectForm(Form):
    """What a test expects of the decision; at least one key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    task: TaskPath | None = Field(default=None, description="The task that is settled on, as a path")
    tasks: list[TaskPath] | None = Field(default=None, min_length=1, description="All settled tasks, in any order")
    level: LevelWord | None = Field(default=None, description="The level at which that task speaks")
    says: Texts | None = Field(default=None, description="Phrases that the added text holds, whatever their case")
    not_says: Texts | None = Field(default=None, description="Phrases that the added text does not hold")
    tokens_max: int | None = Field(default=None, ge=0, description="The most tokens that are added")
    outcome: Outcome | None = Field(default=None, description="How the decision came about")

    @model_validator(mode="after")
    def _something(self) -> ExpectForm:
        if not self.model_fields_set:
            raise wrong("expect names nothing", "for example expect: {task: /billing/refund}")
        return self


class TrialForm(Form):
    """A test of the pack: a message or a dialogue, and what is expected."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("ask", "talk")))

    name: Text | None = Field(default=None, description="Shown in reports; one that begins with todo_ is skipped")
    ask: Text | None = Field(default=None, description="What the user writes")
    talk: list[Text] | None = Field(
        default=None, min_length=1, description="User and assistant in turn, a user's turn last"
    )
    with_: dict[str, Fact] | None = Field(default=None, alias="with", description="Cues of the request")
    expect: ExpectForm = Field(description="What the decision must be like")
    todo: bool = Field(default=False, description="true: reported as skipped")

    @model_validator(mode="after")
    def _turns(self) -> TrialForm:
        one_of(("ask", "talk"), self.model_fields_set, "a test")
        if self.talk is not None and len(self.talk) % 2 == 0:
            raise wrong("talk ends with the assistant", "user and assistant take turns, and the last turn is a user's")
        return self


class LevelsForm(Form):
    """Level by the complexity cue."""

    simple: LevelWord | None = Field(default=None, description="Level of simple requests")
    standard: LevelWord | None = Field(default=None, description="Level of ordinary requests")
    complex: LevelWord | None = Field(default=None, description="Level of complex requests")


Start: TypeAlias = Annotated[
    Annotated[LevelWord, Tag("<level>")] | Annotated[LevelsForm, Tag("<levels>")],
    Discriminator(by_kind(**{"<level>": str, "<levels>": dict})),
]


class TaskForm(Form):
    """A task: what it is about, how it is recognised, and what is said at each level."""

    about: Text | None = Field(default=None, description="What the task is about, in words for people")
    complexity: Literal["core", "standard", "complex"] | None = Field(
        default=None, description="Where the level starts: core at brief, standard at guided, complex at detailed"
    )
    level: Start | None = Field(
        default=None, description="Where the level starts, whatever else says so: a level, or one by the complexity cue"
    )
    stakes: Literal["normal", "high"] | None = Field(default=None, description="high: recognised only when very sure")
    examples: list[Example] | None = Field(default=None, description="What users write; a dozen varied ones")
    brief: Lines | None = Field(default=None, description="Said from level brief on")
    guided: Lines | None = Field(default=None, description="Added at level guided")
    detailed: Lines | None = Field(default=None, description="Added at level detailed")
    required: Lines | None = Field(
        default=None, description="Said at every level but off, never dropped for the budget"
    )
    model: ModelForm | None = Field(default=None, description="Model alias and parameters for this task")
    tests: list[TrialForm] | None = Field(default=None, description="Tests of the decision")
    off: bool | None = Field(default=None, description="true: this task and all below it are left out")
    tasks: dict[Name, TaskForm] | None = Field(default=None, description="Tasks below this one, by name")


class ErrorForm(Form):
    """Accepted rates of wrong specific text."""

    domain: float | None = Field(default=None, gt=0, lt=1, description="At the first depth below the root")
    task: float | None = Field(default=None, gt=0, lt=1, description="Deeper")


class ThresholdForm(Form):
    """Thresholds set by hand."""

    domain: float | None = Field(default=None, ge=0, le=1, description="Least mass to act on at the first depth")
    task: float | None = Field(default=None, ge=0, le=1, description="Least mass to act on deeper")


class SettingsForm(Form):
    """How the pack behaves as a whole."""

    level: LevelWord | None = Field(default=None, description="Where tasks start (guided)")
    levels: LevelsForm | None = Field(default=None, description="Where tasks start, by the complexity cue")
    budget_tokens: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Most tokens that one request gains (500)"
    )
    max_tasks: int | None = Field(default=None, ge=1, le=5, description="Tasks that one message may settle on (2)")
    error: ErrorForm | None = Field(default=None, description="Accepted rate of wrong specific text (0.01 and 0.03)")
    thresholds: ThresholdForm | None = Field(default=None, description="Thresholds by hand, in place of certified ones")
    place: Literal["after", "before", "replace"] | None = Field(
        default=None, description="Where our text stands by the app's own system text (after)"
    )
    on_switch: Literal["tail", "head"] | None = Field(
        default=None, description="Where the text of a new task goes in mid-conversation (tail)"
    )
    keep: Literal["none", "redacted", "full"] | None = Field(
        default=None, description="What a trace stores of the user's words (none)"
    )
    pin_idle: Duration | None = Field(
        default=None, description="How long an idle conversation keeps its revision (60m)"
    )
    tuning: Literal["observe", "suggest", "auto"] | None = Field(
        default=None,
        description="observe: nothing is tried; suggest: levels are tried and a person accepts steps; auto: steps are "
        "taken (suggest)",
    )
    holdout: float | None = Field(
        default=None, ge=0, le=0.5, description="Share of users for whom nothing is tuned, to measure the gain (0.02)"
    )
    encoder: Encoder | None = Field(
        default=None,
        description="What reads the messages: static, lexical, onnx:PATH or litellm:MODEL (static)",
    )
    cascade: CascadeForm | None = Field(
        default=None, description="A stronger encoder for the messages that the encoder is least sure of"
    )


class SourceForm(Form):
    """Where a cue's value comes from; the header is asked first."""

    header: Header | None = Field(default=None, description="HTTP header")
    metadata: Text | None = Field(default=None, description="Key of the body's metadata object")


class CueForm(Form):
    """A typed fact about a request; exactly one of values, type, text and detect."""

    model_config = ConfigDict(json_schema_extra=exactly_one(CUE_KINDS))

    values: Annotated[list[Text], AfterValidator(unique)] | None = Field(
        default=None, min_length=1, max_length=MAX_VALUES, description="One of these"
    )
    type: Literal["boolean", "number", "date"] | None = Field(
        default=None, description="A typed value; dates are YYYY-MM-DD"
    )
    text: int | None = Field(default=None, ge=1, le=500, description="Free text of at most this many characters")
    detect: Literal["language", "complexity", "follow_up"] | None = Field(
        default=None, description="Found in the user's words"
    )
    from_: SourceForm | None = Field(default=None, alias="from", description="Where the value comes from")
    default: Fact | None = Field(default=None, description="The value when none comes")
    say: Saying | None = Field(
        default=None, description="A line that states the cue as background; {value} is its value"
    )
    required: bool | None = Field(default=None, description="true: a request without it is refused")
    volatile: bool | None = Field(
        default=None, description="true: changes from call to call, said at the newest turn only"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> CueForm:
        one_of(CUE_KINDS, self.model_fields_set, "a cue")
        if self.required and self.default is not None:
            raise wrong("a required cue has no default", "remove one of the two")
        if self.detect and (self.from_ or self.required):
            raise wrong("a detected cue comes from the user's words", "remove from and required, or detect")
        if self.required and not (self.from_ and self.from_.model_fields_set):
            raise wrong("a required cue needs a source", "add from: {header: ...} or from: {metadata: ...}")
        return self


class AuxiliaryForm(Form):
    """A rule for calls that machines make for themselves; all given keys must hold. They get required text alone."""

    name: Name = Field(description="Shown in reasons")
    system_contains: Texts | None = Field(default=None, description="The system text holds one of these")
    user_starts: Texts | None = Field(default=None, description="The newest user turn begins with one of these")
    user_contains: Texts | None = Field(default=None, description="The newest user turn holds one of these")
    max_tokens_below: int | None = Field(default=None, ge=1, description="The client asks for fewer tokens than this")
    stream: bool | None = Field(default=None, description="Whether the client asks for a stream; people cannot type it")

    @model_validator(mode="after")
    def _something(self) -> AuxiliaryForm:
        if self.model_fields_set == {"name"}:
            raise wrong("the rule matches every request", "add what it recognises, such as user_starts")
        return self


class PackForm(TaskForm):
    """The root of a pack: what holds for every request. Files of tasks hold the keys of a task only."""

    name: Name | None = Field(default=None, description="Name of the policy; otherwise that of its folder or file")
    extends: Text | None = Field(
        default=None, description="A sibling pack's name, or the path to one: this pack starts from it"
    )
    settings: SettingsForm | None = Field(default=None, description="How the pack behaves as a whole")
    cues: dict[Name, CueForm] | None = Field(default=None, description="Facts about a request, by name")
    metrics: dict[Name, MetricForm] | None = Field(default=None, description="What feedback may report, by name")
    signals: dict[Name, SignalForm] | None = Field(
        default=None, description="What the way a conversation goes on says of its answers, by name"
    )
    judge: JudgeForm | None = Field(default=None, description="A model that judges the answers of some conversations")
    auxiliary: list[AuxiliaryForm] | None = Field(
        default=None, description="Calls that machines make: only required text is added"
    )
    boilerplate: list[Pattern] | None = Field(
        default=None, description="Patterns (RE2) cut from user turns when recognising"
    )
    unrelated: list[Example] | None = Field(default=None, description="What users write that is none of the tasks")
    dialogues: list[DialogueLines] | None = Field(
        default=None, description="Conversations with the task of each user's turn; recognition learns its pace by them"
    )
