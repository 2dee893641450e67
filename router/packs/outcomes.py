"""What went well, as an operator writes it: metrics, the signals that stand in for thumbs, and the judge.

A default or a signal with a value that its metric can never have is a mistake; this file knows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from router.core.errors import Fault, did_you_mean
from router.core.policy import Judge, Metric, Signal
from router.packs.reading import YamlNode
from router.packs.words import (
    Alias,
    ClosedModel,
    Duration,
    Name,
    Patterns,
    TaskPaths,
    Text,
    Value,
    exactly_one,
    one_of,
    optional,
    wrong,
)

SIGNAL_KINDS = ("user_says", "answer_says", "tasks", "again_within")
_RATING = (1.0, 5.0)


class MetricForm(ClosedModel):
    """A typed outcome that feedback may report."""

    type: Literal["boolean", "rating", "number", "checks"] = Field(
        description="What a value is; checks: the share of an answer's checks that held", examples=["boolean"]
    )
    range: list[float] | None = optional(
        "Least and greatest value; a number needs it", example=[0, 100], min_length=2, max_length=2
    )
    primary: bool | None = optional("true: what tuning improves; one metric has it", example=True)
    horizon: Duration | None = optional("How long after the decision feedback counts (72h)", example="24h")
    default: Value | None = optional(
        "The value of a conversation of which nobody says anything; without it, it has none", example=True
    )
    better: Literal["high", "low"] | None = optional("Which end of the range is good (high)", example="low")
    guardrail: bool | None = optional("true: a level that makes it worse is stopped", example=True)

    @model_validator(mode="after")
    def _range_fits(self) -> MetricForm:
        if self.range is None:
            if self.type == "number":
                raise wrong("a number needs a range", "for example range: [0, 100]")
        elif self.type in ("boolean", "checks"):
            raise wrong(f"a metric of type {self.type} has no range", "remove it")
        elif self.range[0] >= self.range[1]:
            raise wrong("the range does not rise", "the least value comes first: [1, 5]")
        if self.type == "checks" and self.default is not None:
            raise wrong("a metric of type checks has no default", "an answer without checks has no value; remove it")
        return self


class SignalForm(ClosedModel):
    """Something in how a conversation goes on that tells how the answers before were; exactly one condition."""

    model_config = ConfigDict(json_schema_extra=exactly_one(SIGNAL_KINDS))

    user_says: Patterns | None = optional(
        "Patterns (RE2), one of which is found in the user's next turn", example=["(?i)thank(s| you)"]
    )
    answer_says: Patterns | None = optional(
        "Patterns (RE2), one of which is found in the answer itself", example="(?i)i cannot help"
    )
    tasks: TaskPaths | None = optional(
        "The conversation comes to one of these tasks, or to one below", example=["/complaints/human_agent"]
    )
    again_within: Duration | None = optional(
        "The same user comes back to the task within so long, in another conversation", example="48h"
    )
    says: Annotated[dict[Name, Value], Field(min_length=1)] = Field(
        description="What it says: metric -> value", examples=[{"resolved": False}]
    )

    @model_validator(mode="after")
    def _one_kind(self) -> SignalForm:
        one_of(SIGNAL_KINDS, self.model_fields_set, "a signal")
        return self


class JudgeForm(ClosedModel):
    """A model that is asked how good the answers of some conversations were."""

    model: Alias = Field(description="Model alias of router.yaml", examples=["careful"])
    metric: Name = Field(description="The metric that it says, best at the rubric's best", examples=["quality"])
    rubric: Text = Field(
        description="What a good answer is like, for the judge",
        examples=["The answer names the next step and promises nothing."],
    )
    rate: float | None = optional("Share of conversations that are judged (0.1)", example=0.2, gt=0, le=1)
    audit: float | None = optional(
        "Changes nothing any more, and may go: the judge is taken at its word", example=0.1, ge=0, le=1
    )


def declare_metric(name: str, form: MetricForm, node: YamlNode, faults: list[Fault]) -> Metric:
    """Return the metric that a form declares."""
    fields = form.given()
    low, high = fields.pop("range", _RATING if form.type == "rating" else (0.0, 1.0))
    if "horizon" in fields:
        fields["horizon_s"] = fields.pop("horizon")
    if "default" in fields:
        fields["default"] = float(fields["default"])
    metric = Metric(name, fields.pop("type"), low, high, **fields)
    if form.default is not None:
        node.at("default").refuse(misfit(metric, form.default), faults)
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
    forms: Mapping[str, tuple[SignalForm, YamlNode]],
    metrics: Mapping[str, Metric],
    tasks: Collection[str],
    faults: list[Fault],
) -> tuple[Signal, ...]:
    """Return the signals, one for each name and metric, in the order of these."""
    found: list[Signal] = []
    for name, (form, node) in sorted(forms.items()):
        when = form.given()
        says = when.pop("says")
        if "again_within" in when:
            when["again_within_s"] = when.pop("again_within")
        for i, path in enumerate(form.tasks or ()):
            if path not in tasks:
                faults.append(node.at("tasks", i).fault(f"there is no task {path}", did_you_mean(path, tasks)))
        for metric, value in sorted(says.items()):
            here = node.at("says", metric)
            if metric not in metrics:
                faults.append(_unknown(metric, here, metrics))
                continue
            here.refuse(misfit(metrics[metric], value), faults)
            found.append(Signal(name, metric, float(value), **when))
    return tuple(found)


def declare_judge(form: JudgeForm, node: YamlNode, metrics: Mapping[str, Metric], faults: list[Fault]) -> Judge:
    """Return the judge that a form declares."""
    here = node.at("metric")
    metric = metrics.get(form.metric)
    if metric is None:
        faults.append(_unknown(form.metric, here, metrics))
    elif metric.kind == "checks":
        message = f"{metric.name} is of type checks: it is measured, not judged"
        faults.append(here.fault(message, "name a metric of another type"))
    fields = form.given()
    fields.pop("audit", None)  # packs of earlier releases have it; lint says that it may go
    return Judge(**fields)


def _unknown(name: str, node: YamlNode, metrics: Mapping[str, Metric]) -> Fault:
    hint = did_you_mean(name, metrics) or "declare it under metrics: in the root file"
    return node.fault(f'there is no metric "{name}"', hint)
