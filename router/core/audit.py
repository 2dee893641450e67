"""Audits: are the promises kept, on the traffic that really comes?

A certificate holds for traffic like the examples. Whether traffic still is like them, only labels can tell: a few
decisions are drawn by chance, a person or a strong model says what each was about, and a bet is kept against each
promise (PROMISES). A decision that breaks it multiplies the stake, one that does not costs a little of it. While the
promise holds no way of betting gains on average, so the stake ever reaches ALARM_AT with a probability of at most
1 / ALARM_AT, however often somebody looks (Ville 1939). There it alarms, and the thresholds move one step up, to those
for half the accepted rates, with bets of their own. Where one alarms again, the examples tell nothing of this traffic
any more, nor does any threshold chosen by them: recognition falls silent, which is never wrong, and general text is all
that is said. So no broken promise stays in force once it is found. Thresholds never move down; a new fit starts anew.

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
from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b

from router.core.evidence import Certificate, Thresholds
from router.core.policy import lineage

AUDIT_RATE = 0.02
"""The share of decisions that is drawn, unless told otherwise."""

ALARM_AT = 20.0
"""The stake at which a bet alarms: a false alarm for one bet in 20 at most."""

ODDS_RATIOS = tuple(2.0 ** (step / 2) for step in range(1, 13))
"""How much worse than promised the odds of an error may be: from 1.4 to 64 times, evenly on a log scale."""

SILENT = Thresholds(2.0, 2.0)
"""The thresholds of recognition that has fallen silent: above any probability, so nothing is settled or listed."""

PROMISES = ("error", "unconditional", "exposure")
"""What is bet against, by its name in `Tolerance`: the first two on messages that some task answers, the last on those
that none does."""

_LOG_MOST = 700.0  # the exponential of more does not fit a double
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Audit:
    """What an auditor said one decision was about, next to what was done.

    `settled` and `shortlist` are the paths that were acted on, `label` those that the message was about: none for a
    message that no task answers. `thresholds` (sure, shortlist) and `certificate` (`name_of`) are those the decision
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
        if (promise == "exposure") is bool(self.label):
            return None
        plainly = any(all(path not in lineage(true) for true in self.label) for path in self.settled)
        missed = bool(self.shortlist) and not any(
            true in lineage(path) for true in self.label for path in self.shortlist
        )
        return plainly if promise == "unconditional" else plainly or missed


@dataclass(frozen=True, slots=True)
class Alarm:
    """One bet won: so many audits at the thresholds of `step` broke the promise, the last one labelled at `at_ms`."""

    promise: str
    step: int
    audits: int
    wrong: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class AuditBet:
    """The bet against one promise, that at most `accepted` of its messages break it, at the thresholds in force."""

    promise: str
    accepted: float
    audits: int = 0
    wrong: int = 0

    @property
    def evidence(self) -> float:
        """The stake: 1 at its beginning, an alarm at ALARM_AT."""
        return evidence_against(self.accepted, self.audits, self.wrong)

    @property
    def rate(self) -> float | None:
        """The share of audits that broke the promise; None where there is none yet."""
        return self.wrong / self.audits if self.audits else None

    def after(self, broken: bool | None) -> AuditBet:
        """Return the bet after one more audit; None is none."""
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
        own = self.certificate.thresholds
        return (own,) if self.certificate.basis == "hand" else (own, self.certificate.stricter, SILENT)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds in force."""
        return self.steps[self.step]

    @property
    def silent(self) -> bool:
        """Whether nothing is settled any more."""
        return self.thresholds is SILENT

    def after(self, audit: Audit) -> AuditWatch:
        """Return the watch after one more audit. One made at other thresholds says nothing about these."""
        if audit.thresholds != (self.thresholds.sure, self.thresholds.shortlist):
            return self
        broken = {bet.promise: audit.breaks(bet.promise) for bet in self.bets}
        now = replace(self, bets=tuple(bet.after(broken[bet.promise]) for bet in self.bets))
        # Only what breaks a promise adds to the evidence, and each promise alarms once at each step.
        told = {alarm.promise for alarm in self.alarms if alarm.step == self.step}
        alarms = tuple(
            Alarm(bet.promise, self.step, bet.audits, bet.wrong, audit.at_ms)
            for bet in now.bets
            if broken[bet.promise] and bet.promise not in told and bet.evidence >= ALARM_AT
        )
        if not alarms:
            return now
        alarms = (*self.alarms, *alarms)
        if self.step + 1 == len(self.steps):
            return replace(now, alarms=alarms)
        return AuditWatch(self.certificate, fresh_bets(self.certificate), self.step + 1, alarms)


def fresh_bets(certificate: Certificate) -> tuple[AuditBet, ...]:
    """Return the bets against what a certificate promises, before the first audit."""
    accepted = certificate.accepted
    rates = (accepted.error, accepted.unconditional, accepted.exposure)
    return tuple(AuditBet(promise, rate) for promise, rate in zip(PROMISES, rates, strict=True))


@dataclass(frozen=True, slots=True)
class ThresholdsInForce(Thresholds):
    """Thresholds as decisions are made with them: a certificate's, moved by its audits. Traces store its name."""

    certificate: str = ""


def name_of(certificate: Certificate) -> str:
    """Return the name of what is promised: another fit, or other accepted rates, have another one."""
    numbers = [
        (each.sure, each.shortlist, sorted(each.by_task.items()))
        for each in (certificate.thresholds, certificate.stricter)
    ]
    shares = (certificate.reach, certificate.error, certificate.unconditional, certificate.exposed)
    said = (certificate.basis, certificate.accepted, certificate.delta, certificate.rows, certificate.foreign)
    return blake2b(repr((said, numbers, shares)).encode(), digest_size=8).hexdigest()


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


def watch(certificate: Certificate, audits: Iterable[Audit]) -> AuditWatch:
    """Return the watch over a certificate after these audits, given in the order in which they were recorded.

    Only audits under this certificate count, and each decision once: with the label that came first.
    """
    name = name_of(certificate)
    found = AuditWatch(certificate, fresh_bets(certificate))
    seen: set[str] = set()
    for audit in audits:
        if audit.certificate != name or audit.decision in seen:
            continue
        seen.add(audit.decision)
        found = found.after(audit)
    return found


def in_force(thresholds: Thresholds, over: AuditWatch) -> ThresholdsInForce:
    """Return the thresholds that are in force after the audits: nowhere laxer than those given."""
    found = thresholds.stricter(over.thresholds) if over.step else thresholds
    return ThresholdsInForce(found.sure, found.shortlist, found.by_task, name_of(over.certificate))
