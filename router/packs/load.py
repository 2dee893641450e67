"""Load a pack: files in, a frozen `Pack` out.

    files -> trees with lines -> forms -> one draft -> policy, tests, places

Each step collects all the faults that it can find; a step begins only when the one before found none, so that one
mistake is reported once. Nothing of a pack with a fault is ever used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from router.core.errors import Fault, PolicyError
from router.core.policy import Policy
from router.packs.build import build
from router.packs.extends import read_draft
from router.packs.tree import PackFiles
from router.packs.trial import PackTest

_MOST = 200
"""Faults that are reported of one pack."""


@dataclass(frozen=True, slots=True)
class Pack:
    """A loaded pack.

    `files` are all files that were read and the folders that they were found in, for whoever watches for changes.
    `places` maps to (file, line): a task by its path, an instruction by its id, an example as `/path:example.3`, and
    `cue:name`, `metric:name`, `signal:name`, `pack:settings`, `pack:judge`, `pack:boilerplate.1`, `pack:unrelated.1`
    and `pack:dialogues.1`.
    """

    policy: Policy
    tests: tuple[PackTest, ...]
    files: tuple[Path, ...]
    places: Mapping[str, tuple[str, int]]


def load_pack(path: str | Path) -> Pack:
    """Return the pack in a folder or in one YAML file. Raises PolicyError with every fault that was found."""
    where = Path(path)
    if not where.exists():
        hint = "give the folder of a pack, or a YAML file"
        raise PolicyError([Fault(str(where), 1, "there is no such folder or file", hint)])
    faults: list[Fault] = []
    files = PackFiles()
    draft = read_draft(where, files, faults)
    if draft is None or faults:
        raise PolicyError(_sorted(faults))
    policy, tests, places = build(draft, faults)
    if faults:
        raise PolicyError(_sorted(faults))
    return Pack(policy, tests, tuple(files.seen), places)


def _sorted(faults: list[Fault]) -> list[Fault]:
    """Return the faults by file and line, each once, and no more than a person would read."""
    found = sorted(dict.fromkeys(faults), key=lambda fault: (fault.file, fault.line))
    if len(found) <= _MOST:
        return found
    first = found[_MOST]
    return [*found[:_MOST], Fault(first.file, first.line, f"{len(found) - _MOST:,} more faults from here on")]
