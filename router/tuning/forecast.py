"""How each dial stands, why, what is still missing, and when a decision is likely: as figures and as sentences.

The forecast is a plain extrapolation: evidence grows on the scale of logarithms by about as much a conversation as it
has so far, and conversations come at the rate at which they came. It promises nothing, and says "not in sight" where
the evidence does not grow. A page that shows it every hour costs nothing: looking does not change the guarantee.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, log
from typing import Any

from router.core.learning import DialKey
from router.core.levels import usual_level
from router.core.policy import ROOT, Policy
from router.tuning.allocation import Cell, CellKey
from router.tuning.betting import HARM_ALARM, Bets
from router.tuning.book import Book, Running, level_named
from router.tuning.survey import DAY_MS, DAYS_MOST, MATURED, Survey, Wait
from router.tuning.tuner import CONVERSATIONS_MOST, DAYS_LEAST, HOLDBACK_DAYS
from router.tuning.words import alarm, amount, percent, place, times


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """A trial in figures. Times are in days, `forecast_days` from now on; None where no decision is in sight.

    `evidence` is to reach `needed`; of `n_needed` conversations with a reward `n` are there, of `days_needed` `days`.
    """

    id: str
    kind: str
    incumbent: str
    challenger: str
    share: float
    k: int
    evidence: float
    needed: float
    harm: float
    harm_limit: float
    n: int
    n_needed: int
    days: float
    days_needed: int
    challenger_n: int
    challenger_mean: float | None
    incumbent_mean: float | None
    repeated: int
    silent: int
    per_day: float
    alarms: tuple[str, ...]
    held: bool
    proposed_ms: int | None
    forecast_days: float | None


@dataclass(frozen=True, slots=True)
class Status:
    """One dial in figures and in sentences. `level` is in force, `start` is what the pack says.

    `follows` is the task whose dial says so, empty where it starts. `wait` is the code of why no trial starts, empty
    while one runs here or could start. `n` counts matured conversations with a reward, here and below; `k` the
    challengers so far.
    """

    key: DialKey
    level: str
    start: str
    follows: str
    n: int
    per_day: float
    mean: float | None
    k: int
    trial: TrialStatus | None
    wait: str
    lines: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return asdict(self) | {"key": self.key._asdict()}


def statuses(
    policy: Policy, book: Book, bets: Mapping[str, Bets], cells: Mapping[CellKey, Cell], now_ms: int
) -> list[Status]:
    """Return how every dial stands that has conversations, a trial or a word of its own; by group, in tree order.

    Takes what `tuner.refresh` takes.
    """
    survey = Survey(policy, book, cells, now_ms)
    own = {key.model for key in book.standings if key.model != "*"}
    found = []
    for model in sorted({*survey.groups, *own}):
        for task in policy.tasks:
            key = DialKey(task, model)
            cell = survey.record(key) if task != ROOT else Cell()
            if cell.n or cell.silent or (key in book.standings and task != ROOT):
                found.append(_status(survey, key, cell, bets))
    return found


def forecast(running: Running, bets: Bets, per_day: float, now_ms: int) -> float | None:
    """Return in how many days a trial is likely to be certified; None where that is not in sight.

    A holdback's end is its last day.
    """
    days = (now_ms - running.started_ms) / DAY_MS
    if running.kind == "holdback":
        return max(HOLDBACK_DAYS - days, 0.0)
    best = max(bets.reward.gain)
    if best <= 1.0 or not bets.reward.n or per_day <= 0.0:
        return None
    missing = log(1.0 / running.alpha) - log(bets.gain)
    more = max(missing * bets.reward.n / log(best), MATURED - bets.reward.n, 0.0)
    if bets.outcomes + more > CONVERSATIONS_MOST:
        return None
    wait = max(more / per_day, DAYS_LEAST - days, 0.0)
    return None if days + wait > DAYS_MOST else wait


def _status(survey: Survey, key: DialKey, cell: Cell, bets: Mapping[str, Bets]) -> Status:
    standing = survey.book.standing(key)
    level, follows = survey.in_force(key)
    start = usual_level(survey.policy, key.task)
    running = standing.running
    per_day = survey.per_day(cell) if cell.n else 0.0
    trial = _trial(survey, key, running, bets.get(running.id, running.opening), per_day) if running else None
    wait = None if running else survey.wait(key)
    figures = Status(
        key=key,
        level=level.word,
        start=start.word,
        follows=follows,
        n=cell.n,
        per_day=round(per_day, 2),
        mean=round(cell.total / cell.n, 4) if cell.n else None,
        k=standing.k,
        trial=trial,
        wait=wait.code if wait else "",
        lines=(),
    )
    lines = [f"{place(key)}: {_why(survey, figures)}"]
    lines += _trial_lines(trial) if trial else [_waiting(wait, figures)]
    return Status(**{**_fields(figures), "lines": tuple(lines)})


def _fields(status: Status) -> dict[str, Any]:
    return {name: getattr(status, name) for name in Status.__slots__}


def _trial(survey: Survey, key: DialKey, running: Running, bets: Bets, per_day: float) -> TrialStatus:
    reward = bets.reward
    held = survey.book.held(key) is not None
    in_days = None if held else forecast(running, bets, per_day, survey.now_ms)
    days_needed = HOLDBACK_DAYS if running.kind == "holdback" else DAYS_LEAST
    return TrialStatus(
        id=running.id,
        kind=running.kind,
        incumbent=running.incumbent.word,
        challenger=running.challenger.word,
        share=running.share,
        k=running.k,
        evidence=float(f"{bets.gain:.6g}"),
        needed=round(1.0 / running.alpha, 6),
        harm=float(f"{bets.harm:.6g}"),
        harm_limit=HARM_ALARM,
        n=reward.n,
        n_needed=0 if running.kind == "holdback" else MATURED,
        days=round((survey.now_ms - running.started_ms) / DAY_MS, 2),
        days_needed=days_needed,
        challenger_n=reward.challenger_n,
        challenger_mean=reward.challenger_mean,
        incumbent_mean=reward.incumbent_mean,
        repeated=bets.repeated,
        silent=bets.outcomes - bets.repeated - reward.n,
        per_day=round(per_day, 2),
        alarms=bets.alarms,
        held=held,
        proposed_ms=running.proposed_ms,
        forecast_days=None if in_days is None else round(in_days, 1),
    )


def _why(survey: Survey, status: Status) -> str:
    """Say what the level is and why."""
    if not status.follows:
        return f"{status.level}, where it starts."
    if status.follows != status.key.task:
        moved = "as it starts" if status.level == status.start else f"instead of {status.start}"
        return f"{status.level}, {moved}: it follows {status.follows}."
    standing = survey.book.standing(status.key)
    if standing.level is None:
        return f"{status.level}, where it starts."
    steps = [event for event in standing.history if event.kind in ("stepped", "rolled_back")]
    if not steps:
        return f"{status.level}."
    days = (survey.now_ms - steps[-1].at_ms) / DAY_MS
    turned = "turned there" if steps[-1].kind == "stepped" else "turned back"
    said = f"{status.level}, {turned} from {steps[-1].facts['from']} {times(days, 'day')} ago"
    start = "" if level_named(status.start) == standing.level else f"; it started at {status.start}"
    return f"{said}{start}."


def _trial_lines(trial: TrialStatus) -> list[str]:
    asks = {"up": "is it better?", "down": "is less as good?", "holdback": "was it better before?"}[trial.kind]
    lines = [
        f"On trial: {trial.challenger} instead of {trial.incumbent} for {percent(trial.share)} of users: {asks} "
        f"Evidence {amount(trial.evidence)} of {amount(trial.needed)}, after {times(trial.days, 'day')} and "
        f"{times(trial.n, 'conversation')}{_means(trial)}."
    ]
    if trial.held:
        return [*lines, "It is frozen: nobody is drawn."]
    if trial.alarms:
        return [*lines, f"Alarm: {' and '.join(alarm(name) for name in trial.alarms)}."]
    if trial.proposed_ms is not None:
        return [*lines, "The step is certified and waits for a person: accept or reject it."]
    return [*lines, _outlook(trial)]


def _means(trial: TrialStatus) -> str:
    left, right = trial.challenger_mean, trial.incumbent_mean
    return "" if left is None or right is None else f": {percent(left)} against {percent(right)}"


def _outlook(trial: TrialStatus) -> str:
    """Say what is missing and when a decision is likely."""
    if trial.kind == "holdback":
        left = times(ceil(trial.forecast_days or 0.0), "day")
        return f"In {left} it ends and the step stays; with evidence of {amount(trial.needed)} it is taken back before."
    missing = [f"evidence of {amount(trial.needed)}"] if trial.evidence < trial.needed else []
    if trial.n < trial.n_needed:
        missing.append(f"{trial.n} of {times(trial.n_needed, 'conversation')}")
    if trial.days < trial.days_needed:
        missing.append(f"{int(trial.days)} of {times(trial.days_needed, 'day')}")
    said = f"Still missing: {', '.join(missing)}. " if missing else ""
    if trial.forecast_days is None:
        return f"{said}A decision is not in sight."
    return f"{said}At this pace a decision is likely in about {times(max(ceil(trial.forecast_days), 1), 'day')}."


def _waiting(wait: Wait | None, status: Status) -> str:
    """Say why no trial runs here."""
    if wait is None:
        return "A trial is about to start."
    facts = wait.facts
    above = status.key.task.rsplit("/", 1)[0]
    stays = f"it follows {above}" if above else "it stays where it starts"
    if wait.code == "few":
        silent = f", and {times(facts['silent'], 'more')} without one" if facts["silent"] else ""
        had = f"{times(facts['n'], 'conversation')} with a reward{silent}"
        return f"Too rare for a trial of its own so far ({had}; {facts['needed']} are needed): {stays}."
    if wait.code == "rare":
        had, needed = f"{facts['per_week']:.0f}", f"{ceil(facts['needed'])}"
        return f"Too rare for a trial of its own ({had} conversations a week; {needed} are needed): {stays}."
    return WAITS[wait.code].format(**{**facts, "levels": " and ".join(facts.get("levels", ()))})


WAITS: Mapping[str, str] = {
    "metric": "Nothing is tuned: the policy has no primary metric.",
    "observe": "No trial runs: tuning is set to observe.",
    "frozen": "Frozen by the word on {task}.",
    "trial": "It waits for the trial at {task} to end: one at a time on a lineage.",
    "parent": "Its turn comes when {task} has nothing left to try.",
    "equal": "All {n} conversations had the same reward, so there is nothing to learn from yet: "
    "does any feedback beside the default value come in?",
    "resting": "Tried already, and left alone for {days:.0f} more days: {levels}.",
    "nothing": "There is nothing to try: the levels beside this one say the same text.",
    "unlikely": "No trial is worth it: the level beside it, {level}, is not expected to win anything.",
}
"""Why no trial runs, by the code of the wait."""
