"""Changed packs at work: the registry and the shadow follow what operators said (`router canary`, `router release`).

What was said, and the pack with it, is in the store, so every replica and every start comes to the same. Runs in
threads of its own, never in a request. A pack that cannot be taken up changes nothing but the news about it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from router.core.errors import Degraded, RouterError
from router.core.rollout import Rollout, RolloutEvent, rollouts
from router.core.store_ports import RolloutStore
from router.engine.shadow import ShadowDecider
from router.engine.snapshot import Build, Canary, PolicyRegistry, Snapshot
from router.packs import Archive, unbundle

log = logging.getLogger("router.server")


class Rollouts:
    """Follows the log of a store. `folder` is the archive's, where packs are unpacked; `build` and `watched` make
    snapshots of them, the latter with the thresholds that audits have left in force. `note` counts a fault by its code.
    """

    def __init__(
        self,
        store: RolloutStore,
        registry: PolicyRegistry,
        shadow: ShadowDecider,
        folder: Path,
        build: Build,
        watched: Callable[[Snapshot], Snapshot],
        note: Callable[[str], None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._shadow = shadow
        self._folder = folder
        self._build = build
        self._watched = watched
        self._note = note
        self._one_at_a_time = threading.Lock()
        self._heeded: object = None
        self._built: dict[tuple[str, str], Snapshot] = {}
        self._stands: Mapping[str, Rollout] = {}
        self._faults: dict[str, str] = {}

    def heed(self) -> None:
        """Take up what was said by now. Failures are counted and logged; what is served then stays as it is."""
        with self._one_at_a_time:
            try:
                now = (self._store.newest(), dict(self._registry.revisions))
                if now != self._heeded:
                    self._follow(rollouts(self._store.events()))
                    self._heeded = now
            except Degraded as fault:
                self._note(fault.code)
                log.error("what is tried stays as it is: %s", fault)

    @property
    def needed(self) -> set[tuple[str, str]]:
        """The revisions that are tried, as (policy, revision)."""
        return {(name, stands.revision) for name, stands in self._stands.items() if stands.revision}

    def as_data(self) -> dict[str, dict[str, object]]:
        """Return what is tried, by policy: the revision, the share, 0 for a shadow, and why it is not, if so."""
        return {
            name: {"revision": stands.revision, "share": stands.share, "fault": self._faults.get(name, "")}
            for name, stands in self._stands.items()
            if stands.revision
        }

    def _follow(self, said: Mapping[str, Rollout]) -> None:
        served = self._registry.revisions
        stands = {
            # What has become the revision in force is tried no more.
            name: each._replace(revision="") if served[name].partition("+")[0] == each.revision else each
            for name, each in said.items()
            if name in served
        }
        self._faults.clear()
        snapshots = {name: self._snapshot(name, each) for name, each in stands.items() if each.revision}
        canaries, shadows = {}, {}
        for name, snapshot in snapshots.items():
            stand = stands[name]
            if snapshot is not None and stand.share:
                canaries[name] = Canary(snapshot, stand.revision, stand.share)
            elif snapshot is not None:
                shadows[name] = snapshot
        self._registry.released = {name: each.released_ms / 1000 for name, each in stands.items() if each.released_ms}
        self._registry.try_out(canaries)
        self._shadow.trying = shadows
        for name, each in stands.items():
            before = self._stands.get(name, Rollout())
            if each.released_ms != before.released_ms:
                log.info("policy %s: running conversations are let go from earlier revisions", name)
            if each[:-1] != before[:-1] and name not in self._faults:
                log.info("policy %s: %s", name, in_words(each))
        for name, each in stands.items():
            if said[name].revision and not each.revision:  # for good: whoever goes back does not want it tried again
                self._store.append(RolloutEvent(time.time_ns() // 1_000_000, name, "stop"))
        self._stands = stands
        self._built = {
            (name, stands[name].revision): snapshot for name, snapshot in snapshots.items() if snapshot is not None
        }

    def _snapshot(self, name: str, stands: Rollout) -> Snapshot | None:
        """Return what is tried, ready to decide with; None, with a fault, where it cannot be taken up."""
        built = self._built.get((name, stands.revision))
        try:
            return built or self._made(name, stands.revision)
        except Degraded:
            raise
        except (OSError, ValueError, RouterError) as error:
            self._faults[name] = str(error)
            log.error("policy %s: revision %s is not tried: %s", name, stands.revision, error)
            return None

    def _made(self, name: str, revision: str) -> Snapshot:
        kept = Archive(self._folder).find(name, revision)
        if kept is None:
            unbundle(self._store.files(name, revision), self._folder, name, revision)
            kept = Archive(self._folder).find(name, revision)
        snapshot = self._build(kept or self._folder / name / revision)
        found = (snapshot.policy.name, snapshot.policy.revision)
        if found != (name, revision):
            raise ValueError(f"its files are {found[0]}@{found[1]} to this release")
        if snapshot.recogniser is None:
            raise ValueError("its recogniser cannot be fitted")
        inline = self._registry.current(name).recogniser
        if inline is not None and inline.inline and not snapshot.recogniser.inline:
            raise ValueError("it asks an encoder elsewhere, and the pack in force does not: serve it instead")
        return self._watched(snapshot)


def in_words(stands: Rollout) -> str:
    """Return how a policy stands, in words."""
    if not stands.revision:
        return "nothing is tried beside what is in force"
    if not stands.share:
        return f"revision {stands.revision} decides in shadow"
    return f"revision {stands.revision} is served to {100 * stands.share:g} % of new conversations"
