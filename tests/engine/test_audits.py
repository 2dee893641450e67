"""Audits at work: an alarm tightens what is decided from then on, and nothing that was decided before."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from router.core.audit import SILENT, Audit, ThresholdsInForce, name_of
from router.core.errors import Degraded
from router.core.evidence import Certificate
from router.engine.audits import Tightening
from router.engine.explain import certificates_json, explanation
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.prepare import RequestPreparer
from router.engine.snapshot import PolicyRegistry, Snapshot
from tests.support.parts import Clock, WordRecogniser, body, call, small_policy, snapshot

PACK = Path("desk.yaml")
CERTIFICATES = (
    Certificate(1, "certified", 0.01, 0.05, 0.5, 400, 0.8, 0.005, 0.6),
    Certificate(2, "expected", 0.03, 0.05, 0.5, 400, 0.7, 0.02, 0.92),
)


def base(**changes: Any) -> Snapshot:
    recogniser = WordRecogniser()
    recogniser.certificates = changes.pop("certificates", CERTIFICATES)
    return snapshot(small_policy(**changes), recogniser)


class Audits:
    """Audits that a test records; `broken` makes reading fail."""

    def __init__(self) -> None:
        self.kept: list[Audit] = []
        self.broken = False
        self.notes: list[str] = []

    def read(self, policy: str) -> list[Audit]:
        if self.broken:
            raise Degraded("audits_failed", "the disk is gone")
        return [audit for audit in self.kept if audit.policy == policy]

    def add(self, count: int, settled: str, label: str, thresholds: tuple[float, float] = (0.5, 0.5)) -> None:
        self.kept += [
            Audit(
                f"dec_{len(self.kept) + number}",
                "desk",
                name_of(CERTIFICATES),
                thresholds,
                (settled,),
                (label,),
                "ann",
                number,
            )
            for number in range(count)
        ]


@pytest.fixture
def audits() -> Audits:
    return Audits()


@pytest.fixture
def tightening(audits: Audits) -> Tightening:
    return Tightening(lambda path: base(), audits.read, audits.notes.append)


def test_without_alarms_only_the_name_of_the_promise_is_added(tightening: Tightening) -> None:
    made = tightening(PACK)
    assert made.policy.revision == "rev-1"
    assert made.recogniser.thresholds.by_depth == (0.5, 0.5)
    assert made.recogniser.thresholds.certificate == name_of(CERTIFICATES)
    assert [each.audits for each in tightening.watches["desk"]] == [0, 0]


def test_an_alarm_tightens_one_depth_under_a_revision_of_its_own(tightening: Tightening, audits: Audits) -> None:
    before = tightening(PACK)
    audits.add(20, "/billing/refund", "/billing")
    after = tightening.again(before)
    assert after.policy.revision == "rev-1+0.1"
    assert after.recogniser.thresholds.by_depth == (0.5, 0.92)
    assert before.recogniser.thresholds.by_depth == (0.5, 0.5)
    audits.add(20, "/billing/refund", "/billing", (0.5, 0.92))
    assert tightening.again(after).recogniser.thresholds.by_depth == (0.5, SILENT)
    assert tightening(PACK).policy.revision == "rev-1+0.2"  # a restart, or a reload, finds the same


def test_what_was_recognised_is_as_before(tightening: Tightening) -> None:
    made, plain = tightening(PACK), base()
    assert made.recogniser.step(None, "a refund") == plain.recogniser.step(None, "a refund")
    assert made.recogniser.inline is plain.recogniser.inline
    assert made.recogniser.certificates == CERTIFICATES


@pytest.mark.parametrize(
    "untouched",
    [base(certificates=()), dataclasses.replace(base(), recogniser=None)],
    ids=["nothing promised", "no recogniser"],
)
def test_where_nothing_is_promised_nothing_is_moved(audits: Audits, untouched: Snapshot) -> None:
    audits.add(50, "/billing/refund", "/delivery")
    made = Tightening(lambda path: untouched, audits.read, audits.notes.append)(PACK)
    assert made is untouched


def test_a_new_fit_starts_anew(audits: Audits) -> None:
    audits.add(50, "/billing/refund", "/delivery")
    fitted = (CERTIFICATES[0], dataclasses.replace(CERTIFICATES[1], rows=401))
    made = Tightening(lambda path: base(certificates=fitted), audits.read, audits.notes.append)(PACK)
    assert made.recogniser.thresholds.by_depth == (0.5, 0.5)


def test_every_alarm_is_told_once(tightening: Tightening, audits: Audits, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "router.engine")
    made = tightening(PACK)
    assert caplog.messages == []
    audits.add(20, "/billing/refund", "/billing")
    for _ in range(3):
        made = tightening.again(made)
    (line,) = caplog.messages
    assert "policy desk" in line and "depth 2" in line and "from 0.500 to 0.920" in line
    audits.add(20, "/billing/refund", "/billing", (0.5, 0.92))
    audits.add(20, "/billing", "/billing", (0.5, SILENT))
    tightening.again(made)
    assert len(caplog.messages) == 2 and "nothing is settled at this depth" in caplog.messages[-1]


def test_a_threshold_set_by_hand_stays_and_the_operator_is_told(
    audits: Audits, caplog: pytest.LogCaptureFixture
) -> None:
    by_hand = (CERTIFICATES[0], dataclasses.replace(CERTIFICATES[1], basis="hand"))
    audits.add(20, "/billing/refund", "/billing")
    audits.kept = [dataclasses.replace(audit, certificate=name_of(by_hand)) for audit in audits.kept]
    made = Tightening(lambda path: base(certificates=by_hand), audits.read, audits.notes.append)(PACK)
    assert made.recogniser.thresholds.by_depth == (0.5, 0.5)
    assert "set by hand" in caplog.text


def test_audits_that_cannot_be_read_leave_what_is_in_force(tightening: Tightening, audits: Audits) -> None:
    audits.add(20, "/billing/refund", "/billing")
    made = tightening(PACK)
    audits.broken = True
    assert tightening.again(made).policy.revision == tightening(PACK).policy.revision == "rev-1+0.1"
    assert audits.notes == ["audits_failed", "audits_failed"] and tightening.unread == {"desk"}
    audits.broken = False
    tightening.again(made)
    assert tightening.unread == set()


def test_conversations_under_way_end_as_they_began_and_new_ones_are_held_to_more(
    tightening: Tightening, audits: Audits
) -> None:
    before = tightening(PACK)
    registry = PolicyRegistry({"desk": before}, "desk")
    of = RequestPreparer(registry, Identifier(b"secret", ("x-session-id",)), FaultHandler(audits.notes.append), Clock())

    def prepared(session: str, *texts: str) -> Any:
        return of.prepare(call(body(*texts), headers={"x-session-id": session}))

    first = prepared("one", "a refund please")
    assert first.decision.task == "/billing/refund"
    audits.add(20, "/billing/refund", "/billing")
    assert registry.swap("desk", tightening.again(before))
    later = prepared("one", "a refund please", "Of course.", "thanks")
    assert [decision.task for decision in later.decisions] == ["/billing/refund"] * 2
    assert later.decisions[0] == first.decision
    other = prepared("two", "a refund please")
    assert (other.decision.task, other.decision.revision) == ("/billing", "rev-1+0.1")
    assert isinstance(other.evidence.thresholds, ThresholdsInForce)
    assert other.evidence.thresholds.by_depth == (0.5, 0.92)
    assert [row["in_force"] for row in explanation(other)["certificates"]] == [0.5, 0.92]


def test_certificates_are_explained_in_figures_and_in_words() -> None:
    made = base()
    domain, task = certificates_json(made, made.recogniser.thresholds)
    assert {key: domain[key] for key in ("depth", "basis", "alpha", "delta", "threshold", "rows", "coverage")} == {
        "depth": 1,
        "basis": "certified",
        "alpha": 0.01,
        "delta": 0.05,
        "threshold": 0.5,
        "rows": 400,
        "coverage": 0.8,
    }
    assert "with probability 95 %" in domain["promise"] and "at most 1 % of all messages" in domain["promise"]
    assert "traffic is like the examples" in domain["promise"] and "on average" in task["promise"]
    for basis, word in (("default", "too few"), ("hand", "by hand")):
        made = base(certificates=(dataclasses.replace(CERTIFICATES[0], basis=basis),))
        assert word in certificates_json(made, made.recogniser.thresholds)[0]["promise"]
    assert certificates_json(dataclasses.replace(made, recogniser=None), made.recogniser.thresholds) == []
