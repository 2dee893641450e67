"""`router explain` shows the zone that a decision lies in, and what is promised of its thresholds."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from router.commands.main import app
from router.commands.show import explanation_view
from router.core.evidence import SILENT, Belief, Certificate, Likely, Thresholds, Tolerance
from router.engine.explain import certificate_json, explanation
from router.engine.snapshot import Snapshot
from tests.support.parts import EITHER, MetadataCues, WordRecogniser, body, call, preparer, small_policy, snapshot

CERTIFIED = Certificate(
    basis="certified",
    accepted=Tolerance(0.05, 0.03, 0.1),
    delta=0.1,
    thresholds=Thresholds(0.95, 0.5, known=0.4),
    stricter=Thresholds(0.97, 0.6),
    rows=1418,
    foreign=60,
    bounds_exposure=True,
    reach=0.935,
    least_reach=0.921,
    sure=0.7,
    error=0.0148,
    unconditional=0.0049,
    exposed=0.0667,
)


def explained(*texts: str, at: Snapshot | None = None) -> dict[str, Any]:
    """Return what explain has to say about the last of some turns."""
    return explanation(preparer(at).prepare(call(body(*texts))))


def shown(found: dict[str, Any]) -> str:
    console = Console(file=StringIO(), width=400)
    console.print(explanation_view(found))
    return console.file.getvalue()


def promised(certificate: Certificate, in_force: Thresholds) -> str:
    recogniser = WordRecogniser()
    recogniser.certificate = certificate
    told = certificate_json(snapshot(small_policy(), recogniser), in_force)
    return shown(explained("hello") | {"certificate": told})


def test_no_confidence_is_told_of_what_holds_for_every_request() -> None:
    assert shown(explained("hello")).startswith("/  unclassified, level guided")
    assert shown(explained("refund")).startswith("/billing/refund  classified, confidence 0.90, level guided")


def test_a_promise_is_shown_with_its_thresholds_and_what_they_do_to_the_examples() -> None:
    text = promised(CERTIFIED, CERTIFIED.thresholds)
    assert f"promised: {CERTIFIED.promise}\n" in text
    assert (
        "each with a probability of 95 %" in text
        and "90 %" not in text
        and "at most 5 % get text of a wrong task or a shortlist without" in text
    )
    assert "at least 92 % get the right one; of others at most 10 % get any task's text" in text
    assert "; at least 92 % get the right one" in text
    assert "one task alone from 0.9500 on, a shortlist from 0.5000 on, where all tasks together have 0.4000 or" in text
    assert "of 1,418 examples 93.5 % get their task's text, 70.0 % one task alone; 1.5 % go wrong, 0.5 %" in text
    assert "of 60 others 6.7 % get any" in text and "after audits" not in text


@pytest.mark.parametrize(("basis", "says"), [("default", "nothing: too few examples"), ("hand", "set by hand")])
def test_where_nothing_is_promised_it_says_why(basis: Any, says: str) -> None:
    assert says in promised(replace(CERTIFIED, basis=basis), CERTIFIED.thresholds)


def test_thresholds_that_audits_have_moved_are_shown_as_they_are_now() -> None:
    assert "after audits one task alone from 0.9700 on, a shortlist from 0.6000" in promised(
        CERTIFIED, CERTIFIED.stricter
    )
    assert "; after audits silent, whatever a message weighs" in promised(CERTIFIED, SILENT)


def test_nothing_is_promised_where_nothing_was_fitted() -> None:
    found = explained("I want a refund", at=Snapshot(small_policy(), MetadataCues(), None))
    assert found["certificate"] is None and found["outcome"] == "unavailable"
    assert "promised" not in shown(found)


def test_a_sure_task_stands_in_the_tree_with_its_mass_and_threshold() -> None:
    found = explained("I want a refund")
    assert found["scores"] == [
        {"task": "/billing", "mass": 0.95, "threshold": 0.5},
        {"task": "/billing/refund", "mass": 0.9, "threshold": 0.5},
    ]
    text = shown(found)
    assert "/billing/refund  classified" in text and "0.9000 ≥ 0.5000" in text
    assert "shortlist: " not in text and "case" not in text and "turns: " not in text


def test_a_shortlist_shows_its_masses_their_sum_and_each_case() -> None:
    found = explained(f"{EITHER} of the two")
    assert (found["task"], found["outcome"]) == ("/", "shortlisted")
    two = [{"task": "/delivery", "mass": 0.47}, {"task": "/billing/refund", "mass": 0.45}]
    assert found["shortlist"] == found["likeliest"] == two and found["sentences"] == []
    text = shown(found)
    assert "/  shortlisted" in text and "0.4500 < 0.5000" in text
    assert "shortlist: /delivery 0.4700, /billing/refund 0.4500, together 0.9200 ≥ 0.5000" in text
    places = [
        text.index(part)
        for part in (
            "/  (guided)",
            "Be polite.",
            "The message may be one of the cases below.",
            "case /delivery  (guided)",
            "Case: delivery",
            "Say where the parcel is.",
            "case /billing/refund  (guided)",
            "- Promise nothing.  [required]",
        )
    ]
    assert places == sorted(places)


def test_what_tasks_above_say_in_a_case_stands_under_the_case() -> None:
    found = explained(f"{EITHER} of the two")
    last = found["mix"][-1]
    found["mix"].insert(-1, last | {"task": "/billing", "text": "Name the law."})
    text = shown(found)
    assert text.count("case /billing/refund") == 1 and "/billing  (" not in text
    assert text.index("case /billing/refund") < text.index("Name the law.") < text.index(last["text"])


def test_earlier_turns_are_shown_with_their_shortlist() -> None:
    found = explained(f"{EITHER} of the two", "What do you mean?", "the parcel")
    assert [turn["shortlist"] for turn in found["turns"]] == [["/delivery", "/billing/refund"], []]
    text = shown(found)
    assert "turns:  /  shortlisted, level guided; one of /delivery, /billing/refund\n  /delivery  classified" in text


def test_where_all_tasks_together_weigh_too_little_the_root_says_so() -> None:
    class Wary(WordRecogniser):
        def __init__(self) -> None:
            super().__init__()
            self.thresholds = replace(self.thresholds, known=0.9)

        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            state, belief = super().step(before, text, reply_before, parts)
            return state, replace(belief, known=0.75)

    found = explained("refund", at=snapshot(small_policy(), Wary()))
    assert (found["task"], found["known"]) == ("/", 0.75) and found["certificate"]["in_force"]["known"] == 0.9
    assert "0.7500 < 0.9000" in shown(found)


def test_a_second_request_is_told_by_its_sentence() -> None:
    class Twofold(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            state, belief = super().step(before, text, reply_before, parts)
            doubtful = replace(belief, mass={}, likeliest=(Likely("/delivery", 0.3),))
            return state, replace(belief, sentences=(doubtful,))

    found = explained("refund", at=snapshot(small_policy(), Twofold()))
    assert found["sentences"] == [[{"task": "/delivery", "mass": 0.3}]]


def test_a_task_that_a_sentence_settled_stands_in_the_tree_with_the_words_that_did_it() -> None:
    class Twofold(WordRecogniser):
        def step(self, before: Any, text: str, reply_before: str = "", parts: Any = ()) -> Any:
            state, belief = super().step(before, text, reply_before, parts)
            clear = Belief({"/delivery": 0.97}, (Likely("/delivery", 0.97),), said="And my parcel?")
            return state, replace(belief, mass={**belief.mass, "/delivery": 0.08}, sentences=(clear,))

    found = explained("refund", at=snapshot(small_policy(), Twofold()))
    assert found["tasks"] == ["/billing/refund", "/delivery"]
    text = shown(found)
    assert '0.0800 < 0.5000  0.9700 ≥ 0.5000 by "And my parcel?"' in text
    assert "/delivery at 0.97 (threshold 0.50) by one of its sentences" in text


@pytest.mark.parametrize("words", [("--json",), ()])
def test_the_command_shows_it_all(
    words: tuple[str, ...], support_pack: Path, recognisers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(recognisers))
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, ["explain", "--pack", str(support_pack), "Where is my parcel?", *words]).stdout
    if not words:
        assert (
            "promised: if traffic is like the examples, each with a probability of 95 %" in said
            and "one task alone from" in said
        )
        return
    found = json.loads(said)
    told = found["certificate"]
    assert (
        set(told["in_force"]) == {"sure", "shortlist", "known"}
        and told["in_force"].items() <= told["thresholds"].items()
    )
    wanted = {
        "basis",
        "accepted",
        "delta",
        "rows",
        "reach",
        "least_reach",
        "error",
        "unconditional",
        "exposed",
        "promise",
    }
    assert wanted <= set(told) and {"scores", "known", "likeliest", "sentences", "shortlist", "turns"} <= set(found)
