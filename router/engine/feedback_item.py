"""An item is feedback as it came: its form is checked, what it is about is not found yet. Pure.

What a metric's value may be is the policy's to say, and the policy is the one of the decision that the item is about;
so values are judged only when that is known (`measure`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.core.errors import RequestError, did_you_mean
from router.core.learning import Source
from router.core.policy import Metric, Policy
from router.core.store_ports import FeedbackSubject, FeedbackTarget

SHOWN_CHARS = 100
"""Of a client's own word, so much is repeated in an error."""

CHECKERS: frozenset[Source] = frozenset({"system", "audit"})
"""Who may report a metric of type `checks`: it is counted from answers, nobody has an opinion on it."""


@dataclass(frozen=True, slots=True)
class FeedbackItem:
    """One thing said about a decision, an answer or a conversation.

    `targets` are ways to read what the sender named, the first that is found counts. `granted` is the decision that the
    sender's token allows, empty where the sender has a key; `policies` are those that the key is for, None for all.
    `id` is unique for a tenant.
    """

    id: str
    tenant: str
    targets: tuple[FeedbackTarget, ...]
    named: str
    metric: str
    value: bool | int | float
    source: Source
    comment: str = ""
    said_at_ms: int | None = None
    granted: str = ""
    policies: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an item: stored by now, or stored before under the same id (`new` is false)."""

    id: str
    new: bool
    located: FeedbackSubject


def find(item: FeedbackItem, found: dict[FeedbackTarget, FeedbackSubject | None]) -> FeedbackSubject:
    """Return what an item is about. Raises RequestError: 404 for nothing of this tenant's, 403 beyond a token."""
    located = next(filter(None, map(found.get, item.targets)), None)
    if item.granted:
        _require_granted(item, located, found.get(FeedbackTarget("decision", item.granted)))
    if located is None or (item.policies is not None and located.policy not in item.policies):
        kind = item.targets[0].kind
        shown = item.named[:SHOWN_CHARS]
        raise RequestError(
            f'There is no {_NOUNS[kind]} "{shown}". An answer can be judged when it has ended; old ones are removed.',
            status=404,
            code=f"{kind}_not_found",
            param="response_id" if kind == "response" else kind,
            kind="not_found_error",
        )
    return located


_NOUNS = {"decision": "decision", "response": "answer", "conversation": "conversation"}


def _require_granted(item: FeedbackItem, located: FeedbackSubject | None, granted: FeedbackSubject | None) -> None:
    """Refuse what the token does not allow: all but its decision and the conversation of that.

    In one sentence for what exists and what does not, so that a token tells nothing about others.
    """
    if located is not None and located.decision == item.granted:
        return
    if located is not None and granted is not None and not located.decision:
        if (located.policy, located.conversation) == (granted.policy, granted.conversation):
            return
    if granted is None and item.targets == (FeedbackTarget("decision", item.granted),):
        return  # its own decision, which is not there: a 404
    raise outside_token()


def outside_token() -> RequestError:
    """Return the error for an item on something else than its token is for."""
    return RequestError(
        "This token is for feedback on another decision.",
        status=403,
        code="token_not_for_this",
        param="token",
        kind="permission_error",
        headers={"x-should-retry": "false"},
    )


def metric_of(policy: Policy, item: FeedbackItem) -> Metric:
    """Return the metric that an item is of. Raises RequestError (400)."""
    metric = policy.metrics.get(item.metric)
    if metric is None:
        hint = did_you_mean(item.metric[:SHOWN_CHARS], policy.metrics)
        raise RequestError(
            f'The policy "{policy.name}" has no metric "{item.metric[:SHOWN_CHARS]}" ({hint or "it has none"}).',
            code="unknown_metric",
            param="metric",
        )
    if metric.kind == "checks" and item.source not in CHECKERS:
        raise RequestError(
            f'"{metric.name}" counts the checks that an answer passed; it takes feedback of source system or audit'
            f" alone, not {item.source}.",
            code="source_not_allowed",
            param="source",
        )
    return metric


def measure(metric: Metric, value: bool | int | float) -> float:
    """Return a value as it is stored: a number in the metric's range, true as 1. Raises RequestError (400)."""
    if isinstance(value, bool) is not (metric.kind == "boolean"):
        wanted = "true or false" if metric.kind == "boolean" else f"a number from {metric.low:g} to {metric.high:g}"
        raise RequestError(f'value: "{metric.name}" takes {wanted}.', code="invalid_type", param="value")
    if not metric.low <= value <= metric.high:
        raise RequestError(
            f'value: "{metric.name}" goes from {metric.low:g} to {metric.high:g}.', code="out_of_range", param="value"
        )
    return float(value)


def wanted(items: Sequence[FeedbackItem]) -> dict[str, list[FeedbackTarget]]:
    """Return what has to be looked up for these items, by tenant, nothing twice."""
    targets: dict[str, dict[FeedbackTarget, None]] = {}
    for item in items:
        asked = targets.setdefault(item.tenant, {})
        asked.update(dict.fromkeys(item.targets))
        if item.granted:
            asked[FeedbackTarget("decision", item.granted)] = None
    return {tenant: list(asked) for tenant, asked in targets.items()}
