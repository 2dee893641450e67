"""Labelled dialogues as an operator may write them: turns in order, the task beside each of the user's.

Three ways lead to the same: a list of turns in YAML, a file of JSON lines that the list names, and, in such a file, a
line `{"turns": [...]}` or the bare list of turns.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from router.packs.words import Form, TaskPath, Text, by_kind, exactly_one, one_of, wrong

SPEAKERS = ("user", "assistant")

MAX_TURNS = 500
"""Turns of one dialogue: about as many as are decided one by one (512 user turns)."""


class TurnForm(Form):
    """One turn of a dialogue: what the user or the assistant said."""

    model_config = ConfigDict(
        json_schema_extra={**exactly_one(SPEAKERS), "dependentRequired": {"task": ["user"]}},
    )

    user: Text | None = Field(default=None, description="What the user said")
    assistant: Text | None = Field(default=None, description="What the assistant said")
    task: TaskPath | None = Field(
        default=None,
        description="The task the user is at, as a path; / for none of them; left out, that of the user's turn before",
    )

    @model_validator(mode="after")
    def _one_speaker(self) -> TurnForm:
        one_of(SPEAKERS, self.model_fields_set, "a turn")
        if self.task is not None and self.user is None:
            raise wrong("a turn of the assistant has no task", "write the task beside what the user said")
        return self


Turns: TypeAlias = Annotated[list[TurnForm], Field(min_length=1, max_length=MAX_TURNS)]


class DialogueForm(Form):
    """One line of a file of dialogues."""

    turns: Turns = Field(description="The turns in order")


class DialogueFile(Form):
    """A file of dialogues."""

    file: Text = Field(description='File of this pack, relative to this one, with one {"turns": [...]} a line (JSON)')

    @model_validator(mode="before")
    @classmethod
    def _no_turn(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value.keys().isdisjoint(SPEAKERS):
            raise wrong("a dialogue is a list of turns, and this is one turn", "write one more dash before its first")
        return value


DialogueLines: TypeAlias = Annotated[
    Annotated[Turns, Tag("<turns>")] | Annotated[DialogueFile, Tag("<file>")],
    Discriminator(by_kind(**{"<turns>": list, "<file>": dict})),
]
