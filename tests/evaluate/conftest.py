"""Outcomes by hand, packs by hand, and one evaluation of the shipped pack that all tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.core.policy import ROOT, Policy, Task
from router.evaluate import Evaluation, evaluate, read_labelled
from router.evaluate.outcomes import Outcomes, collect_steps, is_right
from router.packs import Pack, load_pack

HOSTILE = '<script>alert("x")</script> & </style> ]]> \x00\x1b[31m \ud800 \u202e \'"'

TASKS = {
    "refund": [
        "I want my money back",
        "refund please",
        "please refund my order",
        "can I get a refund",
        "give me my money",
    ],
    "invoice": [
        "send me the invoice",
        "I need an invoice",
        "where is my bill",
        "invoice please",
        "a bill for my order",
    ],
}
DELIVERY = {
    "track": [
        "where is my parcel",
        "track my package",
        "parcel has not arrived",
        "when is it delivered",
        "parcel late",
    ],
    "address": ["change my address", "wrong address", "ship it to my office", "new street", "update the address"],
}


def tree_of(*paths: str) -> dict[str, Task]:
    """Return the tasks at these paths and above, in pre-order."""
    every = {ROOT}
    for path in paths:
        parts = path.split("/")
        every |= {"/".join(parts[: i + 1]) for i in range(1, len(parts))}
    ordered = sorted(every, key=lambda path: path.split("/") if path != ROOT else [])
    return {
        path: Task(path, children=tuple(p for p in ordered if p != ROOT and (p.rpartition("/")[0] or ROOT) == path))
        for path in ordered
    }


def policy_of(*paths: str, **more: Any) -> Policy:
    return Policy("by-hand", "r1", tree_of(*paths), **more)


def outcomes_by_hand(
    rows: Sequence[tuple[str | tuple[str, ...], Sequence[tuple[str, float]]]],
    *,
    settled: Sequence[tuple[str, ...]] | None = None,
    classes: Sequence[str] = (),
    texts: Sequence[str] | None = None,
) -> Outcomes:
    """Return outcomes from (truth, way down with masses); the guess is the end of the way."""
    truths = tuple((truth,) if isinstance(truth, str) and truth else tuple(truth) for truth, _ in rows)
    ways = [list(way) for _, way in rows]
    ends = [way[-1] if way else ("", 0.0) for way in ways]
    known = frozenset(classes) or frozenset(path for path, _ in ends) | {path for truth in truths for path in truth}
    deepest = max((len(way) for way in ways), default=0)
    return Outcomes(
        texts=tuple(texts) if texts is not None else tuple(f"text {i}" for i in range(len(rows))),
        truths=truths,
        guesses=tuple(path for path, _ in ends),
        confidences=np.array([mass for _, mass in ends], np.float64),
        right=np.array([is_right(path, t, known) for (path, _), t in zip(ends, truths, strict=True)], np.bool_),
        walk=collect_steps(ways, deepest),
        known=np.array([way[0][1] if way else 0.0 for way in ways], np.float64),
        settled=tuple(settled) if settled is not None else ((),) * len(rows),
    )


@pytest.fixture
def make_pack(tmp_path: Path) -> Callable[..., Pack]:
    """Return a function that writes a pack of tasks (name to examples, or to more tasks) and loads it."""

    def form(tasks: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for name, inner in tasks.items():
            body: dict[str, Any] = {"brief": f"Help with {name}."}
            if isinstance(inner, Mapping):
                body["tasks"] = form(inner)
            elif inner:
                body["examples"] = list(inner)
            made[name] = body
        return made

    def make(tasks: Mapping[str, Any], **more: Any) -> Pack:
        path = tmp_path / "by_hand.yaml"
        path.write_text(
            json.dumps({"name": "by-hand", "brief": "Be polite.", "tasks": form(tasks), **more}, ensure_ascii=False)
        )
        return load_pack(path)

    return make


@pytest.fixture(scope="session")
def labelled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of labelled turns for the shipped help-desk pack, one of them hostile."""
    rows: list[dict[str, Any]] = [
        {"text": "I want my money back for the broken blender", "task": "/billing/refund"},
        {"text": "where on earth is my parcel", "task": "/delivery/track_parcel"},
        {"text": "who won the chess world championship in 1985", "task": "/"},
        {"text": HOSTILE, "task": "/billing/refund"},
        {
            "turns": [
                {"user": "I would like to return these shoes", "task": "/returns/start_return"},
                {"assistant": "Of course - what is the order number?"},
                {"user": "it is 12345", "task": ["/returns/start_return"]},
            ]
        },
    ]
    path = tmp_path_factory.mktemp("labelled") / "mail <b>.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def evaluation(support_pack: Path, labelled_file: Path) -> Evaluation:
    """The shipped help-desk pack, evaluated with labelled data; the learning curve is left out for time."""
    pack = load_pack(support_pack)
    labelled = read_labelled(labelled_file, pack.policy.tasks)
    return evaluate(pack, labelled, quick=True, progress=lambda done: None)
