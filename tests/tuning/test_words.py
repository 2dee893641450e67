"""Words: what an operator reads, sentence by sentence."""

from __future__ import annotations

from typing import Any

import pytest

from router.core.learning import DialKey
from router.tuning.words import STOPPED, alarm, percent, place, sureness, tell, times

KEY = DialKey("/billing", "gpt-5-mini")
WHERE = "/billing, requests to gpt-5-mini: "
FOUND: dict[str, Any] = {
    "trial": "t",
    "kind": "up",
    "incumbent": "guided",
    "challenger": "detailed",
    "metric": "resolved",
    "alpha": 0.025,
    "margin": 0.0,
    "k": 1,
    "n": 412,
    "challenger_mean": 0.812,
    "incumbent_mean": 0.7391,
    "evidence": 47.2,
    "needed": 40.0,
    "harm": 0.001,
    "days": 9.2,
}
RECORD = "412 conversations in 9 days: resolved 81 % with detailed against 74 % with guided"
PROOF = f"{RECORD}. That is proof: wrong in at most 2.5 % of such cases."


@pytest.mark.parametrize(
    ("kind", "more", "by", "said"),
    [
        (
            "started",
            {"share": 0.1, "followers": 2},
            "",
            "a trial of detailed instead of guided begins with 10 % of users; it must do better. 2 tasks below move with "
            "it. A step takes proof: wrong in at most 2.5 % of such cases.",
        ),
        (
            "started",
            {
                "share": 0.1,
                "kind": "down",
                "challenger": "brief",
                "margin": 0.03,
                "k": 2,
                "alpha": 0.05 / 6,
                "followers": 1,
            },
            "",
            "a trial of brief instead of guided begins with 10 % of users; it must not do worse by more than 3 points, "
            "and saves tokens. 1 task below moves with it. A step takes proof: "
            "wrong in at most 0.8 % of such cases.",
        ),
        (
            "started",
            {"share": 0.1, "kind": "holdback", "challenger": "guided", "days_needed": 30},
            "",
            "10 % of users stay with guided for 30 days. If they turn out to do better, the step is taken back.",
        ),
        (
            "shared",
            {"share": 0.25, "was": 0.1, "better": 0.931},
            "",
            "detailed now goes to 25 % of users, after 10 %: the chance that it is better is put at 93 %.",
        ),
        ("shared", {"share": 0.0, "was": 0.1}, "", "detailed now goes to 0 % of users, after 10 %."),
        ("proposed", {}, "", f"detailed instead of guided is proposed and waits for a person's word. {PROOF}"),
        ("stepped", {"from": "guided", "to": "detailed"}, "", f"detailed instead of guided from now on. {PROOF}"),
        (
            "stepped",
            {"from": "guided", "to": "detailed"},
            "ann",
            f"detailed instead of guided from now on, accepted by ann. {PROOF}",
        ),
        (
            "rolled_back",
            {"from": "detailed", "to": "guided", "why": "worse", "evidence": 11.0, "needed": 10.0},
            "",
            f"back to guided from detailed, because guided turned out better after all. {RECORD}; "
            "proven: chance alone shows as much in at most 1 of 11 such trials.",
        ),
        (
            "rolled_back",
            {"from": "detailed", "to": "guided", "why": "alarm", "alarms": ["failures"], "n": 0},
            "",
            "back to guided from detailed, because more answers failed. No two conversations could be compared yet.",
        ),
        (
            "stopped",
            {"why": "harm", "harm": 12.3},
            "",
            f"detailed does worse than guided, so the trial ends. {RECORD}; "
            "chance alone shows as much in at most 1 of 12 such trials.",
        ),
        (
            "stopped",
            {"why": "futile", "evidence": 0.04},
            "",
            f"it was not shown that detailed does better than guided, so the trial ends. {RECORD}; "
            "nothing is shown yet.",
        ),
        (
            "stopped",
            {"why": "voided"},
            "",
            "the text has changed, so what was learned of detailed against guided says nothing any more. "
            "Evidence starts again.",
        ),
        (
            "stopped",
            {"why": "alarm", "alarms": ["escalated", "slow"]},
            "",
            "the trial of detailed against guided ends, because escalated got worse and answers took too long. "
            f"{RECORD}; proven: chance alone shows as much in at most 1 of 47 such trials.",
        ),
        (
            "stopped",
            {"why": "rejected"},
            "ann",
            f"ann rejected detailed instead of guided. {RECORD}; proven: "
            "chance alone shows as much in at most 1 of 47 such trials.",
        ),
        ("accepted", {}, "ann", "ann accepted detailed instead of guided."),
        (
            "frozen",
            {},
            "ann",
            "ann froze it. Nothing moves here until it is thawed; feedback is still collected.",
        ),
    ],
)
def test_events_in_words(kind: str, more: dict[str, Any], by: str, said: str) -> None:
    assert tell(kind, KEY, {**FOUND, **more}, by) == WHERE + said


@pytest.mark.parametrize("why", STOPPED)
@pytest.mark.parametrize("kind", ["up", "down", "holdback"])
def test_every_end_of_a_trial_has_its_sentence(why: str, kind: str) -> None:
    said = tell("stopped", KEY, {**FOUND, "kind": kind, "why": why, "alarms": ["silence"]}, "ann")
    assert said.endswith(".") and "{" not in said and ".." not in said


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (KEY, "/billing, requests to gpt-5-mini"),
        (DialKey("/billing", "gpt-5-mini"), "/billing, requests to gpt-5-mini"),
        (DialKey("/billing", ""), "/billing"),
        (DialKey("/", "*"), "all tasks"),
    ],
)
def test_dials_in_words(key: DialKey, said: str) -> None:
    assert place(key) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (percent(0.814), "81 %"),
        (percent(0.0083), "0.8 %"),
        (percent(1.0), "100 %"),
        (percent(0.985), "98 %"),
        (sureness(1.99, 40.0), "nothing is shown yet"),
        (
            sureness(39.99, 40.0),
            "not proven: chance alone shows as much in at most 1 of 39 such trials; proof is 1 of 40",
        ),
        (sureness(1e30, 40.0), "proven: chance alone shows as much in at most 1 of 10,000 such trials"),
        (times(1, "day"), "1 day"),
        (times(8_000, "conversation"), "8,000 conversations"),
        (times(3, "more", "more"), "3 more"),
        (alarm("escalated"), "escalated got worse"),
    ],
)
def test_figures_in_words(found: str, said: str) -> None:
    assert found == said
