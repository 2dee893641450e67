"""The product, in one pure function.

    decide(policy, evidence) -> Decision

Equal inputs give equal decisions, and the evidence is stored with the trace: `explain` is this function printed, `test`
compares it, `plan` runs it again over the log, and the proxy runs it and then sends.

`settle` says what is safe to act on, in three zones:

- *sure*: mass never grows on the way down (a child's subtree lies in its parent's), so walking down from the root
  while the heaviest child passes its threshold finds the deepest safe path. Where that is a task, its text is said
  plainly;
- *shortlist*: otherwise the smallest list of tasks that is as sure as one task would have to be, or else the longest
  allowed, if that passes the threshold of lists. Its tasks speak as cases, what lies above all of them plainly;
- *general*: otherwise the settled path alone speaks, mostly the root, and names what is possible.

A list without the right task misleads a model about as much as plain wrong text does, so both count as errors alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import repeat
from typing import TypeAlias

from router.core.compose import Mix, compose, required_of, said_as_cases
from router.core.decision import Decision, Outcome, Reason, Settled, Settlement
from router.core.evidence import LEAST_LISTED, MASS_FLOOR, MOST_LISTED, Belief, Evidence, Likely, Thresholds
from router.core.levels import NOBODY, case_levels, choose_levels
from router.core.policy import ROOT, Level, Policy, Task, depth, lineage

Tree: TypeAlias = Mapping[str, Task]

CERTAIN_ROOT = Settled(ROOT, 1.0, 0.0)

SOFT = 0.3
"""The least mass at which a task may be named as a possibility: with three in ten at least two more tasks could be as
likely; then naming one is guessing."""

Compose: TypeAlias = Callable[[Policy, Settlement, Evidence, Mapping[str, Level], tuple[str, ...]], Mix]
"""`compose`, or the same with a memory."""


def decide(policy: Policy, evidence: Evidence, compose: Compose = compose) -> Decision:
    """Return the decision at one user turn: which tasks, at which levels, and so which instructions.

    A machine's own call gets what is required and no more, wherever it stands, and takes part in no trial.
    """
    reasons = list(map(_missing, evidence.faults))
    possible: tuple[str, ...] = ()
    outcome: Outcome = "unavailable"
    found = Settlement((CERTAIN_ROOT,))
    if evidence.belief is not None:
        settings = policy.settings
        found = settle(policy.tasks, evidence.belief, evidence.thresholds, settings.max_tasks, settings.shortlist)
        possible = () if found.shortlist else candidates(policy.tasks, evidence.belief, found.paths)
        outcome = _outcome(policy.tasks, found)
        reasons.append(_why(found, possible, evidence.thresholds, evidence.belief))
    paths, shortlist = found
    model, parameters = _model(policy, paths)
    complexity = str(evidence.cues.get("complexity", ""))
    asked = evidence.asked._replace(complexity=complexity, model=model or evidence.asked.model)
    tuned = None if evidence.auxiliary else evidence.tuned
    if outcome == "shortlisted":
        # A turn that is not sure of its task tells nothing about the task's level, and is given none. Nor does it say
        # what later turns are given: it must come out the same when it is decided again.
        tuned, asked = None, asked._replace(moves=NOBODY.moves)
    chosen = choose_levels(policy, [path for path, _, _ in paths], tuned, evidence.levels, asked)
    levels = chosen.levels
    if shortlist:
        levels |= case_levels(policy, [path for path, _ in shortlist], levels, evidence.levels, asked)
    mix = compose(policy, found, evidence, levels, possible)
    if shortlist and mix.dropped:
        shortlist = said_as_cases(shortlist, mix)
        if len(shortlist) < len(found.shortlist):
            gone = ", ".join(path for path, _ in found.shortlist if path not in dict(shortlist))
            reasons.append(Reason("case_over_budget", f"there was no room for the cases of {gone}"))
            outcome = _outcome(policy.tasks, Settlement(paths, shortlist))
    if evidence.auxiliary:
        return _skipped(policy, evidence.auxiliary, Settlement(paths, shortlist), mix)
    over = mix.tokens - policy.settings.budget_tokens
    if over > 0:
        reasons.append(_over_budget(over))
    return Decision(
        revision=policy.revision,
        outcome=outcome,
        paths=paths,
        shortlist=shortlist,
        levels=mix.levels,
        mix=mix.pieces,
        dropped=mix.dropped,
        reasons=tuple(reasons),
        model=model,
        parameters=parameters,
        draw=chosen.draw,
        moves=chosen.moves,
    )


def _skipped(policy: Policy, rule: str, found: Settlement, mix: Mix) -> Decision:
    """Return the decision about a machine's own call: required text alone. The rule may have been met by a person."""
    required = required_of(mix.pieces)
    reasons = [Reason("auxiliary", f"a machine's own call, by rule {rule}")]
    over = sum(piece.tokens for piece in required) - policy.settings.budget_tokens
    if over > 0:
        reasons.append(_over_budget(over))
    return Decision(policy.revision, "skipped", *found, mix=required, reasons=tuple(reasons))


def _missing(fault: str) -> Reason:
    return Reason(fault, "missing when this was decided")


def _over_budget(tokens: int) -> Reason:
    return Reason("required_over_budget", f"required text exceeds the budget by {tokens} tokens")


def _outcome(tree: Tree, found: Settlement) -> Outcome:
    if found.shortlist and all(tree[path].children for path, _, _ in found.paths):
        return "shortlisted"
    return "unclassified" if found.paths[0].path == ROOT else "classified"


def _why(found: Settlement, possible: tuple[str, ...], thresholds: Thresholds, belief: Belief) -> Reason:
    paths, shortlist = found
    known = belief.known
    if shortlist:
        listed = ", ".join(f"{path} ({mass:.2f})" for path, mass in shortlist)
        total = sum(mass for _, mass in shortlist)
        sure = ", ".join(_settled_on(settled, belief) for settled in paths if settled.path != ROOT)
        what = f"one of {listed}, together {total:.2f} (threshold {thresholds.shortlist:.2f})"
        return Reason("shortlisted", f"settled on {sure}; beside it {what}" if sure else what)
    if paths[0].path == ROOT:
        maybe = f"; possibly {' or '.join(possible)}" if possible else ""
        if known < thresholds.known:
            less = f"all tasks together have {known:.2f} (threshold {thresholds.known:.2f})"
            return Reason("not_known", f"{less}: general instructions only{maybe}")
        return Reason("not_settled", f"no task or shortlist passed its threshold: general instructions only{maybe}")
    return Reason("settled", f"settled on {', '.join(map(_settled_on, paths, repeat(belief)))}")


def _settled_on(settled: Settled, belief: Belief) -> str:
    path, mass, threshold = settled
    by = "" if belief.mass.get(path) == mass or sentence_of(settled, belief) is None else " by one of its sentences"
    return f"{path} at {mass:.2f} (threshold {threshold:.2f}){by}"


def sentence_of(settled: Settled, belief: Belief) -> Belief | None:
    """Return the belief after the sentence that settled a path; None where the message as a whole did."""
    if settled.path == ROOT or belief.mass.get(settled.path) == settled.confidence:
        return None
    return next((each for each in belief.sentences if each.mass.get(settled.path) == settled.confidence), None)


def _model(policy: Policy, paths: tuple[Settled, ...]) -> tuple[str | None, dict[str, object]]:
    """The deepest word on the lineage of the first path wins, parameter by parameter."""
    model: str | None = None
    parameters: dict[str, object] = {}
    for path in policy.lineages[paths[0].path]:
        task = policy.tasks[path]
        model = task.model or model
        parameters |= task.parameters
    return model, parameters


def settle(tree: Tree, belief: Belief, thresholds: Thresholds, max_tasks: int = 1, longest: int = 3) -> Settlement:
    """Return what is safe to act on; `/` alone when nothing is. A shortlist has at most `longest` tasks.

    The conversation's own belief speaks first. A sentence of the newest turn may add a path that it is sure of by
    itself and that lies on no lineage that is settled already. What a sentence is surely about, without being sure
    which, is a second request: a list beside what is settled.
    """
    found: list[Settled] = []
    known = belief.known >= thresholds.known
    sentences: Sequence[Belief] = belief.sentences
    if sentences:
        sentences = [sentence for sentence in sentences if sentence.known >= thresholds.known]
    if known:
        _join(found, _descend(tree, belief.mass, thresholds), max_tasks)
    for sentence in sentences:
        walk = _descend(tree, sentence.mass, thresholds)
        # What merely sounds like a domain is part of a story.
        if _is_task(tree, walk.path, sentence):
            _join(found, walk, max_tasks)
    tasks = {path for path, _, _ in found if not tree[path].children}
    shortlist: tuple[Likely, ...] = ()
    if not tasks:
        heaviest = likeliest(tree, belief) if known else ()
        # Where the settled node is itself the likeliest task, it speaks plainly already.
        if heaviest and not (found and heaviest[0].path == found[0].path):
            shortlist = list_tasks(heaviest, thresholds.sure, thresholds.shortlist, longest)
        if shortlist:
            shared = _shared(shortlist)
            _join(found, Settled(shared, belief.mass.get(shared, 0.0), thresholds.shortlist), max_tasks)
    elif sentences:
        shortlist = _second_request(tree, sentences, thresholds, longest, {path for path, _, _ in found})
    return Settlement(tuple(found) or (CERTAIN_ROOT,), shortlist)


def _is_task(tree: Tree, path: str, belief: Belief) -> bool:
    """Say whether a way down has ended at the task that is likeliest, or at one without tasks below it."""
    return not tree[path].children or any(likely.path == path for likely in likeliest(tree, belief)[:1])


def _join(found: list[Settled], settled: Settled, max_tasks: int) -> None:
    """Add a settled path, or let it take the place of one above it; not beside as many others as are allowed."""
    if settled.path == ROOT:
        return
    for i, other in enumerate(found):
        if _on_one_lineage(settled.path, other.path):
            if len(settled.path) > len(other.path):
                found[i] = settled
            return
    if len(found) < max(1, max_tasks):
        found.append(settled)


def _second_request(
    tree: Tree, sentences: Sequence[Belief], thresholds: Thresholds, longest: int, settled: Collection[str]
) -> tuple[Likely, ...]:
    """Return what a message with settled tasks surely asks for besides: the first list that names none of them.

    Where what is settled is itself what a sentence most likely asks for, it speaks plainly already.
    """
    for sentence in sentences:
        heaviest = likeliest(tree, sentence)
        if heaviest and heaviest[0].path not in settled and heaviest[0].mass < thresholds.at(heaviest[0].path):
            listed = list_tasks(heaviest, thresholds.sure, thresholds.sure, longest)
            if not any(path in settled and not tree[path].children for path, _ in listed):
                return listed
    return ()


def list_tasks(heaviest: tuple[Likely, ...], sure: float, least: float, longest: int) -> tuple[Likely, ...]:
    """Return the shortlist among tasks given heaviest first: none where no list of the allowed length is safe.

    It ends where it is as sure as one task would have to be (`sure`), else at its longest, if that has mass `least`; a
    task that weighs next to nothing only fills up a list that would be too short.
    """
    total = 0.0
    count = 0
    for likely in heaviest[:longest]:
        if count >= LEAST_LISTED and (total >= max(sure, least) or likely.mass < MASS_FLOOR):
            break
        total += likely.mass
        count += 1
    return heaviest[:count] if count >= LEAST_LISTED and total >= least else ()


def likeliest(tree: Tree, belief: Belief) -> tuple[Likely, ...]:
    """Return the tasks that weigh most by themselves. Where a belief does not say, they are its leaves."""
    if belief.likeliest:
        return belief.likeliest
    leaves = [Likely(path, mass) for path, mass in belief.mass.items() if path in tree and not tree[path].children]
    leaves.sort(key=lambda likely: (-likely.mass, likely.path))
    return tuple(leaves[:MOST_LISTED])


def candidates(tree: Tree, belief: Belief, settled: tuple[Settled, ...]) -> tuple[str, ...]:
    """Return up to two tasks that are likely enough to be named as a possibility but not safe to act on.

    They are heaviest first, and only asked for where the single settled path stopped above them.
    """
    if len(settled) != 1 or (settled[0].path != ROOT and not tree[settled[0].path].children):
        return ()
    stop = settled[0].path
    return tuple(
        path
        for path, mass in likeliest(tree, belief)[:2]
        if mass >= SOFT and path != stop and path in tree and _on_one_lineage(stop, path)
    )


def _shared(shortlist: tuple[Likely, ...]) -> str:
    """Return the deepest path that all listed tasks lie below."""
    first, *others = (lineage(path)[:-1] for path, _ in shortlist)
    return next(path for path in reversed(first) if all(path in other for other in others))


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
