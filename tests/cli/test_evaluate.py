"""`router evaluate`, and the bar that shows while a recogniser is fitted."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands import show
from router.commands.main import app

PACK = """
name: shop
brief: Be polite.
tasks:
  refund:
    brief: Help with the refund.
    examples: [I want my money back, refund please, can I get a refund, it broke so reimburse me, give my money back]
  delivery:
    brief: Find the parcel.
    examples: [where is my parcel, my order has not arrived, track my package, when is it delivered, parcel is late]
"""

LABELLED = [
    {"text": "money back please", "task": "/refund"},
    {"text": "where is the parcel", "task": "/delivery"},
    {"text": "who wrote hamlet", "task": "/"},
    {
        "turns": [
            {"user": "refund please", "task": "/refund"},
            {"assistant": "Number?"},
            {"user": "12", "task": "/refund"},
        ]
    },
]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(PACK)
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in LABELLED))
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COLUMNS", "140")

    def invoke(*arguments: object, **more: Any) -> Result:
        return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], **more)

    return invoke


def test_programs_get_one_json_object_with_the_promised_names(run: Any, pack: Path, labelled: Path) -> None:
    result = run(pack, "--against", labelled, "--json")
    assert result.exit_code == 0 and result.stderr == ""
    found = json.loads(result.stdout)
    against = found["against"]
    assert against["n"] == 5 and against["accuracy"]["task"] is not None
    assert {"task", "domain"} <= set(against["accuracy"]) and {"coverage", "wrong"} <= set(against["settled"])
    assert all(set(row) == {"line", "outcome", "truth", "said", "text"} for row in against["missed"])
    assert {"ece", "oos_auroc", "latency_us"} <= set(against) and {"p50", "p99"} <= set(against["latency_us"])
    assert found["learning_curve"] is not None and found["certificate"]["basis"] == "default"
    assert list(found)[2:6] == ["sent", "certificate", "advice", "trade"], "what reaches the model comes first"
    for sent in (found["sent"], against["sent"], against["languages"][0]["reach"]):
        assert {"reach", "least_reach", "error", "unconditional", "tokens", "general", "exposure"} <= set(sent)
    assert [row["sent"] and row["here"] for row in found["trade"]] == [None, None, None, True, None], (
        "too few for others"
    )
    (advice,) = found["advice"]
    assert advice["kind"] == "missing" and advice["examples"] == {"/refund": 45, "/delivery": 45}


def test_people_get_words(run: Any, pack: Path, labelled: Path) -> None:
    labelled.write_text(labelled.read_text() + json.dumps({"text": "quantum physics", "task": "/delivery"}))
    said = " ".join(run(pack, "--against", labelled, "--quick").stdout.split())
    places = [
        said.index(part)
        for part in (
            "What is known",
            "Of 10 messages that a task answers (held-out examples)",
            "get its instructions",
            "Of 5 messages that a task answers (labelled.jsonl)",
            "How sure",
            "promised: nothing: too few examples",
            "What to do",
            "45 more for each of /delivery, /refund",
            "it takes 99 examples, of which 10 are there; the next 10 alone do not buy it",
            "backed off in labelled.jsonl",
            "5 backed off /delivery general text quantum physics",
        )
    ]
    assert places == sorted(places)
    for theory in ("F1", "AUROC", "macro", "alone from", "calibration", "exposure"):
        assert theory not in said


def test_people_get_a_table_with_details(run: Any, pack: Path, labelled: Path) -> None:
    result = run(pack, "--against", labelled, "--quick", "--details")
    assert result.exit_code == 0
    places = [
        result.stdout.index(part)
        for part in (
            "reach, at least",
            "task accuracy",
            "How sure",
            "nothing: too few examples",
            "What other budgets give, held-out examples",
            "By language, labelled.jsonl",
            "45 more for each of /delivery, /refund: then a certificate is possible",
        )
    ]
    assert places == sorted(places)


def test_the_report_is_written(run: Any, pack: Path, tmp_path: Path) -> None:
    result = run(pack, "--quick", "--json", "--html", tmp_path / "report.html")
    assert "against" not in json.loads(result.stdout)
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_labels_may_come_through_standard_input(run: Any, pack: Path) -> None:
    given = json.dumps(LABELLED[0]) + "\n" + json.dumps({"text": "x", "task": "/gone"})
    refused = run(pack, "--against", "-", "--json", input=given)
    assert refused.exit_code == 2
    (fault,) = json.loads(refused.stdout)["faults"]
    assert (fault["file"], fault["line"]) == ("standard input", 2) and "--skip-unknown" in fault["hint"]
    skipped = run(pack, "--against", "-", "--json", "--quick", "--skip-unknown", input=given)
    assert json.loads(skipped.stdout)["against"]["skipped"] == {"turns": 1, "tasks": {"/gone": 1}}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "labelled.jsonl:1: not JSON"),
        ("", "no labelled turn"),
        ('{"text": "x", "task": "/refnd"}', 'did you mean "/refund"?'),
        ('{"text": "x"}', 'no "task"'),
    ],
)
def test_bad_labels_end_before_any_work(run: Any, pack: Path, labelled: Path, line: str, says: str) -> None:
    labelled.write_text(line)
    result = run(pack, "--against", labelled)
    assert result.exit_code == 2 and result.stdout == ""
    assert says in result.stderr.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["{pack}", "--against", "nowhere.jsonl"], "nowhere.jsonl"),
        (["{pack}", "--html", "no/such/folder/report.html"], "its folder does not exist"),
        (["{pack}", "--html", "."], "it is a folder"),
    ],
)
def test_what_cannot_run_says_why(
    run: Any, pack: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*(argument.format(pack=pack) for argument in arguments))
    assert result.exit_code == 2 and says in result.stderr.replace("\n", " ")


EXPLAIN = """
from router.commands import main as cli, show
show.PATIENCE_S = 0.0
cli.app(["explain", "--json", "--pack", {pack!r}, "--data", {data!r}, "where is my parcel"])
"""


def explain(pack: Path, cache: Path, *, terminal: bool) -> bytes:
    """Run `router explain` with standard error on a terminal or a pipe, and return what came there."""
    reading, writing = pty.openpty() if terminal else os.pipe()
    said: list[bytes] = []

    def listen() -> None:
        with contextlib.suppress(OSError):  # how Linux says that the other end of a terminal is gone
            while chunk := os.read(reading, 65_536):
                said.append(chunk)

    listener = threading.Thread(target=listen)
    listener.start()
    done = subprocess.run(
        [sys.executable, "-c", EXPLAIN.format(pack=str(pack), data=str(cache / "data"))],
        stdout=subprocess.PIPE,
        stderr=writing,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "TERM": "xterm", "COLUMNS": "80"},
        check=True,
    )
    os.close(writing)
    listener.join(10)
    os.close(reading)
    assert json.loads(done.stdout)["task"], "standard output is the program's"
    return b"".join(said)


def test_a_bar_shows_on_a_terminal_while_a_recogniser_is_fitted(tmp_path: Path, pack: Path) -> None:
    assert explain(pack, tmp_path / "piped", terminal=False) == b""
    cache = tmp_path / "shown"
    assert b"fitting the recogniser" in explain(pack, cache, terminal=True)
    assert explain(pack, cache, terminal=True) == b"", "it came from the cache"


def test_quick_work_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    monkeypatch.setattr(show, "PATIENCE_S", 60.0)
    with show.waiting("working") as tell:
        tell(0.0)
        tell(0.5)
    assert terminal.getvalue() == ""


def test_a_wait_that_is_over_can_begin_again(capsys: pytest.CaptureFixture[str]) -> None:
    with show.waiting("working") as tell:
        for done in (0.0, 0.5, 1.0, 0.0, 1.0, 1.0):
            tell(done)
    assert capsys.readouterr() == ("", "")
