"""Files are read inside the pack only, and only so many and so much."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.core.errors import Fault, PolicyError
from router.packs import files
from router.packs.files import MAX_FILE_BYTES, PackFiles


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "in.txt").write_bytes(b"\xef\xbb\xbfinside")
    (folder / "latin.txt").write_bytes("one\ntwo caf\xe9".encode("latin-1"))
    (folder / "huge.txt").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (folder / "folder").mkdir()
    (tmp_path / "out.txt").write_text("outside")
    (folder / "link_in").symlink_to("in.txt")
    (folder / "link_out").symlink_to(tmp_path / "out.txt")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.mark.parametrize("name", ["in.txt", "link_in"])
def test_a_file_inside_is_read_without_its_byte_order_mark(pack: Path, name: str) -> None:
    reader, faults = PackFiles(), list[Fault]()
    assert reader.read(pack / name, pack, faults) == "inside"
    assert not faults and list(reader.seen) == [pack / name]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("missing.txt", 1, "there is no file"),
        ("loop", 1, "there is no file"),
        ("link_out", 1, "leads out of the pack"),
        ("../out.txt", 1, "leads out of the pack"),
        ("pipe", 1, "not a regular file"),
        ("folder", 1, "not a regular file"),
        ("latin.txt", 2, "not UTF-8"),
        ("huge.txt", 1, "larger than 1 MiB"),
    ],
)
def test_any_other_file_is_a_fault(pack: Path, name: str, line: int, message: str) -> None:
    faults: list[Fault] = []
    assert PackFiles().read(pack / name, pack, faults) is None
    assert [(fault.file, fault.line) for fault in faults] == [(str(pack / name), line)]
    assert message in faults[0].message


def test_a_fault_of_absence_stands_where_the_file_was_asked_for(pack: Path) -> None:
    faults: list[Fault] = []
    PackFiles().read(pack / "missing.txt", pack, faults, ("task.yaml", 7))
    assert (faults[0].file, faults[0].line) == ("task.yaml", 7)


@pytest.mark.parametrize(("limit", "value"), [("MAX_FILES", 3), ("MAX_PACK_BYTES", 30)])
def test_a_load_that_is_too_large_as_a_whole_ends(
    pack: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(files, limit, value)
    reader = PackFiles()
    with pytest.raises(PolicyError, match="the pack"):
        for _ in range(10):
            reader.read(pack / "in.txt", pack, [])
