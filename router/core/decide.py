"""The product, in one pure function.

    decide(policy, evidence) -> Decision

Equal inputs give equal decisions, and the evidence is stored with the trace: `explain` is this function printed, `test`
compares it, `plan` runs it again over the log, and the proxy runs it and then sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from router.core.compose import Mix, compose
from router.core.decision import Decision, Outcome, Reason, Settled
from router.core.evidence import Evidence
from router.core.levels import choose_levels
from router.core.policy import ROOT, Level, Policy
from router.core.settle import CERTAIN_ROOT, candidates, settle

Compose: TypeAlias = Callable[[Policy, tuple[Settled, ...], Evidence, Mapping[str, Level], tuple[str, ...]], Mix]
"""`compose`, or the same with a memory."""


def decide(policy: Policy, evidence: Evidence, compose: Compose = compose) -> Decision:
    """Return the decision at one user turn: which tasks, at which levels, and so which instructions.

    A machine's own call gets what is required and no more, wherever it stands, and takes part in no trial.
    """
    reasons = list(map(_missing, evidence.faults))
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
    tuned = None if evidence.auxiliary else evidence.tuned
    chosen = choose_levels(policy, [path for path, _, _ in paths], tuned, evidence.levels, asked)
    mix = compose(policy, paths, evidence, chosen.levels, possible)
    if evidence.auxiliary:
        return _skipped(policy, evidence.auxiliary, paths, mix)
    over = mix.tokens - policy.settings.budget_tokens
    if over > 0:
        reasons.append(_over_budget(over))
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
        draw=chosen.draw,
        moves=chosen.moves,
    )


def _skipped(policy: Policy, rule: str, paths: tuple[Settled, ...], mix: Mix) -> Decision:
    """Return the decision about a machine's own call: required text alone. The rule may have been met by a person."""
    required = tuple(piece for piece in mix.pieces if piece.required)
    reasons = [Reason("auxiliary", f"a machine's own call, by rule {rule}")]
    over = sum(piece.tokens for piece in required) - policy.settings.budget_tokens
    if over > 0:
        reasons.append(_over_budget(over))
    return Decision(policy.revision, "skipped", paths, mix=required, reasons=tuple(reasons))


def _missing(fault: str) -> Reason:
    return Reason(fault, "missing when this was decided")


def _over_budget(tokens: int) -> Reason:
    return Reason("required_over_budget", f"required text exceeds the budget by {tokens} tokens")


def _why(paths: tuple[Settled, ...], possible: tuple[str, ...]) -> Reason:
    if paths[0].path == ROOT:
        maybe = f"; possibly {' or '.join(possible)}" if possible else ""
        return Reason("not_settled", f"no task passed its threshold: general instructions only{maybe}")
    return Reason("settled", f"settled on {', '.join(map(_settled_on, paths))}")


def _settled_on(settled: Settled) -> str:
    return f"{settled.path} at {settled.confidence:.2f} (threshold {settled.threshold:.2f})"


def _model(policy: Policy, paths: tuple[Settled, ...]) -> tuple[str | None, dict[str, object]]:
    """The deepest word on the lineage of the first path wins, parameter by parameter."""
    model: str | None = None
    parameters: dict[str, object] = {}
    for path in policy.lineages[paths[0].path]:
        task = policy.tasks[path]
        model = task.model or model
        parameters |= task.parameters
    return model, parameters
