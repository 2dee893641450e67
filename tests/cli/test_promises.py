"""`router explain` shows what is promised of its thresholds, and what the promise rests on."""

from __future__ import annotations

import dataclasses
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from router.commands.main import app
from router.commands.show import explanation_view
from router.core.audit import SILENT
from router.core.evidence import Certificate, Thresholds
from router.engine.explain import certificates_json
from tests.support.parts import WordRecogniser, small_policy, snapshot

SURE = Certificate(1, "certified", 0.01, 0.05, 0.61, 1418, 0.535, 0.0049, 0.7)


def shown(certificates: tuple[Certificate, ...], in_force: tuple[float, ...]) -> str:
    recogniser = WordRecogniser()
    recogniser.certificates = certificates
    found: dict[str, Any] = {
        "policy": "desk",
        "revision": "rev-1",
        "task": "/",
        "tasks": ["/"],
        "confidence": 1.0,
        "level": "off",
        "outcome": "unclassified",
        "tokens": 0,
        "scores": [],
        "mix": [],
        "cues": {},
        "cache_lost_tokens": 0,
        "dropped": [],
        "reasons": [],
        "certificates": certificates_json(snapshot(small_policy(), recogniser), Thresholds(in_force)),
    }
    console = Console(file=StringIO(), width=300)
    console.print(explanation_view(found))
    return console.file.getvalue()


def test_a_promise_is_shown_with_its_depth_figures_and_assumption() -> None:
    text = shown((SURE, dataclasses.replace(SURE, depth=2, basis="expected", alpha=0.03)), (0.61, 0.61))
    assert "depth 1: with probability 95 %, wrong text for at most 1 % of all messages, if traffic is like" in text
    assert "depth 2 and below: wrong text for at most 3 % of all messages on average" in text
    assert "threshold 0.610; of 1,418 examples it acts on 54 %, wrongly on 0.5 %" in text
    assert "after audits" not in text


def test_a_threshold_that_audits_have_moved_is_shown_as_it_is_now() -> None:
    assert "threshold 0.610, now 0.700 after audits" in shown((SURE,), (0.7,))
    assert "threshold 0.610, now silent after audits" in shown((SURE,), (SILENT,))


def test_nothing_is_said_where_nothing_was_fitted() -> None:
    assert "promised" not in shown((), (0.5,))


@pytest.mark.parametrize("words", [("--json",), ()])
def test_the_command_shows_them(
    words: tuple[str, ...], support_pack: Path, recognisers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(recognisers))
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, ["explain", "--pack", str(support_pack), "Where is my parcel?", *words]).stdout
    if not words:
        assert "promised:" in said
        return
    certificates = json.loads(said)["certificates"]
    assert [each["depth"] for each in certificates] == [1, 2]
    wanted = {"basis", "alpha", "delta", "rows", "coverage", "wrong", "threshold", "in_force", "stricter", "promise"}
    assert all(wanted <= set(each) for each in certificates)
