"""Judged turns by hand, packs by hand, and one evaluation of the shipped pack that all tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from router.core.evidence import Belief
from router.core.policy import ROOT, Policy, Task
from router.evaluate import Evaluation, evaluate, read_labelled
from router.evaluate.outcomes import Judged, is_right
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


def judged_by_hand(
    rows: Sequence[tuple[str | tuple[str, ...], str, float]],
    *,
    classes: Sequence[str] = (),
    texts: Sequence[str] | None = None,
) -> list[Judged]:
    """Return labelled turns from (truth, guess, confidence)."""
    found = []
    for at, (given, guess, confidence) in enumerate(rows):
        truth = (given,) if isinstance(given, str) and given else tuple(given)
        right = is_right(guess, truth, classes or {guess, *truth})
        found.append(Judged(texts[at] if texts else f"text {at}", truth, Belief({}), guess, confidence, right))
    return found


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
