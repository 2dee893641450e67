"""The public data sets that recognition is measured on, and packs made of them.

CLINC150 (Larson et al. 2019), Banking77 (Casanueva et al. 2020) and a sample of Schema-Guided Dialogue (Rastogi et al.
2020), in the folders `clinc150`, `banking77` and `sgd` of BENCH_DATA, by default of `../shared/data` beside the project.

CLINC150's intents lie below its ten domains. Banking77 has none, so its tasks stand at the top of the tree: one domain
invented above them would be right nearly always, and every message that backs off to it would count as recognised.
"""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from router.core.policy import ROOT, Policy, Task, lineage
from tests.support.serving import ROOT as PROJECT

OPENINGS_PER_TASK = 40
"""Of Schema-Guided Dialogue, a pack gets at most so many of the turns that open a task."""


class Row(NamedTuple):
    """A message and the path of the task that it asks for."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Messages:
    """A data set of single messages. `outside` and `outside_train` are the official ones that no task answers."""

    name: str
    train: tuple[Row, ...]
    test: tuple[Row, ...]
    outside: tuple[str, ...] = ()
    outside_train: tuple[str, ...] = ()

    @property
    def deep(self) -> bool:
        """Whether tasks lie below domains."""
        return self.train[0].path.count("/") > 1


class Said(NamedTuple):
    """A user turn of a dialogue: the assistant's words before it, its own, and the tasks active at it."""

    reply: str
    text: str
    tasks: frozenset[str]
    opened: frozenset[str]


def data_folder() -> Path:
    """Return the folder of the data sets."""
    return Path(os.environ.get("BENCH_DATA") or PROJECT.parent / "shared" / "data").resolve()


def why_missing(folder: Path) -> str:
    """Return what is not there, in words; the empty string when everything is."""
    needed = ("clinc150/data_full.json", "clinc150/domains.json", "banking77/train.csv", "banking77/test.csv")
    absent = [name for name in (*needed, "sgd/train.jsonl", "sgd/dev.jsonl") if not (folder / name).is_file()]
    if not absent:
        return ""
    return f"{folder} lacks {', '.join(absent)}; name the folder of CLINC150, Banking77 and SGD in BENCH_DATA"


@cache
def clinc150(folder: Path) -> Messages:
    """Return CLINC150, its full version."""
    content = json.loads((folder / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((folder / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    paths = {task: f"/{domain}/{task}" for domain, tasks in domains.items() for task in tasks}

    def rows(name: str) -> tuple[Row, ...]:
        return tuple(Row(text, paths[task]) for text, task in content[name])

    return Messages(
        "CLINC150",
        rows("train"),
        rows("test"),
        tuple(text for text, _ in content["oos_test"]),
        tuple(text for text, _ in content["oos_train"] + content["oos_val"]),
    )


@cache
def banking77(folder: Path) -> Messages:
    """Return Banking77."""

    def rows(name: str) -> tuple[Row, ...]:
        with (folder / "banking77" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return tuple(Row(row["text"], f"/{row['category']}") for row in csv.DictReader(file))

    return Messages("Banking77", rows("train"), rows("test"))


SETS = {"CLINC150": clinc150, "Banking77": banking77}


def dialogues(folder: Path, part: str) -> list[list[Said]]:
    """Return the user turns of each dialogue of `train` or `dev`."""
    lines = (folder / "sgd" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [_said(json.loads(line)["turns"]) for line in lines]


def _said(turns: Iterable[dict[str, Any]]) -> list[Said]:
    found: list[Said] = []
    reply, before = "", frozenset[str]()
    for turn in turns:
        if "user" not in turn:
            reply = str(turn["assistant"])
            continue
        tasks = frozenset(turn["task"])
        found.append(Said(reply, str(turn["user"]), tasks, tasks - before))
        reply, before = "", tasks or before
    return found


def openings(spoken: Iterable[Sequence[Said]], seed: int, most: int = OPENINGS_PER_TASK) -> list[Row]:
    """Return the turns that open one task, at most `most` a task."""
    rows = [Row(turn.text, *turn.opened) for turns in spoken for turn in turns if len(turn.opened) == 1]
    return draw(rows, most, seed)


def draw(rows: Sequence[Row], shots: int | None, seed: int) -> list[Row]:
    """Return `shots` rows of each task (all where it has fewer, or for None), in the order of their paths."""
    by_path: dict[str, list[Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    dice = random.Random(seed)
    return [
        row
        for _, there in sorted(by_path.items())
        for row in (there if shots is None or shots >= len(there) else dice.sample(there, shots))
    ]


def policy_of(rows: Iterable[Row], unrelated: Sequence[str] = (), **more: Any) -> Policy:
    """Return a pack with these examples and nothing else; parents are made as needed."""
    examples: dict[str, dict[str, None]] = {}
    for text, path in rows:
        examples.setdefault(path, {})[text] = None
    paths = sorted({step for path in examples for step in lineage(path)}, key=_in_tree)
    children: dict[str, list[str]] = {}
    for path in paths[1:]:
        children.setdefault(path.rpartition("/")[0] or ROOT, []).append(path)
    tasks = {
        path: Task(path, examples=tuple(examples.get(path, ())), children=tuple(children.get(path, ())))
        for path in paths
    }
    return Policy("measured", "1", tasks, unrelated=tuple(unrelated), **more)


def domain_of(path: str) -> str:
    """Return the top-level branch of a path.

    >>> domain_of("/banking/transfer")
    '/banking'
    """
    return "/" + path.split("/", 2)[1]


def _in_tree(path: str) -> list[str]:
    return path.split("/") if path != ROOT else []
