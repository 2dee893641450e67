"""Files of examples that lie beside a pack: what users write in other languages, or simply more of it.

Rules. Beside the `policy.yaml` of a folder they are called `examples.TAG.yaml`, beside a pack of one file `shop.yaml`
they are called `shop.examples.TAG.yaml`; no policy names them. A tag has the letters of a name and says nothing. They
lie nowhere else: a task has no dot in its name, so no file can be taken for one of these, and none of these for a task.

What they hold is added to the examples of the tasks that they name, and to `unrelated`. Which file a text stands in,
and in which order, has no meaning: the texts of all of them come behind the task's own, sorted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from router.core.errors import Fault
from router.packs.forms import Example
from router.packs.words import NAME, ClosedModel, Language, TaskPath, optional

EXAMPLES = "examples"


class ExamplesForm(ClosedModel):
    """A file of examples: texts by task, usually in another language than those of the pack."""

    language: Language | None = optional(
        "The language of these texts, which reports know them by (ISO 639-1)", example="de"
    )
    generated: bool = Field(
        default=False,
        description="true: no customer wrote them; they train but certify nothing. An item may differ",
        examples=[True],
    )
    examples: dict[TaskPath, list[Example]] | None = optional(
        "What users write, by the path of the task, which may be one of a pack that this one extends",
        example={"/billing/refund": ["Ich möchte mein Geld zurück"]},
    )
    unrelated: list[Example] | None = optional(
        "What users write that is none of the tasks", example=["Wie wird das Wetter morgen?"]
    )


def is_examples(stem: str) -> bool:
    """Say whether a file of this name, without its ending, is one of examples."""
    return f".{EXAMPLES}." in f".{stem}"


def example_files(root_file: Path, own: str, suffixes: tuple[str, ...], faults: list[Fault]) -> Iterator[Path]:
    """Yield the files of examples beside a pack's root file, by name; `own` is the stem of a folder's root file.

    A tag that is none is a fault. A folder that may not be listed has none.
    """
    try:
        with os.scandir(root_file.parent) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError:
        return
    before = f"{EXAMPLES}." if root_file.stem == own else f"{root_file.stem}.{EXAMPLES}."
    for name in names:
        file = root_file.parent / name
        if not name.startswith(before) or file.suffix not in suffixes:
            continue
        tag = file.stem.removeprefix(before)
        if re.fullmatch(NAME, tag):
            yield file
        else:
            near = re.sub(r"[^a-z0-9_-]+", "-", tag.lower()).strip("_-") or "de"
            message = f'"{tag[:60]}" is no tag for a file of examples: only a-z, 0-9, _ and -'
            faults.append(Fault(str(file), 1, message, f"rename it, for example {before}{near}{file.suffix}"))
