"""Tests that a pack carries, as an operator writes them and as they are judged: what is asked, what is expected.

Judging is pure and says nothing about how the decision came to be; running a test is the business of the engine.
Phrases are looked for in the added text whatever their case and line breaks. A test whose name begins with `todo_`, or
that is marked `todo: true`, is to be reported as skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from router.core.decision import Decision, Outcome
from router.core.evidence import LEAST_LISTED, MOST_LISTED
from router.core.policy import CueValue, Level
from router.packs.words import (
    PATH,
    ClosedModel,
    Fact,
    LevelName,
    TaskPath,
    TaskPaths,
    Text,
    Texts,
    exactly_one,
    one_of,
    optional,
    wrong,
)


def _listed(paths: list[str]) -> tuple[str, ...]:
    if len(set(paths)) < len(paths) or not LEAST_LISTED <= len(paths) <= MOST_LISTED:
        found = f"{len(set(paths))} task{'' if len(set(paths)) == 1 else 's'}"
        hint = "for one task write reach: with its path" if len(set(paths)) < LEAST_LISTED else "each once"
        raise wrong(f"a shortlist has {LEAST_LISTED} to {MOST_LISTED} different tasks, not {found}", hint)
    return tuple(paths)


Shortlisted: TypeAlias = Annotated[
    list[TaskPath],
    AfterValidator(_listed),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string", "pattern": f"^{PATH}$"},
            "minItems": LEAST_LISTED,
            "maxItems": MOST_LISTED,
            "uniqueItems": True,
        }
    ),
]


class ExpectForm(ClosedModel):
    """What a test expects of the decision; at least one key."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    task: TaskPath | None = optional("The task that is settled on, as a path", example="/billing/refund")
    tasks: TaskPaths | None = optional(
        "All settled tasks, in any order", example=["/billing/refund", "/delivery/track_parcel"]
    )
    reach: TaskPath | None = optional("A task whose text is sent, plainly or as a case", example="/billing/refund")
    shortlist: Shortlisted | None = optional(
        "All tasks that are said as cases, in any order", example=["/billing/refund", "/billing/refund_status"]
    )
    level: LevelName | None = optional("The level at which the task, or the one to reach, speaks", example="guided")
    says: Texts | None = optional("Phrases that the added text holds, whatever their case", example=["eligibility"])
    not_says: Texts | None = optional("Phrases that the added text does not hold", example=["delivery slot"])
    tokens_max: int | None = optional("The most tokens that are added", example=300, ge=0)
    outcome: Outcome | None = optional("How the decision came about", example="classified")

    @model_validator(mode="after")
    def _something(self) -> ExpectForm:
        if not self.model_fields_set:
            raise wrong("expect names nothing", "for example expect: {task: /billing/refund}")
        return self


class TrialForm(ClosedModel):
    """A test of the pack: a message or a dialogue, and what is expected."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("ask", "talk")))

    name: Text | None = optional("Shown in reports; one that begins with todo_ is skipped", example="a broken blender")
    ask: Text | None = optional("What the user writes", example="I want my money back")
    talk: list[Text] | None = optional(
        "User and assistant in turn, a user's turn last",
        example=["refund please", "What is the order number?", "It is 12345"],
        min_length=1,
    )
    with_: dict[str, Fact] | None = optional("Cues of the request", example={"tier": "pro"}, alias="with")
    expect: ExpectForm = Field(
        description="What the decision must be like", examples=[{"reach": "/billing/refund", "says": "eligibility"}]
    )
    todo: bool = Field(default=False, description="true: reported as skipped", examples=[True])

    @model_validator(mode="after")
    def _turns(self) -> TrialForm:
        one_of(("ask", "talk"), self.model_fields_set, "a test")
        if self.talk is not None and len(self.talk) % 2 == 0:
            raise wrong("talk ends with the assistant", "user and assistant take turns, and the last turn is a user's")
        return self


@dataclass(frozen=True, slots=True)
class Expected:
    """What a test expects; None and the empty tuple expect nothing."""

    task: str | None = None
    tasks: tuple[str, ...] = ()
    reach: str | None = None
    shortlist: tuple[str, ...] = ()
    level: Level | None = None
    says: tuple[str, ...] = ()
    not_says: tuple[str, ...] = ()
    tokens_max: int | None = None
    outcome: Outcome | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """All tasks that it names, each once."""
        named = (self.task or "", *self.tasks, self.reach or "", *self.shortlist)
        return tuple(dict.fromkeys(filter(None, named)))


@dataclass(frozen=True, slots=True)
class PackTest:
    """One test: a dialogue, the request's cues, and what is expected.

    `turns` are texts, the user's and the assistant's in turn, the first and the last the user's. `task` is the task
    that the test is written at; `file` and `line` say where it stands.
    """

    name: str
    task: str
    file: str
    line: int
    turns: tuple[str, ...]
    expected: Expected
    cues: Mapping[str, CueValue] = field(default_factory=lambda: MappingProxyType({}))
    todo: bool = False

    @property
    def place(self) -> str:
        """Where the test stands, as file:line."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One expectation that a decision did not meet. `what` is its key under `expect`."""

    what: str
    expected: str
    got: str


def judge(test: PackTest, decision: Decision) -> tuple[Mismatch, ...]:
    """Return where a decision is not what the test expects; empty when it passes."""
    expected = test.expected
    found: list[Mismatch] = []

    def compare(what: str, wanted: object, got: object) -> None:
        if wanted is not None and wanted != got:
            found.append(Mismatch(what, str(wanted), str(got)))

    compare("outcome", expected.outcome, decision.outcome)
    compare("task", expected.task, decision.task)
    for what, wanted, got in (
        ("tasks", expected.tasks, decision.tasks),
        ("shortlist", expected.shortlist, decision.listed),
    ):
        compare(what, ", ".join(sorted(wanted)) or None, ", ".join(sorted(got)))
    if expected.reach is not None and expected.reach not in decision.reached:
        found.append(Mismatch("reach", expected.reach, ", ".join((*decision.tasks, *decision.listed))))
    spoken = decision.level if expected.reach is None else decision.levels.get(expected.reach, Level.OFF)
    compare("level", None if expected.level is None else expected.level.word, spoken.word)
    text = _folded(decision.text)
    found += [Mismatch("says", phrase, decision.text) for phrase in expected.says if _folded(phrase) not in text]
    found += [Mismatch("not_says", phrase, decision.text) for phrase in expected.not_says if _folded(phrase) in text]
    if expected.tokens_max is not None and decision.tokens > expected.tokens_max:
        found.append(Mismatch("tokens_max", str(expected.tokens_max), str(decision.tokens)))
    return tuple(found)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
