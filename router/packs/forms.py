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
from router.packs.cues import Clauses, CueForm
from router.packs.dialogues import DialogueLines
from router.packs.outcomes import JudgeForm, MetricForm, SignalForm
from router.packs.settings_form import SettingsForm, Start
from router.packs.trial import TrialForm
from router.packs.words import (
    TEXT_OR_LIST,
    Alias,
    ClosedModel,
    Language,
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

    mentions_any: list[Text] | None = optional(
        "At least one of these phrases occurs, in any case", example=["order number", "order id"], min_length=1
    )
    mentions_all: list[Text] | None = optional(
        "All of these phrases occur, in any case", example=["order number", "e-mail address"], min_length=1
    )
    mentions_none: list[Text] | None = optional(
        "None of these phrases occurs, in any case", example=["guarantee"], min_length=1
    )
    matches: Pattern | None = optional("The pattern (RE2) is found in the answer", example="\\d+ days")
    max_words: int | None = optional("The answer has at most this many words", example=120, ge=1)
    max_sentences: int | None = optional("The answer has at most this many sentences", example=4, ge=1)
    language: Language | None = optional("The answer is in this language (ISO 639-1)", example="en")
    json_: Literal[True] | None = optional("The answer is JSON", example=True, alias="json")
    ends_with_question: bool | None = optional("Whether the answer ends with a question", example=True)

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

    text: Text | None = optional(
        "What is said; {cue} stands for the value of a cue", example="Say that the money goes back by {payment_type}."
    )
    snippet: Name | None = optional(
        "Name of a sentence under snippets, said in place of a text", example="order_number"
    )
    when: Clauses | None = optional(
        "Said only if all of these hold: cue -> value, list of values, or presence",
        example={"tier": "pro", "order_status": ["packed", "shipped"]},
    )
    unless: Clauses | None = optional("Not said if all of these hold", example={"order_known": True})
    check: CheckForm | None = optional("A test of the answer", example={"mentions_any": ["order number"]})
    id: Annotated[str, AfterValidator(_identity), WithJsonSchema({"type": "string", "pattern": f"^{_ID}$"})] | None = (
        optional("A name for traces; otherwise path, level and position", example="refund.way")
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

    text: Text = Field(
        description="What a user may write, in the long form for texts that hold colons or braces",
        examples=["Order 7: where is it?"],
    )
    generated: bool = Field(
        default=False, description="true: no customer wrote it; it trains but certifies nothing", examples=[True]
    )


class ExampleFile(ClosedModel):
    """A text file of examples."""

    file: Text = Field(
        description="Instead of text: a file of this pack, relative to this one, with one example a line",
        examples=["refund_examples.txt"],
    )
    generated: bool = Field(
        default=False, description="true: no customer wrote them; they train but certify nothing", examples=[True]
    )


def _example_kind(value: Any) -> str:
    if isinstance(value, dict):
        return "<file>" if "file" in value else "<example>"
    return "<text>"


Example: TypeAlias = Annotated[
    Annotated[Text, Tag("<text>")] | Annotated[ExampleText, Tag("<example>")] | Annotated[ExampleFile, Tag("<file>")],
    Discriminator(_example_kind),
]


class ModelForm(ClosedModel):
    """Which model serves a task, and sampling parameters for it where the client set none."""

    use: Alias | None = optional("Model alias of router.yaml", example="careful")
    temperature: float | None = optional("How freely the model draws", example=0.2, ge=0, le=2)
    top_p: float | None = optional("Share of the likeliest tokens to draw from", example=0.9, gt=0, le=1)
    top_k: int | None = optional("Number of the likeliest tokens to draw from", example=40, ge=1)
    min_p: float | None = optional("Least probability, as a share of the likeliest token's", example=0.05, ge=0, le=1)
    max_tokens: int | None = optional("Longest answer (older name)", example=400, ge=1)
    max_completion_tokens: int | None = optional("Longest answer, reasoning included", example=400, ge=1)
    presence_penalty: float | None = optional("Penalty for tokens that occurred", example=0.5, ge=-2, le=2)
    frequency_penalty: float | None = optional("Penalty by how often a token occurred", example=0.5, ge=-2, le=2)
    repetition_penalty: float | None = optional("Factor for repeated tokens (vLLM and others)", example=1.1, gt=0, le=2)
    seed: int | None = optional("Seed of the draw", example=7)
    stop: Annotated[Annotated[Text, Tag("<text>")] | Annotated[list[Text], Tag("<list>")], TEXT_OR_LIST] | None = (
        optional("Texts that end the answer", example=["END"])
    )
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = optional(
        "How much the model reasons", example="low"
    )
    verbosity: Literal["low", "medium", "high"] | None = optional("How much the model says", example="low")


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

    about: Text | None = optional(
        "What the task is about, in words for people (and a little for recognition)",
        example=(
            "The customer wants money back for something they bought. Where it is, belongs to /billing/refund_status."
        ),
    )
    when_asked: _Heading | None = optional(
        "What the customer wants, in at most 40 words: it heads the task's text in a shortlist. Without it, the first "
        "sentence of about does",
        example="The customer wants money back",
    )
    complexity: Literal["core", "standard", "complex"] | None = optional(
        "Where the level starts: core at brief, standard at guided, complex at detailed. `settings.levels` moves it by"
        " the request, but a complex task never down",
        example="complex",
    )
    level: Start | None = optional(
        "Where the level starts, whatever else says so: a level, or one by the cue complexity. A request whose "
        "complexity is not listed starts where it would without this key",
        example="brief",
    )
    stakes: Literal["normal", "high"] | None = optional(
        "high: recognised only when very sure, tried with care", example="high"
    )
    courtesy: bool | None = optional(
        "true: thanks, praise and the like, which ask for nothing beside a request; the task wins only when nothing "
        "else speaks",
        example=True,
    )
    examples: list[Example] | None = optional(
        "What users write: a dozen varied ones, as texts, {text: ...} or {file: ...}",
        example=["I want my money back", "can I get a refund?"],
    )
    brief: _Lines | None = optional(
        "Instructions said from level brief on: one text, or a list", example="Help the customer get a refund."
    )
    guided: _Lines | None = optional(
        "Added at level guided: guided says brief, then guided",
        example=["Ask for the order number.", "Name the rule that you apply, and the next step."],
    )
    detailed: _Lines | None = optional(
        "Added at level detailed",
        example=["If no refund applies, offer what does - repair, exchange or credit - before you refuse."],
    )
    required: _Lines | None = optional(
        "Said at every level but off, never dropped for the budget, not to be switched off by a client",
        example=["Never promise a refund before eligibility is checked."],
    )
    model: ModelForm | None = optional(
        "Model alias and parameters for this task", example={"use": "careful", "temperature": 0.2}
    )
    tests: list[TrialForm] | None = optional(
        "Tests of the decision",
        example=[{"ask": "My blender arrived broken and I want my money back", "expect": {"reach": "/billing/refund"}}],
    )
    off: bool | None = optional("true: this task and all below it are left out", example=True)
    tasks: dict[Name, TaskForm] | None = optional(
        "Tasks below this one, by name", example={"refund": {"brief": "Help the customer get a refund."}}
    )


class AuxiliaryForm(ClosedModel):
    """A rule for calls that machines make for themselves; all given keys must hold. They get required text alone."""

    name: Name = Field(description="Shown in reasons", examples=["title"])
    system_contains: Texts | None = optional(
        "The system text holds one of these", example="You write titles of conversations"
    )
    user_starts: Texts | None = optional("The newest user turn begins with one of these", example="Generate a title")
    user_contains: Texts | None = optional("The newest user turn holds one of these", example=["### Task:"])
    max_tokens_below: int | None = optional("The client asks for fewer tokens than this", example=50, ge=1)
    stream: bool | None = optional("Whether the client asks for a stream; people cannot type it", example=False)

    @model_validator(mode="after")
    def _something(self) -> AuxiliaryForm:
        if self.model_fields_set == {"name"}:
            raise wrong("the rule matches every request", "add what it recognises, such as user_starts")
        return self


class PackForm(TaskForm):
    """The root of a pack: what holds for every request. Files of tasks hold the keys of a task only."""

    name: Name | None = optional("Name of the policy; otherwise that of its folder or file", example="customer-support")
    extends: Text | None = optional(
        "A sibling pack's name, or the path to one: this pack starts from it. Task by task and key by key this one has"
        " the last word; examples, unrelated, boilerplate, user_words and dialogues are added",
        example="customer-support",
    )
    settings: SettingsForm | None = optional("How the pack behaves as a whole", example={"budget_tokens": 600})
    cues: dict[Name, CueForm] | None = optional(
        "Facts about a request, by name",
        example={"tier": {"values": ["free", "pro"], "from": {"header": "customer-tier"}}},
    )
    snippets: dict[Name, Text] | None = optional(
        "Sentences that several tasks use, by name", example={"order_number": "Ask for the order number."}
    )
    metrics: dict[Name, MetricForm] | None = optional(
        "What feedback may report, by name", example={"resolved": {"type": "boolean", "primary": True, "default": True}}
    )
    signals: dict[Name, SignalForm] | None = optional(
        "What the way a conversation goes on says of its answers, by name",
        example={"thanks": {"user_says": "(?i)thank", "says": {"resolved": True}}},
    )
    judge: JudgeForm | None = optional(
        "A model that judges the answers of some conversations",
        example={"model": "careful", "metric": "quality", "rubric": "The next step is named."},
    )
    auxiliary: list[AuxiliaryForm] | None = optional(
        "Calls that machines make: only required text is added",
        example=[{"name": "title", "user_starts": "Generate a title", "stream": False}],
    )
    boilerplate: list[Pattern] | None = optional(
        "Patterns (RE2) cut from user turns when recognising", example=["(?i)sent from my phone"]
    )
    user_words: list[WordsPlace] | None = optional(
        "Where an app puts the user's own words in a user turn: a tag such as <question>, or a pattern (RE2) with one"
        " group. Recognition reads nothing else there; of several places it reads the last",
        example=["<question>"],
    )
    unrelated: list[Example] | None = optional(
        "What users write that is none of the tasks", example=["What will the weather be like?"]
    )
    dialogues: list[DialogueLines] | None = optional(
        "Conversations with the task of each user's turn; recognition learns its pace by them",
        example=[
            [
                {"user": "refund please", "task": "/billing/refund"},
                {"assistant": "The order number?"},
                {"user": "It is 12345"},
            ]
        ],
    )
