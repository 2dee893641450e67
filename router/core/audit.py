"""Audits: are the promises kept, on the traffic that really comes?

A certificate holds for traffic like the examples. Whether traffic still is like them, only labels can tell: a few
decisions are drawn by chance, a person or a strong model says what each was about, and bets are kept against the
promises (PROMISES), a stake of 1 spread evenly over them. A decision that breaks a promise multiplies the stake of its
bet, one that keeps it costs a little of it. While all promises hold no way of betting gains on average, so the stakes
ever reach ALARM_AT together with a probability of at most 1 / ALARM_AT, however often somebody looks (Ville 1939).
There they alarm, and the thresholds move one step up, to those for half the accepted rates, with bets of their own.
Where these alarm too, the examples tell nothing of this traffic any more, nor do any thresholds chosen by them:
recognition falls silent, which is never wrong, and general text is all that is said. So no broken promise stays in
force once it is found, and thresholds that keep theirs are given up with a probability of at most 1 / ALARM_AT.
Thresholds never move down; a new fit starts anew.

A bet is the test martingale for a bounded mean of Waudby-Smith & Ramdas (2024, "Estimating means of bounded random
variables by betting"), the product of 1 + lambda * (error - alpha), with its stake spread evenly over a grid of lambda:
nothing to tune, and hardly slower than the one lambda that would have been best. The lambda that is best where the odds
of an error are r times those of alpha is (r - 1) / (1 + alpha * (r - 1)). With it the product over n audits, k of them
wrong, is

    r ** k / (1 + alpha * (r - 1)) ** n,

so the whole state of a bet is two counts. All is a pure fold over the audits in their order: replaying gives the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from router.core.decision import breach
from router.core.evidence import SILENT, Certificate, Thresholds
from router.core.policy import ROOT

AUDIT_RATE = 0.02
"""The share of decisions that is drawn, unless told otherwise."""

ALARM_AT = 20.0
"""Where the stakes of all bets add up to this, they alarm: without cause once in 20 certificates at most."""

ODDS_RATIOS = tuple(2.0 ** (step / 2) for step in range(1, 13))
"""How much worse than promised the odds of an error may be: from 1.4 to 64 times, evenly on a log scale."""

PROMISES = ("error", "unconditional", "exposure")
"""What is bet against, by its name in `Tolerance`: the first two on messages that some task answers, the last, where
the certificate bounds it, on those that none does."""

NUMBERS = ("sure", "shortlist", "known")
"""The thresholds that hold for all tasks, by their name in `Thresholds`."""

_LOG_MOST = 700.0  # the exponential of more does not fit a double
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor said one decision was about, next to what was done.

    `settled` and `shortlist` are the paths that were acted on, `label` those that the message was about: none for a
    message that no task answers. `thresholds` (`numbers`) and `certificate` (`name_of`) are those the decision
    was made under. `at_ms` is when the label was recorded.
    """

    decision: str
    policy: str
    certificate: str
    thresholds: tuple[float, ...]
    settled: tuple[str, ...]
    label: tuple[str, ...]
    auditor: str
    at_ms: int
    shortlist: tuple[str, ...] = ()

    def breaks(self, promise: str) -> bool | None:
        """Say whether the decision broke a promise; None where the promise is not about such messages."""
        asked = {true for true in self.label if true != ROOT}
        if (promise == "exposure") is bool(asked):
            return None
        found = breach(self.settled, self.shortlist, asked)
        return found.plainly if promise == "unconditional" else found.wrong


@dataclass(frozen=True, slots=True)
class Alarm:
    """The bets of one step won. `promise` is the one whose bet won most: so many of its audits broke it by `at_ms`."""

    promise: str
    step: int
    audits: int
    wrong: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class AuditBet:
    """The bet against one promise, that at most `accepted` of its messages break it, at the thresholds in force.

    `stake` is what it begins with.
    """

    promise: str
    accepted: float
    stake: float = 1.0
    audits: int = 0
    wrong: int = 0

    @property
    def evidence(self) -> float:
        """What the stake has become."""
        return self.stake * evidence_against(self.accepted, self.audits, self.wrong)

    @property
    def rate(self) -> float | None:
        """The share of audits that broke the promise; None where there is none yet."""
        return self.wrong / self.audits if self.audits else None

    @property
    def least_rate(self) -> float:
        """The lower end of the rate: the largest one that this bet alone would have alarmed against.

        Of all promises of a certificate together it lies above a true rate, at any time ever looked at, with a
        probability of at most 1 / ALARM_AT.
        """
        return least_rate(self.audits, self.wrong, self.stake)

    def after(self, *, broken: bool | None) -> AuditBet:
        """Return the bet after one more audit; None says that it is not about this bet's messages."""
        return self if broken is None else replace(self, audits=self.audits + 1, wrong=self.wrong + broken)


@dataclass(frozen=True, slots=True)
class AuditWatch:
    """The watch over one certificate: the bets at the thresholds in force, and the alarms that led there."""

    certificate: Certificate
    bets: tuple[AuditBet, ...]
    step: int = 0
    alarms: tuple[Alarm, ...] = ()

    @property
    def steps(self) -> tuple[Thresholds, ...]:
        """The thresholds to go through: the certificate's own, the stricter ones, silence.

        Those that the operator set by hand stay where they are: their alarm is told, and theirs to act on.
        """
        own, stricter = self.certificate.thresholds, self.certificate.stricter
        return (own,) if self.certificate.basis == "hand" else (own, own.stricter(stricter), own.stricter(SILENT))

    @property
    def thresholds(self) -> ThresholdsInForce:
        """The thresholds in force."""
        now = self.steps[self.step]
        return ThresholdsInForce(now.sure, now.shortlist, now.by_task, now.known, name_of(self.certificate))

    @property
    def evidence(self) -> float:
        """What the stakes of all bets add up to: 1 at the beginning of a step, an alarm at ALARM_AT."""
        return math.fsum(bet.evidence for bet in self.bets)

    @property
    def silent(self) -> bool:
        """Whether nothing is settled or listed any more."""
        return self.steps[self.step].sure >= SILENT.sure

    def after(self, audit: Audit) -> AuditWatch:
        """Return the watch after one more audit. One made at other thresholds says nothing about these."""
        if audit.thresholds != numbers(self.steps[self.step]):
            return self
        broken = {bet.promise: audit.breaks(bet.promise) for bet in self.bets}
        after = replace(self, bets=tuple(bet.after(broken=broken[bet.promise]) for bet in self.bets))
        # Only what breaks a promise adds to the evidence, and each step alarms once: one by hand stays after it has.
        if not any(broken.values()) or len(self.alarms) > self.step or after.evidence < ALARM_AT:
            return after
        most = max(after.bets, key=lambda bet: bet.evidence)
        alarms = (*self.alarms, Alarm(most.promise, self.step, most.audits, most.wrong, audit.at_ms))
        if self.step + 1 == len(self.steps):
            return replace(after, alarms=alarms)
        return replace(_fresh(self.certificate), step=self.step + 1, alarms=alarms)


def _fresh(certificate: Certificate) -> AuditWatch:
    """Return the watch over a certificate before the first audit, with a bet against each of its promises."""
    promises = PROMISES if certificate.bounds_exposure else PROMISES[:2]
    accepted = {promise: getattr(certificate.accepted, promise) for promise in promises}
    bets = (AuditBet(promise, rate, 1.0 / len(accepted)) for promise, rate in accepted.items())
    return AuditWatch(certificate, tuple(bets))


@dataclass(frozen=True, slots=True)
class ThresholdsInForce(Thresholds):
    """Thresholds as decisions are made with them: a certificate's, moved by its audits. Traces store its name."""

    certificate: str = ""


def numbers(thresholds: Thresholds) -> tuple[float, ...]:
    """Return what audits hold of thresholds, in the order of NUMBERS."""
    return tuple(getattr(thresholds, name) for name in NUMBERS)


def by_name(thresholds: Thresholds) -> dict[str, float]:
    """Return the same under the names of NUMBERS."""
    return dict(zip(NUMBERS, numbers(thresholds), strict=True))


def name_of(certificate: Certificate) -> str:
    """Return the name of what is promised: another fit, or other accepted rates, have another one."""
    told, accepted = certificate, certificate.accepted
    rates = [accepted.error, accepted.unconditional, accepted.exposure, told.delta]
    rates += [told.reach, told.error, told.unconditional, told.exposed]
    for each in (told.thresholds, told.stricter):
        rates += [*numbers(each), *(each.by_task[path] for path in sorted(each.by_task))]
    paths = [sorted(told.thresholds.by_task), sorted(told.stricter.by_task)]
    said = (told.basis, told.rows, told.foreign, told.bounds_exposure, paths, [float(rate) for rate in rates])
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


def evidence_against(alpha: float, audits: int, wrong: int) -> float:
    """Return the stake after so many audits: the evidence that more than `alpha` of all messages is wrong."""
    logs = [wrong * math.log(r) - audits * math.log1p(alpha * (r - 1.0)) for r in ODDS_RATIOS]
    most = max(logs)
    mean = math.fsum(math.exp(log - most) for log in logs) / len(logs)
    return math.exp(min(_LOG_MOST, most + math.log(mean)))


def least_rate(audits: int, wrong: int, stake: float = 1.0) -> float:
    """Return the largest rate that a bet begun with this stake would have alarmed against; 0 where there is none.

    Evidence falls as alpha grows, so it lies above alpha exactly where the bet against alpha has alarmed.
    """
    enough = ALARM_AT / stake
    if evidence_against(0.0, audits, wrong) < enough:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if evidence_against(middle, audits, wrong) >= enough else (low, middle)
    return low


def watch(certificate: Certificate, audits: Iterable[Audit]) -> AuditWatch:
    """Return the watch over a certificate after these audits, given in the order in which they were recorded.

    Only audits under this certificate count, and each decision once: with the label that came first.
    """
    name = name_of(certificate)
    found = _fresh(certificate)
    seen: set[str] = set()
    for audit in audits:
        if audit.certificate == name and audit.decision not in seen:
            seen.add(audit.decision)
            found = found.after(audit)
    return found
