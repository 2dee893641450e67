"""`router audit`: what is drawn, which labels are taken, and what they come to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.classify import recogniser_for
from router.commands.main import app
from router.core.audit import NUMBERS, Audit, ThresholdsInForce, draw_position, name_of, numbers
from router.core.decision import Decision, Settled
from router.core.evidence import Belief, Certificate, Evidence, Likely
from router.core.trace import Trace
from router.packs import load_pack
from router.stores import SqlAuditStore, SqlTraceStore, open_database

PACK = """
name: shop
brief: Be polite.
tasks:
  billing:
    brief: Be exact.
    tasks:
      refund: {brief: Name the term., examples: [I want my money back, refund me please]}
  delivery: {brief: Name the day., examples: [where is my parcel, when does it come]}
"""
HOUR_MS = 3_600_000

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def traces(data: Path) -> Iterator[SqlTraceStore]:
    database = open_database(f"sqlite:///{data / 'router.db'}")
    yield SqlTraceStore(database)
    database.close()


def recorded(data: Path) -> list[Audit]:
    """Return the audits that a server would read."""
    database = open_database(f"sqlite:///{data / 'router.db'}")
    try:
        return SqlAuditStore(database).read("shop")
    finally:
        database.close()


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    file = tmp_path / "shop.yaml"
    file.write_text(PACK)
    return file


@pytest.fixture
def run(data: Path, traces: SqlTraceStore, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*words: Any, given: str | None = None) -> Result:
        return CliRunner().invoke(app, ["audit", *map(str, words), "--data", str(data)], input=given)

    return invoke


@pytest.fixture
def record(run: Run, pack: Path, tmp_path: Path) -> Callable[..., Result]:
    """Record lines; each is an object, or text as it is."""

    def invoke(*lines: Any, rate: float = 1, more: tuple[Any, ...] = ()) -> Result:
        file = tmp_path / "labels.jsonl"
        file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return run("record", file, "--rate", rate, "--pack", pack, *more)

    return invoke


def trace(number: int, task: str = "/billing/refund", outcome: str = "classified", **more: Any) -> Trace:
    thresholds = more.pop("thresholds", ThresholdsInForce(0.9, 0.6, certificate="cafe"))
    return Trace(
        id=f"dec_{number}",
        at_ms=more.pop("at_ms", time.time_ns() // 1_000_000 - number * HOUR_MS),
        policy=more.pop("policy", "shop"),
        tenant="",
        conversation=f"c{number}",
        unit="u",
        turn=0,
        wire="chat",
        model="m",
        backend="echo",
        stream=False,
        decision=Decision("rev", outcome, (Settled(task, 0.9, 0.5),), more.pop("shortlist", ())),
        evidence=Evidence(Belief({task: 0.9}), thresholds=thresholds),
        cues={},
        response_id=f"chatcmpl-{number}",
    )


def drawn(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


# --------------------------------------------------------------------------------------------------------- draw


def test_a_drawn_line_tells_what_to_look_for_and_what_was_done(run: Run, traces: SqlTraceStore) -> None:
    traces.write([trace(1)])
    result = run("draw", "--rate", 1)
    (line,) = drawn(result)
    assert line | {"at": ""} == {
        "decision": "dec_1",
        "at": "",
        "policy": "shop",
        "settled": ["/billing/refund"],
        "shortlist": [],
        "confidence": 0.9,
        "conversation": "c1",
        "turn": 0,
        "response_id": "chatcmpl-1",
        "text": None,
        "task": None,
    }
    assert "keeps no words" in result.stderr and "router audit record" in result.stderr


def test_a_shortlist_is_drawn_and_recorded_with_the_tasks_that_it_named(
    run: Run, record: Callable[..., Result], traces: SqlTraceStore, data: Path
) -> None:
    two = (Likely("/delivery", 0.5), Likely("/billing/refund", 0.4))
    traces.write([trace(1, "/", "shortlisted", shortlist=two)])
    (line,) = drawn(run("draw", "--rate", 1))
    assert (line["settled"], line["shortlist"]) == (["/"], ["/delivery", "/billing/refund"])
    assert record(line | {"task": "/billing"}).exit_code == 0
    (kept,) = recorded(data)
    assert (kept.settled, kept.shortlist, kept.label) == (("/",), ("/delivery", "/billing/refund"), ("/billing",))


def test_chance_draws_and_nothing_else(run: Run, traces: SqlTraceStore) -> None:
    traces.write([trace(number, at_ms=time.time_ns() // 1_000_000 - number) for number in range(2_000)])
    wanted = {f"dec_{number}" for number in range(2_000) if draw_position(f"dec_{number}") < 0.02}
    first = drawn(run("draw"))
    assert {line["decision"] for line in first} == wanted
    assert [line["at"] for line in first] == sorted(line["at"] for line in first)
    few = {line["decision"] for line in drawn(run("draw", "--limit", 5))}
    assert few == set(sorted(wanted, key=draw_position)[:5])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), {"dec_1", "dec_30", "dec_40"}),
        (("--since", "24h"), {"dec_1"}),
        (("--since", "2d"), {"dec_1", "dec_30", "dec_40"}),
        (("--pack", "bank.yaml"), {"dec_40"}),
        (("--pack", "nobody.yaml"), set()),
        (("--since", "4w"), {"dec_1", "dec_30", "dec_40", "dec_400"}),
    ],
)
def test_what_may_be_drawn(
    run: Run,
    traces: SqlTraceStore,
    words: tuple[str, ...],
    found: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bank", "nobody"):
        Path(f"{name}.yaml").write_text(f"name: {name}\nbrief: Be polite.\n")
    traces.write([trace(1), trace(2, "/", "skipped"), trace(30, "/", "unclassified"), trace(400)])
    traces.write([trace(40, policy="bank")])
    result = run("draw", "--rate", 1, *words)
    assert {line["decision"] for line in drawn(result)} == found
    assert ("bank 1" in result.stderr) == ("dec_40" in found)


@pytest.mark.parametrize("span", ["7", "d", "-1d", "7 days", "7y", "999999999d"])
def test_a_span_of_time_that_is_none(run: Run, span: str) -> None:
    result = run("draw", "--since", span)
    assert result.exit_code == 2 and f"--since {span}" in result.stderr


def test_a_folder_without_a_database_is_named_and_left_alone(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit", "draw", "--data", str(tmp_path)])
    assert result.exit_code == 2 and "no database" in result.stderr and "--data" in result.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------- record


def test_drawn_lines_come_back_filled_in(run: Run, pack: Path, traces: SqlTraceStore, data: Path) -> None:
    traces.write([trace(1), trace(2), trace(3)])
    lines = drawn(run("draw", "--rate", 1))
    by_id = {line["decision"]: line for line in lines}
    by_id["dec_1"] |= {"task": "/delivery", "by": "bob"}
    by_id["dec_2"] |= {"task": "/"}
    given = "\ufeff" + "\r\n\n".join(json.dumps(line) for line in by_id.values()) + "\n"
    result = run("record", "-", "--rate", 1, "--pack", pack, "--by", "ann", "--json", given=given)
    assert json.loads(result.stdout) == {"recorded": 2, "known": 0, "unlabelled": 1}
    kept = {audit.decision: audit for audit in recorded(data)}
    assert (kept["dec_1"].label, kept["dec_1"].auditor) == (("/delivery",), "bob")
    assert (kept["dec_2"].label, kept["dec_2"].auditor) == ((), "ann")
    assert (kept["dec_1"].settled, kept["dec_1"].thresholds) == (("/billing/refund",), (0.9, 0.6, 0.0))
    assert kept["dec_1"].certificate == "cafe"
    assert [line["decision"] for line in drawn(run("draw", "--rate", 1))] == ["dec_3"]


def test_a_label_given_twice_counts_once(record: Callable[..., Result], traces: SqlTraceStore) -> None:
    traces.write([trace(1)])
    line = {"decision": "dec_1", "task": ["/delivery", "/billing/refund"]}
    again = {"decision": "dec_1", "task": ["/billing/refund", "/delivery", "/delivery"]}
    assert json.loads(record(line, again, more=("--json",)).stdout) == {"recorded": 1, "known": 1, "unlabelled": 0}
    assert json.loads(record(again, more=("--json",)).stdout) == {"recorded": 0, "known": 1, "unlabelled": 0}
    assert "1 recorded" in record(line | {"by": "cem"}).stdout


GOOD = {"decision": "dec_1", "task": "/delivery"}


@pytest.mark.parametrize(
    ("line", "said", "way_out"),
    [
        ({"decision": "dec_0", "task": "/"}, 'no decision "dec_0"', "router audit draw"),
        (GOOD | {"task": "/delivry"}, 'no task "/delivry"', 'did you mean "/delivery"?'),
        (GOOD | {"task": "refunds"}, 'no task "refunds"', "/billing/refund"),
        (GOOD | {"task": 7}, '"task" is not a string', "give a path"),
        (GOOD | {"task": ["/delivery", None]}, '"task" is not a string', "give a path"),
        (GOOD | {"by": ""}, '"by" is no name', "line of text"),
        (GOOD | {"by": 3}, '"by" is no name', "line of text"),
        (GOOD | {"decision": None}, '"decision" is no name', "line of text"),
        ({"decision": "dec_1"}, 'it has no "task"', '"task": "/path"'),
        ({"task": "/"}, 'it has no "decision"', '"decision": "dec_...'),
        ("{", "not JSON", "one JSON object on each line"),
        ("[" * 100_000, "nested too deeply", '"decision"'),
        ("[]", "not an object", "one JSON object on each line"),
        (
            {"decision": "dec_2", "task": "/"},
            "nothing was recognised in this decision: it was skipped",
            "leave the line",
        ),
        ({"decision": "dec_3", "task": "/"}, 'made by the policy "bank"', "--pack"),
        ({"decision": "dec_4", "task": "/"}, '"human" has labelled this decision /delivery before', "another name"),
    ],
    ids=str,
)
def test_a_fault_names_file_line_and_way_out_and_nothing_is_recorded(
    record: Callable[..., Result], traces: SqlTraceStore, data: Path, line: Any, said: str, way_out: str
) -> None:
    traces.write([trace(1), trace(2, "/", "skipped"), trace(3, policy="bank"), trace(4), trace(5)])
    assert record({"decision": "dec_4", "task": "/delivery"}).exit_code == 0
    result = record({"decision": "dec_5", "task": "/"}, "", line, more=("--json",))
    assert result.exit_code == 2
    (fault,) = json.loads(result.stdout)["faults"]
    assert fault["file"].endswith("labels.jsonl") and fault["line"] == 3
    assert said in fault["message"] and way_out in fault["hint"]
    assert [audit.decision for audit in recorded(data)] == ["dec_4"]


def test_all_faults_of_a_file_are_told_in_order(record: Callable[..., Result], traces: SqlTraceStore) -> None:
    traces.write([trace(1)])
    contradiction = {"decision": "dec_1", "task": "/"}
    result = record({"decision": "dec_9", "task": "/"}, "{", GOOD, contradiction)
    assert [line.split("labels.jsonl:")[1][0] for line in result.stderr.splitlines() if "labels.jsonl:" in line] == [
        "1",
        "2",
        "4",
    ]


@pytest.mark.parametrize("lines", [[], [{"decision": "dec_1", "task": None}]])
def test_a_file_without_labels_is_a_fault(record: Callable[..., Result], lines: list[Any]) -> None:
    result = record(*lines)
    assert result.exit_code == 2 and "labels.jsonl:1" in result.stderr


def test_a_file_that_is_not_there_or_not_text_is_a_fault(run: Run, pack: Path, tmp_path: Path) -> None:
    result = run("record", tmp_path / "absent.jsonl", "--pack", pack)
    assert result.exit_code == 2 and "No such file" in result.stderr
    (tmp_path / "latin.jsonl").write_bytes('{"decision": "dec_1", "task": "/", "by": "é"}'.encode("latin-1"))
    result = run("record", tmp_path / "latin.jsonl", "--pack", pack)
    assert result.exit_code == 2 and "not UTF-8" in result.stderr


def test_what_somebody_picked_out_is_no_evidence(record: Callable[..., Result], traces: SqlTraceStore) -> None:
    number = next(n for n in range(1_000) if 0.02 < draw_position(f"dec_{n}") < 0.5)
    traces.write([trace(number)])
    line = {"decision": f"dec_{number}", "task": "/delivery"}
    refused = record(line, rate=0.02)
    assert refused.exit_code == 2 and "chance did not choose" in refused.stderr and "--rate" in refused.stderr
    assert record(line, rate=0.5).exit_code == 0


# ------------------------------------------------------------------------------------------------------- status


@pytest.fixture
def served(data: Path, support_pack: Path, recognisers: Path) -> Certificate:
    """The certificate of the shipped pack."""
    (data / "recognisers").symlink_to(recognisers, target_is_directory=True)
    return recogniser_for(load_pack(support_pack).policy, recognisers).certificate


def label_wrongly(
    run: Run, traces: SqlTraceStore, pack: Path, promised: Certificate, certificate: str = "", **more: Any
) -> None:
    """Record ten decisions whose messages were about another task."""
    own = promised.thresholds
    thresholds = ThresholdsInForce(
        own.sure, own.shortlist, known=own.known, certificate=certificate or name_of(promised)
    )
    decided = [trace(n, policy="customer-support", thresholds=thresholds, **more) for n in range(10)]
    traces.write(decided)
    given = "\n".join(json.dumps({"decision": each.id, "task": "/billing/refund"}) for each in decided)
    assert run("record", "-", "--rate", 1, "--pack", pack, given=given).exit_code == 0


def test_status_without_audits_is_calm(run: Run, support_pack: Path, served: Certificate) -> None:
    result = run("status", support_pack, "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["policy"], found["basis"], found["labels"], found["alarm_at"]) == (
        "customer-support",
        "certified",
        0,
        20,
    )
    accepted = {"error": served.accepted.error, "unconditional": served.accepted.unconditional}
    accepted |= {"exposure": served.accepted.exposure} if served.bounds_exposure else {}
    assert {row["promise"]: row["accepted"] for row in found["promises"]} == accepted
    for row in found["promises"]:
        assert (row["audits"], row["wrong"], row["rate"], row["rate_at_least"]) == (0, 0, None, 0)
    own = dict(zip(NUMBERS, numbers(served.thresholds), strict=True))
    assert (found["evidence"], found["step"], found["alarms"], found["silent"]) == (pytest.approx(1), 0, [], False)
    assert found["thresholds"] == found["steps"][0] == own and len(found["steps"]) == 3


@pytest.mark.parametrize(
    ("made", "promise"),
    [
        ({"task": "/delivery/track_parcel"}, "unconditional"),
        (
            {
                "task": "/",
                "outcome": "shortlisted",
                "shortlist": (Likely("/delivery/track_parcel", 0.5), Likely("/delivery/late", 0.4)),
            },
            "error",
        ),
    ],
    ids=["wrong text", "missed by the shortlist"],
)
def test_status_tells_of_an_alarm_and_ends_with_findings(
    run: Run, traces: SqlTraceStore, support_pack: Path, served: Certificate, made: dict[str, Any], promise: str
) -> None:
    label_wrongly(run, traces, support_pack, served, **made)
    result = run("status", support_pack, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    (alarm,) = found["alarms"]
    assert (alarm["promise"], alarm["step"], alarm["wrong"]) == (promise, 0, alarm["audits"])
    assert (found["step"], found["thresholds"]) == (1, found["steps"][1])
    shown = run("status", support_pack, "--details")
    assert shown.exit_code == 1
    said = " ".join(shown.stdout.split())
    assert "audits of customer-support" in said and "the thresholds moved from" in said
    assert f"sure {found['thresholds']['sure']:.3f}" in said and "(step 1 of 2)" in said


def test_labels_of_another_fit_are_told_and_do_not_count(
    run: Run, traces: SqlTraceStore, support_pack: Path, served: Certificate
) -> None:
    label_wrongly(run, traces, support_pack, served, "another", task="/delivery/track_parcel")
    result = run("status", support_pack)
    said = " ".join(result.stdout.split())
    assert result.exit_code == 0 and "audits begin anew" in said and "the 10 labels so far are kept" in said
    assert "no label yet" in said and "router audit draw > to_label.jsonl" in said


def test_a_pack_that_cannot_be_read_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: x\nbreif: y\n")
    result = run("status", tmp_path / "broken.yaml", "--json")
    assert result.exit_code == 2 and json.loads(result.stdout)["faults"][0]["line"] == 2
