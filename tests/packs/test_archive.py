"""The archive: a revision that was served can be loaded again, after its files have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.packs import Archive, load_pack
from router.packs.load import REVISIONS_KEPT


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "revisions")


def test_a_revision_with_what_it_extends_is_loaded_again(tmp_path: Path, archive: Archive) -> None:
    packs = tmp_path / "packs"
    (packs / "desk" / "tasks").mkdir(parents=True)
    (packs / "base.yaml").write_text("name: base\nbrief: Be kind.\n")
    (packs / "desk" / "policy.yaml").write_text("name: desk\nextends: ../base.yaml\n")
    pack = load_pack(packs / "desk")
    archive.keep(packs / "desk", pack)
    archive.keep(packs / "desk", pack)
    (packs / "base.yaml").write_text("name: base\nbrief: Be quick.\n")
    kept = archive.find("desk", pack.policy.revision)
    assert kept is not None and load_pack(kept).policy == pack.policy
    assert load_pack(packs / "desk").policy.revision != pack.policy.revision


def test_a_pack_of_one_file_is_kept_and_one_from_the_archive_is_not_kept_twice(
    tmp_path: Path, archive: Archive
) -> None:
    file = tmp_path / "desk.yaml"
    file.write_text("name: desk\nbrief: Be kind.\n")
    pack = load_pack(file)
    archive.keep(file, pack)
    kept = archive.find("desk", pack.policy.revision)
    assert kept is not None and kept.name == "desk.yaml"
    before = kept.stat().st_mtime_ns
    archive.keep(kept, load_pack(kept))
    assert kept.stat().st_mtime_ns == before


def test_only_the_last_revisions_are_kept(tmp_path: Path, archive: Archive) -> None:
    file = tmp_path / "desk.yaml"
    revisions = []
    for number in range(REVISIONS_KEPT + 2):
        file.write_text(f"name: desk\nbrief: Text {number}.\n")
        pack = load_pack(file)
        archive.keep(file, pack)
        revisions.append(pack.policy.revision)
        folder = tmp_path / "revisions" / "desk" / pack.policy.revision
        os.utime(folder, (1000 + number, 1000 + number))
    archive.prune(())
    found = [archive.find("desk", revision) is not None for revision in revisions]
    assert found == [False] + [True] * (REVISIONS_KEPT + 1) or found == [False, False] + [True] * REVISIONS_KEPT


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_archive(tmp_path: Path) -> None:
    file = tmp_path / "desk.yaml"
    file.write_text("name: desk\nbrief: Be kind.\n")
    (tmp_path / "revisions").write_text("no folder")
    archive = Archive(tmp_path / "revisions")
    archive.keep(file, load_pack(file))
    assert archive.find("desk", load_pack(file).policy.revision) is None
