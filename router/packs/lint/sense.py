"""Whether a pack does what it says: instructions that can be said, cues, tests, metrics, rules."""

from __future__ import annotations

from collections.abc import Iterator

from router.core.errors import did_you_mean
from router.packs.lint.common import CueDomains, Finding, cues_of, found, leaves, said_tokens
from router.packs.load import Pack


def unreachable(pack: Pack) -> Iterator[Finding]:
    """Find instructions that no request can ever get."""
    domains = CueDomains(pack.policy)
    for task in pack.policy.tasks.values():
        for instruction in task.instructions:
            if not domains.can_be_said(instruction):
                names = ", ".join(sorted(cues_of(instruction)))
                message = f"no request can get this instruction: its conditions on {names} can never hold together"
                fix = "see when, unless, and the cue's default"
                yield found(pack, instruction.id, "unreachable", "error", message, fix)


def dead_cues(pack: Pack) -> Iterator[Finding]:
    """Find cues that change nothing, and settings that wait for a cue which nobody declared."""
    policy = pack.policy
    used = {name for task in policy.tasks.values() for i in task.instructions for name in cues_of(i)}
    used |= {name for name, cue in policy.cues.items() if cue.say}
    by_cue = {path: f"the level of {path}" for path, task in policy.tasks.items() if task.levels.keys() - {""}}
    if policy.settings.levels:
        by_cue["pack:settings"] = "settings.levels"
    if by_cue:
        used.add("complexity")
    for place, what in by_cue.items():
        if "complexity" not in policy.cues:
            message = f"{what} asks for the cue complexity, which is not declared"
            fix = "add complexity: {detect: complexity} under cues:"
            yield found(pack, place, "levels_without_cue", "warning", message, fix)
    for name, cue in policy.cues.items():
        if cue.kind != "detect" and not cue.sources:
            message = f"no request can give the cue {name} a value: it has no source"
            fix = "add from: {header: ...} or from: {metadata: ...}"
            yield found(pack, f"cue:{name}", "cue_without_source", "warning", message, fix)
        if name not in used and not cue.required:
            message = f"the cue {name} is declared but used nowhere"
            fix = "use it in when, unless, a text or say:, or remove it"
            yield found(pack, f"cue:{name}", "dead_cue", "warning", message, fix)


def unused_snippets(pack: Pack) -> Iterator[Finding]:
    """Find named sentences that no instruction says."""
    for fault in pack.unused:
        yield Finding("unused_snippet", "warning", fault.file, fault.line, fault.message, fault.hint)


_MOST_DIRECTIVES = 20
"""Models follow fewer rules the more they get: at 20, a model that follows each with .95 follows all with .36."""


def weight(pack: Pack) -> Iterator[Finding]:
    """Find lineages that say too much: too many directives, or more tokens than the budget."""
    policy = pack.policy
    domains = CueDomains(policy)
    budget = policy.settings.budget_tokens
    lines = sum(map(said_tokens, policy.cues.values()))
    for path in leaves(policy) or ("/",):
        said = [i for ancestor in policy.lineages[path] for i in policy.tasks[ancestor].instructions]
        number, tokens = domains.most_said(said)
        _, least = domains.most_said(i for i in said if i.level.word == "brief")
        if number > _MOST_DIRECTIVES:
            message = f"up to {number} instructions are said for {path}; models follow few of more than 20"
            fix = "merge or cut some on the way from / to this task"
            yield found(pack, path, "many_directives", "warning", message, fix)
        if least + lines > budget:
            message = f"brief and required text for {path} take {least + lines} tokens, the budget is {budget}"
            fix = "shorten them, or raise settings.budget_tokens"
            yield found(pack, path, "brief_over_budget", "error", message, fix)
        elif tokens + lines > budget:
            message = f"at level detailed, {path} takes up to {tokens + lines} tokens; the budget is {budget}"
            fix = "shorten it, or raise settings.budget_tokens; otherwise detailed text of / goes first"
            yield found(pack, path, "over_budget", "warning", message, fix)


def unmet_tests(pack: Pack) -> Iterator[Finding]:
    """Find tests that expect a task which the pack does not have, or a longer shortlist than it allows."""
    for test in pack.tests:
        for path in test.expected.named:
            if path not in pack.policy.tasks:
                fix = did_you_mean(path, pack.policy.tasks)
                message = f"the test expects the task {path}, which does not exist"
                yield Finding("unknown_task", "error", test.file, test.line, message, fix)
        longest = pack.policy.settings.shortlist
        if len(test.expected.shortlist) > longest:
            message = (
                f"the test expects a shortlist of {len(test.expected.shortlist)}, and none has more than {longest}"
            )
            fix = "raise settings.shortlist, or expect fewer"
            yield Finding("long_shortlist", "error", test.file, test.line, message, fix)


def untested_tasks(pack: Pack) -> Iterator[Finding]:
    """Find tasks that no test expects."""
    tested = {path for test in pack.tests for path in test.expected.named}
    for path in leaves(pack.policy):
        if path not in tested:
            fix = "add tests: with a message that is not among the examples"
            yield found(pack, path, "untested_task", "hint", f"no test expects {path}", fix)


def primary_metric(pack: Pack) -> Iterator[Finding]:
    """Find metrics without a primary one, or with several."""
    metrics = pack.policy.metrics
    primary = [name for name, metric in metrics.items() if metric.primary]
    if not primary and (metrics or pack.policy.settings.tuning == "auto"):
        message = "no metric is primary: there is nothing to tune by"
        fix = "add primary: true to the metric that says best how it went"
        place = f"metric:{next(iter(metrics))}" if metrics else "pack:settings"
        yield found(pack, place, "no_primary_metric", "warning", message, fix)
    for name in primary[1:]:
        message = f"{name} and {primary[0]} are both primary"
        yield found(
            pack, f"metric:{name}", "two_primary_metrics", "error", message, "keep primary: true at one of them"
        )


def silent_metrics(pack: Pack) -> Iterator[Finding]:
    """Find metrics that tuning needs and that have no value for most conversations, or for all."""
    policy = pack.policy
    checked = any(line.check for task in policy.tasks.values() for line in task.instructions)
    for name, metric in policy.metrics.items():
        if not (metric.primary or metric.guardrail):
            continue
        role = "primary" if metric.primary else "a guardrail"
        if metric.kind == "checks":
            if not checked:
                message = f"{name} is {role}, and no instruction carries a check: it never has a value"
                yield found(pack, f"metric:{name}", "no_checks", "error", message, "add check: to instructions")
        elif metric.default is None and not (metric.primary and policy.judge and policy.judge.metric == name):
            message = (
                f"{name} is {role} and has no default: conversations of which nobody says anything have no value, "
                "and thumbs alone mislead"
            )
            fix = "add default: with the value of a conversation that ends without a word"
            yield found(pack, f"metric:{name}", "no_default", "warning", message, fix)


def deaf_signals(pack: Pack) -> Iterator[Finding]:
    """Find signals that can never count."""
    policy = pack.policy
    for signal in policy.signals:
        place = f"signal:{signal.name}"
        if policy.judge is not None and policy.judge.metric == signal.metric and policy.metrics[signal.metric].primary:
            message = f"{signal.metric} is judged: of signals it takes no notice"
            yield found(pack, place, "signal_not_heard", "warning", message, "let the signal say another metric")
        elif policy.primary is not None and signal.again_within_s > policy.primary.horizon_s:
            message = f"the horizon of {policy.primary.name} ends before the signal's again_within does"
            fix = "shorten again_within, or lengthen the horizon: what comes later does not count"
            yield found(pack, place, "signal_too_late", "hint", message, fix)


def typed_rules(pack: Pack) -> Iterator[Finding]:
    """Find rules for machines' own calls that look for nothing but what people can type."""
    for rule in pack.policy.auxiliary:
        if rule.typed:
            message = f"people can type what the rule {rule.name} looks for, and then get required instructions alone"
            fix = "add what an app says: stream: false, max_tokens_below or system_contains"
            yield found(pack, f"pack:auxiliary.{rule.name}", "typed_rule", "warning", message, fix)
