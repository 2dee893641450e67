"""The product, in one pure function.

    decide(policy, conversation, evidence) -> Decision

Equal inputs give equal decisions: `explain` is this function printed, `test` compares it, `plan` runs it again over the
log, and the proxy runs it and then sends.
"""

from __future__ import annotations

from router.core.compose import compose, speaking
from router.core.conversation import Conversation
from router.core.decision import Decision, Outcome, Reason, Settled, nothing
from router.core.evidence import Evidence
from router.core.levels import choose_levels
from router.core.policy import ROOT, AuxiliaryRule, Policy
from router.core.settle import CERTAIN_ROOT, candidates, settle


def decide(policy: Policy, conversation: Conversation, evidence: Evidence) -> Decision:
    """Decide about the newest user turn of `conversation`."""
    rule = auxiliary(policy, conversation)
    if rule:
        return nothing(policy.revision, "skipped", Reason("auxiliary", f"a machine's own call, by rule {rule}"))
    reasons = [Reason(fault, "missing when this was decided") for fault in evidence.faults]
    possible: tuple[str, ...] = ()
    outcome: Outcome = "unavailable"
    paths: tuple[Settled, ...] = (CERTAIN_ROOT,)
    if evidence.belief is not None:
        paths = settle(policy.tasks, evidence.belief, evidence.thresholds, policy.settings.max_tasks)
        possible = candidates(policy.tasks, evidence.belief, evidence.thresholds, paths)
        outcome = "unclassified" if paths[0].path == ROOT else "classified"
        reasons.append(_why(paths, possible))
    model, parameters = _model(policy, paths)
    complexity = str(evidence.cues.get("complexity", ""))
    asked = evidence.asked._replace(complexity=complexity, model=model or evidence.asked.model)
    levels, draw = choose_levels(policy, speaking(policy, paths), evidence.tuned, evidence.levels, asked)
    mix = compose(policy, paths, evidence, levels, possible)
    over = sum(piece.tokens for piece in mix.pieces) - policy.settings.budget_tokens
    if over > 0:
        reasons.append(Reason("required_over_budget", f"required text exceeds the budget by {over} tokens"))
    return Decision(
        revision=policy.revision,
        outcome=outcome,
        paths=paths,
        levels=mix.levels,
        mix=mix.pieces,
        dropped=mix.dropped,
        reasons=tuple(reasons),
        model=model,
        parameters=parameters,
        draw=draw,
    )


def auxiliary(policy: Policy, conversation: Conversation) -> str:
    """Return the name of the rule that takes this for a machine's own call, or the empty string."""
    if not policy.auxiliary:
        return ""
    user = next((turn.text for turn in reversed(conversation.turns) if turn.role == "user"), "").lstrip()
    return next((rule.name for rule in policy.auxiliary if _matches(rule, conversation, user)), "")


def _matches(rule: AuxiliaryRule, conversation: Conversation, user: str) -> bool:
    if rule.max_tokens_below is not None:
        if conversation.max_tokens is None or conversation.max_tokens >= rule.max_tokens_below:
            return False
    if rule.system_contains and not any(part in conversation.system for part in rule.system_contains):
        return False
    if rule.user_starts and not user.startswith(rule.user_starts):
        return False
    return not rule.user_contains or any(part in user for part in rule.user_contains)


def _why(paths: tuple[Settled, ...], possible: tuple[str, ...]) -> Reason:
    if paths[0].path == ROOT:
        maybe = f"; possibly {' or '.join(possible)}" if possible else ""
        return Reason("not_settled", f"no task passed its threshold: general instructions only{maybe}")
    said = ", ".join(f"{s.path} at {s.confidence:.2f} (threshold {s.threshold:.2f})" for s in paths)
    return Reason("settled", f"settled on {said}")


def _model(policy: Policy, paths: tuple[Settled, ...]) -> tuple[str | None, dict[str, object]]:
    """The deepest word on the lineage of the first path wins, parameter by parameter."""
    model: str | None = None
    parameters: dict[str, object] = {}
    for path in policy.lineages[paths[0].path]:
        task = policy.tasks[path]
        model = task.model or model
        parameters |= task.parameters
    return model, parameters
