"""Which pack a command is about: the one named, with or without `--pack`, else what the data folder was served with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from router.commands.main import app
from router.server.served import served_at, served_packs
from tests.support.serving import Server, serving_router

PACK = """\
name: {name}
brief: Be polite.
metrics:
  resolved: {{type: boolean, primary: true, horizon: 72h, default: true}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two packs."""
    made = tmp_path_factory.mktemp("served")
    for name in ("live", "other"):
        (made / f"{name}.yaml").write_text(PACK.format(name=name))
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    """A server of both, with a data folder there; it goes on running."""
    packs = [word for name in ("live", "other") for word in ("--pack", str(folder / f"{name}.yaml"))]
    with serving_router(*packs, "--data", str(folder / "data")) as running:
        yield running


def run(*words: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")


def test_commands_are_about_what_the_data_folder_was_served_with(server: Server, folder: Path) -> None:
    data = folder / "data"
    assert list(served_packs(data)) == ["live", "other"] and served_at(data) == server.url
    tuned = run("tune", "--data", data)
    assert "live, mode suggest: no conversation has matured yet" in tuned.output
    assert f"pack: {folder / 'live.yaml'}; also served: {folder / 'other.yaml'}" in tuned.stderr
    assert json.loads(run("tune", "--data", data, "--json").stdout)["policy"] == "live"
    assert "audits of live" in run("audit", "status", "--data", data).output
    assert f"pack: {folder / 'live.yaml'}" in run("check", "--data", data).stderr
    shown = run("explain", "hi", "--data", data)
    assert "live@" in shown.stdout and "live.yaml" in shown.stderr


def test_every_command_about_a_pack_takes_it_with_and_without_the_option(server: Server, folder: Path) -> None:
    data, other = folder / "data", folder / "other.yaml"
    for words in (("check",), ("test",), ("audit", "status")):
        with_option = run(*words, "--pack", other, "--data", data, "--json")
        without = run(*words, other, "--data", data, "--json")
        assert with_option.stdout == without.stdout and with_option.stderr == ""
    assert "name one pack" in run("check", other, "--pack", other, code=2).stderr


def test_outside_of_the_project_the_shipped_pack_of_the_installation_is_found() -> None:
    checked = run("check")
    assert "customer_support" in checked.stderr and "no findings" in checked.stdout
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["checks"]
    (pack,) = [row for row in rows if row["what"].startswith("pack")]
    assert pack["good"] and pack["found"].endswith(" 67 tasks")


def test_doctor_knows_the_server_of_its_data_folder(server: Server, folder: Path, tmp_path: Path) -> None:
    port = server.url.rpartition(":")[2]
    (tmp_path / "router.yaml").write_text(f"listen: {{port: {port}}}\npacks: [{folder / 'live.yaml'}]\n")

    def diagnosis(data: Path, code: int) -> dict[str, Any]:
        rows = json.loads(run("doctor", "--config", "router.yaml", "--data", data, "--json", code=code).stdout)[
            "checks"
        ]
        return next(row for row in rows if row["what"].startswith("port"))

    assert diagnosis(folder / "data", 0)["found"] == "the server of this data folder listens here"
    stranger = diagnosis(tmp_path / "data", 1)
    assert not stranger["good"] and "another data folder" in stranger["found"] and "--data" in stranger["fix"]
