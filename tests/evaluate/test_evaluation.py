"""The whole, on the shipped pack and on packs of odd shapes."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from router.evaluate import Evaluation, evaluate, page, table
from router.evaluate import evaluation as whole
from router.packs import Pack
from tests.classify.conftest import EXAMPLES, lines
from tests.evaluate.conftest import TASKS


def run(pack: Pack, **more: Any) -> Evaluation:
    told: list[float] = []
    found = evaluate(pack, progress=told.append, **more)
    assert told == sorted(told) and told[-1] == 1.0
    return found


def shown(found: Evaluation) -> str:
    out = io.StringIO()
    Console(width=120, file=out).print(table(found))
    return out.getvalue()


def test_the_shipped_pack(evaluation: Evaluation) -> None:
    found = evaluation.as_json()
    json.dumps(found, allow_nan=False)
    assert found["n"] == found["in_scope"] + found["out_of_scope"]
    assert found["in_scope"] == found["rows"]["examples"] == evaluation.examples
    assert found["out_of_scope"] == found["rows"]["unrelated"] + found["rows"]["shipped"]
    assert 0.75 < found["accuracy"]["task"] < found["accuracy"]["domain"] < 1.0
    assert 0.7 < found["macro_f1"] < 1.0
    assert found["ece"] < 0.08 and found["oos_auroc"] > 0.85
    assert found["latency_us"]["p50"] <= found["latency_us"]["p99"]
    assert len(found["tasks"]) == 67 and found["suggestions"]["more_examples"] is None
    assert "like the examples" in found["assumes"]


def test_the_certified_point_lies_on_the_curve(evaluation: Evaluation) -> None:
    for risk in evaluation.own.summary.risks:
        at = risk.at_threshold
        assert at is not None and at.threshold == risk.certificate.threshold
        assert at.coverage == pytest.approx(risk.certificate.coverage, abs=0.02)
        # The certificate counts sentences that are heard and wrong as well.
        assert risk.certificate.wrong - 0.015 <= at.wrong <= risk.certificate.wrong + 1e-3
        below = [point for point in risk.curve if point.threshold >= at.threshold]
        assert not below or below[-1].coverage <= at.coverage + 1e-4


def test_what_is_kept_for_programs_is_named_as_promised(evaluation: Evaluation) -> None:
    against = evaluation.as_json()["against"]
    assert against["n"] == 6 and against["out_of_scope"] == 1
    assert set(against) >= {"n", "accuracy", "settled", "ece", "oos_auroc", "latency_us"}
    assert set(against["accuracy"]) >= {"task", "domain"}
    assert set(against["settled"]) == {"coverage", "wrong"}
    assert set(against["latency_us"]) >= {"p50", "p99"}
    assert against["accuracy"]["task"] >= 0.6


def test_suspects_have_places(evaluation: Evaluation) -> None:
    assert evaluation.label_issues
    assert all(one.file.endswith(".yaml") and one.line > 0 for one in evaluation.label_issues)
    assert all(one.task != one.guess for one in evaluation.label_issues)


def test_the_table_says_it_all(evaluation: Evaluation) -> None:
    said = shown(evaluation)
    for part in (
        "task accuracy",
        "Certificates",
        "like the examples",
        "Weakest tasks",
        "Suggestions",
        "mail <b>.jsonl",
    ):
        assert part in said, part


def test_a_planted_label_and_twin_tasks_are_found(make_pack: Callable[..., Pack]) -> None:
    refund = lines(EXAMPLES["/billing/refund"])
    password = lines(EXAMPLES["/account/password"])
    pack = make_pack(
        {
            "one": refund[::2],
            "two": refund[1::2],
            "password": [*password, *(f"{text} please" for text in password)],
            "track": [*lines(EXAMPLES["/delivery/track"]), "please reset my password, I forgot my password"],
        }
    )
    found = run(pack)
    assert [(merge.first, merge.second) for merge in found.merges] == [("/one", "/two")]
    planted = [one for one in found.label_issues if one.text.startswith("please reset")]
    assert [(one.task, one.guess) for one in planted] == [("/track", "/password")]
    assert found.growth is not None and {gain.task for gain in found.growth.gains} == {
        "/one",
        "/two",
        "/password",
        "/track",
    }
    assert "Learning curve" in page(found) and "merge, or tell apart" in shown(found)


@pytest.mark.parametrize(
    ("tasks", "note"),
    [
        ({"a": []}, "no examples"),
        ({"a": ["only one"]}, ""),
        ({"a": ["one", "two"], "b": ["three"]}, ""),
        ({"top": {"a": TASKS["refund"], "b": []}, "flat": TASKS["invoice"]}, ""),
        ({"a": {"b": {"c": {"d": TASKS["refund"]}}}, "z": TASKS["invoice"]}, ""),
        ({"a": ["12345", "67890"], "b": ["😀", "👍👍"], "c": ["أين طردي؟", "我要退款"]}, ""),
    ],
    ids=["none", "one", "few", "mixed depths", "deep", "scripts"],
)
def test_packs_of_every_shape(make_pack: Callable[..., Pack], tasks: dict[str, Any], note: str) -> None:
    found = run(make_pack(tasks))
    json.dumps(found.as_json(), allow_nan=False)
    assert note in " ".join(found.notes)
    assert page(found) and shown(found)


def test_a_pack_that_is_slow_to_fit_has_no_learning_curve(
    make_pack: Callable[..., Pack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "PATIENCE_S", 0.0)
    found = run(make_pack(TASKS))
    assert found.growth is None and "takes two more fits" in found.notes[0]
