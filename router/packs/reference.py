"""The reference of the pack format: every key with what it is and an example, made from the models.

    python -m router.packs.schema policies

writes it, together with the JSON Schemas. A form has its place in SECTIONS, a key its words and its example in the
form, so that the page, what an editor shows and what the loader takes are one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from router.packs.accepted import ErrorForm, ThresholdForm
from router.packs.cues import CueForm, PresenceForm, SourceForm
from router.packs.dialogues import DialogueFile, DialogueForm, TurnForm
from router.packs.encoders import CascadeForm
from router.packs.example_files import ExamplesForm
from router.packs.forms import (
    AuxiliaryForm,
    CheckForm,
    ExampleFile,
    ExampleText,
    InstructionForm,
    ModelForm,
    PackForm,
    TaskForm,
)
from router.packs.outcomes import JudgeForm, MetricForm, SignalForm
from router.packs.settings_form import LevelsForm, SettingsForm
from router.packs.trial import ExpectForm, TrialForm


class KeyTable(NamedTuple):
    """A table of keys: those of a form, but for keys of earlier releases, under a sentence of its own."""

    form: type[BaseModel]
    before: str = ""
    older: bool = False


SECTIONS: Mapping[str, tuple[KeyTable, ...]] = {
    "The root of a pack": (KeyTable(PackForm, "The root has the keys of a task as well."),),
    "A task": (KeyTable(TaskForm),),
    "An example": (
        KeyTable(ExampleText, "A text, or:"),
        KeyTable(
            ExampleFile,
            "Many of them may stand in a file. A text that is given as generated in one place and as a customer's in"
            " another is a customer's:",
        ),
    ),
    "A file of examples": (
        KeyTable(
            ExamplesForm,
            "`examples.TAG.yaml` beside the pack's `policy.yaml`, or `shop.examples.TAG.yaml` beside a pack of one file"
            " `shop.yaml`; [what it is for](packs.md#in-other-languages).",
        ),
    ),
    "An instruction": (
        KeyTable(InstructionForm, "A text, or:"),
        KeyTable(PresenceForm, "In `when` and `unless` a cue may be tested for being there at all:"),
    ),
    "A check of the answer": (KeyTable(CheckForm, "Exactly one of these:"),),
    "The model of a task": (KeyTable(ModelForm, "Parameters are set only where the client set none."),),
    "A test": (KeyTable(TrialForm), KeyTable(ExpectForm, "What is expected, at least one of:")),
    "Settings": (
        KeyTable(SettingsForm),
        KeyTable(LevelsForm, "By the request's complexity, for `settings.levels` and a task's `level`:"),
        KeyTable(ErrorForm, "For `error`:"),
        KeyTable(ThresholdForm, "For `thresholds`:"),
        KeyTable(CascadeForm, "For `cascade`:"),
        KeyTable(ErrorForm, "Of earlier releases, in `error`; `router check` says what to write:", older=True),
        KeyTable(ThresholdForm, "Of earlier releases, in `thresholds`:", older=True),
    ),
    "A cue": (
        KeyTable(CueForm, "Exactly one of `values`, `type`, `text` and `detect`, and what goes with it:"),
        KeyTable(SourceForm, "Its `from`; the header is asked first:"),
    ),
    "A metric": (KeyTable(MetricForm),),
    "A signal": (KeyTable(SignalForm, "Exactly one condition, and what it says:"),),
    "The judge": (KeyTable(JudgeForm),),
    "A rule for machines' own calls": (
        KeyTable(
            AuxiliaryForm,
            "An item of `auxiliary`; all given keys must hold. Such a call gets `required` text alone. A rule by the"
            " user's text alone fires only in a call whose only user turn it is.",
        ),
    ),
    "A labelled dialogue": (
        KeyTable(TurnForm, "An item of `dialogues` is a list of turns, or a file:"),
        KeyTable(DialogueForm, "In a file:"),
        KeyTable(DialogueFile, "For a file:"),
    ),
}
"""Where the page tells of which forms."""

HEAD = """# Which keys does a pack have?

[How to write a pack](packs.md) tells it in order; this page is to look things up in. `make schema` writes it from the
models that read a pack, as it does `policies/schema.json` and `policies/examples.schema.json`, by which editors
complete and check. A default stands in brackets behind the words of its key. Examples are on one line to fit into a
table; in a pack, write lists as lines with a dash each.
"""


def kind_of(form: type[BaseModel]) -> str:
    """Return what a form describes, as one speaks of it.

    >>> kind_of(TaskForm), kind_of(SettingsForm)
    ('a task', 'settings')
    """
    title = next(title for title, parts in SECTIONS.items() if form in (part.form for part in parts))
    return title[0].lower() + title[1:]


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(line for title, parts in SECTIONS.items() for line in _section(title, parts))])


def _section(title: str, parts: tuple[KeyTable, ...]) -> Iterator[str]:
    yield f"## {title}\n"
    for part in parts:
        if part.before:
            yield f"{part.before}\n"
        yield "| key | what it is | example |\n|---|---|---|"
        yield from _rows(part)
        yield ""


def _rows(part: KeyTable) -> Iterator[str]:
    inherited = TaskForm.model_fields if part.form is PackForm else {}
    fields = {field.alias or name: field for name, field in part.form.model_fields.items() if name not in inherited}
    for key, field in fields.items():
        said = field.description or ""
        if said.startswith("Of earlier releases") == part.older:
            needed = "*Needed.* " if field.is_required() else ""
            example = f"`{key}: {_flow((field.examples or [None])[0])}`"
            yield f"| `{key}` | {needed}{_cell(said, field)} | {example.replace('|', chr(92) + '|')} |"


def _cell(said: str, field: FieldInfo) -> str:
    """Return the words of a key, and the values that it takes where the words do not name them."""
    said = re.sub(r"<\w+>", r"`\g<0>`", said)
    values = [value for value in _literals(field.annotation) if isinstance(value, str)]
    if all(re.search(rf"\b{value}\b", said) for value in values):
        return said
    return f"{said}. One of {', '.join(f'`{value}`' for value in values)}"


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
        return
    if get_origin(annotation) not in (list, dict, tuple):
        for inner in get_args(annotation):
            yield from _literals(inner)


_PLAIN = re.compile(r"[A-Za-z/][^,:#\[\]{}'\"|>&*!%@`]*")


def _flow(value: Any) -> str:
    """Return a value as YAML on one line: words bare where that is safe, all texts of more words in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and " " not in value and value not in ("true", "false"):
        return value
    return json.dumps(value, ensure_ascii=False)
