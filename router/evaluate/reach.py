"""What would be sent: reach, error, tokens and exposure of labelled turns at some thresholds.

All is counted by the functions that decide: `settle` says which tasks' text is sent, `decide` how many tokens it takes.

- *reach*: the instructions of the turn's task are in what is sent, plainly or as a case; where a label names several
  tasks, those of all of them.
- *error*: text of a task is said plainly that does not apply (*unconditional*), or the shortlist is without the truth.
- *general*: nothing but what holds for every message.
- *exposure*: a turn that no task answers gets text of any.

Exposure is a share of the turns out of scope (labelled `/`), all others are shares of the turns in scope. Tokens are
held against those of all tasks' text in every message, each task at its usual level. A figure of no turns is None.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from router.classify.belief import Tree
from router.classify.fit import certify
from router.classify.fit.certify import Acceptance, allowed, least_share
from router.classify.fit.turning import HeldOutRows, sure_at
from router.core.compose import compose
from router.core.decide import candidates, decide, settle
from router.core.decision import Settled, Settlement, breach
from router.core.evidence import Belief, Certificate, Evidence, Thresholds, Tolerance
from router.core.levels import NOBODY, choose_levels
from router.core.policy import ROOT, Policy, lineage
from router.cues.detectors import detect_language
from router.evaluate.labelled import Truth
from router.evaluate.outcomes import Judged
from router.packs.lint.languages import LANGUAGE_ROWS

BUDGETS = (0.01, 0.02, 0.03, 0.05, 0.08)
"""The rates of error for which the trade is told."""

PLAIN_SHARE = 0.6
"""How much of a budget may be unconditional, as in the defaults."""

PATH_POINTS, PATH_ROWS = 24, 2_000
"""Points of the curve of reach and error, and the most turns that each is counted on."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What is sent, as shares (see above). `least_reach` holds with the probability of the certificate.

    `sure` are turns in scope with a task settled, `listed` with a shortlist; right or wrong.
    """

    in_scope: int
    out_of_scope: int
    reach: float | None
    least_reach: float | None
    error: float | None
    unconditional: float | None
    tokens: float | None
    general: float | None
    sure: float | None
    listed: float | None
    exposure: float | None


class SentTurn(NamedTuple):
    """What one turn is sent; `said` are the tasks that are settled or listed."""

    in_scope: bool
    reached: bool
    wrong: bool
    plainly: bool
    general: bool
    sure: bool
    listed: bool
    tokens: int
    said: tuple[str, ...]

    @property
    def misses(self) -> bool:
        """Whether something was sent that does not apply."""
        return self.wrong if self.in_scope else not self.general


class Sending:
    """Decides about labelled turns of a policy. `everything` is what all tasks' text takes, in tokens."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._tokens: dict[tuple[tuple[str, ...], ...], int] = {}
        every = Settlement(tuple(Settled(path, 1.0, 0.0) for path in policy.tasks))
        roomy = replace(policy, settings=replace(policy.settings, budget_tokens=sys.maxsize))
        levels = choose_levels(policy, list(policy.tasks), None, {}, NOBODY).levels
        self.everything = compose(roomy, every, Evidence(None), levels).tokens

    def sent(self, turns: Iterable[Judged], thresholds: Thresholds) -> list[SentTurn]:
        """Return what each turn is sent at these thresholds."""
        return [self._one(turn.truth, turn.belief, thresholds) for turn in turns]

    def reach(self, sent: Sequence[SentTurn]) -> Reach:
        """Return the shares of some turns."""
        inside = [one for one in sent if one.in_scope]
        rows, reached = len(inside), sum(one.reached for one in inside)
        outside = len(sent) - rows

        def share(count: float, of: int = rows) -> float | None:
            return round(count / of, 4) if of else None

        return Reach(
            in_scope=rows,
            out_of_scope=outside,
            reach=share(reached),
            least_reach=round(least_share(rows, reached, certify.DELTA), 4) if rows else None,
            error=share(sum(one.wrong for one in inside)),
            unconditional=share(sum(one.plainly for one in inside)),
            tokens=share(sum(one.tokens for one in inside) / max(1, self.everything)),
            general=share(sum(one.general for one in inside)),
            sure=share(sum(one.sure for one in inside)),
            listed=share(sum(one.listed for one in inside)),
            exposure=share(sum(not one.general for one in sent if not one.in_scope), outside),
        )

    def _one(self, truth: Truth, belief: Belief, thresholds: Thresholds) -> SentTurn:
        tasks, settings = self._policy.tasks, self._policy.settings
        found = settle(tasks, belief, thresholds, settings.max_tasks, settings.shortlist)
        settled = tuple(path for path, _, _ in found.paths if path != ROOT)
        listed = tuple(path for path, _ in found.shortlist)
        said = {above for path in (*settled, *listed) for above in lineage(path)}
        plainly, wrong = breach(settled, listed, truth)
        key = settled, listed, () if listed else candidates(tasks, belief, found.paths)
        if key not in self._tokens:  # the same tasks always take the same
            self._tokens[key] = decide(self._policy, Evidence(belief, thresholds=thresholds)).tokens
        return SentTurn(
            in_scope=bool(truth),
            reached=bool(truth) and said.issuperset(truth),
            wrong=wrong,
            plainly=plainly,
            general=not settled and not listed,
            sure=any(not tasks[path].children for path in settled),
            listed=bool(listed),
            tokens=self._tokens[key],
            said=(*settled, *listed),
        )


@dataclass(frozen=True, slots=True)
class Language:
    """The turns in one language ("" where it is not clear) and what they are sent.

    `certified`: these turns alone certify the accepted rates; None: there are too few of them for that.
    """

    language: str
    reach: Reach
    certified: bool | None


def by_language(
    turns: Sequence[Judged], sent: Sequence[SentTurn], sending: Sending, certificate: Certificate
) -> tuple[Language, ...]:
    """Return the languages of the turns in scope, the most frequent first and what is not clear last.

    A language is what a file of examples says, else what shows in the words.
    """
    spoken: dict[str, list[SentTurn]] = defaultdict(list)
    for turn, one in zip(turns, sent, strict=True):
        spoken[turn.language or detect_language(turn.text) or ""].append(one)
    found = [
        Language(language, sending.reach(ones), _bears_out(ones, certificate.accepted))
        for language, ones in spoken.items()
        if any(one.in_scope for one in ones)
    ]
    return tuple(sorted(found, key=lambda one: (not one.language, -one.reach.in_scope, one.language)))


def _bears_out(sent: Sequence[SentTurn], accepted: Tolerance) -> bool | None:
    inside = [one for one in sent if one.in_scope]
    if len(inside) < LANGUAGE_ROWS:
        return None
    wrong, plainly = sum(one.wrong for one in inside), sum(one.plainly for one in inside)
    rates = ((wrong, accepted.error), (plainly, accepted.unconditional))
    return all(count <= allowed(len(inside), alpha, certify.DELTA) for count, alpha in rates)


@dataclass(frozen=True, slots=True)
class Budget:
    """The thresholds that a pack's rows certify for some accepted rates, None for too few rows.

    `here` marks what is in force.
    """

    accepted: Tolerance
    thresholds: Thresholds | None
    here: bool = False


def budgets(certificate: Certificate, rows: HeldOutRows, tree: Tree, asked: Acceptance) -> tuple[Budget, ...]:
    """Return the trade: the thresholds for each of BUDGETS and for what the pack accepts, by rising error."""
    found = {certificate.accepted: Budget(certificate.accepted, certificate.thresholds, here=True)}
    for error in BUDGETS:
        accepted = Tolerance(error, round(PLAIN_SHARE * error, 6), certificate.accepted.exposure)
        if accepted not in found:
            told = certify.certificate(rows, tree, certified_at(asked, accepted))
            found[accepted] = Budget(accepted, told.thresholds if told.basis == "certified" else None)
    return tuple(sorted(found.values(), key=lambda one: (one.accepted.error, one.accepted.unconditional)))


def certified_at(asked: Acceptance, accepted: Tolerance) -> Acceptance:
    """Return what to ask for to have thresholds certified for other rates."""
    return replace(asked, accepted=accepted, threshold_sure=None, threshold_shortlist=None)


class PathPoint(NamedTuple):
    """What acting from one threshold on means."""

    threshold: float
    reach: float | None
    error: float | None
    exposure: float | None


def along_path(turns: Sequence[Judged], sending: Sending, at: Thresholds) -> tuple[PathPoint, ...]:
    """Return reach, error and exposure along the path on which thresholds are sought, from the strictest on.

    `threshold` is that of shortlists, which that of single tasks goes with; all tasks together weigh what they must.
    """
    return _along(turns, sending, lambda value: Thresholds(sure_at(value), value, known=at.known))


def along_known(turns: Sequence[Judged], sending: Sending, at: Thresholds) -> tuple[PathPoint, ...]:
    """Return the same for thresholds of all tasks together, at the others in force."""
    return _along(turns, sending, lambda value: replace(at, known=value))


def _along(
    turns: Sequence[Judged], sending: Sending, thresholds: Callable[[float], Thresholds]
) -> tuple[PathPoint, ...]:
    some = turns[:: -(-len(turns) // PATH_ROWS) or 1]
    found = []
    # Evenly in log-odds: thresholds lie close to one another near 1.
    for odds in np.linspace(9.0, 0.0, PATH_POINTS).tolist() if some else ():
        value = round(1.0 / (1.0 + math.exp(-odds)), 6)
        at = sending.reach(sending.sent(some, thresholds(value)))
        found.append(PathPoint(value, at.reach, at.error, at.exposure))
    return tuple(found)
