"""What a changed policy would have been worth on the traffic that was recorded: off-policy value.

A recorded decision tells how the action that was *taken* went. Where the actions were drawn with known probabilities,
weighting each by wanted / logged probability makes the recorded conversations stand for those that the changed policy
would have had. Three estimates, over the decisions whose wanted action had a chance to be taken:

- ips: the weighted mean of rewards (Horvitz & Thompson 1952), unbiased;
- snips: the same over the sum of the weights (Swaminathan & Joachims 2015), a little biased, and steadier;
- dr: predicted rewards, corrected by the weighted errors of the predictions (Dudik, Langford & Li 2011). Unbiased
  however bad the predictions are, and the steadiest where they are good. The interval is of this one.

What was never tried is not guessed: its share is told as unknown, and where it is too large, or what remains rests on
too few conversations, there is no figure but a reason. An action that was not random has probability 1, and supports
nothing but itself.

No command calls this yet: it is what a later `plan` of a changed pack will say of its worth.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np

from router.core.learning import Assignment, Outcome
from router.tuning.intervals import ALPHA, Doubles, Interval, bounded_interval

Action: TypeAlias = Hashable
"""What was done: anything that is equal exactly where the same was done, such as a text's digest with a level."""

LEAST_SUPPORT = 0.8
"""Of the new decisions must have had a chance to be taken; else there is no figure."""

LEAST_EFFECTIVE = 100.0
"""Conversations that the weighted ones are worth (Kish 1965) must there be; else there is no figure."""

MISMATCH = 5.0
"""Standard deviations between what was taken and what the logged probabilities say, from which on they are wrong."""

_NOTHING: Mapping[Action, float] = MappingProxyType({})
_CLOSE = 1e-6


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """One recorded conversation, and what the changed policy would do in its place.

    `logged` are the probabilities with which each action could have been taken, `wanted` those with which the changed
    policy takes them; each sum to 1. `predicted` are rewards that a model expects of actions; it must not have seen
    this row. Where it says nothing of an action, the mean of its earlier rewards in the same `context` stands in.
    """

    action: Action
    reward: float
    logged: Mapping[Action, float]
    wanted: Mapping[Action, float]
    predicted: Mapping[Action, float] = field(default_factory=lambda: _NOTHING)
    context: Hashable = None


class LoggedColumns(NamedTuple):
    """Rows as numbers, each of shape (n,).

    `weight` is wanted / logged probability of the action taken, `support` the wanted probability of all that could have
    been taken, `expected` the predicted reward of that part (its sum over actions of wanted * predicted), `predicted`
    that of the action taken. `spread` is the variance of `weight` under the logged probabilities. `floor` and `ceiling`
    bound the row's doubly robust worth whichever action was drawn and whatever its reward; `gain_floor` and
    `gain_ceiling` bound what it exceeds `support * reward` by.
    """

    reward: Doubles
    weight: Doubles
    support: Doubles
    expected: Doubles
    predicted: Doubles
    spread: Doubles
    floor: Doubles
    ceiling: Doubles
    gain_floor: Doubles
    gain_ceiling: Doubles


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a changed policy is worth, on a scale from 0 to 1, over the decisions of which something is known.

    `unknown` is the share of its decisions that was never tried where it takes them; `effective` the number of
    unweighted conversations that the weighted ones are worth. `recorded` is what the recorded policy got on the same
    decisions, `interval` that of the new policy's value, and `gain` that of their difference, which is narrower: what
    both do alike cancels out. All these are None where `refused` says why there is no figure.
    """

    rows: int
    unknown: float
    effective: float
    ips: float | None = None
    snips: float | None = None
    dr: float | None = None
    recorded: float | None = None
    interval: Interval | None = None
    gain: Interval | None = None
    refused: str = ""


def estimate(rows: Sequence[LoggedOutcome], *, alpha: float = ALPHA) -> PolicyValue:
    """Return the value of the changed policy that `rows`, in the order in which they were recorded, ask for.

    Users must be counted once each: whoever comes again gets the same action, which is no second draw. Raises
    ValueError, naming the row, for probabilities or rewards that cannot be.

    >>> half = {"brief": 0.5, "guided": 0.5}
    >>> guided = {"guided": 1.0}
    >>> rows = [LoggedOutcome("guided", 1.0, half, guided), LoggedOutcome("brief", 0.0, half, guided)] * 400
    >>> value = estimate(rows)
    >>> value.ips, value.snips, value.unknown, value.effective, value.interval.low > 0.8
    (1.0, 1.0, 0.0, 400.0, True)
    >>> estimate([LoggedOutcome("brief", 1.0, {"brief": 1.0}, {"guided": 1.0})] * 400).refused
    'of 100 % of the new decisions nothing like it was ever tried in their place (at most 20 % may be unknown)'
    """
    return estimate_columns(columns_of(rows), alpha=alpha)


def estimate_columns(columns: LoggedColumns, *, alpha: float = ALPHA) -> PolicyValue:
    """Return the same as `estimate` from rows that are numbers already."""
    n = len(columns.reward)
    if not n:
        return PolicyValue(0, 1.0, 0.0, refused="no recorded conversation has matured")
    weights, supported = columns.weight, float(columns.support.sum())
    total = float(weights.sum())
    squares = float((weights * weights).sum())
    effective = total * total / squares if squares else 0.0
    unknown = max(0.0, 1.0 - supported / n)
    refused = _why_not(columns, unknown, effective)
    if refused:
        return PolicyValue(n, unknown, effective, refused=refused)
    ips = float((weights * columns.reward).sum())
    known = LoggedColumns(*(column[columns.support > 0.0] for column in columns))
    worth = known.expected + known.weight * (known.reward - known.predicted)
    was = known.support * known.reward
    per = len(worth) / supported
    return PolicyValue(
        rows=n,
        unknown=unknown,
        effective=effective,
        ips=ips / supported,
        snips=ips / total,
        dr=float(worth.sum()) / supported,
        recorded=float(was.sum()) / supported,
        interval=_interval(worth * per, known.floor * per, known.ceiling * per, (0.0, 1.0), alpha),
        gain=_interval((worth - was) * per, known.gain_floor * per, known.gain_ceiling * per, (-1.0, 1.0), alpha),
    )


def _why_not(columns: LoggedColumns, unknown: float, effective: float) -> str:
    """Return why no figure is given, or the empty string."""
    if unknown > 1.0 - LEAST_SUPPORT + _CLOSE:
        return (
            f"of {100 * unknown:.0f} % of the new decisions nothing like it was ever tried in their place "
            f"(at most {100 * (1 - LEAST_SUPPORT):.0f} % may be unknown)"
        )
    off = abs(float((columns.weight - columns.support).sum()))
    if off > MISMATCH * float(columns.spread.sum()) ** 0.5 + _CLOSE * len(columns.weight):
        return "the actions that were taken do not agree with the probabilities that were logged for them"
    if effective < LEAST_EFFECTIVE:
        return (
            f"what is known of the new decisions rests on the weight of {effective:.0f} conversations "
            f"(at least {LEAST_EFFECTIVE:.0f} are needed)"
        )
    return ""


def _interval(worth: Doubles, floor: Doubles, ceiling: Doubles, within: tuple[float, float], alpha: float) -> Interval:
    """Return the interval of the mean, with the same bounds for all rows.

    Rows differ in what they are worth, and bounds that go with it would bias the bets.
    """
    low, high = min(within[0], float(floor.min())), max(within[1], float(ceiling.max()))
    return bounded_interval(worth, low, high, within=within, alpha=alpha)


# ---------------------------------------------------------------------------------------------------- rows as numbers


def columns_of(rows: Iterable[LoggedOutcome]) -> LoggedColumns:
    """Return rows, in the order in which they were recorded, as numbers. Raises ValueError, naming the row."""
    told = _Told()
    found = []
    for number, row in enumerate(rows):
        _check(row, number)
        found.append(_numbers(row, told))
        told.hear(row)
    return LoggedColumns(*np.array(found, dtype=np.float64).reshape(-1, len(LoggedColumns._fields)).T)


class _Told:
    """Mean rewards so far, by context and action, each drawn towards its action's in all contexts and that to 1/2."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Hashable, ...], tuple[float, int]] = {}

    def hear(self, row: LoggedOutcome) -> None:
        for key in ((row.action,), (row.context, row.action)):
            total, count = self._sums.get(key, (0.0, 0))
            self._sums[key] = (total + row.reward, count + 1)

    def mean(self, context: Hashable, action: Action) -> float:
        total, count = self._sums.get((action,), (0.0, 0))
        overall = (0.5 + total) / (1 + count)
        total, count = self._sums.get((context, action), (0.0, 0))
        return (_PULL * overall + total) / (_PULL + count)


_PULL = 4.0  # earlier rewards of an action in other contexts weigh as much as so many in this one


def _check(row: LoggedOutcome, number: int) -> None:
    """Raise ValueError for what cannot be."""
    if not 0.0 <= row.reward <= 1.0:
        raise ValueError(f"rows[{number}].reward is {row.reward}: expected a number from 0 to 1")
    for name, shares in (("logged", row.logged), ("wanted", row.wanted)):
        if not all(share >= 0.0 for share in shares.values()) or abs(sum(shares.values()) - 1.0) > _CLOSE:
            raise ValueError(f"rows[{number}].{name} is {dict(shares)}: expected probabilities that sum to 1")
    if not row.logged.get(row.action):
        raise ValueError(f"rows[{number}].logged gives no probability to {row.action!r}, the action that was taken")
    wrong = [value for value in row.predicted.values() if not 0.0 <= value <= 1.0]
    if wrong:
        raise ValueError(f"rows[{number}].predicted has {wrong[0]}: expected numbers from 0 to 1")


def _numbers(row: LoggedOutcome, told: _Told) -> tuple[float, ...]:
    """Return one row of `LoggedColumns`."""
    support = expected = seconds = 0.0
    # Of each action that could have been taken: its weight, and what is predicted of it.
    could: list[tuple[float, float]] = []
    weight = predicted = 0.0
    for action, share in row.logged.items():
        if share <= 0.0:
            continue
        want = row.wanted.get(action, 0.0)
        guess = row.predicted.get(action)
        if guess is None:
            guess = told.mean(row.context, action)
        support += want
        expected += want * guess
        seconds += want * want / share
        could.append((want / share, guess))
        if action == row.action:
            weight, predicted = want / share, guess
    support = min(support, 1.0)
    return (
        row.reward,
        weight,
        support,
        expected,
        predicted,
        max(0.0, seconds - support * support),
        expected - max(w * q for w, q in could),
        expected + max(w * (1.0 - q) for w, q in could),
        # The reward is 0 or 1 at the extremes: the gain is linear in it.
        expected + min(min(-w * q, w * (1.0 - q) - support) for w, q in could),
        expected + max(max(-w * q, w * (1.0 - q) - support) for w, q in could),
    )


# ---------------------------------------------------------------------------------------------------- from the records


def rows_of(
    outcomes: Iterable[Outcome], wanted: Mapping[str, Mapping[Action, float]] | None = None
) -> tuple[LoggedOutcome, ...]:
    """Return recorded outcomes as rows: those that have a reward, each user once at a task and trial.

    An action is (text digest, level), a context (task, complexity, model). `wanted` gives the changed policy's
    probabilities by decision id; a decision that it does not name stays as it was, with the probabilities of its
    record. Both levels of a trial are known once each was drawn for the same task; until then the other one was never
    tried.
    """
    counted: dict[tuple[str, ...], tuple[Assignment, float]] = {}
    arms: dict[tuple[str, ...], dict[bool, Action]] = {}
    for each in outcomes:
        made = each.assignment
        if each.reward is not None and not each.repeated:
            counted.setdefault((*_place(made), made.unit or made.decision), (made, each.reward))
            arms.setdefault(_place(made), {})[made.challenger] = _action(made)
    rows = []
    for made, reward in counted.values():
        logged = _logged(made, arms[_place(made)])
        asked = logged if wanted is None else wanted.get(made.decision, logged)
        rows.append(
            LoggedOutcome(_action(made), reward, logged, asked, context=(made.task, made.complexity, made.model))
        )
    return tuple(rows)


def _place(made: Assignment) -> tuple[str, ...]:
    return (made.trial, made.task, made.complexity, made.model, made.text)


def _action(made: Assignment) -> Action:
    return (made.text, made.level)


def _logged(made: Assignment, arms: Mapping[bool, Action]) -> Mapping[Action, float]:
    """Return the probabilities of both levels of a trial; where only one was ever drawn, the other has no name."""
    if not made.trial or made.holdout:
        return {_action(made): 1.0}
    nameless = ("", made.level)
    return {arms.get(True, nameless): made.share, arms.get(False, nameless): 1.0 - made.share}
