"""Metrics, signals and the judge as declared, and the values that they can say.

A default or a signal with a value that its metric can never have is a mistake; this file knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from router.core.errors import Fault, did_you_mean
from router.core.policy import Judge, Metric, Signal
from router.packs.outcome_forms import JudgeForm, MetricForm, SignalForm
from router.packs.reading import Node
from router.packs.words import seconds

_RATING = (1.0, 5.0)


def declare_metric(name: str, form: MetricForm, node: Node, faults: list[Fault]) -> Metric:
    """Return the metric that a form declares."""
    low, high = form.range or (_RATING if form.type == "rating" else (0.0, 1.0))
    fields: dict[str, float] = {"horizon_s": seconds(form.horizon)} if form.horizon else {}
    metric = Metric(
        name,
        form.type,
        low,
        high,
        primary=bool(form.primary),
        better=form.better or "high",
        guardrail=bool(form.guardrail),
        default=None if form.default is None else float(form.default),
        **fields,
    )
    if form.default is not None:
        _refuse_misfit(metric, form.default, node.at("default"), faults)
    return metric


def misfit(metric: Metric, value: bool | float) -> tuple[str, str] | None:
    """Return why a metric can never have this value, and a hint; None when it can.

    >>> misfit(Metric("csat", "rating", 1.0, 5.0), 7)
    ('csat is never 7', 'its range is 1 to 5')
    """
    if metric.kind == "checks":
        return f"{metric.name} is of type checks: it is measured, not said", "name another metric"
    if metric.kind == "boolean":
        if isinstance(value, bool):
            return None
        return f"{metric.name} is true or false, not {value:g}", "true or false, in lower case and without quotes"
    span = f"its range is {metric.low:g} to {metric.high:g}"
    if isinstance(value, bool):
        return f"{metric.name} is a number, not {'true' if value else 'false'}", span
    if not metric.low <= value <= metric.high:
        return f"{metric.name} is never {value:g}", span
    return None


def declare_signals(
    forms: Mapping[str, tuple[SignalForm, Node]],
    metrics: Mapping[str, Metric],
    tasks: Collection[str],
    faults: list[Fault],
) -> tuple[Signal, ...]:
    """Return the signals, one for each name and metric, in the order of these."""
    found: list[Signal] = []
    for name, (form, node) in sorted(forms.items()):
        for i, path in enumerate(form.tasks or ()):
            if path not in tasks:
                place = node.at("tasks", i).place
                faults.append(Fault(*place, f"there is no task {path}", did_you_mean(path, tasks)))
        for metric, value in sorted(form.says.items()):
            here = node.at("says", metric)
            if metric not in metrics:
                faults.append(_unknown(metric, here, metrics))
                continue
            _refuse_misfit(metrics[metric], value, here, faults)
            found.append(
                Signal(
                    name,
                    metric,
                    float(value),
                    user_says=_patterns(form.user_says),
                    answer_says=_patterns(form.answer_says),
                    tasks=tuple(form.tasks or ()),
                    again_within_s=seconds(form.again_within) if form.again_within else 0.0,
                )
            )
    return tuple(found)


def declare_judge(form: JudgeForm, node: Node, metrics: Mapping[str, Metric], faults: list[Fault]) -> Judge:
    """Return the judge that a form declares."""
    here = node.at("metric")
    metric = metrics.get(form.metric)
    if metric is None:
        faults.append(_unknown(form.metric, here, metrics))
    elif metric.kind == "checks":
        message = f"{metric.name} is of type checks: it is measured, not judged"
        faults.append(Fault(*here.place, message, "name a metric of another type"))
    shares = {key: share for key in ("rate", "audit") if (share := getattr(form, key)) is not None}
    return Judge(form.model, form.metric, form.rubric, **shares)


def _refuse_misfit(metric: Metric, value: bool | float, node: Node, faults: list[Fault]) -> None:
    why = misfit(metric, value)
    if why:
        faults.append(Fault(*node.place, *why))


def _unknown(name: str, node: Node, metrics: Mapping[str, Metric]) -> Fault:
    hint = did_you_mean(name, metrics) or "declare it under metrics: in the root file"
    return Fault(*node.place, f'there is no metric "{name}"', hint)


def _patterns(written: str | list[str] | None) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(written or ())
