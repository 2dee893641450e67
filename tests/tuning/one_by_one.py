"""The arithmetic of the sequential test for one outcome at a time: what the columns are held to, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from types import MappingProxyType

from router.core.learning import Outcome
from router.tuning.comparison import CAP, CEILING, EFFECTS, FLOOR, NEW, Comparison, limited
from router.tuning.sequential_test import ODDS, SequentialTest

_PRIOR_N, _PRIOR_MEAN = 2.0, 0.5
_PRIOR_VARIANCE_N, _PRIOR_VARIANCE = 10.0, 0.25


def compare(old: Comparison, x: float, challenger: bool, pi: float, margin: float) -> Comparison:
    """Return the comparison after one more conversation with value `x`, whose arm was drawn with share `pi`.

    The challenger is allowed to be below the incumbent by `margin`; a negative one asks it to be above by so much.
    """
    total, n = old.challenger_sum + old.incumbent_sum, old.challenger_n + old.incumbent_n
    b = (total + _PRIOR_N * _PRIOR_MEAN) / (n + _PRIOR_N)
    v = (old.squares + _PRIOR_VARIANCE_N * _PRIOR_VARIANCE) / (n + _PRIOR_VARIANCE_N)
    rest = 1.0 - pi
    d = ((x - b) / pi if challenger else -((x - b) / rest)) + margin
    kelly = sqrt(v) / (v / (pi * rest))
    up = CAP / (max(b / pi, (1.0 - b) / rest) - margin)
    down = CAP / (max((1.0 - b) / pi, b / rest) + margin)
    better, worse = [], []
    for effect, won, lost in zip(EFFECTS, old.better, old.worse, strict=True):
        stake = effect * kelly
        won *= 1.0 + min(stake, up) * d
        lost *= 1.0 - min(stake, down) * d
        better.append(won if FLOOR <= won <= CEILING else limited(won))
        worse.append(lost if FLOOR <= lost <= CEILING else limited(lost))
    squares = old.squares + (x - b) * (x - b)
    if challenger:
        return Comparison(
            old.challenger_n + 1,
            old.challenger_sum + x,
            old.incumbent_n,
            old.incumbent_sum,
            squares,
            tuple(better),
            tuple(worse),
        )
    return Comparison(
        old.challenger_n,
        old.challenger_sum,
        old.incumbent_n + 1,
        old.incumbent_sum + x,
        squares,
        tuple(better),
        tuple(worse),
    )


def ratio_factor(odds: float, challenger: bool, pi: float) -> float:
    """Return what one draw multiplies the wealth by that is bet on other odds than were logged."""
    return (odds if challenger else 1.0) / (1.0 - pi + odds * pi)


def advance_one(test: SequentialTest, outcome: Outcome) -> SequentialTest:
    given = outcome.assignment
    challenger, share = given.challenger, given.share
    first = given.at_ms if test.first_ms is None else min(test.first_ms, given.at_ms)
    last = given.at_ms if test.last_ms is None else max(test.last_ms, given.at_ms)
    matured = given.matures_ms if test.matured_ms is None else max(test.matured_ms, given.matures_ms)
    if outcome.repeated:
        return replace(
            test,
            outcomes=test.outcomes + 1,
            repeated=test.repeated + 1,
            first_ms=first,
            last_ms=last,
            matured_ms=matured,
        )
    reward, guards = test.reward, test.guards
    if outcome.reward is not None:
        reward = compare(reward, outcome.reward, challenger, share, test.margin)
    if outcome.guards:
        guards = MappingProxyType(
            {
                **guards,
                **{
                    name: compare(guards.get(name, NEW), value, challenger, share, test.guard_margin(name))
                    for name, value in outcome.guards.items()
                },
            }
        )
    spoken = compare(test.spoken, 0.0 if outcome.reward is None else 1.0, challenger, share, 0.0)
    ratio = tuple(
        [limited(w * ratio_factor(odds, challenger, share)) for w, odds in zip(test.ratio, ODDS, strict=True)]
    )
    return SequentialTest(
        test.margin,
        test.reverse,
        reward,
        spoken,
        guards,
        ratio,
        test.outcomes + 1,
        test.repeated,
        first,
        last,
        matured,
    )
