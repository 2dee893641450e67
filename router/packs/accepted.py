"""What an operator accepts: how often text may go out that does not apply; or how sure is sure, set by hand.

Earlier releases had a rate and a threshold for each depth, `domain` and `task`. They are still read, layer by layer, so
that a pack which extends an older one has the last word on them: the higher rate is the total, the threshold of tasks
is that of being sure. What to write now is told by `router check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ConfigDict, Discriminator, Tag, WithJsonSchema, model_validator

from router.core.errors import Fault
from router.core.evidence import LEAST_LISTED, MOST_LISTED
from router.core.policy import PolicySettings
from router.packs.reading import YamlNode
from router.packs.words import ClosedModel, by_kind, optional, wrong

DEFAULTS = PolicySettings()

_OLDER = ("domain", "task")


def _share(value: float) -> float:
    if value <= 0:
        raise wrong(f"{value:g} cannot be promised by any number of examples", "a share of messages: 0.05 is 5 in 100")
    if value >= 1:
        hint = f"{value:g} in 100 is {value / 100:g}" if 1 < value < 100 else "0.05 is 5 in 100"
        raise wrong(f"{value:g} is no share of messages: it lies between 0 and 1", hint)
    return value


def _length(value: int) -> int:
    if not LEAST_LISTED <= value <= MOST_LISTED:
        why = "with fewer there is no choice" if value < LEAST_LISTED else "a model loses its way among more"
        raise wrong(f"a shortlist has {LEAST_LISTED} to {MOST_LISTED} tasks, not {value}", f"{why}; 3 is usual")
    return value


def _new_or_older(*new: str) -> dict[str, Any]:
    """Return the JSON Schema of a mapping that has no older key beside a new one."""
    either = [{"anyOf": [{"required": [key]} for key in keys]} for keys in (new, _OLDER)]
    return {"not": {"allOf": either}}


def _refuse_both(form: ClosedModel) -> None:
    older = [key for key in _OLDER if key in form.model_fields_set]
    new = [key for key in type(form).model_fields if key in form.model_fields_set and key not in _OLDER]
    if older and new:
        raise wrong(
            f"{new[0]} does not go together with the older {' and '.join(older)}", f"remove {' and '.join(older)}"
        )


Share: TypeAlias = Annotated[
    float,
    AfterValidator(_share),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
]
"""A share of messages that is neither none nor all."""

ShortlistLength: TypeAlias = Annotated[
    int, AfterValidator(_length), WithJsonSchema({"type": "integer", "minimum": LEAST_LISTED, "maximum": MOST_LISTED})
]


class ErrorForm(ClosedModel):
    """Accepted rates of messages that get text which does not apply."""

    model_config = ConfigDict(json_schema_extra=_new_or_older("total", "unconditional"))

    total: Share | None = optional("Text of a wrong task, or a shortlist without the right one (0.05)", example=0.05)
    unconditional: Share | None = optional("Of these, text of a wrong task said plainly (0.03)", example=0.03)
    domain: Share | None = optional("Of earlier releases; write error: with one number", example=0.03)
    task: Share | None = optional("Of earlier releases; write error: with one number", example=0.05)

    @model_validator(mode="after")
    def _not_both(self) -> ErrorForm:
        _refuse_both(self)
        return self


class ThresholdForm(ClosedModel):
    """Thresholds set by hand."""

    model_config = ConfigDict(json_schema_extra=_new_or_older("sure", "shortlist"))

    sure: float | None = optional("Least mass to act on one task", example=0.9, ge=0, le=1)
    shortlist: float | None = optional("Least mass of a shortlist", example=0.8, ge=0, le=1)
    domain: float | None = optional("Of earlier releases: changes nothing", example=0.9, ge=0, le=1)
    task: float | None = optional("Of earlier releases; write sure", example=0.9, ge=0, le=1)

    @model_validator(mode="after")
    def _not_both(self) -> ThresholdForm:
        _refuse_both(self)
        return self


Error: TypeAlias = Annotated[
    Annotated[Share, Tag("<total>")] | Annotated[ErrorForm, Tag("<rates>")],
    Discriminator(by_kind(**{"<total>": float, "<rates>": dict})),
]
"""The total alone, or with what of it may be said plainly."""


def in_todays_words(settings: Mapping[str, Any], node: YamlNode, older: list[Fault]) -> dict[str, Any]:
    """Return a layer's settings without older keys; `older` gets what to write instead. `node` is the settings'."""
    found = dict(settings)
    if "error" in found:
        found["error"] = _rates(found["error"], node.at("error"), older)
    if "thresholds" in found:
        found["thresholds"] = _thresholds(found["thresholds"], node.at("thresholds"), older)
    return found


def _rates(given: float | Mapping[str, float], node: YamlNode, older: list[Fault]) -> Mapping[str, float]:
    if not isinstance(given, Mapping):
        return {"total": given}
    rates = [given[key] for key in _OLDER if key in given]
    if not rates:
        return given
    total = max(rates)
    older.append(node.fault(f"error by domain and task is read as a total of {total:g}", f"write error: {total:g}"))
    return {"total": total}


def _thresholds(given: Mapping[str, float], node: YamlNode, older: list[Fault]) -> Mapping[str, float]:
    if "task" in given:
        sure = given["task"]
        message = f"thresholds by domain and task: task is read as sure, {sure:g}, and domain changes nothing"
        older.append(node.fault(message, f"write thresholds: {{sure: {sure:g}}}"))
        return {"sure": sure}
    if "domain" in given:
        message = "a threshold of domains changes nothing any more"
        older.append(node.fault(message, "remove thresholds, or write thresholds: {sure: ...}"))
        return {}
    return given


def accepted(settings: Mapping[str, Any], node: YamlNode, faults: list[Fault]) -> dict[str, float]:
    """Return the fields of the policy's settings that `error` and `thresholds` give. `node` is the settings'."""
    given = settings.get("error", {})
    total = given.get("total", DEFAULTS.error)
    plainly = given.get("unconditional", min(total, DEFAULTS.unconditional))
    if plainly > total:
        message = f"the unconditional part of the error ({plainly:g}) is more than all of it ({total:g})"
        hint = f"lower it, such as error: {{total: {total:g}, unconditional: {total:g}}}, or raise the total"
        faults.append(node.at("error", "unconditional").fault(message, hint))
    thresholds = {f"threshold_{zone}": mass for zone, mass in settings.get("thresholds", {}).items()}
    return {"error": total, "unconditional": plainly, **thresholds}
