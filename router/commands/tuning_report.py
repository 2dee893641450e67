"""What a person sees and says of tuning: how every dial stands, the text that a step would change, the step as a diff.

Behind `router tune` and, later, the page: plain data and text, no printing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from router.core.errors import Degraded, SettingsError
from router.core.learning import DialKey, Event, Outcome
from router.core.levels import USUAL, Dial, Levels, moved_level, start_level, usual_level
from router.core.policy import ROOT, Level, Policy
from router.core.store_ports import LearningStore
from router.packs import Pack
from router.packs.cues import COMPLEXITIES
from router.packs.relevel import with_levels
from router.rewards.checks import digest
from router.rewards.obedience import Obedience, obedience
from router.server.learner import OUTCOMES_AT_ONCE, Records
from router.tuning.book import ANY, Book, covers
from router.tuning.forecast import Status, statuses
from router.tuning.intervals import Interval, difference_interval, gain_interval
from router.tuning.persons import Word, say

ATTEMPTS = 5
"""How often a word is said again when the tuner has written meanwhile."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one task would say more (`added`) and no longer (`removed`), and between which levels it goes."""

    task: str
    before: Level
    after: Level
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Desk:
    """One policy's tuning, as the store has it now."""

    def __init__(self, pack: Pack, store: LearningStore) -> None:
        self.pack = pack
        self.policy = pack.policy
        self._store = store
        self._records = Records(self.policy.name, store)

    def read(self) -> None:
        """Read what is new. Raises Degraded, and SettingsError for a log that cannot be understood."""
        try:
            self._records.read_log()
        except ValueError as error:
            raise SettingsError(f"the tuner's log cannot be read: {error}") from error
        self._records.read_outcomes()

    @property
    def book(self) -> Book:
        """How the dials stand."""
        return self._records.book

    def statuses(self, now_ms: int) -> list[Status]:
        """Return how every dial stands."""
        return statuses(self.policy, self.book, self._records.bets, self._records.cells, now_ms)

    def gains(self) -> tuple[dict[str, Interval], Interval | None]:
        """Return what the challenger of each running trial gains, by the trial's id, and what tuning gains as a whole.

        The second counts every user once, against those that are never tuned; None where nobody is held out, or
        nothing was counted of either side. Raises Degraded.
        """
        trials: dict[str, list[Outcome]] = {running.id: [] for running in self.book.running.values()}
        first: dict[str, Outcome] = {}
        for outcome in self._outcomes():
            if outcome.assignment.trial in trials:
                trials[outcome.assignment.trial].append(outcome)
            if outcome.reward is not None:
                first.setdefault(outcome.assignment.unit or str(outcome.number), outcome)
        by_trial = {trial: gain_interval(outcomes) for trial, outcomes in trials.items() if outcomes}
        return by_trial, self._whole_gain(list(first.values()))

    def _whole_gain(self, counted: list[Outcome]) -> Interval | None:
        share = self.policy.settings.holdout
        tuned = [not outcome.assignment.holdout for outcome in counted]
        if not 0 < share < 1 or len(set(tuned)) < 2:
            return None
        rewards = [outcome.reward for outcome in counted if outcome.reward is not None]
        return difference_interval(rewards, tuned, [1 - share] * len(tuned))

    def history(self, task: str = ROOT) -> list[Event]:
        """Return the log of a task and those below it. Raises Degraded."""
        below = tuple(path for path in self.policy.tasks if task in self.policy.lineages[path])
        return [event for event in self._store.events(self.policy.name) if event.key.task in (*below, task)]

    def obedience(self) -> list[Obedience]:
        """Return how the instructions with a check are obeyed. Raises Degraded."""
        lines = (line for task in self.policy.tasks.values() for line in task.instructions if line.check)
        return obedience(self._store.compliance(self.policy.name), {line.id: digest(line) for line in lines})

    def say(self, word: Word, key: DialKey, by: str, now_ms: int) -> Event:
        """Add a person's word to the log. Raises SettingsError where it would mean nothing, and Degraded."""
        for _ in range(ATTEMPTS):
            try:
                event = say(self.policy, self.book, word, key, by, now_ms)
            except ValueError as error:
                raise SettingsError(str(error)) from error
            if self._store.append([event], self.book.last):
                return event
            self.read()
        raise Degraded("tuner_busy", "the tuner is writing its log again and again; try once more")

    def changes(self, key: DialKey, after: Level) -> list[Change]:
        """Return what would be said otherwise if a dial were turned to `after`: its own text, and that of followers."""
        turned = {**self._levels.dials, key: Dial(after)}
        return [
            change
            for change in self._moved(key, self._levels, Levels(turned))
            if change.added or change.removed or change.task == key.task
        ]

    def diff(self, word: DialKey) -> dict[str, tuple[str, str]]:
        """Return the files of the pack that the tuned levels would change: before and after, by path.

        `word` says for which tasks and models. Raises SettingsError for what a pack cannot say: levels
        that differ by model.
        """
        models = {key.model for key, dial in self._levels.dials.items() if dial.level is not None}
        moves: dict[str, int] = {}
        for path in self.policy.tasks:
            keys = [key for model in sorted(models) if covers(word, key := DialKey(path, model))]
            by_model = {key.model: self._levels.choice(self.policy, key).move for key in keys if path != ROOT}
            if len(set(by_model.values())) > 1:
                levels = {model: usual_level(self.policy, path, move) for model, move in by_model.items()}
                said = ", ".join(f"{model}: {level.word}" for model, level in levels.items())
                raise SettingsError(f"{path} differs by model ({said}), which a pack cannot say: name one with --model")
            moves[path] = next(iter(by_model.values()), 0)
        tuned = {path: self._by_complexity(path, move) for path, move in moves.items()}
        return self._written({path: each for path, each in tuned.items() if each != self._by_complexity(path, 0)})

    def _outcomes(self) -> Iterator[Outcome]:
        last = 0
        while outcomes := self._store.outcomes(self.policy.name, last, OUTCOMES_AT_ONCE):
            yield from outcomes
            last = outcomes[-1].number

    @property
    def _levels(self) -> Levels:
        return self.book.levels()

    def _moved(self, key: DialKey, before: Levels, after: Levels) -> Iterable[Change]:
        """Yield what would change at a task and those that follow it."""
        for path in self.policy.tasks:
            here = key._replace(task=path)
            if key.task in self.policy.lineages[path] and key.task != ROOT:
                old, new = (usual_level(self.policy, path, at.choice(self.policy, here).move) for at in (before, after))
                if old is not new:
                    yield Change(path, old, new, *_difference(self.policy, path, old, new))

    def _written(self, wanted: Mapping[str, Mapping[str, Level]]) -> dict[str, tuple[str, str]]:
        files: dict[str, tuple[str, str]] = {}
        # From the end of each file on, so that the lines of tasks above stay where they were.
        for path in sorted(wanted, key=lambda path: self.pack.places[path][1], reverse=True):
            file, line = self.pack.places[path]
            before, text = files.get(file) or (Path(file).read_text(encoding="utf-8"),) * 2
            files[file] = before, with_levels(text, line, wanted[path])
        return {file: texts for file, texts in sorted(files.items()) if texts[0] != texts[1]}

    def _by_complexity(self, path: str, move: int) -> dict[str, Level]:
        """Return a task's levels, so far from where they start, as a pack has them: one where all are the same."""
        task, settings = self.policy.tasks[path], self.policy.settings
        each = {name: moved_level(task, start_level(task, settings, name), move) for name in COMPLEXITIES}
        same = "complexity" not in self.policy.cues or len(set(each.values())) == 1
        return {"": each[USUAL]} if same else each


def key_of(task: str, model: str | None) -> DialKey:
    """Return the dials that a person means: for all models unless one is named."""
    return DialKey(task, ANY if model is None else model)


def unified(files: Mapping[str, tuple[str, str]]) -> str:
    """Return changed files as a unified diff."""
    return "".join(
        "".join(difflib.unified_diff(a.splitlines(True), b.splitlines(True), f"a/{file}", f"b/{file}"))
        for file, (a, b) in files.items()
    )


def _difference(policy: Policy, path: str, old: Level, new: Level) -> tuple[tuple[str, ...], tuple[str, ...]]:
    low, high = sorted((old, new))
    lines = tuple(
        line.text
        for line in policy.tasks[path].instructions
        if low < line.level <= high or (low is Level.OFF and line.required)
    )
    return (lines, ()) if new > old else ((), lines)
