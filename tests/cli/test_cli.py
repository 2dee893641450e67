"""The command `router`, run as people and programs run it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands.main import app
from router.packs import Archive, load_pack


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, recognisers: Path) -> Any:
    monkeypatch.setenv("XDG_CACHE_HOME", str(recognisers))
    monkeypatch.setenv("COLUMNS", "100")

    def invoke(*arguments: str, **more: Any) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], **more)

    return invoke


def test_explain_shows_a_tree_with_scores_what_is_said_and_why(run: Any, support_pack: Path) -> None:
    shown = run("explain", "--pack", support_pack, "My blender arrived broken and I want my money back").stdout
    assert "/billing" in shown and "instructions added" in shown and "why" in shown


def test_explain_gives_programs_json_with_the_promised_keys(run: Any, support_pack: Path) -> None:
    found = json.loads(run("explain", "--pack", support_pack, "--json", "Where is my parcel?").stdout)
    wanted = "revision task tasks confidence level outcome mix dropped reasons text tokens".split()
    assert set(wanted) <= set(found)
    assert set(found["mix"][0]) >= {"id", "task", "level", "text", "tokens"}
    assert found["text"].startswith(found["mix"][0]["text"])


@pytest.mark.parametrize("through", ["file", "stdin"])
def test_explain_takes_a_conversation(run: Any, support_pack: Path, tmp_path: Path, through: str) -> None:
    messages = [
        {"role": "user", "content": "I want to return a shirt"},
        {"role": "assistant", "content": "Sure - what is the order number?"},
        {"role": "user", "content": "It is 12345"},
    ]
    file = tmp_path / "talk.json"
    file.write_text(json.dumps(messages))
    given, stdin = (str(file), None) if through == "file" else ("-", json.dumps(messages))
    found = json.loads(run("explain", "--pack", support_pack, "--json", "--conversation", given, input=stdin).stdout)
    assert len(found["turns"]) == 2
    assert found["turns"][0]["task"] == found["turns"][1]["task"] != "/"


def test_explain_wire_shows_the_body_before_and_after(run: Any, support_pack: Path) -> None:
    found = json.loads(run("explain", "--pack", support_pack, "--json", "--wire", "Where is my parcel?").stdout)
    before, after = found["wire"]["before"]["messages"], found["wire"]["after"]["messages"]
    assert after[0]["role"] == "system" and after[1:] == before
    assert "+" in run("explain", "--pack", support_pack, "--wire", "Where is my parcel?").stdout


def test_explain_takes_cues(run: Any, support_pack: Path) -> None:
    found = json.loads(
        run("explain", "--pack", support_pack, "--json", "--cue", "customer_name=Ann", "Where is my parcel?").stdout
    )
    assert found["cues"]["name"] == "Ann"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["explain"], 2, "Give a message"),
        (["explain", "--conversation", "missing.json"], 2, "missing.json"),
        (["explain", "--cue", "tier", "hi"], 2, "NAME=VALUE"),
        (["explain", "--cue", "teir=pro", "hi"], 2, 'the pack has no cue "teir" (did you mean "tier"?)'),
        (["explain", "--cue", "language=de", "hi"], 2, "it is found in the user's words"),
        (["explain", "--pack", "nowhere", "hi"], 2, "nowhere"),
        (["check", "nowhere"], 2, "nowhere"),
        (["test", "nowhere"], 2, "nowhere"),
        (["serve", "--pack", "nowhere"], 78, "nowhere"),
        (["serve", "--host", "0.0.0.0"], 78, "API key"),
        (["serve", "--config", "nowhere.yaml"], 78, "nowhere.yaml"),
    ],
)
def test_what_cannot_run_says_why_and_how_it_ends(
    run: Any,
    arguments: list[str],
    code: int,
    says: str,
    support_pack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "explain" and "--pack" not in arguments:
        arguments = [*arguments, "--pack", str(support_pack)]
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.output.replace("\n", " ")


def test_check_names_file_line_and_fix(run: Any, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text("name: p\nbrief: Be polite.\ntasks:\n  a: {brief: Do it., examples: [one]}\n")
    result = run("check", pack)
    assert result.exit_code == 1
    assert f"{pack}:4" in result.output.replace("\n", "")
    rows = json.loads(run("check", "--json", pack).stdout)["findings"]
    assert set(rows[0]) == {"code", "severity", "file", "line", "message", "fix"}


def test_check_tells_the_worst_first_and_hints_of_a_kind_on_one_line(run: Any, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    tasks = "".join(f"  t{n}: {{examples: [{chr(97 + n % 26) * (n // 26 + 3)}], guided: Do it.}}\n" for n in range(40))
    pack.write_text(
        f"name: p\nbrief: Be polite.\ntasks:\n{tasks}  last:\n    brief: Use sk-abcdefghijklmnop1234 now.\n"
    )
    output = " ".join(run("check", pack).output.split())
    at = [output.index(f"{severity} ") for severity in ("error", "warning", "hint")]
    assert at == sorted(at) and output.index("secret") < output.index("few_examples") < output.index("no_brief")
    assert output.count("hint no_brief") == 1 and output.count("warning few_examples") == 40
    assert "and 39 more like this" in output and "2 errors, 40 warnings, 122 hints" in output
    rows = json.loads(run("check", "--json", pack).stdout)["findings"]
    assert sum(row["code"] == "no_brief" for row in rows) == 40


def test_check_goes_on_after_the_first_fault(run: Any, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text(
        "brief: Be polite.\ntasks:\n  a: {breif: x}\n  b: {brief: [Say the price, and the day.], gided: y}\n"
    )
    result = run("check", pack)
    output = result.output.replace("\n", " ")
    assert result.exit_code == 1
    assert output.count("error unusable") == 2 and "split_instruction" in output
    assert "2 errors, 1 warning; the pack cannot be used" in output


@pytest.mark.parametrize("name", ["customer_support", "assistant", "starter.yaml"])
def test_the_shipped_packs_have_nothing_to_say(run: Any, project: Path, name: str) -> None:
    checked = run("check", "--json", project / "policies" / name)
    assert checked.exit_code == 0, checked.stdout
    tested = run("test", project / "policies" / name)
    assert tested.exit_code == 0, tested.output


def test_a_failing_test_shows_expected_and_got(run: Any, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text(
        "name: p\nbrief: Be polite.\ntests:\n  - {ask: hello, expect: {says: [rude]}}\n  - {ask: hi, expect: {says: [polite]}}\n"
    )
    result = run("test", "--json", pack)
    counts = json.loads(result.stdout)
    assert (result.exit_code, counts["passed"], counts["failed"]) == (1, 1, 1)
    assert counts["results"][0]["mismatches"][0]["expected"]
    assert "FAILED" in run("test", pack).stdout


def test_what_is_not_reached_or_listed_is_shown_as_expected_and_got(run: Any, tmp_path: Path) -> None:
    pack = tmp_path / "pack.yaml"
    pack.write_text(
        """
name: shop
brief: Be polite.
tasks:
  refund: {brief: Help with the refund., examples: [I want my money back, refund please, can I get a refund]}
  parcel: {brief: Find it., examples: [where is my parcel, track my package, when is my parcel delivered]}
settings: {thresholds: {sure: 0.5, shortlist: 0.5}}
tests:
  - {ask: refund please, expect: {reach: /refund}}
  - {ask: refund please, expect: {reach: /parcel, shortlist: [/refund, /parcel]}}
""",
    )
    shown = run("test", pack)
    assert shown.exit_code == 1 and "1 passed, 1 failed" in shown.stdout
    assert "reach: expected /parcel" in shown.stdout and "got /refund" in shown.stdout
    assert "shortlist: expected /parcel, /refund" in shown.stdout and "got nothing" in shown.stdout


def test_doctor_looks_at_everything_and_names_the_way_out(run: Any, support_pack: Path, tmp_path: Path) -> None:
    good = json.loads(run("doctor", "--pack", support_pack, "--data", tmp_path / "data", "--json").stdout)["checks"]
    assert {row["what"].split()[0] for row in good} >= {"python", "prompt-router", "settings", "pack", "data", "port"}
    file = tmp_path / "file"
    file.write_text("")
    bad = run("doctor", "--pack", tmp_path / "none", "--data", file, "--json")
    wrong = [row for row in json.loads(bad.stdout)["checks"] if not row["good"]]
    assert bad.exit_code == 1
    assert {row["what"].split()[0] for row in wrong} >= {"pack", "data"} and all(row["fix"] for row in wrong)


def test_doctor_tries_the_database_and_tells_no_password(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def database(url: str) -> dict[str, Any]:
        monkeypatch.setenv("ROUTER_DATABASE", url)
        rows = json.loads(run("doctor", "--data", tmp_path / "data", "--json").stdout)["checks"]
        return next(row for row in rows if row["what"].startswith("database"))

    assert database(f"sqlite:///{tmp_path / 'other.db'}")["good"]
    gone = database("postgresql://router:a-secret@127.0.0.1:9/router")
    assert not gone["good"] and gone["fix"] and "a-secret" not in json.dumps(gone)


def test_a_new_key_is_accepted_by_its_digest(run: Any) -> None:
    import hashlib

    made = json.loads(run("key").stdout)
    assert hashlib.sha256(made["secret"].encode()).hexdigest() == made["sha256"]


def test_the_version_is_told(run: Any) -> None:
    from router import __version__

    assert run("--version").stdout.strip() == __version__


def test_a_pack_may_be_moved(run: Any, support_pack: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(support_pack, moved)
    here, there = (json.loads(run("explain", "--json", "--pack", pack, "hi").stdout) for pack in (support_pack, moved))
    assert here["revision"] == there["revision"]


def test_check_says_what_would_be_lost_with_a_pack_in_place_of_the_served_one(run: Any, tmp_path: Path) -> None:
    pack, served, data = tmp_path / "desk.yaml", tmp_path / "served.yaml", tmp_path / "data"
    for file in (pack, served):
        file.write_text("name: desk\nbrief: Be polite.\nrequired: [Never guess.]\n")
    Archive(data / "revisions").keep(served, load_pack(served))
    assert run("check", pack, "--data", data).exit_code == 0
    pack.write_text("name: desk\nbrief: Be polite.\n")
    assert run("check", pack, "--data", tmp_path / "none").exit_code == 0
    for option in (["--data", data], ["--against", served]):
        result = run("check", "--json", pack, *option)
        assert result.exit_code == 1
        (found,) = [row for row in json.loads(result.stdout)["findings"] if row["severity"] == "error"]
        assert found["code"] == "lost_words" and '"- Never guess." of / would be lost' in found["message"]
    (tmp_path / "router.yaml").write_text(f"data: {data}\nreload: {{losses: allow}}\n")
    assert run("check", pack, "--config", tmp_path / "router.yaml").exit_code == 0
    pack.write_text("")
    assert run("check", pack).exit_code == 1


def test_a_taken_port_is_could_not_run(tmp_path: Path) -> None:
    pack = tmp_path / "desk.yaml"
    pack.write_text("name: desk\nbrief: Be polite.\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "router.commands.main", "serve", "--pack", str(pack), "--port", port]
        done = subprocess.run(
            [*command, "--data", str(tmp_path / "data")], capture_output=True, text=True, check=False, timeout=120
        )
    assert done.returncode == 2 and port in done.stderr
