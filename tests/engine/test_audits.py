"""Audits at work: an alarm tightens what is decided from then on, and nothing that was decided before."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from router.core.audit import Audit, ThresholdsInForce, name_of, numbers
from router.core.errors import Degraded
from router.core.evidence import Thresholds
from router.engine.audits import Tightening
from router.engine.explain import certificate_json, explanation
from router.engine.guarding import FaultHandler
from router.engine.identity import Identifier
from router.engine.prepare import RequestPreparer
from router.engine.snapshot import PolicyRegistry, Snapshot
from tests.support.parts import EITHER, PROMISED, Clock, WordRecogniser, body, call, small_policy, snapshot

PACK = Path("desk.yaml")
OWN, STRICTER, SILENCE = (0.5, 0.5, 0.0), (0.92, 0.91, 0.0), (2.0, 2.0, 0.0)


def base(**changes: Any) -> Snapshot:
    recogniser = WordRecogniser()
    recogniser.certificate = changes.pop("certificate", PROMISED)
    return snapshot(small_policy(**changes), recogniser)


def in_force(of: Snapshot) -> tuple[float, ...]:
    assert of.recogniser is not None
    return numbers(of.recogniser.thresholds)


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

    def add(self, count: int, thresholds: tuple[float, ...] = OWN, **more: Any) -> None:
        """Record wrong decisions."""
        made = Audit("", "desk", name_of(PROMISED), thresholds, ("/billing/refund",), ("/billing",), "ann", 0)
        self.kept += [
            dataclasses.replace(made, decision=f"dec_{len(self.kept) + number}", at_ms=number, **more)
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
    assert in_force(made) == OWN
    assert made.recogniser.thresholds.certificate == name_of(PROMISED)
    assert [bet.audits for bet in tightening.watches["desk"].bets] == [0, 0]


def test_what_a_new_fit_begins_anew_is_told(audits: Audits, caplog: pytest.LogCaptureFixture) -> None:
    audits.add(20)
    audits.add(3, STRICTER)
    fitted_anew = base(certificate=dataclasses.replace(PROMISED, rows=401))
    tightening = Tightening(lambda path: fitted_anew, audits.read, audits.notes.append)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert in_force(tightening(PACK)) == OWN
    (line,) = [record.getMessage() for record in caplog.records]
    assert "audits begin anew, since the examples" in line and "the 23 labels so far are kept, and do not count" in line
    assert "thresholds that an alarm had raised are those of the new fit again" in line
    audits.add(1, certificate=name_of(fitted_anew.recogniser.certificate))
    caplog.clear()
    Tightening(lambda path: fitted_anew, audits.read, audits.notes.append)(PACK)
    assert not caplog.records, "who labels again has seen it"


def test_an_alarm_tightens_under_a_revision_of_its_own(tightening: Tightening, audits: Audits) -> None:
    before = tightening(PACK)
    audits.add(20)
    after = tightening.again(before)
    assert (after.policy.revision, in_force(after), in_force(before)) == ("rev-1+1", STRICTER, OWN)
    audits.add(20, STRICTER)
    assert in_force(tightening.again(after)) == SILENCE
    assert tightening(PACK).policy.revision == "rev-1+2"  # a restart, or a reload, finds the same


def test_what_was_recognised_is_as_before(tightening: Tightening) -> None:
    made, plain = tightening(PACK), base()
    assert made.recogniser.step(None, "a refund") == plain.recogniser.step(None, "a refund")
    assert made.recogniser.inline is plain.recogniser.inline
    assert made.recogniser.certificate == PROMISED


def test_where_nothing_is_recognised_nothing_is_moved(audits: Audits) -> None:
    audits.add(50)
    untouched = dataclasses.replace(base(), recogniser=None)
    made = Tightening(lambda path: untouched, audits.read, audits.notes.append)(PACK)
    assert made is untouched


def test_a_new_fit_starts_anew(audits: Audits) -> None:
    audits.add(50)
    fitted = dataclasses.replace(PROMISED, rows=401)
    made = Tightening(lambda path: base(certificate=fitted), audits.read, audits.notes.append)(PACK)
    assert (made.policy.revision, in_force(made)) == ("rev-1", OWN)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "a task answers got text of a wrong one plainly, too many for the accepted 3 %"),
        (
            {"settled": ("/",), "shortlist": ("/billing/refund", "/delivery/lost"), "label": ("/delivery/late",)},
            "a task answers got text of a wrong one, or a shortlist without it, too many for the accepted 5 %",
        ),
        ({"label": ()}, "no task answers got text of one, too many for the accepted 10 %"),
    ],
    ids=["unconditional", "error", "exposure"],
)
def test_every_alarm_is_told_once_with_the_promise_that_was_broken(
    audits: Audits, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any], said: str
) -> None:
    bounded = dataclasses.replace(PROMISED, bounds_exposure=True)
    tightening = Tightening(lambda path: base(certificate=bounded), audits.read, audits.notes.append)
    caplog.set_level(logging.WARNING, "router.engine")
    made = tightening(PACK)
    assert caplog.messages == []
    audits.add(20, certificate=name_of(bounded), **wrong)
    for _ in range(3):
        made = tightening.again(made)
    (line,) = caplog.messages
    assert "policy desk" in line and said in line
    assert "moved from 0.500 (sure), 0.500 (shortlist), 0.000 (known) to 0.920 (sure), 0.910 (shortlist)" in line
    audits.add(20, STRICTER, certificate=name_of(bounded), **wrong)
    audits.add(20, SILENCE, certificate=name_of(bounded), settled=("/",))
    tightening.again(made)
    assert len(caplog.messages) == 2 and "nothing is settled or listed any more" in caplog.messages[-1]


def test_thresholds_set_by_hand_stay_and_the_operator_is_told(audits: Audits, caplog: pytest.LogCaptureFixture) -> None:
    by_hand = dataclasses.replace(PROMISED, basis="hand")
    audits.add(20, certificate=name_of(by_hand))
    made = Tightening(lambda path: base(certificate=by_hand), audits.read, audits.notes.append)(PACK)
    assert (made.policy.revision, in_force(made)) == ("rev-1", OWN)
    assert "set by hand" in caplog.text


def test_audits_that_cannot_be_read_leave_what_is_in_force(tightening: Tightening, audits: Audits) -> None:
    audits.add(20)
    made = tightening(PACK)
    audits.broken = True
    assert tightening.again(made).policy.revision == tightening(PACK).policy.revision == "rev-1+1"
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
    audits.add(20)
    assert registry.swap("desk", tightening.again(before))
    later = prepared("one", "a refund please", "Of course.", "thanks")
    assert [decision.task for decision in later.decisions] == ["/billing/refund"] * 2
    assert later.decisions[0] == first.decision
    other = prepared("two", "a refund please")
    assert (other.decision.task, other.decision.revision) == ("/billing", "rev-1+1")
    unsure = prepared("three", f"{EITHER}, please")
    assert unsure.decision.listed == ("/delivery", "/billing/refund")  # 0.92 together
    assert isinstance(other.evidence.thresholds, ThresholdsInForce)
    assert explanation(other)["certificate"]["in_force"] == {"sure": 0.92, "shortlist": 0.91, "known": 0.0}
    audits.add(20, STRICTER)
    assert registry.swap("desk", tightening.again(registry.current()))
    assert prepared("four", f"{EITHER}, please").decision.outcome == "unclassified"


def test_a_certificate_is_explained_in_figures_and_in_words() -> None:
    made = base(certificate=dataclasses.replace(PROMISED, least_reach=0.83, bounds_exposure=True))
    told = certificate_json(made, made.recogniser.thresholds)
    assert told is not None
    assert told["thresholds"] == {"sure": 0.5, "shortlist": 0.5, "by_task": {}, "known": 0.0}
    assert {key: told[key] for key in ("basis", "delta", "rows", "foreign", "bounds_exposure", "accepted")} == {
        "basis": "certified",
        "delta": 0.1,
        "rows": 400,
        "foreign": 60,
        "bounds_exposure": True,
        "accepted": {"error": 0.05, "unconditional": 0.03, "exposure": 0.1},
    }
    for said in (
        "with a probability of 95 %",
        "at least 83 %",
        "at most 5 %",
        "at most 3 %",
        "at most 10 %",
        "examples",
    ):
        assert said in told["promise"]
    for basis, word in (("default", "too few"), ("hand", "by hand")):
        made = base(certificate=dataclasses.replace(PROMISED, basis=basis))
        assert word in certificate_json(made, made.recogniser.thresholds)["promise"]
    assert certificate_json(dataclasses.replace(made, recogniser=None), Thresholds()) is None
