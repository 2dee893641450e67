"""Keeps the files of the revisions that were served, so that a conversation can end on the one on which it began.

A revision lies in a folder of its own, `NAME/REVISION/`, with the pack and whatever it extends in the places that they
had to one another. Whoever loads one must see whether it still has its revision: a file may not have been kept.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from router.packs.load import Pack

REVISIONS_KEPT = 8
"""Revisions of a policy that are kept; a pack is some hundred KB."""

MAX_FILE_BYTES = 5 << 20
"""Larger files (a model that a pack brings) are not copied."""

PATH_NOTE = "PACK"
"""The file that says which of the files beside it is the pack."""

log = logging.getLogger("router.packs")


class Archive:
    """The revisions in one folder. Losing it costs running conversations their revision, nothing else."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, path: Path, pack: Pack) -> None:
        """Copy the files of a pack that was loaded from `path`, unless they are here. A failure is logged."""
        path = path.resolve()
        if path.is_relative_to(self._folder.resolve()):
            return
        kept = self._folder / pack.policy.name / pack.policy.revision
        try:
            if kept.exists():
                os.utime(kept)
                return
            unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
            for file in pack.files:
                file = file.resolve()
                if file.is_file() and file.is_relative_to(path.parent) and file.stat().st_size <= MAX_FILE_BYTES:
                    copy = unfinished / file.relative_to(path.parent)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, copy)
            (unfinished / PATH_NOTE).write_text(path.name, encoding="utf-8")
            unfinished.rename(kept)
            self._prune(kept.parent)
        except OSError as error:
            log.warning("revision %s is not kept for running conversations: %s", pack.policy.revision, error)

    def find(self, name: str, revision: str) -> Path | None:
        """Return the path from which a revision can be loaded again, or None."""
        folder = self._folder / name / revision
        try:
            return folder / (folder / PATH_NOTE).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    @staticmethod
    def _prune(folder: Path) -> None:
        kept = sorted((each for each in folder.iterdir() if each.is_dir()), key=lambda each: each.stat().st_mtime)
        for old in kept[:-REVISIONS_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
