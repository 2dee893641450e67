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
    if metrics and not primary:
        message = "no metric is primary: there is nothing to tune by"
        fix = "add primary: true to the metric that says best how it went"
        yield found(pack, f"metric:{next(iter(metrics))}", "no_primary_metric", "warning", message, fix)
    for name in primary[1:]:
        message = f"{name} and {primary[0]} are both primary"
        yield found(
            pack, f"metric:{name}", "two_primary_metrics", "error", message, "keep primary: true at one of them"
        )
