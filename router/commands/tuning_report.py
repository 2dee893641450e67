"""What a person sees and says of tuning: how every dial stands, the text that a step would change, the step as a diff.

Behind `router tune`: tables for people, data for programs; nothing is printed here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from router.commands.show import plain
from router.core.errors import Degraded, SettingsError
from router.core.learning import DialKey, ExperimentEvent, Outcome
from router.core.levels import USUAL, Dial, Levels, moved_level, start_level, usual_level
from router.core.policy import ROOT, Level, Policy
from router.packs import Pack
from router.packs.cues import COMPLEXITIES
from router.packs.load import with_levels
from router.rewards.checks import Obedience, digest, obedience
from router.server.learner import OUTCOMES_AT_ONCE, Records
from router.stores import SqlLearningStore
from router.tuning.forecast import DialStatus, TrialStatus, statuses
from router.tuning.intervals import Interval, difference_interval, gain_interval
from router.tuning.level_state import LevelState, Word, covers, say
from router.tuning.words import times

ATTEMPTS = 5
"""How often a word is said again when the tuner has written meanwhile."""


@dataclass(frozen=True, slots=True)
class TextChange:
    """What one task would say more (`added`) and no longer (`removed`), and between which levels it goes."""

    task: str
    before: Level
    after: Level
    added: tuple[str, ...]
    removed: tuple[str, ...]


class TuningReport:
    """One policy's tuning, as the store has it now."""

    def __init__(self, pack: Pack, store: SqlLearningStore) -> None:
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
    def state(self) -> LevelState:
        """How the dials stand."""
        return self._records.state

    def statuses(self, now_ms: int) -> list[DialStatus]:
        """Return how every dial stands."""
        return statuses(self.policy, self.state, self._records.tests, self._records.arms, now_ms)

    def waiting(self) -> tuple[int, int | None]:
        """Return how many conversations are still to mature, and when the first does. Raises Degraded."""
        return self._store.waiting(self.policy.name)

    def received(self) -> dict[str, dict[str, int]]:
        """Return how many pieces of feedback came in, by metric and source. Raises Degraded."""
        return self._store.received(self.policy.name)

    def gains(self) -> tuple[dict[str, Interval], Interval | None]:
        """Return what the challenger of each running trial gains, by the trial's id, and what tuning gains as a whole.

        The second counts every user once, against those that are never tuned; None where nobody is held out, or
        nothing was counted of either side. Raises Degraded.
        """
        trials: dict[str, list[Outcome]] = {running.id: [] for running in self.state.running.values()}
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

    def history(self, task: str = ROOT) -> list[ExperimentEvent]:
        """Return the log of a task and those below it. Raises Degraded."""
        below = tuple(path for path in self.policy.tasks if task in self.policy.lineages[path])
        return [event for event in self._store.events(self.policy.name) if event.key.task in (*below, task)]

    def obedience(self) -> list[Obedience]:
        """Return how the instructions with a check are obeyed. Raises Degraded."""
        lines = (line for task in self.policy.tasks.values() for line in task.instructions if line.check)
        return obedience(self._store.compliance(self.policy.name), {line.id: digest(line) for line in lines})

    def say(self, word: Word, key: DialKey, by: str, now_ms: int) -> ExperimentEvent:
        """Add a person's word to the log. Raises SettingsError where it would mean nothing, and Degraded."""
        for _ in range(ATTEMPTS):
            try:
                event = say(self.policy, self.state, word, key, by, now_ms)
            except ValueError as error:
                raise SettingsError(str(error)) from error
            if self._store.append([event], self.state.last):
                return event
            self.read()
        raise Degraded("tuner_busy", "the tuner is writing its log again and again; try once more")

    def changes(self, key: DialKey, after: Level) -> list[TextChange]:
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
        return self.state.levels()

    def _moved(self, key: DialKey, before: Levels, after: Levels) -> Iterable[TextChange]:
        """Yield what would change at a task and those that follow it."""
        for path in self.policy.tasks:
            here = key._replace(task=path)
            if key.task in self.policy.lineages[path] and key.task != ROOT:
                old, new = (usual_level(self.policy, path, at.choice(self.policy, here).move) for at in (before, after))
                if old is not new:
                    yield TextChange(path, old, new, *_difference(self.policy, path, old, new))

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


def proposed(found: Sequence[DialStatus]) -> list[tuple[DialStatus, TrialStatus]]:
    """Return the dials at which a step waits for a person's word, with their trials."""
    return [(each, each.trial) for each in found if each.trial is not None and each.trial.proposed_ms is not None]


def progress_lines(report: TuningReport, now_ms: int) -> list[str]:
    """Return what is on its way: conversations that are still to mature, and feedback."""
    primary, (count, first_ms) = report.policy.primary, report.waiting()
    lines = []
    if primary is not None:
        lines.append(f"{times(count, 'conversation')} still to mature")
        if first_ms is not None:
            moment = datetime.fromtimestamp(first_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            left_h = (first_ms - now_ms) / 3_600_000
            soon = f", in {times(left_h / 24, 'day') if left_h >= 48 else times(max(left_h, 1), 'hour')}"
            when = f"{soon} ({moment})" if left_h > 0 else " now; a running server counts it within a minute"
            horizon_h = primary.horizon_s / 3600
            horizon = f"{horizon_h:g} hour{'s' * (horizon_h != 1)}"
            lines[0] += f"; the first does{when}: {horizon} after it began, the horizon of {primary.name}"
    said = [
        f"{metric} {sum(sources.values()):,} ({', '.join(f'{name} {n:,}' for name, n in sources.items())})"
        for metric, sources in report.received().items()
    ]
    lines.append(f"feedback received: {'; '.join(said) or 'none yet; an app sends it to /v1/feedback'}")
    return lines


def status_view(
    report: TuningReport, found: Sequence[DialStatus], gains: Mapping[str, Interval], details: bool
) -> RenderableType:
    """Return how the dials stand as a table, and what is worth saying of each below it; figures with `details`."""
    settings = report.policy.settings
    if report.policy.primary is None:
        return Text("nothing is tuned: the pack has no primary metric (`metrics: {resolved: {primary: true, ...}}`)")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.title = plain(f"levels of {report.policy.name}, mode {settings.tuning}, by {report.policy.primary.name}")
    table.title_justify = "left"
    words = ("task", "model", "level", "on trial")
    for heading in ("task", "model", "level", "conversations", report.policy.primary.name, "on trial", "decision in"):
        table.add_column(heading, justify="left" if heading in words else "right")
    for each in found:
        table.add_row(*map(plain, _status_row(each)))
    if not found:
        return Text(f"{report.policy.name}, mode {settings.tuning}: no conversation has matured yet")
    said = []
    for each in found:
        if each.trial is not None:
            gain = gains.get(each.trial.id)
            lines = each.lines if gain is None else (*each.lines, f"{each.trial.challenger} gains {gain}.")
            figures = (figures_of(each.trial),) if details else ()
            said.append(Text("\n".join((*lines, *figures)) + "\n"))
    return Group(table, *said)


def _status_row(each: DialStatus) -> tuple[str, ...]:
    """Return one dial as the cells of the table."""
    moved = f" (pack: {each.start})" if each.level != each.start else ""
    mean = "" if each.mean is None else f"{100 * each.mean:.1f} %"
    cells = (each.key.task, each.key.model, each.level + moved, f"{each.n:,}", mean)
    trial = each.trial
    if trial is None:
        return (*cells, f"({each.wait})" if each.wait else "", "")
    soon = "not in sight" if trial.forecast_days is None else f"{trial.forecast_days:g} days"
    what = f"{trial.challenger}, {100 * trial.share:.0f} %" + (" (held)" if trial.held else "")
    return (*cells, what, "waits for you" if trial.proposed_ms else soon)


def figures_of(trial: TrialStatus) -> str:
    """Return the figures of a trial that its sentences rest on."""
    n = f"{trial.n} of {trial.n_needed}" if trial.n_needed else str(trial.n)
    return (
        f"  evidence {trial.evidence:.3g} of {trial.needed:g}, of harm {trial.harm:.3g} of {trial.harm_limit:g}; "
        f"{n} conversations, {trial.challenger_n} with the challenger (number {trial.k} here), "
        f"{trial.silent} without a reward, {trial.repeated} of users counted before; {trial.per_day:g} a day"
    )


def proposal_view(each: DialStatus, changes: Sequence[TextChange]) -> RenderableType:
    """Return a proposed step with the text that would change, and how to answer."""
    assert each.trial is not None
    options = f" --model {each.key.model}" if each.key.model else ""
    asks = f"router tune accept {each.key.task}{options}   (or reject)"
    return Group(
        Text(f"proposed at {each.key.task}: {each.trial.challenger} instead of {each.trial.incumbent}", style="bold"),
        *map(change_view, changes),
        Text(asks, style="green"),
        Text(""),
    )


def change_view(change: TextChange) -> RenderableType:
    """Return what a task would say otherwise."""
    text = Text(f"  {change.task}: {change.before.word} -> {change.after.word}\n")
    for sign, lines, style in (("-", change.removed, "red"), ("+", change.added, "green")):
        for line in lines:
            text.append(f"    {sign} {line}\n", style=style)
    return text


def obedience_table(found: Sequence[Obedience]) -> Table:
    """Return how instructions are obeyed as a table."""
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for heading in ("instruction", "model", "said", "held", "not said", "held anyway", "verdict"):
        table.add_column(heading, justify="right" if heading in ("said", "held", "not said", "held anyway") else "left")
    for each in found:
        table.add_row(
            *map(
                plain,
                (
                    each.instruction,
                    each.model,
                    str(each.said),
                    _rate(each.held_said, each.said),
                    str(each.unsaid),
                    _rate(each.held_unsaid, each.unsaid),
                    each.verdict + (" (drawn)" if each.drawn else ""),
                ),
            )
        )
    return table


def _rate(held: int, answers: int) -> str:
    """Return a share of answers as a percentage."""
    return f"{100 * held / answers:.0f} %" if answers else "–"


def change_json(change: TextChange) -> dict[str, Any]:
    """Return a change as JSON-ready data."""
    return {
        "task": change.task,
        "from": change.before.word,
        "to": change.after.word,
        "added": list(change.added),
        "removed": list(change.removed),
    }


def interval_json(found: Interval | None) -> dict[str, Any] | None:
    """Return an interval as JSON-ready data, as shares of the range of rewards."""
    return None if found is None else asdict(found)


def event_json(event: ExperimentEvent) -> dict[str, Any]:
    """Return a line of the log as JSON-ready data."""
    return {
        "number": event.number,
        "at_ms": event.at_ms,
        "kind": event.kind,
        **event.key._asdict(),
        "by": event.by,
        "words": event.words,
        "facts": dict(event.facts),
    }
