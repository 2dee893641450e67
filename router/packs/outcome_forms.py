"""How an operator writes what went well: metrics, the signals that stand in for thumbs, and the judge."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from router.packs.words import Alias, Duration, Form, Name, Patterns, TaskPath, Text, Value, exactly_one, one_of, wrong

SIGNAL_KINDS = ("user_says", "answer_says", "tasks", "again_within")


class MetricForm(Form):
    """A typed outcome that feedback may report."""

    type: Literal["boolean", "rating", "number", "checks"] = Field(description="What a value is")
    range: list[float] | None = Field(default=None, min_length=2, max_length=2, description="Least and greatest value")
    primary: bool | None = Field(default=None, description="true: what tuning improves; one metric has it")
    horizon: Duration | None = Field(default=None, description="How long after the decision feedback counts (72h)")
    default: Value | None = Field(
        default=None, description="The value of a conversation of which nobody says anything; without it, it has none"
    )
    better: Literal["high", "low"] | None = Field(default=None, description="Which end of the range is good (high)")
    guardrail: bool | None = Field(default=None, description="true: a level that makes it worse is stopped")

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


class SignalForm(Form):
    """Something in how a conversation goes on that tells how the answers before were; exactly one condition."""

    model_config = ConfigDict(json_schema_extra=exactly_one(SIGNAL_KINDS))

    user_says: Patterns | None = Field(
        default=None, description="Patterns (RE2), one of which is found in the user's next turn"
    )
    answer_says: Patterns | None = Field(
        default=None, description="Patterns (RE2), one of which is found in the answer itself"
    )
    tasks: list[TaskPath] | None = Field(
        default=None, min_length=1, description="The conversation comes to one of these tasks, or to one below"
    )
    again_within: Duration | None = Field(
        default=None, description="The same user comes back to the task within so long, in another conversation"
    )
    says: Annotated[dict[Name, Value], Field(min_length=1)] = Field(description="What it says: metric -> value")

    @model_validator(mode="after")
    def _one_kind(self) -> SignalForm:
        one_of(SIGNAL_KINDS, self.model_fields_set, "a signal")
        return self


class JudgeForm(Form):
    """A model that is asked how good the answers of some conversations were."""

    model: Alias = Field(description="Model alias of router.yaml")
    metric: Name = Field(description="The metric that it says, best at the rubric's best")
    rubric: Text = Field(description="What a good answer is like, for the judge")
    rate: float | None = Field(default=None, gt=0, le=1, description="Share of conversations that are judged (0.1)")
    audit: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the judged that are drawn for a person to judge as well, so that the judge's errors are "
        "taken out (0.1); 0: the judge is taken at its word",
    )
