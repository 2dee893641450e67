"""The files of a SOPBench clone: a git directory, a work tree, or a plain folder. They are read, and nothing is kept.

A git repository is read at its HEAD, whatever lies in the work tree. Files of `LARGE` bytes and more are left out, as a
clone without them has it (`git clone --bare --filter=blob:limit=4m`): the published figures rest on the smaller ones.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

LARGE = 4 * 2**20
FOLDERS = ("data", "output")


class Unreadable(Exception):
    """A folder that holds no files of SOPBench, or cannot be read; says why."""


@dataclass(frozen=True, slots=True)
class Clone:
    """What a clone holds. `files` names what is there and read, by what git calls it or by its path; `left_out` what is
    too large or absent."""

    folder: Path
    revision: str
    files: dict[str, str]
    left_out: frozenset[str]

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        if self.revision:
            return _git(self.folder, "cat-file", "blob", self.files[name])
        return Path(self.files[name]).read_bytes()


def open_clone(folder: Path, largest: float = LARGE) -> Clone:
    """Return what a folder holds under `data/` and `output/`, but for files of `largest` bytes and more."""
    try:
        top = _git(folder, "rev-parse", "--show-cdup").strip()
    except (OSError, Unreadable):
        top = b"no repository"  # or no git on this machine
    found = _plain(folder, largest) if top else _committed(folder, largest)
    if not found.files:
        raise Unreadable(f"{folder} is no clone of SOPBench: it has no files under {' and '.join(FOLDERS)}")
    return found


def _committed(folder: Path, largest: float) -> Clone:
    listed = _git(folder, "ls-tree", "-r", "-z", "--full-tree", "HEAD", *FOLDERS).decode()
    names = {name: about.split()[2] for about, _, name in (line.partition("\t") for line in listed.split("\0") if line)}
    # Asked for by name, an object that a partial clone lacks would be fetched; so all that are there are listed.
    there = _git(folder, "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname) %(objectsize)")
    sizes = {name: int(size) for name, size in map(str.split, there.decode().splitlines())}
    small = {name: thing for name, thing in names.items() if sizes.get(thing, largest) < largest}
    revision = _git(folder, "rev-parse", "HEAD").decode().strip()
    return Clone(folder, revision, small, frozenset(names) - set(small))


def _plain(folder: Path, largest: float) -> Clone:
    paths = sorted(path for name in FOLDERS for path in (folder / name).rglob("*") if path.is_file())
    small = {path.relative_to(folder).as_posix(): str(path) for path in paths if path.stat().st_size < largest}
    every = frozenset(path.relative_to(folder).as_posix() for path in paths)
    return Clone(folder, "", small, every - set(small))


def _git(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    if done.returncode:
        raise Unreadable(f"git cannot read {folder}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
