"""A level written into a pack file changes that level and not a character more."""

from __future__ import annotations

import difflib
import shutil
from pathlib import Path

import pytest

from router.core.policy import Level
from router.packs import load_pack
from router.packs.load import with_levels

FILE = """\
# A desk.
name: desk   # its name
brief: Be polite.
tasks:
  billing:
    about: Money
    brief: |
      Help with money.

      At length.
    tasks:
      refund: {about: Back, brief: Help}
      plain:
        level: brief   # by hand
        brief: Say it.
      split:
        level:
          simple: brief
          complex: detailed
        brief: Say it.
"""


@pytest.mark.parametrize(
    ("task", "levels", "removed", "added"),
    [
        ("/", {"": Level.DETAILED}, [], ["level: detailed"]),
        ("/billing", {"": Level.BRIEF}, [], ["    level: brief"]),
        (
            "/billing/refund",
            {"": Level.BRIEF},
            ["      refund: {about: Back, brief: Help}"],
            ["      refund: {level: brief, about: Back, brief: Help}"],
        ),
        (
            "/billing/plain",
            {"": Level.BRIEF, "complex": Level.DETAILED},
            ["        level: brief   # by hand"],
            ["        level: {simple: brief, standard: brief, complex: detailed}   # by hand"],
        ),
        (
            "/billing/split",
            {"simple": Level.OFF, "complex": Level.DETAILED},
            ["        level:", "          simple: brief", "          complex: detailed"],
            ["        level: {simple: off, complex: detailed}"],
        ),
    ],
)
def test_only_the_level_changes(
    tmp_path: Path, task: str, levels: dict[str, Level], removed: list[str], added: list[str]
) -> None:
    file = tmp_path / "desk.yaml"
    file.write_text(FILE)
    _, line = load_pack(file).places[task]
    after = with_levels(FILE, line, levels)
    diff = [row for row in difflib.ndiff(FILE.splitlines(), after.splitlines()) if row[0] in "-+"]
    assert [row[2:] for row in diff if row[0] == "-"] == removed
    assert [row[2:] for row in diff if row[0] == "+"] == added
    file.write_text(after)
    found = load_pack(file).policy.tasks[task].levels
    everywhere = levels.keys() - {""} or {""}
    assert {name: found.get(name, found.get("")) for name in everywhere} == {name: levels[name] for name in everywhere}


def test_every_task_of_a_shipped_pack_can_be_written(support_pack: Path, tmp_path: Path) -> None:
    copy = tmp_path / support_pack.name
    shutil.copytree(support_pack, copy)
    before = load_pack(copy)
    for task in before.policy.tasks:
        file, line = load_pack(copy).places[task]
        Path(file).write_text(with_levels(Path(file).read_text(), line, {"": Level.BRIEF}))
    after = load_pack(copy).policy
    assert {task.levels[""] for task in after.tasks.values()} == {Level.BRIEF}
    assert [(task.about, task.instructions) for task in after.tasks.values()] == [
        (task.about, task.instructions) for task in before.policy.tasks.values()
    ]
