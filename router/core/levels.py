"""Level: how much each task on the lineage says.

Every task speaks at its own level, so turning one task's dial never changes a word of its ancestors: that is what makes
the text of a higher level an extension of the lower one, and what lets the level be tuned task by task.

Where tuning has turned a dial, or tries the level next to it, the dial's word replaces the start. Tasks below a dial
that have none of their own follow it: they say as much more, or less, than their own start as it does. A draw is a
keyed hash of the unit, never a random number, and a conversation takes part in one trial at most.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from router.core.learning import DialKey
from router.core.policy import ROOT, Level, Policy, Settings, Task

START = {"core": Level.BRIEF, "standard": Level.GUIDED, "complex": Level.DETAILED}
"""Where a task starts by its declared complexity (common-sense tasks need little detail, complex ones much)."""

CAUTIOUS_SHARE = 0.1
"""The most units that get a challenger at a task of high stakes, whatever the trial of its domain gives others."""

HOLDOUT = "holdout"
"""Names the draw of the units for which nothing is ever tuned."""


def start_level(task: Task, settings: Settings, complexity: str) -> Level:
    """Return the level at which `task` speaks where nothing is tuned, for requests of this complexity.

    The task's own `level` wins. Otherwise its declared complexity, else the pack's `level`, is the start; the request's
    complexity cue then raises it, or lowers it unless the task itself is declared complex.
    """
    own = task.levels.get(complexity, task.levels.get(""))
    if own is not None:
        return own
    start = START[task.complexity] if task.complexity else settings.level
    by_cue = settings.levels.get(complexity)
    if by_cue is None or start is Level.OFF:
        return start
    if by_cue < start and task.complexity == "complex":
        return start
    return by_cue


@dataclass(frozen=True, slots=True)
class Trial:
    """A level beside the one in force that is tried on the share of units that `draw` puts into it."""

    id: str
    challenger: Level
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Dial:
    """The tuned level of one task, None for where it starts, and the trial that is under way there."""

    level: Level | None = None
    trial: Trial | None = None


class Draw(NamedTuple):
    """What a trial drew for a conversation: whether the challenger, and with which probability.

    `node` is the task whose trial it is, `task` the settled path on whose lineage it lies.
    """

    trial: str
    node: str
    task: str
    challenger: bool
    share: float


class Asked(NamedTuple):
    """For whom levels are chosen: the unit, the request's complexity and model, and whether a draw was made before."""

    unit: str = ""
    complexity: str = ""
    model: str = ""
    drawn: bool = False


NOBODY = Asked()


class Choice(NamedTuple):
    """The levels between which a task's trial draws; equal where there is none."""

    level: Level
    challenger: Level
    trial: Trial | None
    node: str


@dataclass(frozen=True)
class Levels:
    """How the dials of one policy stand. Immutable, replaced whole; choices are worked out once and remembered.

    `salt` keys the draws; `holdout` is the share of units for which nothing is tuned, so that the whole gain of tuning
    stays measurable.
    """

    dials: Mapping[DialKey, Dial] = field(default_factory=lambda: MappingProxyType({}))
    salt: bytes = b""
    holdout: float = 0.0
    _choices: dict[tuple[str, DialKey], Choice] = field(default_factory=dict, repr=False, compare=False)

    def held_out(self, unit: str) -> bool:
        """Say whether a unit stays on the levels that the pack gives."""
        return self.holdout > 0 and draw(self.salt, unit, HOLDOUT) < self.holdout

    def choice(self, policy: Policy, key: DialKey) -> Choice:
        """Return what a task's dial, or the one it follows, lets it choose from."""
        found = self._choices.get((policy.revision, key))
        if found is None:
            found = self._choices[policy.revision, key] = self._choose(policy, key)
        return found

    def _choose(self, policy: Policy, key: DialKey) -> Choice:
        task = policy.tasks[key.task]
        start = start_level(task, policy.settings, key.complexity)
        for node in reversed(policy.lineages[key.task]):
            dial = self.dials.get(key._replace(task=node))
            if dial is None or node == ROOT or start is Level.OFF:
                continue
            base = start_level(policy.tasks[node], policy.settings, key.complexity)
            trial = dial.trial if dial.trial and dial.trial.text == policy.texts[node] else None
            level = _moved(task, start, base, dial.level)
            challenger = _moved(task, start, base, trial.challenger) if trial else level
            return Choice(level, challenger, trial if challenger is not level else None, node)
        return Choice(start, start, None, "")


def choose_levels(
    policy: Policy, speaking: Mapping[str, str], levels: Levels | None, fixed: Mapping[str, Level], asked: Asked
) -> tuple[dict[str, Level], Draw | None]:
    """Return the level of every task that speaks, and the draw that was made, if one was.

    `speaking` maps each task, ancestors first, to the settled path that it speaks for. `fixed` are the levels that the
    conversation has already; they stay.
    """
    chosen: dict[str, Level] = {}
    drawn: Draw | None = None
    tuned = levels is not None and not levels.held_out(asked.unit)
    for path, settled in speaking.items():
        known = fixed.get(path)
        if known is not None:
            chosen[path] = known
        elif levels is None or not tuned:
            chosen[path] = start_level(policy.tasks[path], policy.settings, asked.complexity)
        else:
            choice = levels.choice(policy, DialKey(path, asked.complexity, asked.model))
            trial = choice.trial
            if trial is not None and drawn is None and not asked.drawn:
                share = _share(policy, trial, speaking)
                challenger = draw(levels.salt, asked.unit, trial.id) < share
                drawn = Draw(trial.id, choice.node, settled, challenger, share)
            takes = trial is not None and drawn is not None and drawn.trial == trial.id and drawn.challenger
            chosen[path] = choice.challenger if takes else choice.level
    return chosen, drawn


def draw(salt: bytes, unit: str, name: str) -> float:
    """Return a number in [0, 1) that is fixed for a unit and a name, and as good as random without the salt."""
    digest = hmac.digest(salt, f"{unit}|{name}".encode(), "sha256")
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def _share(policy: Policy, trial: Trial, speaking: Mapping[str, str]) -> float:
    """Return the share with which a trial draws: small where any of the settled tasks has high stakes."""
    cautious = any(policy.tasks[settled].stakes == "high" for settled in speaking.values())
    return min(trial.share, CAUTIOUS_SHARE) if cautious else trial.share


def _moved(task: Task, start: Level, base: Level, level: Level | None) -> Level:
    """Return a task's start moved as far as `level` is from `base`. Required text is never switched off."""
    if level is None:
        return start
    least = Level.BRIEF if any(line.required for line in task.instructions) else Level.OFF
    return Level(min(max(start + level - base, least), Level.DETAILED))
