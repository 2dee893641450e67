"""Reload: build completely, then swap. A pack that cannot be loaded changes nothing but the news about it.

Building reads files and may fit a recogniser, so it runs in a thread (and the fit in a process of its own).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from router.core.errors import PolicyError
from router.engine.snapshot import Build, Shelf, Snapshot

log = logging.getLogger("router.engine")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of reloading one policy: a new revision, the same one, or the fault that kept the old one."""

    name: str
    revision: str
    changed: bool
    fault: str = ""


class Reloader:
    """Reloads packs into a shelf. `faults` names the policies whose files do not load at present, and why."""

    def __init__(self, shelf: Shelf, packs: dict[str, Path], build: Build, note: Callable[[str], None]) -> None:
        self._shelf = shelf
        self._packs = packs
        self._build = build
        self._note = note
        self._one_at_a_time = asyncio.Lock()
        self.faults: dict[str, str] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders whose change calls for a reload."""
        return tuple(path for name in self._packs for path in (self._packs[name], *self._shelf.current(name).files))

    async def reload(self) -> tuple[Reloaded, ...]:
        """Reload every pack and return what came of each."""
        async with self._one_at_a_time:
            return tuple([await self._reload(name, path) for name, path in self._packs.items()])

    async def _reload(self, name: str, path: Path) -> Reloaded:
        before = self._shelf.current(name)
        try:
            snapshot = await asyncio.to_thread(self._build, path)
        except PolicyError as error:
            return self._keep(name, before, str(error))
        if snapshot.policy.name != name:
            return self._keep(
                name, before, f'{path}: the policy "{name}" is now called "{snapshot.policy.name}"; restart'
            )
        self.faults.pop(name, None)
        changed = self._shelf.swap(name, snapshot)
        if changed:
            self._note("reloaded")
            log.info("policy %s is now at revision %s", name, snapshot.policy.revision)
        return Reloaded(name, snapshot.policy.revision, changed)

    def _keep(self, name: str, before: Snapshot, fault: str) -> Reloaded:
        self._note("reload_failed")
        self.faults[name] = fault
        log.error("policy %s stays at revision %s: %s", name, before.policy.revision, fault)
        return Reloaded(name, before.policy.revision, changed=False, fault=fault)
