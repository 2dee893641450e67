"""The reward of a matured conversation, and its guardrails: what tuning compares levels by.

One conversation, one number, whatever was said how often. Who wins where words differ, from the inside out:

1. On one target (a decision, or the whole conversation) the last word of a source within REPLACES_WITHIN_MS of its
   first counts; what comes later is kept but changes nothing, so that nobody can go back to an old conversation.
2. Over the targets of a conversation the words of a source are averaged; for booleans the latest counts, because how a
   conversation ended is what "resolved" asks.
3. Over sources the most authoritative that spoke counts (`SOURCES`), and only it: contradictions are not averaged.
4. Where nobody spoke, the metric's default; a metric of type `checks` has none.

"Last" and "latest" go by the time of receipt, ties by id, so the order in which rows are handed in does not matter.

A primary metric that a judge says is the judge's alone: it has a value where the judge was asked, which a draw decides,
and none elsewhere. That others spoke would be a choice of theirs, and people choose few and unusual conversations.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum

from router.core.learning import REPLACES_WITHIN_MS, SOURCES, Feedback, MaturedAssignment, ServiceRecord, Source
from router.core.levels import draw
from router.core.policy import Metric, Policy

FAILURES, SLOW, TOKENS = "failures", "slow", "tokens"
"""The guardrails that every policy has, beside those that its metrics declare."""

SLOW_HALF_MS = 10_000.0
"""A slowest answer of so long counts as half bad: the attention limit of Nielsen's "Response Times" (1993)."""

TOKENS_HALF = 4_000.0
"""A conversation of so many tokens counts as half dear: a few turns with a mix of the default budget."""

_JUDGED = "judge"  # what the draw of conversations to judge is keyed with


def reward_of(policy: Policy, due: MaturedAssignment) -> tuple[float | None, dict[str, float]]:
    """Return the reward of a matured conversation in [0, 1], 1 being good, and its guardrails in [0, 1], 1 being bad.

    The reward is the value of the policy's primary metric, None where nothing says how it went. A declared guardrail
    of which nothing is known is left out; the built-in ones are always there.
    """
    primary = policy.primary
    reward = None
    if primary is not None:
        if policy.judge is not None and policy.judge.metric == primary.name:
            reward = said_by("judge", primary, (row for row in due.feedback if row.metric == primary.name))
        else:
            reward = value_of(primary, due.feedback)
    guards = built_in(due.served)
    for metric in policy.metrics.values():
        value = value_of(metric, due.feedback) if metric.guardrail else None
        if value is not None:
            guards[metric.name] = 1.0 - value
    return reward, guards


def built_in(served: ServiceRecord) -> dict[str, float]:
    """Return the guardrails that need no feedback, each in [0, 1], 1 being bad.

    `failures` is the share of answers that failed. `slow` and `tokens` are x / (x + half): bounded without a cap, so
    that worse is always more, and steepest in proportion around the half, where ordinary conversations lie.
    """
    asked = max(served.answers, served.failures)
    return {
        FAILURES: served.failures / asked if asked else 0.0,
        SLOW: _saturated(served.slowest_ms, SLOW_HALF_MS),
        TOKENS: _saturated(served.tokens, TOKENS_HALF),
    }


def value_of(metric: Metric, feedback: Iterable[Feedback]) -> float | None:
    """Return what a conversation is worth by one metric, in [0, 1], 1 being good; None where nothing says so."""
    words = [row for row in feedback if row.metric == metric.name]
    for source in SOURCES:
        value = said_by(source, metric, words)
        if value is not None:
            return value
    if metric.default is None or metric.kind == "checks":
        return None
    return goodness(metric, metric.default)


def said_by(source: Source, metric: Metric, words: Iterable[Feedback]) -> float | None:
    """Return what one source says of a conversation by a metric, in [0, 1]; None where it said nothing.

    `words` are the feedback of that conversation on that metric.
    """
    counting: dict[str, Feedback] = {}
    first_ms: dict[str, int] = {}
    for row in sorted((row for row in words if row.source == source), key=_received):
        begun = first_ms.setdefault(row.decision, row.at_ms)
        if row.at_ms - begun <= REPLACES_WITHIN_MS:
            counting[row.decision] = row
    if not counting:
        return None
    if metric.kind == "boolean":
        return goodness(metric, max(counting.values(), key=_received).value)
    return fsum(goodness(metric, row.value) for row in counting.values()) / len(counting)


def goodness(metric: Metric, value: float) -> float:
    """Return a value of a metric's range as a share of it, 1 being the good end. Values outside count as its ends."""
    share = min(max((value - metric.low) / (metric.high - metric.low), 0.0), 1.0)
    return share if metric.better == "high" else 1.0 - share


def value_at(metric: Metric, share: float) -> float:
    """Return the value of a metric's range that is so good; the inverse of `goodness`."""
    return metric.low + (metric.high - metric.low) * (share if metric.better == "high" else 1.0 - share)


def drawn_for_judge(conversation: str, rate: float, salt: bytes = b"") -> bool:
    """Say whether the judge is asked about a conversation: a keyed hash of it, the same at each of its answers."""
    return draw(salt, conversation, _JUDGED) < rate


def _received(row: Feedback) -> tuple[int, str]:
    return row.at_ms, row.id


def _saturated(amount: float, half: float) -> float:
    amount = max(amount, 0.0)
    return amount / (amount + half)
