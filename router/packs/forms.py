"""What an operator may write: the policy format as models.

These models hold a file as it was written, nothing resolved: keys are strict, types are strict, nothing is coerced.
Cues, outcomes, dialogues, tests and encoders have their part of the format in files of their own. A field's description
here is what an editor shows.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from router.core.policy import HEADING_LETTERS, HEADING_WORDS, fits_as_heading
from router.packs.accepted import Error, Share, ShortlistLength, ThresholdForm
from router.packs.cues import Clauses, CueForm
from router.packs.dialogues import DialogueLines
from router.packs.encoders import CascadeForm, Encoder
from router.packs.outcomes import JudgeForm, MetricForm, SignalForm
from router.packs.trial import TrialForm
from router.packs.words import (
    TEXT_OR_LIST,
    Alias,
    ClosedModel,
    Duration,
    Language,
    LevelName,
    Name,
    Pattern,
    Text,
    Texts,
    WordsPlace,
    by_kind,
    exactly_one,
    one_of,
    optional,
    wrong,
)

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}"
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


class CheckForm(ClosedModel):
    """A test of the answer, run after it; exactly one key."""

    model_config = ConfigDict(json_schema_extra=exactly_one(CHECKS))

    mentions_any: list[Text] | None = optional("At least one of these phrases occurs, in any case", min_length=1)
    mentions_all: list[Text] | None = optional("All of these phrases occur, in any case", min_length=1)
    mentions_none: list[Text] | None = optional("None of these phrases occurs, in any case", min_length=1)
    matches: Pattern | None = optional("The pattern (RE2) is found in the answer")
    max_words: int | None = optional("The answer has at most this many words", ge=1)
    max_sentences: int | None = optional("The answer has at most this many sentences", ge=1)
    language: Language | None = optional("The answer is in this language (ISO 639-1)")
    json_: Literal[True] | None = optional("The answer is JSON", alias="json")
    ends_with_question: bool | None = optional("Whether the answer ends with a question")

    @model_validator(mode="after")
    def _one_key(self) -> CheckForm:
        one_of(CHECKS, set(self.given()), "check")
        return self


def _identity(word: str) -> str:
    if not re.fullmatch(_ID, word) or word == "soft":
        raise wrong(f'the id "{word[:60]}" cannot be used', "letters, digits, . _ and -, at most 80; not the word soft")
    return word


SAYS = ("text", "snippet")


class InstructionForm(ClosedModel):
    """One instruction with what goes with it: a text of its own, or a sentence that the pack has named."""

    model_config = ConfigDict(json_schema_extra=exactly_one(SAYS))

    text: Text | None = optional("What is said; {cue} stands for the value of a cue")
    snippet: Name | None = optional("Name of a sentence under snippets, said in place of a text")
    when: Clauses | None = optional("Said only if all of these hold: cue -> value, values or presence")
    unless: Clauses | None = optional("Not said if all of these hold")
    check: CheckForm | None = optional("A test of the answer")
    id: Annotated[str, AfterValidator(_identity), WithJsonSchema({"type": "string", "pattern": f"^{_ID}$"})] | None = (
        optional("A name for traces; otherwise path, level and position")
    )

    @model_validator(mode="after")
    def _says_something(self) -> InstructionForm:
        one_of(SAYS, set(self.given()), "an instruction")
        return self


_Line: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[InstructionForm, Tag("<item>")],
    Discriminator(by_kind(**{"<text>": str, "<item>": dict})),
]
_Lines: TypeAlias = Annotated[Annotated[Text, Tag("<text>")] | Annotated[list[_Line], Tag("<list>")], TEXT_OR_LIST]


class ExampleText(ClosedModel):
    """An example in the long form, for texts that hold colons or braces."""

    text: Text = Field(description="What a user may write")
    generated: bool = Field(default=False, description="true: no customer wrote it; it trains but certifies nothing")


class ExampleFile(ClosedModel):
    """A text file of examples."""

    file: Text = Field(description="File of this pack, relative to this one, with one example a line")
    generated: bool = Field(default=False, description="true: no customer wrote them; they train but certify nothing")


def _example_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "<file>" if "file" in value else "<example>"
    return "<text>"


Example: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[ExampleText, Tag("<example>")] | Annotated[ExampleFile, Tag("<file>")],
    Discriminator(_example_kind),
]


class _ModelForm(ClosedModel):
    """Which model serves a task, and sampling parameters for it where the client set none."""

    use: Alias | None = optional("Model alias of router.yaml")
    temperature: float | None = optional("How freely the model draws", ge=0, le=2)
    top_p: float | None = optional("Share of the likeliest tokens to draw from", gt=0, le=1)
    top_k: int | None = optional("Number of the likeliest tokens to draw from", ge=1)
    min_p: float | None = optional("Least probability, as a share of the likeliest token's", ge=0, le=1)
    max_tokens: int | None = optional("Longest answer (older name)", ge=1)
    max_completion_tokens: int | None = optional("Longest answer, reasoning included", ge=1)
    presence_penalty: float | None = optional("Penalty for tokens that occurred", ge=-2, le=2)
    frequency_penalty: float | None = optional("Penalty by how often a token occurred", ge=-2, le=2)
    repetition_penalty: float | None = optional("Factor for repeated tokens (vLLM and others)", gt=0, le=2)
    seed: int | None = optional("Seed of the draw")
    stop: Annotated[Annotated[Text, Tag("<text>")] | Annotated[list[Text], Tag("<list>")], TEXT_OR_LIST] | None = (
        optional("Texts that end the answer")
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = optional(
        "How much the model reasons"
    )
    verbosity: Literal["low", "medium", "high"] | None = optional("How much the model says")


class _LevelsForm(ClosedModel):
    """Level by the complexity cue."""

    simple: LevelName | None = optional("Level of simple requests")
    standard: LevelName | None = optional("Level of ordinary requests")
    complex: LevelName | None = optional("Level of complex requests")


_Start: TypeAlias = Annotated[
    Annotated[LevelName, Tag("<level>")] | Annotated[_LevelsForm, Tag("<levels>")],
    Discriminator(by_kind(**{"<level>": str, "<levels>": dict})),
]


def _heading(text: str) -> str:
    words = text.split()
    if not fits_as_heading(text):
        message = f"when_asked has {len(words):,} words and {len(text):,} letters: it heads the text of a case"
        most = f"at most {HEADING_WORDS} words and {HEADING_LETTERS} letters"
        hint = f"{most}; what to do about it goes under brief: or guided:"
        raise wrong(message, hint)
    return " ".join(words)


_Heading: TypeAlias = Annotated[
    Text,
    AfterValidator(_heading),
    WithJsonSchema(
        {"type": "string", "maxLength": HEADING_LETTERS, "pattern": rf"^\s*(\S+\s+){{0,{HEADING_WORDS - 1}}}\S+\s*$"}
    ),
]


class TaskForm(ClosedModel):
    """A task: what it is about, how it is recognised, and what is said at each level."""

    about: Text | None = optional("What the task is about, in words for people")
    when_asked: _Heading | None = optional(
        "What the customer wants, which heads the task's text in a shortlist; otherwise about"
    )
    complexity: Literal["core", "standard", "complex"] | None = optional(
        "Where the level starts: core at brief, standard at guided, complex at detailed"
    )
    level: _Start | None = optional(
        "Where the level starts, whatever else says so: a level, or one by the complexity cue"
    )
    stakes: Literal["normal", "high"] | None = optional("high: recognised only when very sure")
    courtesy: bool | None = optional("true: thanks, praise and the like, which ask for nothing beside a request")
    examples: list[Example] | None = optional("What users write; a dozen varied ones")
    brief: _Lines | None = optional("Said from level brief on")
    guided: _Lines | None = optional("Added at level guided")
    detailed: _Lines | None = optional("Added at level detailed")
    required: _Lines | None = optional("Said at every level but off, never dropped for the budget")
    model: _ModelForm | None = optional("Model alias and parameters for this task")
    tests: list[TrialForm] | None = optional("Tests of the decision")
    off: bool | None = optional("true: this task and all below it are left out")
    tasks: dict[Name, TaskForm] | None = optional("Tasks below this one, by name")


class _SettingsForm(ClosedModel):
    """How the pack behaves as a whole."""

    level: LevelName | None = optional("Where tasks start (guided)")
    levels: _LevelsForm | None = optional("Where tasks start, by the complexity cue")
    budget_tokens: int | None = optional("Most tokens that one request gains (500)", ge=0, le=1_000_000)
    max_tasks: int | None = optional("Tasks that one message may settle on (2)", ge=1, le=5)
    shortlist: ShortlistLength | None = optional("Most tasks that are said as cases, where it may be any of them (3)")
    error: Error | None = optional("Accepted share of messages that get text which does not apply (0.05)")
    exposure: Share | None = optional("Of messages that are none of the tasks, the share that may get text (0.10)")
    thresholds: ThresholdForm | None = optional("Thresholds by hand, in place of certified ones")
    place: Literal["after", "before", "replace"] | None = optional(
        "Where our text stands by the app's own system text (after)"
    )
    on_switch: Literal["tail", "head"] | None = optional("Where the text of a new task goes in mid-conversation (tail)")
    keep: Literal["none", "redacted", "full"] | None = optional("What a trace stores of the user's words (none)")
    pin_idle: Duration | None = optional("How long an idle conversation keeps its revision (60m)")
    tuning: Literal["observe", "suggest", "auto"] | None = optional(
        "observe: nothing is tried; suggest: levels are tried and a person accepts steps; auto: steps are taken"
        " (suggest)"
    )
    holdout: float | None = optional(
        "Share of users for whom nothing is tuned, to measure the gain (0.02)", ge=0, le=0.5
    )
    encoder: Encoder | None = optional("What reads the messages: static, lexical, onnx:PATH or litellm:MODEL (static)")
    cascade: CascadeForm | None = optional("A stronger encoder for the messages that the encoder is least sure of")


class AuxiliaryForm(ClosedModel):
    """A rule for calls that machines make for themselves; all given keys must hold. They get required text alone."""

    name: Name = Field(description="Shown in reasons")
    system_contains: Texts | None = optional("The system text holds one of these")
    user_starts: Texts | None = optional("The newest user turn begins with one of these")
    user_contains: Texts | None = optional("The newest user turn holds one of these")
    max_tokens_below: int | None = optional("The client asks for fewer tokens than this", ge=1)
    stream: bool | None = optional("Whether the client asks for a stream; people cannot type it")

    @model_validator(mode="after")
    def _something(self) -> AuxiliaryForm:
        if self.model_fields_set == {"name"}:
            raise wrong("the rule matches every request", "add what it recognises, such as user_starts")
        return self


class PackForm(TaskForm):
    """The root of a pack: what holds for every request. Files of tasks hold the keys of a task only."""

    name: Name | None = optional("Name of the policy; otherwise that of its folder or file")
    extends: Text | None = optional("A sibling pack's name, or the path to one: this pack starts from it")
    settings: _SettingsForm | None = optional("How the pack behaves as a whole")
    cues: dict[Name, CueForm] | None = optional("Facts about a request, by name")
    snippets: dict[Name, Text] | None = optional("Sentences that several tasks use, by name")
    metrics: dict[Name, MetricForm] | None = optional("What feedback may report, by name")
    signals: dict[Name, SignalForm] | None = optional(
        "What the way a conversation goes on says of its answers, by name"
    )
    judge: JudgeForm | None = optional("A model that judges the answers of some conversations")
    auxiliary: list[AuxiliaryForm] | None = optional("Calls that machines make: only required text is added")
    boilerplate: list[Pattern] | None = optional("Patterns (RE2) cut from user turns when recognising")
    user_words: list[WordsPlace] | None = optional(
        "Where an app puts the user's own words in a user turn: a tag such as <question>, or a pattern (RE2) with one"
        " group. Recognition reads nothing else there; of several places it reads the last"
    )
    unrelated: list[Example] | None = optional("What users write that is none of the tasks")
    dialogues: list[DialogueLines] | None = optional(
        "Conversations with the task of each user's turn; recognition learns its pace by them"
    )
