"""How a pack behaves as a whole, as an operator writes it: the key `settings`, and levels by the complexity cue."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Discriminator, Tag

from router.packs.accepted import Error, Share, ShortlistLength, ThresholdForm
from router.packs.encoders import CascadeForm, Encoder
from router.packs.words import ClosedModel, Duration, LevelName, by_kind, optional


class LevelsForm(ClosedModel):
    """Level by the complexity cue."""

    simple: LevelName | None = optional("Level of simple requests", example="brief")
    standard: LevelName | None = optional("Level of ordinary requests", example="guided")
    complex: LevelName | None = optional("Level of complex requests", example="detailed")


Start: TypeAlias = Annotated[
    Annotated[LevelName, Tag("<level>")] | Annotated[LevelsForm, Tag("<levels>")],
    Discriminator(by_kind(**{"<level>": str, "<levels>": dict})),
]


class SettingsForm(ClosedModel):
    """How the pack behaves as a whole."""

    level: LevelName | None = optional(
        "Where tasks start that have neither level nor complexity (guided)", example="brief"
    )
    levels: LevelsForm | None = optional(
        "Where tasks start, by the cue complexity, which has to be declared: it moves every task without a level of "
        "its own, but none that is off, and none of complexity complex down",
        example={"simple": "brief", "complex": "detailed"},
    )
    budget_tokens: int | None = optional(
        "Most tokens that one request gains (500); required text is sent all the same", example=600, ge=0, le=1_000_000
    )
    max_tasks: int | None = optional("Tasks that one message may settle on (2)", example=1, ge=1, le=5)
    shortlist: ShortlistLength | None = optional(
        "Most tasks that are said as cases, where it may be any of them (3)", example=4
    )
    error: Error | None = optional(
        "Accepted share of messages that get text which does not apply (0.05): a number, or the mapping below",
        example=0.05,
    )
    exposure: Share | None = optional(
        "Of messages that are none of the tasks, the share that may get text of one (0.10)", example=0.2
    )
    thresholds: ThresholdForm | None = optional(
        "Thresholds by hand, in place of certified ones: nothing is promised then",
        example={"sure": 0.9, "shortlist": 0.8},
    )
    place: Literal["after", "before", "replace"] | None = optional(
        "Where our text stands by the app's own system text (after)", example="before"
    )
    on_switch: Literal["tail", "head"] | None = optional(
        "Where the text of a new task goes in mid-conversation (tail); head loses the provider's cache of the "
        "conversation",
        example="head",
    )
    pin_idle: Duration | None = optional("How long an idle conversation keeps its revision (60m)", example="2h")
    tuning: Literal["observe", "suggest", "auto"] | None = optional(
        "observe: nothing is tried; suggest: levels are tried and a person accepts steps; auto: steps are taken"
        " (suggest)",
        example="observe",
    )
    holdout: float | None = optional(
        "Share of users for whom nothing is tuned, to measure the gain (0.02)", example=0.05, ge=0, le=0.5
    )
    encoder: Encoder | None = optional(
        "What reads the messages: static, lexical, onnx:PATH or litellm:MODEL (static)", example="lexical"
    )
    cascade: CascadeForm | None = optional(
        "A stronger encoder for the messages that the encoder is least sure of",
        example={"encoder": "litellm:openai/text-embedding-3-small", "share": 0.2},
    )
