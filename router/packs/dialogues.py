"""Labelled dialogues, as an operator may write them and as the policy holds them: the task beside each user's turn.

Three ways lead to the same: a list of turns in YAML, a file of JSON lines that the list names, and, in such a file, a
line `{"turns": [...]}` or the bare list of turns.

Rules. A user's turn without a task stays with the task of the user's turn before; the first one must name its own, `/`
where it is none of the tasks. The assistant may speak first, and either may speak twice in a row. A dialogue that is
written twice counts once. A dialogue that names a task which is `off` is left out, as the tests of that task are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from router.core.errors import Fault, did_you_mean
from router.core.policy import Dialogue, DialogueTurn, lineage
from router.packs.reading import YamlNode
from router.packs.words import ClosedModel, TaskPath, Text, by_kind, exactly_one, one_of, optional, wrong

SPEAKERS = ("user", "assistant")

MAX_TURNS = 500
"""Turns of one dialogue: about as many as are decided one by one (512 user turns)."""


class TurnForm(ClosedModel):
    """One turn of a dialogue: what the user or the assistant said."""

    model_config = ConfigDict(
        json_schema_extra={**exactly_one(SPEAKERS), "dependentRequired": {"task": ["user"]}},
    )

    user: Text | None = optional("What the user said", example="I want my money back")
    assistant: Text | None = optional("What the assistant said", example="What is the order number?")
    task: TaskPath | None = optional(
        "The task the user is at, as a path; / for none of them; left out, that of the user's turn before",
        example="/billing/refund",
    )

    @model_validator(mode="after")
    def _one_speaker(self) -> TurnForm:
        one_of(SPEAKERS, self.model_fields_set, "a turn")
        if self.task is not None and self.user is None:
            raise wrong("a turn of the assistant has no task", "write the task beside what the user said")
        return self


_Turns: TypeAlias = Annotated[list[TurnForm], Field(min_length=1, max_length=MAX_TURNS)]


class DialogueForm(ClosedModel):
    """One line of a file of dialogues."""

    turns: _Turns = Field(
        description="The turns of one conversation; a line of the file holds them",
        examples=[[{"user": "I want my money back", "task": "/billing/refund"}]],
    )


class DialogueFile(ClosedModel):
    """A file of dialogues."""

    file: Text = Field(
        description='File of this pack, relative to this one, with one {"turns": [...]} a line (JSON)',
        examples=["dialogues.jsonl"],
    )

    @model_validator(mode="before")
    @classmethod
    def _no_turn(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.keys().isdisjoint(SPEAKERS):
            raise wrong("a dialogue is a list of turns, and this is one turn", "write one more dash before its first")
        return value


DialogueLines: TypeAlias = Annotated[
    Annotated[_Turns, Tag("<turns>")] | Annotated[DialogueFile, Tag("<file>")],
    Discriminator(by_kind(**{"<turns>": list, "<file>": dict})),
]


@dataclass(frozen=True, slots=True)
class DialogueDraft:
    """A dialogue as written. `node` is its list of turns."""

    turns: tuple[TurnForm, ...]
    node: YamlNode

    def is_about(self, tasks: set[str]) -> bool:
        """Say whether some turn names one of these tasks, or a task below one."""
        return any(turn.task is not None and tasks.intersection(lineage(turn.task)) for turn in self.turns)


def build_dialogues(
    drafts: Iterable[DialogueDraft], tasks: Iterable[str], faults: list[Fault]
) -> Mapping[Dialogue, tuple[str, int]]:
    """Return the dialogues in their order, each with its place; a task that does not exist becomes a fault."""
    known = frozenset(tasks)
    found: dict[Dialogue, tuple[str, int]] = {}
    for dialogue in drafts:
        turns: list[DialogueTurn] = []
        task: str | None = None
        user_spoke = False
        for i, form in enumerate(dialogue.turns):
            if form.user is None:
                turns.append(DialogueTurn("assistant", form.assistant or ""))
                continue
            node = dialogue.node.at(i)
            if form.task is not None and form.task not in known:
                faults.append(node.at("task").fault(f"there is no task {form.task}", did_you_mean(form.task, known)))
            elif form.task is None and not user_spoke:
                hint = "add task: the path, or / if it is none of the tasks"
                faults.append(node.fault("the user's first turn has no task", hint))
            user_spoke = True
            task = form.task or task
            turns.append(DialogueTurn("user", form.user, task or ""))
        if not user_spoke:
            faults.append(dialogue.node.fault("the user says nothing in this dialogue", "remove it"))
        found.setdefault(Dialogue(tuple(turns)), dialogue.node.place)
    return found
