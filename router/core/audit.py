"""Audits: is acting wrong as rarely as was promised, on the traffic that really comes?

A certificate holds for traffic like the examples. Whether traffic still is like them, only labels can tell: a few
decisions are drawn by chance, a person or a strong model says what each was about, and a bet is kept against the
promise "wrong for at most alpha of all messages". A wrong decision multiplies the stake, one that was not wrong costs
a little of it. While the promise holds no way of betting gains on average, so the stake ever reaches ALARM_AT with a
probability of at most 1 / ALARM_AT, however often somebody looks (Ville 1939). There it alarms, and the threshold of
that depth moves one step up, to the one for half the accepted rate, with a bet of its own. Where that one alarms too,
the examples tell nothing of this traffic any more, nor does any threshold chosen by them: the depth falls silent, which
is never wrong, and what is above it speaks. So no broken promise stays in force once it is found, and a depth that
keeps its promise at either threshold falls silent with a probability of at most 1 / ALARM_AT. Thresholds never move
down; a new fit starts anew.

The bet is the test martingale for a bounded mean of Waudby-Smith & Ramdas (2024, "Estimating means of bounded random
variables by betting"), the product of 1 + lambda * (error - alpha), with the stake spread evenly over a grid of lambda:
nothing to tune, and hardly slower than the one lambda that would have been best. The lambda that is best where the odds
of an error are r times those of alpha is (r - 1) / (1 + alpha * (r - 1)). With it the product over n audits, k of them
wrong, is

    r ** k / (1 + alpha * (r - 1)) ** n,

so the whole state of a bet is two counts. All is a pure fold over the audits in their order: replaying gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from router.core.evidence import Certificate, Thresholds
from router.core.policy import depth, lineage

AUDIT_RATE = 0.02
"""The share of decisions that is drawn, unless told otherwise."""

ALARM_AT = 20.0
"""The stake at which a bet alarms: a false alarm for one bet in 20 at most."""

ODDS_RATIOS = tuple(2.0 ** (step / 2) for step in range(1, 13))
"""How much worse than promised the odds of an error may be: from 1.4 to 64 times, evenly on a log scale."""

SILENT = 2.0
"""The threshold of a depth that has fallen silent: above any probability, so nothing is settled there."""

_LOG_MOST = 700.0  # the exponential of more does not fit a double
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor said one decision was about, next to what was done.

    `settled` are the paths that were acted on, `label` those that the message was about: none for a message that no
    task answers. `thresholds`, by depth, and `certificate` (`name_of`) are those the decision was made under.
    `at_ms` is when the label was recorded.
    """

    decision: str
    policy: str
    certificate: str
    thresholds: tuple[float, ...]
    settled: tuple[str, ...]
    label: tuple[str, ...]
    auditor: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """One bet won: so many of the audits made at a threshold were wrong. `at_ms` is when the last label came."""

    threshold: float
    audits: int
    wrong: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class AuditBet:
    """The bet against the promise of one depth. `audits` and `wrong` count those at the threshold now in force.

    `deepest` says that this depth speaks for all below it, too.
    """

    certificate: Certificate
    deepest: bool
    step: int = 0
    audits: int = 0
    wrong: int = 0
    alarms: tuple[Alarm, ...] = ()

    @property
    def steps(self) -> tuple[float, ...]:
        """The thresholds to go through: the certificate's own, the stricter one, silence.

        One that the operator set by hand stays where it is: its alarm is told, and theirs to act on.
        """
        own = self.certificate.threshold
        return (own,) if self.certificate.basis == "hand" else (own, self.certificate.stricter, SILENT)

    @property
    def threshold(self) -> float:
        """The threshold in force."""
        return self.steps[self.step]

    @property
    def evidence(self) -> float:
        """The stake of the bet at the threshold in force: 1 at its beginning, an alarm at ALARM_AT."""
        return evidence_against(self.certificate.alpha, self.audits, self.wrong)

    @property
    def rate(self) -> float | None:
        """The share of audits at the threshold in force that were wrong; None where there is none yet."""
        return self.wrong / self.audits if self.audits else None

    @property
    def silent(self) -> bool:
        """Whether nothing is settled at this depth any more."""
        return self.threshold == SILENT

    def after(self, audit: Audit) -> AuditBet:
        """Return the watch after one more audit. One made at another threshold says nothing about this one."""
        at = self.certificate.depth - 1
        if at >= len(audit.thresholds) or audit.thresholds[at] != self.threshold:
            return self
        wrong = is_wrong(audit.settled, audit.label, self.certificate.depth, below=self.deepest)
        now = replace(self, audits=self.audits + 1, wrong=self.wrong + wrong)
        # Only an error adds to the evidence, and each threshold alarms once: one by hand stays after it has.
        if not wrong or len(self.alarms) > self.step or now.evidence < ALARM_AT:
            return now
        alarms = (*self.alarms, Alarm(self.threshold, now.audits, now.wrong, audit.at_ms))
        if self.step + 1 == len(self.steps):
            return replace(now, alarms=alarms)
        return replace(self, step=self.step + 1, audits=0, wrong=0, alarms=alarms)


@dataclass(frozen=True, slots=True)
class ThresholdsInForce(Thresholds):
    """Thresholds as decisions are made with them: a certificate's, moved by its audits. Traces store its name."""

    certificate: str = ""


def name_of(certificates: Sequence[Certificate]) -> str:
    """Return the name of what is promised: another fit, or another accepted rate, has another one."""
    said = []
    for each in certificates:
        rates = (each.alpha, each.delta, each.threshold, each.coverage, each.wrong, each.stricter)
        said.append((each.depth, each.basis, each.rows, [float(rate) for rate in rates]))
    return blake2b(repr(said).encode(), digest_size=8).hexdigest()


def draw_position(decision: str) -> float:
    """Return where a decision stands in the draw, in [0, 1).

    It depends on the id alone, which is random, so the draw is blind to what was said and decided, needs no memory, and
    the draw at one rate is part of the draw at any higher one.
    """
    return int.from_bytes(blake2b(decision.encode(), digest_size=6, person=b"audit").digest(), "big") / 2**48


def is_drawn(decision: str, rate: float = AUDIT_RATE) -> bool:
    """Say whether a decision is drawn for an audit at this rate."""
    return draw_position(decision) < rate


def is_wrong(settled: Iterable[str], label: Sequence[str], at: int, *, below: bool) -> bool:
    """Say whether what was settled at depth `at`, or with `below` at it or deeper, lies off the label's lineage.

    Nothing settled is nothing wrong: the rate is over all messages, as in the certificate.

    >>> is_wrong(["/billing/refund"], ["/billing/invoice"], 1, below=False)
    False
    >>> is_wrong(["/billing/refund"], ["/billing/invoice"], 2, below=True)
    True
    """
    reached = (path for path in settled if depth(path) >= at)
    acted_on = (path if below else lineage(path)[at] for path in reached)
    return any(all(path not in lineage(true) for true in label) for path in acted_on)


def evidence_against(alpha: float, audits: int, wrong: int) -> float:
    """Return the stake after so many audits: the evidence that more than `alpha` of all messages is wrong."""
    logs = [wrong * math.log(r) - audits * math.log1p(alpha * (r - 1.0)) for r in ODDS_RATIOS]
    most = max(logs)
    mean = math.fsum(math.exp(log - most) for log in logs) / len(logs)
    return math.exp(min(_LOG_MOST, most + math.log(mean)))


def least_rate(audits: int, wrong: int) -> float:
    """Return the lower end of the rate of wrong action: the largest rate that a bet would have alarmed against.

    It lies above the true rate, at any time ever looked at, with a probability of at most 1 / ALARM_AT; it lies above
    alpha exactly where the bet against alpha has alarmed, since evidence falls as alpha grows.
    """
    if evidence_against(0.0, audits, wrong) < ALARM_AT:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if evidence_against(middle, audits, wrong) >= ALARM_AT else (low, middle)
    return low


def watch(certificates: Sequence[Certificate], audits: Iterable[Audit]) -> tuple[AuditBet, ...]:
    """Return the watch over each depth after these audits, given in the order in which they were recorded.

    Only audits under these certificates count, and each decision once: with the label that came first.
    """
    name = name_of(certificates)
    last = max((certificate.depth for certificate in certificates), default=0)
    watches = [AuditBet(certificate, certificate.depth == last) for certificate in certificates]
    seen: set[str] = set()
    for audit in audits:
        if audit.certificate != name or audit.decision in seen:
            continue
        seen.add(audit.decision)
        watches = [each.after(audit) for each in watches]
    return tuple(watches)


def in_force(thresholds: Thresholds, watches: Sequence[AuditBet]) -> ThresholdsInForce:
    """Return the thresholds that are in force after the audits: nowhere laxer than those given."""
    by_depth = list(thresholds.by_depth)
    for each in watches:
        first = each.certificate.depth - 1
        upto = len(by_depth) if each.deepest else first + 1
        by_depth[first:upto] = [max(threshold, each.threshold) for threshold in by_depth[first:upto]]
    stricter = Thresholds(tuple(by_depth))
    by_task = {path: max(threshold, stricter.at(path)) for path, threshold in thresholds.by_task.items()}
    return ThresholdsInForce(tuple(by_depth), thresholds.soft, by_task, name_of([each.certificate for each in watches]))
