"""Labelled data put to a recogniser whose beliefs are known: every figure by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from router.core.evidence import Belief, Certificate, Thresholds
from router.evaluate.evaluation import Measured
from router.evaluate.labelled import Labelled, LabelledTurn
from router.evaluate.outcomes import Outcomes, serve
from router.evaluate.summary import Summary, summarise
from tests.evaluate.conftest import policy_of

THRESHOLDS = Thresholds((0.5, 0.7))
CERTIFICATES = (
    Certificate(1, "certified", 0.01, 0.05, 0.5, 100, 0.0, 0.0, 0.75),
    Certificate(2, "expected", 0.03, 0.05, 0.7, 100, 0.0, 0.0, 0.85),
)
PATHS = ("/billing/refund", "/billing/invoice", "/delivery/track", "/greeting")
POLICY = policy_of(*PATHS)

BELIEFS: Mapping[str, Belief] = {
    "refund": Belief({"/billing": 0.9, "/billing/refund": 0.8, "/billing/invoice": 0.1}),
    "bill?": Belief({"/billing": 0.9, "/billing/refund": 0.5, "/billing/invoice": 0.4}),
    "parcel": Belief({"/delivery": 0.95, "/delivery/track": 0.95}),
    "hello": Belief({"/greeting": 0.6, "/billing": 0.2, "/billing/invoice": 0.2}),
    "nothing": Belief({}),
    "both": Belief(
        {"/billing": 0.9, "/billing/refund": 0.8},
        ({"/billing": 0.9, "/billing/refund": 0.9}, {"/delivery": 0.9, "/delivery/track": 0.9}),
    ),
}


class Scripted:
    """A recogniser that believes what it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.thresholds = THRESHOLDS
        self.artefact = SimpleNamespace(classes=PATHS)
        self.asked: list[tuple[Any, str, str]] = []

    def step(self, before: Any, text: str, reply_before: str = "") -> tuple[Any, Belief]:
        self.asked.append((before, text, reply_before))
        return (before or 0) + 1, BELIEFS[text]


def served(*rows: tuple[str, tuple[str, ...] | None]) -> Outcomes:
    labelled = Labelled("x.jsonl", tuple((LabelledTurn(text, "", truth),) for text, truth in rows), Counter())
    return serve(labelled, POLICY, Scripted(), lambda done: None)[0]  # type: ignore[arg-type]


def summary_of(*rows: tuple[str, tuple[str, ...] | None]) -> Summary:
    return summarise(served(*rows), POLICY.tasks, CERTIFICATES, {})


def test_every_figure_by_hand() -> None:
    found = summary_of(
        ("refund", ("/billing/refund",)),  # right, settled
        ("bill?", ("/billing/invoice",)),  # domain right, task wrong, settled on the domain: no wrong text
        ("parcel", ("/billing/refund",)),  # all wrong, settled
        ("hello", ("/greeting",)),  # right; a leaf at the first depth is as deep as it goes
        ("nothing", ("/delivery/track",)),  # no guess
        ("parcel", ()),  # out of scope, settled: wrong
        ("nothing", ()),  # out of scope, left alone
        ("refund", None),  # not labelled: not judged
    ).as_json()
    assert (found["n"], found["in_scope"], found["out_of_scope"]) == (7, 5, 2)
    assert found["accuracy"]["task"] == 0.4
    assert found["accuracy"]["domain"] == 0.6
    assert found["accuracy"]["by_depth"] == [0.6, 0.25]
    assert found["settled"] == {"coverage": 0.6, "wrong": pytest.approx(2 / 7, abs=1e-4)}
    # in scope .9 .9 .95 .6 0, out of scope .95 0: (pairs won + half of those tied) / 10
    assert found["oos_auroc"] == pytest.approx((0.5 * 1 + 4 + 0.5) / 10)
    assert found["ece"] == pytest.approx(abs((0.8 + 0.5 + 0.95 + 0.6 + 0.0) / 5 - 0.4), abs=1e-4)
    domains, tasks = found["risk"]
    assert domains["at_threshold"] == {"threshold": 0.5, "coverage": 0.7143, "wrong": 0.2857}
    assert tasks["at_threshold"] == {"threshold": 0.7, "coverage": 0.4286, "wrong": 0.2857}
    assert found["tasks"][0]["task"] == "/billing/refund"


def test_a_second_task_settled_by_its_sentence_is_judged_too() -> None:
    assert summary_of(("both", ("/billing/refund",))).wrong == 1.0
    assert summary_of(("both", ("/billing/refund", "/delivery/track"))).wrong == 0.0


def test_a_label_at_an_inner_task() -> None:
    found = summary_of(("refund", ("/billing",)), ("bill?", ("/billing",)))
    assert found.accuracy_task == 1.0 and found.accuracy_domain == 1.0, "the label says no more"
    assert found.coverage == 1.0
    assert found.wrong == 0.5, "text of /billing/refund was sent, and the label vouches for /billing alone"
    assert found.by_depth == (1.0, None)


@pytest.mark.parametrize(
    ("rows", "missing", "there"),
    [
        ([("parcel", ())], {"task", "domain", "coverage", "ece", "oos_auroc", "macro_f1"}, {"wrong"}),
        ([("parcel", ("/delivery/track",))], {"oos_auroc"}, {"task", "domain", "coverage", "ece", "wrong", "macro_f1"}),
    ],
)
def test_what_cannot_be_said_is_null(rows: Any, missing: set[str], there: set[str]) -> None:
    found = summary_of(*rows).as_json()
    flat = {**found, **found["accuracy"], **found["settled"]}
    assert {name for name in missing | there if flat[name] is None} == missing


def test_conversations_are_walked_with_their_state_and_the_assistants_words() -> None:
    scripted = Scripted()
    talk = (LabelledTurn("refund", "", ("/billing/refund",)), LabelledTurn("nothing", "The number?", None))
    alone = (LabelledTurn("hello", "", ("/greeting",)),)
    labelled = Labelled("a/b.jsonl", (talk, alone), Counter({"/x": 1}))
    outcomes, latency = serve(labelled, POLICY, scripted, lambda done: None)  # type: ignore[arg-type]
    assert scripted.asked == [(None, "refund", ""), (1, "nothing", "The number?"), (None, "hello", "")]
    assert len(outcomes) == 2 and latency.steps == 3
    found = Measured(labelled.name, summarise(outcomes, POLICY.tasks, CERTIFICATES, {}), latency, labelled.unknown)
    assert found.title == "b.jsonl" and found.unknown == {"/x": 1}


def test_a_hundred_thousand_turns_are_judged_and_progress_is_told() -> None:
    told: list[float] = []
    rows = tuple((LabelledTurn("refund", "", ("/billing/refund",)),) for _ in range(100_000))
    outcomes, _ = serve(Labelled("x", rows, Counter()), POLICY, Scripted(), told.append)  # type: ignore[arg-type]
    summary = summarise(outcomes, POLICY.tasks, CERTIFICATES, {})
    assert (summary.rows, summary.accuracy_task) == (100_000, 1.0)
    assert told == sorted(told) and 100 < len(told) < 1_000 and told[-1] == 1.0


def test_who_does_not_pass_the_domain_is_not_acted_on_below() -> None:
    sure = (replace(CERTIFICATES[0], threshold=0.93), replace(CERTIFICATES[1], threshold=0.45))
    rows = (("bill?", ("/billing/invoice",)), ("parcel", ("/billing/refund",)), ("refund", ("/billing/refund",)))
    found = summarise(served(*rows), POLICY.tasks, sure, {})
    domains, tasks = (risk.at_threshold for risk in found.risks)
    assert domains is not None and (domains.coverage, domains.wrong) == (0.3333, 0.3333)
    assert tasks is not None and (tasks.coverage, tasks.wrong) == (0.3333, 0.3333)
