"""`router examples` with a model that translates badly: the command runs through, and keeps only what passes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from router.commands.main import app
from router.cues.detectors import detect_language
from router.packs import check, load_pack
from router.packs.more_examples import Wish, objection
from tests.support.local_model import MODEL
from tests.support.serving import ROOT


@pytest.mark.parametrize("wanted", [("--languages", "de"), ("--more", "5")])
def test_a_weak_model_writes_only_what_passes(wanted: tuple[str, str], local_model: str, tmp_path: Path) -> None:
    pack = tmp_path / "starter.yaml"
    shutil.copyfile(ROOT / "policies/starter.yaml", pack)
    before = {path: task.examples for path, task in load_pack(pack).policy.tasks.items()}
    command = ["examples", str(pack), *wanted, "--model", MODEL, "--base-url", local_model, "--yes"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code in (0, 1), done.output
    assert "written" in done.stdout and "still missing" in done.stdout

    loaded = load_pack(pack)
    for path, task in loaded.policy.tasks.items():
        for text in set(task.examples) - set(before[path]):
            assert (path, text) in loaded.policy.generated
            language = "de" if "de" in wanted else ""
            assert objection(text, Wish(path, language, before[path]), "", (), detect_language) == ""
    assert not [finding for finding in check(loaded) if finding.code == "same_example"]
    again = CliRunner().invoke(app, [*command[:-1], "--json"])
    missing = int(done.stdout.rpartition(" still missing")[0].rpartition(" ")[2])
    assert json.loads(again.stdout)["plan"]["files"][0]["texts"] == missing
