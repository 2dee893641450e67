"""How each dial stands, why, what is still missing, and when a decision is likely: as figures and as sentences.

The forecast is a plain extrapolation: evidence grows on the scale of logarithms by about as much a conversation as it
has so far, and conversations come at the rate at which they came. It promises nothing, and says "not in sight" where
the evidence does not grow. A page that shows it every hour costs nothing: looking does not change the guarantee.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import ceil, log
from typing import Any

from router.core.learning import DialKey
from router.core.levels import usual_level
from router.core.policy import ROOT, Policy
from router.tuning.allocation import ArmKey, ArmStatistics
from router.tuning.candidates import DAY_MS, DAYS_MOST, MATURED, Candidates, WaitReason
from router.tuning.level_state import LevelState, RunningTrial, level_named
from router.tuning.sequential_test import HARM_ALARM, SequentialTest
from router.tuning.tuner import CONVERSATIONS_MOST, DAYS_LEAST, HOLDBACK_DAYS
from router.tuning.words import ANY, alarm, percent, place, sureness, times


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
class DialStatus:
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
    policy: Policy,
    state: LevelState,
    tests: Mapping[str, SequentialTest],
    arms: Mapping[ArmKey, ArmStatistics],
    now_ms: int,
) -> list[DialStatus]:
    """Return how every dial stands that has conversations, a trial or a word of its own; by model, in tree order.

    Takes what `tuner.refresh` takes.
    """
    candidates = Candidates(policy, state, arms, now_ms)
    own = {key.model for key in state.dials if key.model != ANY}
    found = []
    for model in sorted({*candidates.models, *own}):
        for task in policy.tasks:
            key = DialKey(task, model)
            stats = candidates.record(key) if task != ROOT else ArmStatistics()
            if stats.n or stats.silent or (key in state.dials and task != ROOT):
                found.append(_status(candidates, key, stats, tests))
    return found


def forecast(running: RunningTrial, test: SequentialTest, per_day: float, now_ms: int) -> float | None:
    """Return in how many days a trial is likely to be certified; None where that is not in sight.

    A holdback's end is its last day.
    """
    days = (now_ms - running.started_ms) / DAY_MS
    if running.kind == "holdback":
        return max(HOLDBACK_DAYS - days, 0.0)
    best = max(test.reward.better)
    if best <= 1.0 or not test.reward.n or per_day <= 0.0:
        return None
    missing = log(1.0 / running.alpha) - log(test.evidence_for)
    more = max(missing * test.reward.n / log(best), MATURED - test.reward.n, 0.0)
    if test.outcomes + more > CONVERSATIONS_MOST:
        return None
    wait = max(more / per_day, DAYS_LEAST - days, 0.0)
    return None if days + wait > DAYS_MOST else wait


def _status(
    candidates: Candidates, key: DialKey, stats: ArmStatistics, tests: Mapping[str, SequentialTest]
) -> DialStatus:
    dial = candidates.state.dial(key)
    level, follows = candidates.in_force(key)
    start = usual_level(candidates.policy, key.task)
    running = dial.running
    per_day = candidates.per_day(stats) if stats.n else 0.0
    trial = _trial(candidates, key, running, tests.get(running.id, running.opening), per_day) if running else None
    wait = None if running else candidates.wait(key)
    figures = DialStatus(
        key=key,
        level=level.word,
        start=start.word,
        follows=follows,
        n=stats.n,
        per_day=round(per_day, 2),
        mean=round(stats.total / stats.n, 4) if stats.n else None,
        k=dial.k,
        trial=trial,
        wait=wait.code if wait else "",
        lines=(),
    )
    lines = [f"{place(key)}: {_why(candidates, figures)}"]
    lines += _trial_lines(trial) if trial else [_waiting(wait, figures)]
    return replace(figures, lines=tuple(lines))


def _trial(
    candidates: Candidates, key: DialKey, running: RunningTrial, test: SequentialTest, per_day: float
) -> TrialStatus:
    reward = test.reward
    held = candidates.state.held(key) is not None
    in_days = None if held else forecast(running, test, per_day, candidates.now_ms)
    days_needed = HOLDBACK_DAYS if running.kind == "holdback" else DAYS_LEAST
    return TrialStatus(
        id=running.id,
        kind=running.kind,
        incumbent=running.incumbent.word,
        challenger=running.challenger.word,
        share=running.share,
        k=running.k,
        evidence=float(f"{test.evidence_for:.6g}"),
        needed=round(1.0 / running.alpha, 6),
        harm=float(f"{test.evidence_against:.6g}"),
        harm_limit=HARM_ALARM,
        n=reward.n,
        n_needed=0 if running.kind == "holdback" else MATURED,
        days=round((candidates.now_ms - running.started_ms) / DAY_MS, 2),
        days_needed=days_needed,
        challenger_n=reward.challenger_n,
        challenger_mean=reward.challenger_mean,
        incumbent_mean=reward.incumbent_mean,
        repeated=test.repeated,
        silent=test.outcomes - test.repeated - reward.n,
        per_day=round(per_day, 2),
        alarms=test.alarms,
        held=held,
        proposed_ms=running.proposed_ms,
        forecast_days=None if in_days is None else round(in_days, 1),
    )


def _why(candidates: Candidates, status: DialStatus) -> str:
    """Say what the level is and why."""
    if not status.follows:
        return f"{status.level}, where it starts."
    if status.follows != status.key.task:
        moved = "as it starts" if status.level == status.start else f"instead of {status.start}"
        return f"{status.level}, {moved}: it follows {status.follows}."
    dial = candidates.state.dial(status.key)
    if dial.level is None:
        return f"{status.level}, where it starts."
    steps = [event for event in dial.history if event.kind in ("stepped", "rolled_back")]
    if not steps:
        return f"{status.level}."
    days = (candidates.now_ms - steps[-1].at_ms) / DAY_MS
    turned = "turned there" if steps[-1].kind == "stepped" else "turned back"
    said = f"{status.level}, {turned} from {steps[-1].facts['from']} {times(days, 'day')} ago"
    start = "" if level_named(status.start) == dial.level else f"; it started at {status.start}"
    return f"{said}{start}."


def _trial_lines(trial: TrialStatus) -> list[str]:
    asks = {"up": "is it better?", "down": "is less as good?", "holdback": "was it better before?"}[trial.kind]
    lines = [
        f"On trial: {trial.challenger} instead of {trial.incumbent} for {percent(trial.share)} of users: {asks} "
        f"So far {_means(trial)}{times(trial.n, 'conversation')} in {times(trial.days, 'day')}: "
        f"{sureness(trial.evidence, trial.needed)}."
    ]
    if trial.held:
        return [*lines, "It is frozen: nobody is drawn."]
    if trial.alarms:
        return [*lines, f"Alarm: {' and '.join(alarm(name) for name in trial.alarms)}."]
    if trial.proposed_ms is not None:
        return [*lines, "The step waits for a person: accept or reject it."]
    return [*lines, _outlook(trial)]


def _means(trial: TrialStatus) -> str:
    left, right = trial.challenger_mean, trial.incumbent_mean
    return "" if left is None or right is None else f"{percent(left)} against {percent(right)}, of "


def _outlook(trial: TrialStatus) -> str:
    """Say what is missing and when a decision is likely."""
    if trial.kind == "holdback":
        left = times(ceil(trial.forecast_days or 0.0), "day")
        return f"In {left} it ends and the step stays; if the step proves wrong before, it is taken back."
    missing = ["proof"] if trial.evidence < trial.needed else []
    if trial.n < trial.n_needed:
        missing.append(f"{trial.n} of {times(trial.n_needed, 'conversation')}")
    if trial.days < trial.days_needed:
        missing.append(f"{int(trial.days)} of {times(trial.days_needed, 'day')}")
    said = f"Still missing: {', '.join(missing)}. " if missing else ""
    if trial.forecast_days is None:
        return f"{said}A decision is not in sight; after {DAYS_MOST} days the trial ends by itself."
    return f"{said}At this pace a decision is likely in about {times(max(ceil(trial.forecast_days), 1), 'day')}."


def _waiting(wait: WaitReason | None, status: DialStatus) -> str:
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
