"""A pack with something to say at every level, and the records that a trial is made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from router.core.learning import Assignment, DialKey, ExperimentEvent, Outcome
from router.core.levels import LevelQuery, Levels, choose_levels
from router.core.policy import ROOT, Instruction, Level, Metric, Policy, PolicySettings, Task, lineage
from router.tuning.allocation import ArmKey, ArmStatistics
from router.tuning.candidates import DAY_MS
from router.tuning.comparison import Comparison
from router.tuning.sequential_test import SequentialTest

OFF, BRIEF, GUIDED, DETAILED = Level
BILLING, REFUND, INVOICE, SHIPPING = "/billing", "/billing/refund", "/billing/invoice", "/shipping"
MODEL = "m"
T0 = 1_700_000_000_000
HORIZON_MS = 3_600_000


def instruction(path: str, level: Level, text: str = "", **more: Any) -> Instruction:
    return Instruction(f"{path}:{level.word}", path, level, text or f"- {path} {level.word}", 5, **more)


def pack(
    mode: str = "auto",
    paths: Sequence[str] = (BILLING, REFUND, INVOICE, SHIPPING),
    levels: Mapping[str, Iterable[Level]] | None = None,
    metric: str = "resolved",
    say: str = "",
    **tasks: Mapping[str, Any],
) -> Policy:
    """Return a policy with these tasks. `levels` says at which a task has text; `tasks` holds further fields by title."""
    children: dict[str, list[str]] = {ROOT: []}
    for path in paths:
        children[path] = []
        children[lineage(path)[-2]].append(path)
    built = {
        path: Task(
            path,
            children=tuple(below),
            **{
                "instructions": tuple(
                    instruction(path, level, say and f"- {say} {path} {level.word}")
                    for level in (levels or {}).get(path, (BRIEF, GUIDED, DETAILED))
                ),
                **tasks.get(path.rsplit("/", 1)[-1], {}),
            },
        )
        for path, below in children.items()
    }
    primary = {metric: Metric(metric, "boolean", primary=True, horizon_s=HORIZON_MS / 1000)} if metric else {}
    return Policy("desk", "rev-1", built, settings=PolicySettings(tuning=mode, holdout=0.0), metrics=primary)


def dial(task: str = BILLING, model: str = MODEL) -> DialKey:
    return DialKey(task, model)


def outcome(
    reward: float | None = 1.0,
    challenger: bool = False,
    share: float = 0.5,
    number: int = 0,
    guards: Mapping[str, float] | None = None,
    repeated: bool = False,
    **more: Any,
) -> Outcome:
    at = more.pop("at_ms", T0 + number)
    facts: dict[str, Any] = {
        "decision": f"dec_{number}",
        "at_ms": at,
        "tenant": "",
        "policy": "desk",
        "conversation": f"c{number}",
        "unit": f"u{number}",
        "task": BILLING,
        "complexity": "",
        "model": MODEL,
        "level": GUIDED,
        "text": "",
        "matures_ms": at + HORIZON_MS,
        "trial": "t",
        "node": BILLING,
    }
    given = Assignment(**{**facts, **more}, challenger=challenger, share=share)
    return Outcome(given, reward, MappingProxyType(dict(guards or {})), repeated, number)


def arms(
    policy: Policy, table: Mapping[tuple[str, Level], tuple[int, float]], now_ms: int, **more: Any
) -> dict[ArmKey, ArmStatistics]:
    """Return arms from (task, level) to (conversations, mean), a month's worth; rewards are 0 and 1."""
    model = more.get("model", MODEL)
    first = now_ms - more.get("days", 30) * DAY_MS
    return {
        ArmKey(task, model, level, task, policy.texts[task]): ArmStatistics(n, n * mean, n * mean, 0, first, now_ms)
        for (task, level), (n, mean) in table.items()
    }


def numbered(events: Iterable[ExperimentEvent], after: int = 0) -> list[ExperimentEvent]:
    """Return events as the store numbers them."""
    return [replace(event, number=after + i + 1) for i, event in enumerate(events)]


def drawn(
    policy: Policy,
    levels: Levels,
    units: Iterable[int],
    dice: np.random.Generator,
    worth: Mapping[Level, float],
    leaf: str = REFUND,
    at_ms: int = T0,
    guards: Mapping[Level, float] | None = None,
) -> list[Outcome]:
    """Return matured conversations at a task, levels chosen as the router does, rewards drawn by level."""
    found = []
    for unit in units:
        chosen, _, draw = choose_levels(policy, [leaf], levels, {}, LevelQuery(f"u{unit}", "", MODEL))
        node, level = draw.node if draw else leaf, chosen[leaf]
        found.append(
            outcome(
                float(dice.random() < worth[level]),
                draw.challenger if draw else False,
                draw.share if draw else 0.0,
                unit,
                {"bad": float(dice.random() < guards[level])} if guards else None,
                at_ms=at_ms,
                task=leaf,
                node=node,
                level=level,
                text=policy.texts[node],
                trial=draw.trial if draw else "",
            )
        )
    return found


def evidence(
    n: int = 400, gain: float = 1.0, harm: float = 1.0, means: tuple[float, float] = (0.8, 0.7), **more: Any
) -> SequentialTest:
    """Return evidence with these figures, half of the conversations on either arm; the challenger's mean first."""
    half = n // 2
    reward = Comparison(half, half * means[0], n - half, (n - half) * means[1], 0.2 * n, (gain,) * 3, (harm,) * 3)
    return SequentialTest(reward=reward, outcomes=more.pop("outcomes", n), **more)


FACTS: dict[str, Any] = {
    "trial": "t1",
    "kind": "up",
    "incumbent": "guided",
    "challenger": "detailed",
    "share": 0.1,
    "alpha": 0.025,
    "margin": 0.0,
    "text": "x",
    "metric": "resolved",
    "k": 1,
}


def event(what: str, key: DialKey | None = None, at_ms: int = T0, by: str = "tuner", **facts: Any) -> ExperimentEvent:
    given = {**FACTS, **facts} if what not in ("frozen", "thawed", "reset") else facts
    return ExperimentEvent(at_ms, "desk", what, key or dial(), given, by=by)


STARTED = event("started")
HELD_BACK = event("started", trial="h1", kind="holdback", incumbent="detailed", challenger="guided")
