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
    Console(width=120, file=out).print(table(found, details=True))
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


def test_what_is_sent_is_what_the_certificate_says_of_its_rows(evaluation: Evaluation) -> None:
    told, sent = evaluation.certificate, evaluation.own.summary.reach
    assert (sent.in_scope, sent.out_of_scope) == (told.rows, told.foreign)
    found = (sent.reach, sent.least_reach, sent.sure, sent.error, sent.unconditional, sent.exposure)
    given = (told.reach, told.least_reach, told.sure, told.error, told.unconditional, told.exposed)
    assert found == pytest.approx(given, abs=1e-4)
    assert sent.tokens is not None and 0.0 < sent.tokens < 0.2


def test_the_trade_grows_with_the_budget_and_says_where_the_pack_stands(evaluation: Evaluation) -> None:
    found = evaluation.as_json()
    for trade in (found["trade"], found["against"]["trade"]):
        assert [row["accepted"]["error"] for row in trade] == [0.01, 0.02, 0.03, 0.05, 0.08]
        thresholds = [row["thresholds"]["shortlist"] for row in trade]
        assert thresholds == sorted(thresholds, reverse=True)
        assert all(row["sent"]["error"] <= row["accepted"]["error"] for row in trade)
        assert [row["here"] for row in trade] == [False, False, False, True, False]
    assert found["trade"][3]["sent"] == found["sent"]
    assert found["against"]["trade"][3]["sent"] == found["against"]["sent"]


def test_each_language_is_told(evaluation: Evaluation) -> None:
    english = evaluation.own.summary.languages[0]
    assert english.language == "en" and english.reach.in_scope > 1_000 and english.certified is True
    assert sum(one.reach.in_scope for one in evaluation.own.summary.languages) == evaluation.certificate.rows


def test_what_is_kept_for_programs_is_named_as_promised(evaluation: Evaluation) -> None:
    whole = evaluation.as_json()
    against = whole["against"]
    assert against["n"] == 6 and against["out_of_scope"] == 1
    assert set(against) >= {"n", "sent", "languages", "trade", "accuracy", "settled", "ece", "oos_auroc", "latency_us"}
    assert set(against["sent"]) >= {"reach", "least_reach", "error", "unconditional", "tokens", "general", "exposure"}
    assert set(against["accuracy"]) == {"task", "domain"} and set(against["settled"]) == {"coverage", "wrong"}
    assert set(against["latency_us"]) >= {"p50", "p99"}
    assert against["accuracy"]["task"] >= 0.6
    assert whole["certificate"]["promise"] in " ".join(shown(evaluation).split())


def test_suspects_have_places(evaluation: Evaluation) -> None:
    assert evaluation.label_issues
    assert all(one.file.endswith(".yaml") and one.line > 0 for one in evaluation.label_issues)
    assert all(one.task != one.guess for one in evaluation.label_issues)


def test_the_table_says_it_all(evaluation: Evaluation) -> None:
    said = shown(evaluation)
    for part in (
        "reach, at least",
        "task accuracy",
        "How sure",
        "like the examples",
        "What other budgets give",
        "->",
        "By language",
        "Weakest tasks",
        "What to do",
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
    assert "Where more examples pay most" in page(found) and "merge, or tell apart" in shown(found)


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
