"""What to do to reach more messages, with what it may bring: another budget, more examples.

What other budgets give is certified on the same rows. What more examples give is a forecast: the share of a task's
messages that are not reached falls as its misses do, by the learning curve; where that was left out, by the usual one.
For a pack with too few examples that share
is taken at the thresholds that its rows would certify if there were as many of the same kind as are needed.

Measured on 22 draws of 8 and 30 tasks from CLINC150 (Larson et al. 2019) and Banking77 (Casanueva et al. 2020), from 2
to 10 examples each to as many as are needed, or ten more: the reach that came was in the median 2 points away from the
forecast, at most 8 on either side.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter

import numpy as np

from router.classify import CrossValidation
from router.classify.belief import Tree
from router.classify.fit import certify
from router.classify.fit.training import Material
from router.classify.fit.turning import HeldOutRows
from router.core.evidence import Certificate, Thresholds, Tolerance
from router.core.policy import ROOT, Policy
from router.evaluate.outcomes import Judged
from router.evaluate.reach import Budget, Reach, Sending, certified_at
from router.evaluate.suggestions import MORE, LearningCurve
from router.evaluate.wording import plural, rate
from router.packs.lint.promises import rows_needed, shared_out

WORTH = 0.01
"""A gain or loss of less reach is not worth a word."""

FEW_TASKS = 4
"""So many tasks are named that ten more examples help most."""

MOST_NAMED = 5
"""Tasks that are named one by one."""

USUAL_POWER = 0.48
"""How fast misses fall where the pack's own curve was left out: of CLINC150 and Banking77, from 5 to 10 and from 10 to
20 examples a task, the wrong ones fall by .56, .40, .51 and .47 (`docs/figures-recognition.md`)."""

LAXER_EXPOSURE = 1.5
"""How many times the accepted exposure is tried."""


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do. `then` is the reach that it may bring, None where that cannot be told, beside that of `now`.

    `examples` says how many more which tasks need.
    """

    kind: str
    text: str
    now: float
    then: float | None
    examples: Mapping[str, int] = field(default_factory=dict)


class Adviser:
    """Knows how a pack's certifying rows fare, and what its learning curve forecasts.

    `turns` are these rows as they were judged; `trade` says what each budget sends them.
    """

    def __init__(
        self,
        found: CrossValidation,
        policy: Policy,
        turns: Sequence[Judged],
        sending: Sending,
        trade: Sequence[tuple[Budget, Reach | None]],
        curve: LearningCurve | None,
    ) -> None:
        self._told, self._rows = found.artefact.certificate, found.held_out
        self._tree = Tree(found.artefact.paths, found.artefact.classes)
        self._policy, self._turns, self._sending, self._trade = policy, turns, sending, trade
        self._asked = Material.of(policy).asked
        self._gains = {gain.task: gain for gain in curve.gains} if curve else None
        self._counts = Counter(self._rows.truths)

    def advice(self) -> tuple[Advice, ...]:
        """Return what to do about the pack, what costs least first; nothing for thresholds by hand."""
        if self._told.basis == "certified":
            return (*self._error(), *self._exposure(), *self._examples())
        return tuple(self._missing()) if self._told.basis == "default" else ()

    def _error(self) -> Iterator[Advice]:
        """Yield what the next budget that matters would give, and the stricter one that costs least."""
        now, error = self._told.reach, self._told.accepted.error
        others = [(one.accepted, at.reach) for one, at in self._trade if at is not None and at.reach is not None]
        for other, then in others:
            if other.error > error and then >= now + WORTH:
                rates = f"with {rate(other.error)} error instead of {rate(error)} ({_key(other)}) you would reach"
                yield Advice("error", f"{rates} {_instead(then, now)}", now, then)
                break
        stricter = [(other, then) for other, then in others if other.error < error and then > now - WORTH]
        if stricter:
            other, then = max(stricter, key=itemgetter(1))  # of equal ones the strictest
            costs = "hardly any" if then < now else "no"
            rates = f"{rate(other.error)} error instead of {rate(error)} ({_key(other)}) costs {costs} reach"
            yield Advice("error", f"{rates}: you would reach {_instead(then, now)}", now, then)

    def _exposure(self) -> Iterator[Advice]:
        """Yield what more exposure would give, where that is what holds reach down."""
        now, exposure = self._told.reach, self._told.accepted.exposure
        more = min(round(LAXER_EXPOSURE * exposure, 4), (1.0 + exposure) / 2)
        then = self._certify(replace(self._told.accepted, exposure=more)).reach
        if then >= now + WORTH:
            rates = f"with {rate(more)} exposure instead of {rate(exposure)} you would reach"
            yield Advice("exposure", f"exposure holds reach down: {rates} {_instead(then, now)}", now, then)

    def _examples(self) -> Iterator[Advice]:
        """Yield what ten more examples buy: of the few tasks where they help most, else of all."""
        now, missed = self._told.reach, self._missed(self._told.thresholds)
        helped = {task: count * (1.0 - self._left(task, MORE)) for task, count in missed.items()}
        tasks = sorted((task for task, gain in helped.items() if gain > 0.0), key=lambda task: (-helped[task], task))
        for some in (tasks[:FEW_TASKS], tasks):
            gain = sum(helped[task] for task in some) / self._told.rows
            if gain >= WORTH:
                points = plural(round(100 * gain), "point")
                by = ", by the usual learning curve" if self._gains is None else ""
                text = f"{MORE} more examples {_for(some)} buy about {points} of reach{by}"
                yield Advice("examples", text, now, round(now + gain, 4), dict.fromkeys(some, MORE))
                return
        yield Advice("examples", f"{MORE} more examples for every task buy less than a point of reach", now, now)

    def _missing(self) -> Iterator[Advice]:
        """Yield which tasks need how many examples until something can be certified."""
        told = self._told
        needed = rows_needed(min(told.accepted.error, told.accepted.unconditional))
        counts = self._counts
        tasks = [path for path, task in self._policy.tasks.items() if path != ROOT]
        tasks = [path for path in tasks if self._policy.tasks[path].examples or not self._policy.tasks[path].children]
        more = shared_out({path: counts[path] for path in tasks}, needed - told.rows)
        groups: dict[int, list[str]] = defaultdict(list)
        for task, count in more.items():
            groups[count].append(task)
        text = "; ".join(f"{count} more {_for(some)}" for count, some in sorted(groups.items(), reverse=True))
        if not more:
            return
        then = self._forecast(needed, more)
        reach = "" if then is None else f", with about {100 * then:.0f} % reach"
        buys = "buy it" if needed - told.rows <= MORE else "alone do not buy it"
        needs = f"it takes {needed:,} examples, of which {told.rows:,} are there; the next {MORE} {buys}"
        yield Advice("missing", f"{text}: then a certificate is possible{reach} ({needs})", told.reach, then, more)

    def _forecast(self, needed: int, more: Mapping[str, int]) -> float | None:
        """Return the reach with so many more examples, so many in all; None where nothing tells it."""
        inside = [at for at, truth in enumerate(self._rows.truths) if truth != ROOT]
        if self._gains == {} or not inside:
            return None
        every = np.concatenate([np.arange(len(self._rows.truths)), np.resize(inside, needed - len(inside))])
        truths = tuple(self._rows.truths[at] for at in every.tolist())
        alike = replace(self._rows, probabilities=self._rows.probabilities[every], truths=truths)
        missed = self._missed(self._certify(self._told.accepted, alike).thresholds)
        left = sum(count * self._left(task, more.get(task, 0)) for task, count in missed.items())
        return round(1.0 - left / len(inside), 4)

    def _certify(self, accepted: Tolerance, rows: HeldOutRows | None = None) -> Certificate:
        return certify.certificate(rows or self._rows, self._tree, certified_at(self._asked, accepted))

    def _missed(self, thresholds: Thresholds) -> Counter[str]:
        """Return how many rows of each task are not reached."""
        sent = self._sending.sent(self._turns, thresholds)
        return Counter(
            turn.truth[0] for turn, one in zip(self._turns, sent, strict=True) if one.in_scope and not one.reached
        )

    def _left(self, task: str, more: int) -> float:
        """Return which part of a task's misses so many more examples leave."""
        if self._gains is None:
            count = self._counts[task]
            return float((count / (count + more)) ** USUAL_POWER) if count else 1.0
        gain = self._gains.get(task)
        return gain.left(more) if gain else 1.0


def _for(tasks: Sequence[str]) -> str:
    return f"for {'each of ' if len(tasks) > 1 else ''}{_named(tasks)}"


def _named(tasks: Sequence[str]) -> str:
    others = len(tasks) - MOST_NAMED
    return ", ".join(tasks[:MOST_NAMED]) + (f" and {plural(others, 'other')}" if others > 0 else "")


def _key(accepted: Tolerance) -> str:
    """Return what stands under `settings` of a pack for these rates."""
    return f"error: {{total: {accepted.error:g}, unconditional: {accepted.unconditional:g}}}"


def _instead(then: float, now: float) -> str:
    """Return a share beside the one of now: 96 instead of 93 %."""
    if round(100 * then) == round(100 * now):
        return f"{100 * then:.0f} % all the same"
    return f"{100 * then:.0f} instead of {100 * now:.0f} %"
