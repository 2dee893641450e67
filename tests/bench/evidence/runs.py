"""Runs of real models on SOPBench's tasks, in pairs: with every procedure and tool of a domain, and with the task's only.

Two runs are a pair where model, way of calling tools and task are the same, to the wording of the request. A run is
judged by SOPBench's own evaluation (`success`). A prompt's words are those of its system text; definitions of tools,
which are not in the files, come on top.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from tests.bench.evidence.clone import Clone, Unreadable

CALLED, TEXT = "fc", "react"
"""How a model calls tools: by the API's function calls, or in the text of its answer."""

_TASKS = re.compile(r"data/(\w+)_tasks\.json")
_RUNS = re.compile(
    rf"output/(\w+)/(usr_adv-)?ast_(.+)-mode_({CALLED}|{TEXT})-dep_full-fmt_structured-tool_(full|oracle)-shuffle_False\.json"
)
_LISTS = "### Actions"
"""Where a system text comes to the procedures: what stands above is general."""

TASK = ("user_goal", "user_prompt", "user_known", "constraints", "constraint_parameters", "initial_database")
"""What makes two tasks the same."""


Taken = TypeVar("Taken")


class Run(NamedTuple):
    """One run: whether it succeeded, whether its task ought to be done, its system text, and the first thing said."""

    success: bool
    allowed: bool
    goal: str
    prompt: str
    system: str
    said: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A task that one model ran with everything and with only what the task needs."""

    domain: str
    model: str
    how: str
    everything: Run
    only: Run

    @property
    def goal(self) -> str:
        """The procedure that is asked for, as the path of a task."""
        return f"/{self.domain}/{self.everything.goal}"

    @property
    def prompt(self) -> str:
        """What the user asks."""
        return self.everything.prompt


class Pressed(NamedTuple):
    """A task run with everything by a user who presses for haste, beside the same without; and with only the task's."""

    domain: str
    model: str
    goal: str
    pressed: bool
    everything: bool
    only: bool | None


@dataclass(slots=True)
class Found:
    """What a clone was found to hold. `goals` has each goal's requests; `spoilt` are files that could not be read."""

    goals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    pressed: list[Pressed] = field(default_factory=list)
    pressure: str = ""
    spoilt: list[str] = field(default_factory=list)
    left_out: int = 0

    def called(self, how: str = CALLED) -> list[Pair]:
        """Return the pairs of a way of calling tools."""
        return [pair for pair in self.pairs if pair.how == how]

    def counts(self) -> dict[str, int]:
        """Return what published figures rest on, to be compared."""
        called = self.called()
        return {
            "goals": len(self.goals),
            "requests": sum(map(len, self.goals.values())),
            "pairs": len(called),
            **{f"pairs in {domain}": n for domain, n in sorted(Counter(pair.domain for pair in called).items())},
            "pairs called by text": len(self.called(TEXT)),
            "models": len({pair.model for pair in called}),
            "runs under pressure": len(self.pressed),
            "files left out": self.left_out,
            "files that cannot be read": len(self.spoilt),
        }


class _Key(NamedTuple):
    domain: str
    model: str
    how: str


def load(clone: Clone) -> Found:
    """Return the goals of a clone, with their requests, and its runs in pairs."""
    found = Found(left_out=sum(bool(_RUNS.fullmatch(name)) for name in clone.left_out))
    files: dict[_Key, dict[str, str]] = {}
    for name in sorted(clone.files):
        if domain := _TASKS.fullmatch(name):
            found.goals |= _read(clone, name, found, lambda content, domain=domain[1]: _goals(content, domain))
        elif part := _RUNS.fullmatch(name):
            files.setdefault(_Key(part[1], part[3], part[4]), {})[(part[2] or "") + part[5]] = name
    for key, there in files.items():
        _pair(clone, key, there, found)
    if not found.goals or not found.pairs:
        raise Unreadable(
            f"{clone.folder} is no clone of SOPBench: {len(found.goals)} goals and {len(found.pairs)} pairs of runs in it"
        )
    return found


def _pair(clone: Clone, key: _Key, there: Mapping[str, str], found: Found) -> None:
    def runs(which: str) -> dict[str, Run]:
        return _read(clone, there[which], found, _runs) if which in there else {}

    only, pressed = runs("oracle"), runs("usr_adv-full")
    if not only and not pressed:
        return  # the longest file need not be read
    everything = runs("full")
    for task in sorted(everything.keys() & only.keys()):
        found.pairs.append(Pair(*key, everything[task], only[task]))
    for task in sorted(everything.keys() & pressed.keys()):
        run, beside = pressed[task], only.get(task)
        goal = f"/{key.domain}/{run.goal}"
        found.pressed.append(
            Pressed(key.domain, key.model, goal, run.success, everything[task].success, beside and beside.success)
        )
        if not found.pressure and run.said.startswith(run.prompt):
            found.pressure = run.said.removeprefix(run.prompt).strip()


def _read(clone: Clone, name: str, found: Found, take: Callable[[Any], dict[str, Taken]]) -> dict[str, Taken]:
    """Return what is taken from a file; nothing of a file that is not of the form expected, which is noted."""
    try:
        return take(json.loads(clone.read(name)))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        found.spoilt.append(name)
        return {}


def _goals(content: Any, domain: str) -> dict[str, tuple[str, ...]]:
    """Return a domain's goals and, of each, the requests."""
    return {
        f"/{domain}/{goal}": tuple(sorted({str(task["user_prompt"]).strip() for task in tasks}))
        for goal, tasks in content.items()
    }


def _runs(content: Any) -> dict[str, Run]:
    """Return the runs that were evaluated, each under what makes its task the same."""
    found = {}
    for row in content:
        task, told, judged = row["task"], row["interactions"], row.get("evaluations")
        if judged and told:
            found[json.dumps([task[part] for part in TASK], sort_keys=True)] = Run(
                bool(judged[0]["success"]),
                bool(task["action_should_succeed"]),
                str(task["user_goal"]),
                str(task["user_prompt"]).strip(),
                str(told[0]["prompt"]),
                str(told[0]["interaction"][0]["content"]).strip(),
            )
    return found


def words(text: str) -> int:
    """Return how many words a text has."""
    return len(text.split())


def general(text: str) -> str:
    """Return what stands in a system text before its procedures, white space apart."""
    return " ".join(text.partition(_LISTS)[0].split())
