"""Labelled data put to a recogniser whose beliefs are known: every figure by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from router.core.evidence import Belief, Certificate, Thresholds, Tolerance
from router.evaluate.evaluation import Measured, MissedLine, missed_lines
from router.evaluate.labelled import Labelled, LabelledTurn
from router.evaluate.outcomes import Judged, serve
from router.evaluate.reach import Budget, Sending
from router.evaluate.summary import Summary, summarise
from tests.evaluate.conftest import policy_of

CERTIFICATE = Certificate("certified", Tolerance(), 0.1, Thresholds(0.7, 0.9), Thresholds(0.8, 0.95), rows=100)
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
        sentences=(
            Belief({"/billing": 0.9, "/billing/refund": 0.9}),
            Belief({"/delivery": 0.9, "/delivery/track": 0.9}),
        ),
    ),
}


class Scripted:
    """A recogniser that believes what it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.thresholds = CERTIFICATE.thresholds
        self.artefact = SimpleNamespace(classes=PATHS)
        self.asked: list[tuple[Any, str, str]] = []

    def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> tuple[Any, Belief]:
        self.asked.append((before, text, reply_before))
        return (before or 0) + 1, BELIEFS[text]


def served(*rows: tuple[str, tuple[str, ...] | None]) -> list[Judged]:
    labelled = Labelled("x.jsonl", tuple((LabelledTurn(text, "", truth),) for text, truth in rows), Counter())
    return serve(labelled, POLICY.tasks, Scripted(), lambda done: None)[0]  # type: ignore[arg-type]


def summary_of(*rows: tuple[str, tuple[str, ...] | None]) -> Summary:
    return summarise(served(*rows), POLICY.tasks, Sending(POLICY), CERTIFICATE, TRADE, {})


TRADE = (Budget(Tolerance(0.01, 0.006), None), Budget(Tolerance(), CERTIFICATE.thresholds, here=True))


def test_every_line_that_was_wrong_or_backed_off_is_listed() -> None:
    rows = [
        ("refund", ("/billing/refund",)),
        ("parcel", ("/billing/refund",)),
        ("hello", ("/greeting",)),
        ("refund", None),
        ("parcel", ()),
        ("nothing", ()),
    ]
    turns = tuple((LabelledTurn(text, "", truth, line),) for line, (text, truth) in enumerate(rows, start=1))
    sending = Sending(POLICY)
    sent = sending.sent(served(*rows), CERTIFICATE.thresholds)
    assert missed_lines(Labelled("x.jsonl", turns, Counter()), sent) == (
        MissedLine(2, "wrong", ("/billing/refund",), ("/delivery/track",), "parcel"),
        MissedLine(3, "backed off", ("/greeting",), (), "hello"),
        MissedLine(5, "wrong", (), ("/delivery/track",), "parcel"),
    )


def test_every_figure_by_hand() -> None:
    summary = summary_of(
        ("refund", ("/billing/refund",)),  # right, settled
        ("bill?", ("/billing/invoice",)),  # domain right, task wrong, settled on the domain and both listed
        ("parcel", ("/billing/refund",)),  # all wrong, settled
        ("hello", ("/greeting",)),  # right, and not sure enough
        ("nothing", ("/delivery/track",)),  # no guess
        ("parcel", ()),  # out of scope, settled: wrong
        ("nothing", ()),  # out of scope, left alone
        ("refund", None),  # not labelled: not judged
    )
    found = summary.as_json()
    assert (found["n"], found["in_scope"], found["out_of_scope"]) == (7, 5, 2)
    assert found["accuracy"] == {"task": 0.4, "domain": 0.6}
    sent = found["sent"]
    assert (sent["reach"], sent["error"], sent["unconditional"], sent["general"]) == (0.4, 0.2, 0.2, 0.4)
    assert (sent["sure"], sent["listed"], sent["exposure"]) == (0.4, 0.2, 0.5)
    assert found["settled"] == {"coverage": 0.4, "wrong": pytest.approx(2 / 7, abs=1e-4)}
    # in scope .9 .9 .95 .8 0, out of scope .95 0: (pairs won + half of those tied) / 10
    assert found["oos_auroc"] == pytest.approx((0.5 * 1 + 4 + 0.5) / 10)
    assert found["ece"] == pytest.approx(abs((0.8 + 0.5 + 0.95 + 0.6 + 0.0) / 5 - 0.4), abs=1e-4)
    assert found["tasks"][0]["task"] == "/billing/refund"
    assert summary.trade == (None, summary.reach)


def test_a_second_task_settled_by_its_sentence_is_judged_too() -> None:
    assert summary_of(("both", ("/billing/refund",))).misled == 1.0
    assert summary_of(("both", ("/billing/refund", "/delivery/track"))).misled == 0.0


def test_a_label_at_an_inner_task() -> None:
    found = summary_of(("refund", ("/billing",)), ("bill?", ("/billing",)))
    assert found.accuracy_task == 1.0 and found.accuracy_domain == 1.0, "the label says no more"
    assert found.reach.reach == 1.0
    assert found.reach.error == 0.5, "text of /billing/refund was sent, and the label vouches for /billing alone"


@pytest.mark.parametrize(
    ("rows", "missing", "there"),
    [
        (
            [("parcel", ())],
            {"task", "domain", "reach", "error", "tokens", "ece", "oos_auroc", "macro_f1"},
            {"exposure"},
        ),
        (
            [("parcel", ("/delivery/track",))],
            {"oos_auroc", "exposure"},
            {"task", "domain", "reach", "error", "tokens", "ece", "macro_f1"},
        ),
    ],
)
def test_what_cannot_be_said_is_null(rows: Any, missing: set[str], there: set[str]) -> None:
    found = summary_of(*rows).as_json()
    flat = {**found, **found["accuracy"], **found["sent"]}
    assert {name for name in missing | there if flat[name] is None} == missing


def test_conversations_are_walked_with_their_state_and_the_assistants_words() -> None:
    scripted = Scripted()
    talk = (LabelledTurn("refund", "", ("/billing/refund",)), LabelledTurn("nothing", "The number?", None))
    alone = (LabelledTurn("hello", "", ("/greeting",)),)
    labelled = Labelled("a/b.jsonl", (talk, alone), Counter({"/x": 1}))
    turns, latency = serve(labelled, POLICY.tasks, scripted, lambda done: None)  # type: ignore[arg-type]
    assert scripted.asked == [(None, "refund", ""), (1, "nothing", "The number?"), (None, "hello", "")]
    assert len(turns) == 2 and latency.steps == 3
    summary = summarise(turns, POLICY.tasks, Sending(POLICY), CERTIFICATE, TRADE, {})
    found = Measured(labelled.name, summary, latency, labelled.unknown)
    assert found.title == "b.jsonl" and found.unknown == {"/x": 1}


def test_a_hundred_thousand_turns_are_judged_and_progress_is_told() -> None:
    told: list[float] = []
    rows = tuple((LabelledTurn("refund", "", ("/billing/refund",)),) for _ in range(100_000))
    turns, _ = serve(Labelled("x", rows, Counter()), POLICY.tasks, Scripted(), told.append)  # type: ignore[arg-type]
    summary = summarise(turns, POLICY.tasks, Sending(POLICY), CERTIFICATE, TRADE, {})
    assert (summary.rows, summary.accuracy_task, summary.reach.reach) == (100_000, 1.0, 1.0)
    assert told == sorted(told) and 100 < len(told) < 1_000 and told[-1] == 1.0
