"""What recognition is worth on public data, held to floors a little under what was measured.

CLINC150 (Larson et al. 2019), Banking77 (Casanueva et al. 2020), Schema-Guided Dialogue (Rastogi et al. 2020); one draw.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from router.classify import LinearRecogniser, fit_policy
from router.core.decide import settle
from router.core.policy import Policy, lineage
from router.core.ports import RecogniserState
from tests.classify.conftest import make_policy

SHOTS = 10


def few_shot(rows: list[tuple[str, str]]) -> Policy:
    by_path: dict[str, list[str]] = {}
    for text, path in rows:
        by_path.setdefault(path, []).append(text)
    draw = random.Random(0)
    return make_policy({path: tuple(draw.sample(texts, SHOTS)) for path, texts in sorted(by_path.items())})


def best(scores: Mapping[str, float]) -> tuple[str, float]:
    return max(((path, score) for path, score in scores.items() if path != "/"), key=lambda p: p[1], default=("/", 0.0))


def test_clinc150(shared_data: Path) -> None:
    data = json.loads((shared_data / "clinc150" / "data_full.json").read_text())
    domains = json.loads((shared_data / "clinc150" / "domains.json").read_text())
    paths = {task: f"/{domain}/{task}" for domain, names in domains.items() for task in names}
    policy = few_shot([(text, paths[task]) for text, task in data["train"]])
    recogniser = LinearRecogniser(fit_policy(policy))
    inside = [(best(recogniser.scores(text)), paths[task]) for text, task in data["test"]]
    assert np.mean([found == path for (found, _), path in inside]) > 0.86
    sure = [score for (_, score), _ in inside]
    known = [1.0 - recogniser.scores(text)["/"] for text, _ in data["test"]]
    foreign = [1.0 - recogniser.scores(text)["/"] for text, _ in data["oos_test"]]
    assert roc_auc_score([1] * len(known) + [0] * len(foreign), known + foreign) > 0.94
    right = np.array([found == path for (found, _), path in inside])
    order = np.array_split(np.argsort(sure), 15)
    error = sum(len(part) / len(sure) * abs(np.mean(np.array(sure)[part]) - right[part].mean()) for part in order)
    assert error < 0.04
    told = [
        (settle(policy.tasks, recogniser.step(None, text)[1], recogniser.thresholds), paths[task])
        for text, task in data["test"]
    ]
    said = [({found.paths[0].path, *(path for path, _ in found.shortlist)}, path) for found, path in told]
    assert np.mean([path in reached for reached, path in said]) > 0.91
    assert np.mean([reached == {"/"} for reached, _ in said]) < 0.07
    missed = [
        bool(found.shortlist) and path not in reached for (found, path), (reached, _) in zip(told, said, strict=True)
    ]
    plainly = [found.paths[0].path not in lineage(path) for found, path in told]
    assert np.mean(np.logical_or(missed, plainly)) < 0.05 and np.mean(plainly) < 0.03


def test_banking77(shared_data: Path) -> None:
    def rows(name: str) -> list[tuple[str, str]]:
        with (shared_data / "banking77" / f"{name}.csv").open(newline="") as file:
            return [(row["text"], f"/{row['category']}") for row in csv.DictReader(file)]

    recogniser = LinearRecogniser(fit_policy(few_shot(rows("train"))))
    assert np.mean([best(recogniser.scores(text))[0] == path for text, path in rows("test")]) > 0.80


@pytest.fixture
def dialogues(shared_data: Path) -> dict[str, list[list[dict[str, object]]]]:
    return {
        name: [json.loads(line)["turns"] for line in (shared_data / "sgd" / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "dev")
    }


def test_dialogues_by_openings_alone(dialogues: dict[str, list[list[dict[str, object]]]]) -> None:
    openings: dict[str, list[str]] = {}
    for turns in dialogues["train"]:
        before: set[str] = set()
        for turn in turns:
            if "user" in turn:
                new = set(turn["task"]) - before  # type: ignore[call-overload]
                if len(new) == 1:
                    openings.setdefault(new.pop(), []).append(str(turn["user"]))
                before = set(turn["task"]) or before  # type: ignore[call-overload]
    draw = random.Random(0)
    examples = {path: tuple(draw.sample(texts, min(40, len(texts)))) for path, texts in sorted(openings.items())}
    recogniser = LinearRecogniser(fit_policy(make_policy(examples)))
    right, alone = [], []
    for turns in dialogues["dev"]:
        state: RecogniserState | None = None
        reply = ""
        for turn in turns:
            if "user" not in turn:
                reply = str(turn["assistant"])
                continue
            state, belief = recogniser.step(state, str(turn["user"]), reply)
            truths = set(turn["task"]) & set(openings)  # type: ignore[call-overload]
            if truths:
                leaves = {path: mass for path, mass in belief.mass.items() if path.count("/") == 2}
                right.append(best(leaves)[0] in truths)
                alone.append(best(recogniser.scores(str(turn["user"])))[0] in truths)
    assert np.mean(right) > 0.74
    assert np.mean(right) > np.mean(alone) + 0.25
