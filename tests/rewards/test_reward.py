"""The reward of a matured conversation: whose word counts, what stands in where nobody spoke, and the judge's."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.core.learning import REPLACES_WITHIN_MS, SOURCES, Assignment, Feedback, MaturedAssignment, ServiceRecord
from router.core.policy import Judge, Level, Metric, Policy, Task
from router.rewards.reward import (
    built_in,
    drawn_for_judge,
    goodness,
    reward_of,
    value_at,
    value_of,
)

RESOLVED = Metric("resolved", "boolean", primary=True)
CSAT = Metric("csat", "rating", 1.0, 5.0)
CHECKS = Metric("checks", "checks")
ESCALATED = Metric("escalated", "boolean", better="low", guardrail=True)


def said(metric="resolved", value=1.0, source="user", at_ms=0, decision="", id_=None):
    id_ = id_ or f"{metric}-{source}-{decision}-{at_ms}-{value}"
    return Feedback(id_, at_ms, "t", "p", "c", "u", decision, metric, value, source)


ONE_ANSWER = ServiceRecord(1)


def due(*feedback, served=ONE_ANSWER, conversation="c"):
    assignment = Assignment("d", 0, "t", "p", conversation, "u", "/a", "", "m", Level.GUIDED, "x", 72 * 3_600_000)
    return MaturedAssignment(assignment, feedback, served)


def policy(*metrics, judge=None):
    return Policy("p", "r", {"/": Task("/")}, metrics={m.name: m for m in metrics}, judge=judge)


@pytest.mark.parametrize(
    ("metric", "value", "good"),
    [
        (RESOLVED, 1, 1.0),
        (RESOLVED, 0, 0.0),
        (CSAT, 1, 0.0),
        (CSAT, 4, 0.75),
        (CSAT, 9, 1.0),  # the range was wider when this was said
        (CSAT, -3, 0.0),
        (Metric("minutes", "number", 0, 60, better="low"), 15, 0.75),
    ],
)
def test_a_value_becomes_a_share_of_its_range(metric, value, good):
    assert goodness(metric, value) == good
    if metric.low <= value <= metric.high:
        assert value_at(metric, good) == value


@pytest.mark.parametrize(
    ("metric", "feedback", "value"),
    [
        (RESOLVED, [], None),
        (replace(RESOLVED, default=1.0), [], 1.0),
        (replace(RESOLVED, default=1.0, better="low"), [], 0.0),
        (replace(CHECKS, default=1.0), [], None),  # no answer had a check: nothing to say
        (CHECKS, [said("checks", 0.5, "system", decision="a"), said("checks", 1, "system", decision="b")], 0.75),
        (RESOLVED, [said("csat", 5)], None),  # another metric says nothing here
        (RESOLVED, [said(value=0), said(value=1, at_ms=REPLACES_WITHIN_MS)], 1.0),
        (RESOLVED, [said(value=0), said(value=1, at_ms=REPLACES_WITHIN_MS + 1)], 0.0),  # too late to change it
        (RESOLVED, [said(value=0), said(value=1, at_ms=9, source="agent")], 1.0),
        (RESOLVED, [said(value=1, source="agent"), said(value=0, at_ms=9)], 1.0),  # authority, not the newest
        (CSAT, [said("csat", 1, decision="a"), said("csat", 5, at_ms=5, decision="b")], 0.5),  # a mean
        (RESOLVED, [said(value=0, decision="a"), said(value=1, at_ms=5)], 1.0),  # how it ended
        (RESOLVED, [said(value=1, id_="b"), said(value=0, id_="a")], 1.0),  # the same instant: by id
        (RESOLVED, [said(value=1, id_="a"), said(value=0, id_="b")], 0.0),
    ],
)
def test_whose_word_counts(metric, feedback, value):
    assert value_of(metric, feedback) == value


@pytest.mark.parametrize("first", SOURCES)
def test_the_most_authoritative_source_that_spoke_is_believed(first):
    below = SOURCES[SOURCES.index(first) + 1 :]
    assert value_of(RESOLVED, [said(value=0, source=s) for s in below] + [said(source=first)]) == 1.0


ROWS = st.lists(
    st.builds(
        said,
        metric=st.sampled_from(["resolved", "csat", "escalated"]),
        value=st.sampled_from([0.0, 1.0, 3.0]),
        source=st.sampled_from(SOURCES),
        at_ms=st.integers(0, 3 * REPLACES_WITHIN_MS // 2),
        decision=st.sampled_from(["", "a", "b"]),
    ),
    max_size=12,
    unique_by=lambda row: row.id,
)


@given(ROWS, st.randoms(use_true_random=False), st.sampled_from(["resolved", "csat"]))
def test_the_order_in_which_rows_are_handed_in_does_not_matter(rows, shuffler, primary):
    metrics = [replace(m, primary=m.name == primary) for m in (RESOLVED, CSAT, ESCALATED)]
    mixed = list(rows)
    shuffler.shuffle(mixed)
    reward, guards = reward_of(policy(*metrics), due(*rows))
    assert reward_of(policy(*metrics), due(*mixed)) == (reward, guards)
    assert reward is None or 0.0 <= reward <= 1.0
    assert all(0.0 <= value <= 1.0 for value in guards.values())


def test_guardrails_are_bad_at_one():
    pack = policy(RESOLVED, ESCALATED)
    _, guards = reward_of(pack, due(said("escalated", 1, "system"), served=ServiceRecord(4, 1, 10_000.0, 12_000)))
    assert guards == {"failures": 0.25, "slow": 0.5, "tokens": 0.75, "escalated": 1.0}
    assert "escalated" not in reward_of(pack, due())[1]  # nothing is known of it
    assert reward_of(policy(RESOLVED, replace(ESCALATED, default=0.0)), due())[1]["escalated"] == 0.0


@pytest.mark.parametrize(
    ("served", "failures"),
    [(ServiceRecord(), 0.0), (ServiceRecord(0, 2), 1.0), (ServiceRecord(3, 3), 1.0), (ServiceRecord(4, 0), 0.0)],
)
def test_the_share_of_failed_answers(served, failures):
    assert built_in(served)["failures"] == failures


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.integers(0, 10**12))
def test_worse_is_never_less(slow, more, tokens):
    low, high = built_in(ServiceRecord(1, 0, slow, tokens)), built_in(ServiceRecord(1, 0, slow + more, tokens + 1))
    assert low["slow"] <= high["slow"] <= 1.0
    assert low["tokens"] <= high["tokens"] <= 1.0


def test_a_policy_without_a_primary_metric_has_no_reward():
    assert reward_of(policy(CSAT), due(said("csat", 5)))[0] is None


# ------------------------------------------------------------------------------------------------------ the judge

QUALITY = Metric("quality", "number", primary=True)
ASKED = Judge("judge", "quality", "good?", rate=0.5)


def test_the_judge_is_taken_at_its_word_and_others_choice_to_speak_counts_for_nothing():
    rows = [said("quality", 0.5, "judge"), said("quality", 0.0, "user"), said("quality", 1.0, "audit")]
    assert reward_of(policy(QUALITY, judge=ASKED), due(*rows))[0] == 0.5


def test_without_a_judgement_there_is_no_reward():
    rows = (said("quality", 1.0, "user"), said("quality", 1.0, "audit"))
    assert reward_of(policy(replace(QUALITY, default=1.0), judge=ASKED), due(*rows))[0] is None


def test_the_draw_for_the_judge_is_keyed():
    names = [str(n) for n in range(20_000)]
    judged = [name for name in names if drawn_for_judge(name, 0.5)]
    assert len(judged) == pytest.approx(10_000, abs=300)
    assert judged != [name for name in names if drawn_for_judge(name, 0.5, b"other")]
    assert not any(drawn_for_judge(name, 0.0) for name in names)
    assert all(drawn_for_judge(name, 1.0) for name in names)
