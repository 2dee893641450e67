"""What there is to try: the traffic of every task, the levels beside the one in force, and why a task must wait.

One look at policy, book and cells at one moment, shared by the tuner and by the page that explains it. Cells of another
text than the policy's are left out: what was learned of the old text says nothing of the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

from router.core.learning import DialKey
from router.core.levels import Dial, Levels, Trial, usual_level
from router.core.policy import ROOT, Level, Policy, depth, lineage
from router.tuning.allocation import Cell, CellKey, Curves, Difference, Prospect, curves, merged
from router.tuning.betting import MARGIN
from router.tuning.book import Book, Rest, Running

DAY_MS = 24 * 3600 * 1000

READY = 30
"""A trial starts when so many conversations with a reward have matured: fewer do not tell what is worth trying."""

MATURED = 200
"""No step before so many matured conversations of the trial."""
DAYS_MOST = 60
"""A trial that has shown nothing after so many days ends."""

SAVING = 0.01
"""What saying less is worth by itself, in units of reward, when it is weighed what to try; saying nothing at all is
worth nothing. In simulation (40 tasks, 30 worlds) regret was .61 of static with it and .62 without."""

LEAST_IMPROVEMENT = 0.002
"""No trial starts for less than a fifth of a point: 8,000 conversations could not show it."""


class Wait(NamedTuple):
    """Why no trial starts at a task now: a stable code, and the figures for the sentence that says it."""

    code: str
    facts: Mapping[str, Any] = MappingProxyType({})


PASSED_ON = ("resting", "nothing", "unlikely")
"""When a task waits for one of these, its children may have trials of their own."""


@dataclass(frozen=True)
class Group:
    """All requests to one model: the cells by task and level, texts and nodes taken together."""

    model: str
    cells: Mapping[tuple[str, Level], Cell]
    tasks: tuple[str, ...]

    @cached_property
    def by_task(self) -> Mapping[str, Cell]:
        """All levels of a task as one cell."""
        found: dict[str, list[Cell]] = {}
        for (task, _), cell in self.cells.items():
            found.setdefault(task, []).append(cell)
        return {task: merged(cells) for task, cells in found.items()}

    @cached_property
    def traffic(self) -> Mapping[str, float]:
        """Conversations by task, with a reward or without."""
        return {task: float(cell.n + cell.silent) for task, cell in self.by_task.items()}

    @cached_property
    def curves(self) -> Curves:
        """What is believed of every task and level."""
        return curves(self.cells, self.tasks)


@dataclass(frozen=True)
class Survey:
    """Policy, book and cells at one moment."""

    policy: Policy
    book: Book
    cells: Mapping[CellKey, Cell]
    now_ms: int
    _found: dict[DialKey, Wait | None] = field(default_factory=dict, repr=False, compare=False)

    def after(self, book: Book) -> Survey:
        """Return the same look with another book."""
        survey = Survey(self.policy, book, self.cells, self.now_ms)
        missing = {key.model for key in book.running}.difference(self.groups)
        if not missing:
            survey.__dict__["groups"] = self.groups  # cells and policy are the same, and so is what follows from them
        return survey

    @cached_property
    def running(self) -> Mapping[DialKey, Running]:
        """The trials that are under way."""
        return dict(sorted(self.book.running.items()))

    @cached_property
    def busy(self) -> Mapping[DialKey, str]:
        """The tasks with a trial, and those above them, each with the task whose trial it is."""
        return {
            key._replace(task=path): key.task
            for key in reversed(tuple(self.running))
            for path in lineage(key.task)
            if path != ROOT
        }

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """The groups in which there were conversations or are trials by model, in a fixed order."""
        found: dict[str, dict[tuple[str, Level], list[Cell]]] = {key.model: {} for key in self.running}
        for key, cell in self.cells.items():
            if key.task in self.policy.tasks and self.policy.texts.get(key.node) == key.text:
                found.setdefault(key.model, {}).setdefault((key.task, key.level), []).append(cell)
        tasks = tuple(path for path in self.policy.tasks if path != ROOT)
        return {
            model: Group(model, {place: merged(cells) for place, cells in found[model].items()}, tasks)
            for model in sorted(found)
        }

    def group(self, key: DialKey) -> Group:
        """Return the group that a dial belongs to."""
        found = self.groups.get(key.model)
        return found or Group(key.model, {}, tuple(p for p in self.policy.tasks if p != ROOT))

    @cached_property
    def levels(self) -> Levels:
        """The dials as they stand, trials included."""
        return self.book.levels()

    def in_force(self, key: DialKey) -> tuple[Level, str]:
        """Return the level in force at a task for ordinary requests, and the task whose dial says so ("" for none)."""
        choice = self.levels.choice(self.policy, key)
        return usual_level(self.policy, key.task, choice.move), choice.node

    def followers(self, key: DialKey) -> tuple[str, ...]:
        """Return the task and those below it that move with its dial."""
        own = {
            other.task
            for other, standing in self.book.standings.items()
            if other.model == key.model and (standing.level is not None or standing.running is not None)
        }
        return tuple(self._below(key.task, own))

    def _below(self, task: str, own: set[str]) -> Iterator[str]:
        yield task
        for child in self.policy.tasks[task].children:
            if child not in own:
                yield from self._below(child, own)

    def record(self, key: DialKey) -> Cell:
        """Return all matured conversations at a task and those that move with it."""
        by_task = self.group(key).by_task
        return merged(by_task[task] for task in self.followers(key) if task in by_task)

    def per_day(self, cell: Cell) -> float:
        """Return how many conversations with a reward mature in a day."""
        horizon_s = self.policy.primary.horizon_s if self.policy.primary else 0.0
        until = max(cell.last_ms, self.now_ms - round(1000 * horizon_s))
        return cell.n / max((until - cell.first_ms) / DAY_MS, 1.0)

    def high_stakes(self, key: DialKey) -> bool:
        """Say whether the task has high stakes. For those that only move with it, each draw minds theirs itself."""
        return self.policy.tasks[key.task].stakes == "high"

    def moves(self, key: DialKey, incumbent: Level, challenger: Level) -> dict[str, tuple[Level, Level]]:
        """Return for every task that moves with the dial the level from and to; empty where no text would change."""
        trial = Trial("", challenger, 0.5, self.policy.texts[key.task])
        tried = Levels({key: Dial(incumbent, trial)})
        found = {}
        for task in self.followers(key):
            below = key._replace(task=task)
            choice = tried.choice(self.policy, below)
            if choice.node != key.task:
                continue
            level = usual_level(self.policy, task, choice.move)
            if level is not self.in_force(below)[0]:
                return {}  # a dial of its own at this task would by itself move another, whose start is out of range
            found[task] = (level, usual_level(self.policy, task, choice.challenger))
        if found.get(key.task) is None or found[key.task][1] is not challenger:
            return {}
        return found if any(self._differs(task, *move) for task, move in found.items()) else {}

    def _differs(self, task: str, old: Level, new: Level) -> bool:
        low, high = sorted((old, new))
        return low < high and any(
            line.level <= high and (line.level > low or low is Level.OFF)
            for line in self.policy.tasks[task].instructions
        )

    def believed(self, key: DialKey, moves: Mapping[str, tuple[Level, Level]]) -> Difference:
        """Return what is believed of a move of the dial, the tasks weighted by their traffic."""
        group = self.group(key)
        return group.curves.difference(moves, group.traffic)

    def prospect(self, key: DialKey, incumbent: Level, challenger: Level) -> Prospect | None:
        """Return what a challenger promises; None where it would change no text."""
        moves = self.moves(key, incumbent, challenger)
        if not moves:
            return None
        difference = self.believed(key, moves)
        up = challenger > incumbent
        return Prospect(
            key,
            "up" if up else "down",
            incumbent,
            challenger,
            difference,
            difference.better(0.0 if up else -MARGIN),
            difference.improvement(SAVING if Level.OFF < challenger < incumbent else 0.0),
        )

    def prospects(self, key: DialKey) -> tuple[list[Prospect], list[Rest]]:
        """Return the neighbouring levels that could be tried, most promising first, and those that rest."""
        incumbent, _ = self.in_force(key)
        standing, text = self.book.standing(key), self.policy.texts[key.task]
        found, rests = [], []
        for step in (1, -1):
            if not Level.OFF <= incumbent + step <= Level.DETAILED:
                continue
            challenger = Level(incumbent + step)
            rest = standing.resting(incumbent, challenger, text, self.now_ms)
            if rest is not None:
                rests.append(rest)
                continue
            prospect = self.prospect(key, incumbent, challenger)
            if prospect is not None:
                found.append(prospect)
        return sorted(found, key=lambda prospect: -prospect.improvement), rests

    def wait(self, key: DialKey) -> Wait | None:
        """Return why no trial may start at a task now; None where one may."""
        if self.policy.primary is None:
            return Wait("metric")
        if self.policy.settings.tuning == "observe":
            return Wait("observe")
        word = self.book.held(key)
        if word is not None:
            return Wait("frozen", {"task": word.task})
        busy = self.busy.get(key) or next((p for p in lineage(key.task) if key._replace(task=p) in self.running), "")
        if busy:
            return Wait("trial", {"task": busy})
        return self._unfit(key)

    def _unfit(self, key: DialKey) -> Wait | None:
        """Return why a task should have no trial of its own, whatever else is going on."""
        if key not in self._found:
            self._found[key] = self._thin(self.record(key)) or self._after(key) or self._unpromising(key)
        return self._found[key]

    def _thin(self, cell: Cell) -> Wait | None:
        """Say whether there is too little to learn from."""
        if cell.n < READY:
            return Wait("few", {"n": cell.n, "needed": READY, "silent": cell.silent})
        if cell.squares - cell.total * cell.total / cell.n <= 1e-9 * cell.n:
            return Wait("equal", {"n": cell.n})
        per_day = self.per_day(cell)
        if per_day * DAYS_MOST < MATURED:
            return Wait("rare", {"per_week": 7.0 * per_day, "needed": 7.0 * MATURED / DAYS_MOST})
        return None

    def _after(self, key: DialKey) -> Wait | None:
        """Say whether the task above comes first."""
        if depth(key.task) < 2:
            return None
        above = key._replace(task=key.task.rsplit("/", 1)[0])
        wait = self._unfit(above)
        return None if wait is not None and wait.code in PASSED_ON else Wait("parent", {"task": above.task})

    def _unpromising(self, key: DialKey) -> Wait | None:
        found, rests = self.prospects(key)
        if found and found[0].improvement >= LEAST_IMPROVEMENT:
            return None
        if found:
            return Wait("unlikely", {"level": found[0].challenger.word, "improvement": found[0].improvement})
        if rests:
            days = (max(rest.until_ms for rest in rests) - self.now_ms) / DAY_MS
            return Wait("resting", {"levels": [rest.challenger.word for rest in rests], "days": days})
        return Wait("nothing")
