"""What the pack promises about itself: tests, thresholds, metrics."""

from __future__ import annotations

from collections.abc import Iterator

from router.core.errors import did_you_mean
from router.packs.lint.finding import Finding, found, leaves
from router.packs.load import Pack


def unknown_tasks(pack: Pack) -> Iterator[Finding]:
    """Find tests that expect a task which the pack does not have."""
    for test in pack.tests:
        expected = test.expected
        for path in dict.fromkeys([*([expected.task] if expected.task else []), *expected.tasks]):
            if path not in pack.policy.tasks:
                fix = did_you_mean(path, pack.policy.tasks)
                message = f"the test expects the task {path}, which does not exist"
                yield Finding("unknown_task", "error", test.file, test.line, message, fix)


def untested_tasks(pack: Pack) -> Iterator[Finding]:
    """Find tasks that no test expects."""
    tested = {path for test in pack.tests for path in (test.expected.task, *test.expected.tasks)}
    for path in leaves(pack.policy):
        if path not in tested:
            fix = "add tests: with a message that is not among the examples"
            yield found(pack, path, "untested_task", "hint", f"no test expects {path}", fix)


def thresholds_by_hand(pack: Pack) -> Iterator[Finding]:
    """Find thresholds that replace certified ones."""
    settings = pack.policy.settings
    if settings.threshold_domain is not None or settings.threshold_task is not None:
        message = "thresholds by hand replace the certified ones: settings.error promises nothing any more"
        yield found(pack, "pack:settings", "threshold_by_hand", "warning", message, "remove settings.thresholds")


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
