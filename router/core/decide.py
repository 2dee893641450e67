"""The product, in one pure function.

    decide(policy, evidence) -> Decision

Equal inputs give equal decisions, and the evidence is stored with the trace: `explain` is this function printed, `test`
compares it, `plan` runs it again over the log, and the proxy runs it and then sends.

Depth comes first: `settle` chooses the deepest paths that are safe to act on. Mass never grows on the way down (a
child's subtree lies in its parent's), so walking down greedily from the root while the heaviest child passes its
threshold finds the deepest safe path. Unsure between two siblings: the walk stops at their parent. Unsure of
everything: it never leaves the root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from router.core.compose import Mix, compose
from router.core.decision import Decision, Outcome, Reason, Settled
from router.core.evidence import Belief, Evidence, Thresholds
from router.core.levels import choose_levels
from router.core.policy import ROOT, Level, Policy, Task, depth

Tree: TypeAlias = Mapping[str, Task]

CERTAIN_ROOT = Settled(ROOT, 1.0, 0.0)

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


def settle(tree: Tree, belief: Belief, thresholds: Thresholds, max_tasks: int = 1) -> tuple[Settled, ...]:
    """Return the settled paths, most certain first; `/` alone when nothing passes.

    The conversation's own belief speaks first. A sentence of the newest turn may add a path when that path passes its
    threshold on the sentence alone and lies on no lineage that is settled already.
    """
    walks = [_descend(tree, belief.mass, thresholds)]
    for mass in belief.sentences:
        walks.append(_descend(tree, mass, thresholds))
    found: list[Settled] = []
    for walk in walks:
        if walk.path == ROOT:
            continue
        for i, other in enumerate(found):
            if _on_one_lineage(walk.path, other.path):
                if len(walk.path) > len(other.path):
                    found[i] = walk
                break
        else:
            if len(found) < max(1, max_tasks):
                found.append(walk)
    return tuple(found) or (CERTAIN_ROOT,)


def candidates(tree: Tree, belief: Belief, thresholds: Thresholds, settled: tuple[Settled, ...]) -> tuple[str, ...]:
    """Return up to two tasks that are likely enough to be named as a possibility but not safe to act on.

    They are leaves, heaviest first, and only asked for where the single settled path stopped above them.
    """
    if len(settled) != 1 or (settled[0].path != ROOT and not tree[settled[0].path].children):
        return ()
    stop = settled[0].path
    below = [
        (mass, path)
        for path, mass in belief.mass.items()
        if mass >= thresholds.soft and path in tree and not tree[path].children and _on_one_lineage(stop, path)
    ]
    below.sort(key=lambda pair: (-pair[0], pair[1]))
    return tuple(path for _, path in below[:2])


def _descend(tree: Tree, mass: Mapping[str, float], thresholds: Thresholds) -> Settled:
    here = CERTAIN_ROOT
    while children := tree[here.path].children:
        best, weight = "", 0.0
        for child in children:
            m = mass.get(child, 0.0)
            if m > weight:
                best, weight = child, m
        if not best:
            break
        threshold = thresholds.at(best)
        if weight < threshold:
            break
        here = Settled(best, weight, threshold)
    return here


def _on_one_lineage(a: str, b: str) -> bool:
    short, long = (a, b) if depth(a) <= depth(b) else (b, a)
    return short == ROOT or long == short or long.startswith(short + "/")
