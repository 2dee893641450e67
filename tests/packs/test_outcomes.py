"""Metrics, signals, the judge and levels of tasks: what the written words mean, and values that cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from router.core.errors import Fault
from router.core.policy import Judge, Level, Metric, Signal
from router.packs import Pack

Load = Callable[[Mapping[str, str]], Pack]
Faults = Callable[[Mapping[str, str]], tuple[Fault, ...]]

METRICS = """
metrics:
  resolved: {type: boolean, primary: true, default: true}
  csat: {type: rating}
  minutes: {type: number, range: [0, 60], better: low, guardrail: true, default: 5}
  checks: {type: checks}
tasks: {person: {tasks: {now: {}}}}
"""


def test_metrics_have_a_default_an_end_that_is_good_and_may_be_guardrails(load: Load) -> None:
    metrics = load({"pack.yaml": METRICS}).policy.metrics
    assert metrics["resolved"] == Metric("resolved", "boolean", primary=True, default=1.0)
    assert metrics["csat"] == Metric("csat", "rating", 1.0, 5.0)
    assert metrics["minutes"] == Metric("minutes", "number", 0.0, 60.0, default=5.0, better="low", guardrail=True)


def test_signals_are_one_for_each_name_and_metric(load: Load) -> None:
    signals = """
signals:
  thanks: {user_says: ['(?i)\\bthanks\\b', danke], says: {resolved: true, csat: 5}}
  refused: {answer_says: I cannot, says: {resolved: false}}
  handed_over: {tasks: [/person/now], says: {minutes: 12.5}}
  again: {again_within: 72h, says: {resolved: false}}
"""
    assert load({"pack.yaml": METRICS + signals}).policy.signals == (
        Signal("again", "resolved", 0.0, again_within_s=259_200.0),
        Signal("handed_over", "minutes", 12.5, tasks=("/person/now",)),
        Signal("refused", "resolved", 0.0, answer_says=("I cannot",)),
        Signal("thanks", "csat", 5.0, user_says=(r"(?i)\bthanks\b", "danke")),
        Signal("thanks", "resolved", 1.0, user_says=(r"(?i)\bthanks\b", "danke")),
    )


def test_the_judge_and_how_often_it_is_asked(load: Load) -> None:
    judge = "judge:\n  model: critic\n  metric: csat\n  rubric: |\n    Is it right?\n    Is it kind?\n"
    assert load({"pack.yaml": METRICS + judge}).policy.judge == Judge("critic", "csat", "Is it right?\nIs it kind?")
    judge += "  rate: 1\n  audit: 0\n"
    assert load({"pack.yaml": METRICS + judge}).policy.judge == Judge(
        "critic", "csat", "Is it right?\nIs it kind?", 1.0
    )
    assert load({"pack.yaml": METRICS}).policy.judge is None


def test_settings_of_tuning(load: Load) -> None:
    settings = load({"pack.yaml": "settings: {tuning: auto, holdout: 0.1}"}).policy.settings
    assert (settings.tuning, settings.holdout) == ("auto", 0.1)
    settings = load({"pack.yaml": "settings: {}"}).policy.settings
    assert (settings.tuning, settings.holdout) == ("suggest", 0.02)


@pytest.mark.parametrize(
    ("written", "levels"),
    [
        ("level: off", {"": Level.OFF}),
        ("level: detailed", {"": Level.DETAILED}),
        (
            "level: {simple: brief, complex: detailed}",
            {"simple": Level.BRIEF, "complex": Level.DETAILED},
        ),
        ("about: x", {}),
    ],
)
def test_the_level_of_a_task(load: Load, written: str, levels: dict[str, Level]) -> None:
    assert load({"pack.yaml": f"tasks: {{a: {{{written}}}}}"}).policy.tasks["/a"].levels == levels


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("metrics: {a: {type: boolean, default: 1}}", 1, "a is true or false, not 1", "without quotes"),
        ("metrics:\n  a:\n    type: rating\n    default: 6", 4, "a is never 6", "its range is 1 to 5"),
        ("metrics: {a: {type: rating, default: true}}", 1, "a is a number, not true", "1 to 5"),
        (f"{METRICS}signals:\n  x:\n    user_says: y\n    says:\n      resolvd: true", 12, '"resolvd"', '"resolved"?'),
        (f"{METRICS}signals:\n  x:\n    user_says: y\n    says:\n      csat: 9", 12, "csat is never 9", "1 to 5"),
        (f"{METRICS}signals:\n  x: {{user_says: y, says: {{checks: 1}}}}", 9, "it is measured, not said", "another"),
        (f"{METRICS}signals:\n  x:\n    tasks:\n    - /person\n    - /persn\n    says: {{csat: 1}}", 12, "/persn", "person"),
        ("signals: {x: {user_says: y, says: {a: true}}}", 1, 'there is no metric "a"', "declare it under metrics"),
        (f"{METRICS}judge:\n  model: m\n  metric: quality\n  rubric: r", 10, 'there is no metric "quality"', "known: "),
        (f"{METRICS}judge: {{model: m, metric: checks, rubric: r}}", 8, "measured, not judged", "another type"),
    ],
)  # fmt: skip
def test_values_that_cannot_be(faults_of: Faults, text: str, line: int, message: str, hint: str) -> None:
    (fault,) = faults_of({"pack.yaml": text})
    assert fault.line == line
    assert message in fault.message
    assert hint in fault.hint
