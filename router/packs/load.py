"""Load a pack: files in, a frozen `Pack` out.

    files -> trees with lines -> forms -> one draft -> policy, tests, places

Each step collects all the faults that it can find, and leaves out what has one, so that the next step can look at the
rest. Where something went that others may name, the next step's faults are not told: one mistake is reported once.
Nothing of a pack with a fault is ever used.

The revision is a hash of what a policy means. Equal meaning, equal revision: the order of files and keys, comments,
white space around texts, the form of the pack (folder or file), and tests do not count, since a `Policy` holds none of
them. Different meaning, different revision: all else that a policy holds counts, but for what follows from the rest
(token counts, children, headings) and a name that the pack did not give itself.

The files of the revisions that were served are kept, so that a conversation can end on the one on which it began. A
revision lies in a folder of its own, `NAME/REVISION/`, with the pack and whatever it extends in the places that they
had to one another. Whoever loads one must see whether it still has its revision: a file may not have been kept.

A step that tuning has found goes back to where the operator's words are (`with_levels`): the task's level is written
into its YAML file and nothing else is touched, so comments, order and white space stay.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from router.core.errors import Fault, PolicyError
from router.core.policy import Level, Policy
from router.packs.build import build
from router.packs.cues import COMPLEXITIES
from router.packs.encoders import portable
from router.packs.extends import read_draft
from router.packs.files import PackFiles
from router.packs.trial import PackTest

_MOST = 200
"""Faults that are reported of one pack."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A loaded pack.

    `files` are all files that were read and the folders that they were found in, for whoever watches for changes.
    `places` maps to (file, line): a task by its path, an instruction by its id, an example as `/path:example.3`, and
    `cue:name`, `metric:name`, `signal:name`, `pack:settings`, `pack:judge`, `pack:boilerplate.1`, `pack:unrelated.1`
    and `pack:dialogues.1`. `notes` are what was noted of its words while they were read, each with a code of lint.
    `languages` maps a text to its language, where the file of examples that holds it says so. `contents` are the files
    that were read, as they were. A pack with `faults` is what could be read of one that cannot be used.
    """

    policy: Policy
    tests: tuple[PackTest, ...]
    files: tuple[Path, ...]
    places: Mapping[str, tuple[str, int]]
    notes: tuple[tuple[str, Fault], ...] = ()
    languages: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    faults: tuple[Fault, ...] = ()


def load_pack(path: str | Path) -> Pack:
    """Return the pack in a folder or in one YAML file. Raises PolicyError with every fault that was found."""
    pack = read_pack(path)
    if pack.faults:
        raise PolicyError(pack.faults)
    return pack


def read_pack(path: str | Path) -> Pack:
    """Return what can be read of a pack, with its faults. Raises PolicyError where that is nothing."""
    where = Path(path)
    if not where.exists():
        hint = "give the folder of a pack, or a YAML file"
        raise PolicyError([Fault(str(where), 1, "there is no such folder or file", hint)])
    faults: list[Fault] = []
    files = PackFiles()
    draft = read_draft(where, files, faults)
    if draft is None:
        raise PolicyError(_sorted(faults))
    policy, tests, places, notes = build(draft, faults if draft.whole else [])
    revision = revision_of(replace(policy, settings=portable(policy.settings)), draft.name)
    groups = (draft.unrelated, *(task.examples for task in draft.tasks.values()))
    languages = {line.text: line.language for lines in groups for line in lines if line.language}
    policy = replace(policy, revision=revision)
    contents = {file: content for file, content in files.seen.items() if content is not None}
    return Pack(policy, tests, tuple(files.seen), places, notes, languages, contents, tuple(_sorted(faults)))


def _sorted(faults: list[Fault]) -> list[Fault]:
    """Return the faults by file and line, each once, and no more than a person would read."""
    found = sorted(dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line))
    if len(found) <= _MOST:
        return found
    first = found[_MOST]
    return [*found[:_MOST], Fault(first.file, first.line, f"{len(found) - _MOST:,} more faults from here on")]


DIGITS = 12
_DERIVED = frozenset({"revision", "tokens", "children", "piece", "case"})


def revision_of(policy: Policy, name: str | None) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a policy's canonical JSON.

    `name` is the name as the pack gives it, None where it gives none; `policy.revision` is not read.
    """
    meaning = {**{key: getattr(policy, key) for key in _meaningful(Policy)}, "name": name}
    encoder = json.JSONEncoder(
        sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_opened
    )
    return hashlib.sha256(encoder.encode(meaning).encode("utf-8")).hexdigest()[:DIGITS]


def _opened(value: Any) -> dict[str, Any] | list[Any]:
    """Return a dataclass or a read-only mapping as the dict that JSON knows, a set as a list."""
    if isinstance(value, frozenset):
        return sorted(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in _meaningful(value.__class__)}
    return dict(value)


@cache
def _meaningful(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind) if field.name not in _DERIVED)


REVISIONS_KEPT = 8
"""Revisions of a policy that are kept, beside those on which a conversation is; a pack is some hundred KB."""

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
                content, file = pack.contents.get(file), file.resolve()
                if not file.is_relative_to(path.parent) or (content is None and not file.is_file()):
                    continue
                copy = unfinished / file.relative_to(path.parent)
                copy.parent.mkdir(parents=True, exist_ok=True)
                if content is not None:
                    copy.write_bytes(content)  # what was read, whatever the file holds by now
                elif file.stat().st_size <= MAX_FILE_BYTES:
                    shutil.copyfile(file, copy)
            (unfinished / PATH_NOTE).write_text(path.name, encoding="utf-8")
            unfinished.rename(kept)
        except OSError as error:
            log.warning("revision %s is not kept for running conversations: %s", pack.policy.revision, error)

    def find(self, name: str, revision: str) -> Path | None:
        """Return the path from which a revision can be loaded again, or None."""
        folder = self._folder / name / revision
        try:
            return folder / (folder / PATH_NOTE).read_text(encoding="utf-8")
        except (OSError, ValueError):
            return None

    @property
    def names(self) -> list[str]:
        """The policies that were served."""
        try:
            return sorted(each.name for each in self._folder.iterdir() if each.is_dir())
        except OSError:
            return []

    def newest(self, name: str) -> Path | None:
        """Return the path of the revision of a policy that was taken up last, or None."""
        try:
            kept = _by_age(self._folder / name)
        except OSError:
            return None
        return self.find(name, kept[-1].name) if kept else None

    def prune(self, needed: Collection[tuple[str, str]]) -> None:
        """Remove all but the last revisions of each policy, and those that are `needed`, as (policy, revision)."""
        try:
            for folder in self._folder.iterdir():
                _prune(folder, {revision.partition("+")[0] for name, revision in needed if name == folder.name})
        except OSError as error:
            log.warning("old revisions are not removed: %s", error)


def _by_age(folder: Path) -> list[Path]:
    """Return the revisions in the folder of a policy, that which was taken up last at the end."""
    return sorted(
        (each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")),
        key=lambda each: each.stat().st_mtime_ns,
    )


def _prune(folder: Path, needed: Collection[str]) -> None:
    for old in _by_age(folder)[:-REVISIONS_KEPT]:
        if old.name not in needed:
            shutil.rmtree(old, ignore_errors=True)


_KEY = "level"
_ALIAS = re.compile(r"[^*]*\*[\w-]+")


def with_levels(text: str, line: int, levels: Mapping[str, Level]) -> str:
    """Return a pack file with the levels of the task at `line`: that of its key, or the file's first for its own task.

    `levels` is as in `Task.levels`: by complexity, "" for all. The file has been loaded before, so it is well formed.
    """
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    top = line <= root.start_mark.line + 1
    task = root if top else next(value for key, value in _entries(root) if key.start_mark.line + 1 == line)
    written = f"{_KEY}: {_level_value(levels)}"
    for key, value in task.value:
        if key.value == _KEY:
            return text[: key.start_mark.index] + written + text[_end(text, key, value) :]
    start: int = task.start_mark.index
    if task.flow_style:
        return text[: start + 1] + written + (", " if task.value else "") + text[start + 1 :]
    # Before the first key: what follows it may be a block of text, which has no end that could be seen easily.
    column = start - (text.rfind("\n", 0, start) + 1)
    return text[:start] + written + "\n" + " " * column + text[start:]


def _level_value(levels: Mapping[str, Level]) -> str:
    if set(levels) == {""}:
        return levels[""].word
    each = {name: levels.get(name, levels.get("")) for name in COMPLEXITIES}
    return "{" + ", ".join(f"{name}: {level.word}" for name, level in each.items() if level is not None) + "}"


def _entries(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys of all mappings with their values, in the order of the file."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key, value
            yield from _entries(value)
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            yield from _entries(part)


def _end(text: str, key: Any, value: Any) -> int:
    """Return where a value ends; a block's own end mark lies behind the white space that follows it."""
    if value.start_mark.index < key.start_mark.index:  # an alias: the node is where its anchor stands
        found = _ALIAS.match(text, key.end_mark.index)
        assert found is not None
        return found.end()
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        return _end(text, *value.value[-1])
    return int(value.end_mark.index)
