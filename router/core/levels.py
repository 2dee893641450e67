"""Level: how much each task on the lineage says.

Every task speaks at its own level, so turning one task's dial never changes a word of its ancestors: that is what makes
the text of a higher level an extension of the lower one, and what lets the level be tuned task by task.

A dial says at which level its task answers ordinary requests (USUAL). What tuning changes is the *move*: by how many
levels that is above or below where the task starts. Requests that the complexity cue starts elsewhere move as far, and
so do the tasks below a dial that have none of their own. A conversation keeps the move that it was given at a task, not
the level: its next turn may be more complex. A draw is a keyed hash of the unit, never a random number, and a
conversation takes part in one trial at most.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from router.core.learning import DialKey
from router.core.policy import ROOT, Level, Policy, PolicySettings, Task

START = {"core": Level.BRIEF, "standard": Level.GUIDED, "complex": Level.DETAILED}
"""Where a task starts by its declared complexity (common-sense tasks need little detail, complex ones much)."""

USUAL = "standard"
"""The complexity by which dials are read: that of ordinary requests."""

MOST_IN_CASE = Level.GUIDED
"""How much a task says where it is one of several that the message may be about."""

CAUTIOUS_SHARE = 0.1
"""The most units that get a challenger at a task of high stakes, whatever the trial of its domain gives others."""

HOLDOUT = "holdout"
"""Names the draw of the units for which nothing is ever tuned."""


def start_level(task: Task, settings: PolicySettings, complexity: str) -> Level:
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


def moved_level(task: Task, start: Level, move: int) -> Level:
    """Return the level so many above `start`, as far as there are levels.

    What starts switched off stays so, and required text is never switched off.
    """
    if not move or start is Level.OFF:
        return start
    least = Level.BRIEF if any(line.required for line in task.instructions) else Level.OFF
    return Level(min(max(start + move, least), Level.DETAILED))


def usual_level(policy: Policy, path: str, move: int = 0) -> Level:
    """Return the level of a task for ordinary requests, moved by so many levels."""
    task = policy.tasks[path]
    return moved_level(task, start_level(task, policy.settings, USUAL), move)


@dataclass(frozen=True, slots=True)
class Trial:
    """A level beside the one in force that is tried on the share of units that `draw` puts into it."""

    id: str
    challenger: Level
    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Dial:
    """The tuned level of one task for ordinary requests, None for where it starts, and the trial that runs there."""

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


class LevelQuery(NamedTuple):
    """For whom levels are chosen: the unit, the request's complexity and model, and whether a draw was made before.

    `moves` are those that the conversation was given already, by task; they stay.
    """

    unit: str = ""
    complexity: str = ""
    model: str = ""
    drawn: bool = False
    moves: Mapping[str, int] = MappingProxyType({})


NOBODY = LevelQuery()


class _Choice(NamedTuple):
    """The moves between which a task's trial draws, equal where there is none, and the task whose dial says so."""

    move: int
    challenger: int
    trial: Trial | None
    node: str


STAYS = _Choice(0, 0, None, "")
"""What a task chooses from that no dial moves."""


class _ChosenLevels(NamedTuple):
    """The levels of the tasks that speak, the moves that led there, and the draw that was made, if one was.

    There are no moves where nothing is tuned, nor for tasks whose level was fixed.
    """

    levels: dict[str, Level]
    moves: dict[str, int]
    draw: Draw | None


@dataclass(frozen=True)
class Levels:
    """How the dials of one policy stand. Immutable, replaced whole.

    `salt` keys the draws; `holdout` is the share of units for which nothing is tuned, so that the whole gain of tuning
    stays measurable.
    """

    dials: Mapping[DialKey, Dial] = field(default_factory=lambda: MappingProxyType({}))
    salt: bytes = b""
    holdout: float = 0.0

    def held_out(self, unit: str) -> bool:
        """Say whether a unit stays on the levels that the pack gives."""
        return self.holdout > 0 and draw(self.salt, unit, HOLDOUT) < self.holdout

    def choice(self, policy: Policy, key: DialKey) -> _Choice:
        """Return what a task's dial, or the one it follows, lets it choose from."""
        for node in reversed(policy.lineages[key.task]):
            dial = self.dials.get(DialKey(node, key.model))
            if dial is None or node == ROOT:
                continue
            if usual_level(policy, key.task) is Level.OFF:
                break
            base = usual_level(policy, node)
            move = 0 if dial.level is None else dial.level - base
            trial = dial.trial if dial.trial and dial.trial.text == policy.texts[node] else None
            return _Choice(move, trial.challenger - base if trial else move, trial, node)
        return STAYS


def speaking(policy: Policy, paths: Sequence[str]) -> dict[str, str]:
    """Return the tasks that speak, branch by branch, each with the settled path that it speaks for first.

    What branches share comes before them; each is then told from its first own task down, in the settled order.
    """
    seen: dict[str, str] = {}
    if len(paths) > 1:  # those that branch off later stay together: in the order of what was met first on every floor
        first = {path: at for at, path in enumerate(dict.fromkeys(p for each in paths for p in policy.lineages[each]))}
        paths = sorted(paths, key=lambda each: [first[path] for path in policy.lineages[each]])
    for settled in paths:
        for path in policy.lineages[settled]:
            seen.setdefault(path, settled)
    return seen


def choose_levels(
    policy: Policy, paths: Sequence[str], levels: Levels | None, fixed: Mapping[str, Level], asked: LevelQuery
) -> _ChosenLevels:
    """Return the level of every task on the lineages of the settled paths, and the draw that was made, if one was.

    `fixed` are levels that were decided before, as a trace has them; they stay, whatever the moves.
    """
    chosen = _ChosenLevels({}, {}, None)
    tuned = None if levels is None or levels.held_out(asked.unit) else levels
    tasks = speaking(policy, paths)
    for path, settled in tasks.items():
        known = fixed.get(path)
        if known is not None:
            chosen.levels[path] = known
            continue
        task = policy.tasks[path]
        start = start_level(task, policy.settings, asked.complexity)
        move = asked.moves.get(path)
        # What was given stays, however the dial turns: else a conversation would change its tone half way through.
        if move is None and tuned is not None and tuned.dials:
            choice = tuned.choice(policy, DialKey(path, asked.model))
            trial, move = choice.trial, choice.move
            # Where both arms say the same there is nothing to learn, so nobody's one draw is spent on it.
            if trial is not None and moved_level(task, start, choice.challenger) is not moved_level(task, start, move):
                if chosen.draw is None and not asked.drawn:
                    share = _share(policy, trial, paths)
                    takes = draw(tuned.salt, asked.unit, trial.id) < share
                    chosen = chosen._replace(draw=Draw(trial.id, choice.node, settled, takes, share))
                if chosen.draw is not None and chosen.draw.trial == trial.id and chosen.draw.challenger:
                    move = choice.challenger
        chosen.levels[path] = moved_level(task, start, move) if move else start
        if levels is not None:  # units held out keep their moves too: they must not be tuned later
            chosen.moves[path] = move or 0
    return chosen


def case_levels(
    policy: Policy, listed: Sequence[str], known: Mapping[str, Level], fixed: Mapping[str, Level], asked: LevelQuery
) -> dict[str, Level]:
    """Return the levels of the tasks that speak only as cases: those on the lineages of listed ones and not `known`.

    They speak at MOST_IN_CASE at most, and as far as the pack goes: a conversation is given its moves by turns that are
    sure of a task, later ones too, and an earlier turn must say the same ever after. `fixed` are as in `choose_levels`.
    """
    found: dict[str, Level] = {}
    for path in (path for task in listed for path in policy.lineages[task] if path not in known):
        if path not in found:
            start = start_level(policy.tasks[path], policy.settings, asked.complexity)
            found[path] = fixed.get(path, min(start, MOST_IN_CASE))
    return found


def draw(salt: bytes, unit: str, name: str) -> float:
    """Return a number in [0, 1) that is fixed for a unit and a name, and as good as random without the salt."""
    digest = hmac.digest(salt, f"{unit}|{name}".encode(), "sha256")
    return int.from_bytes(digest[:7], "big") / (1 << 56)


def _share(policy: Policy, trial: Trial, paths: Sequence[str]) -> float:
    """Return the share with which a trial draws: small where any of the settled tasks has high stakes."""
    cautious = any(policy.tasks[settled].stakes == "high" for settled in paths)
    return min(trial.share, CAUTIOUS_SHARE) if cautious else trial.share
