"""What requests are decided with: immutable snapshots, replaced whole.

A snapshot is one revision of one policy with everything made from it. A registry holds the current snapshot of each
policy with how its levels stand, and for a while the earlier revisions that running conversations are pinned to.

A pack whose files changed is built completely, then swapped in (`Reloader`); one that cannot be loaded changes nothing
but the news about it. Building reads files and may fit a recogniser, so it runs in a thread (the fit in a process).
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from router.core.compose import Mix, compose
from router.core.decision import Settlement
from router.core.errors import PolicyError, RequestError, did_you_mean
from router.core.evidence import Evidence, Thresholds
from router.core.levels import Levels
from router.core.policy import AuxiliaryRule, CueValue, Level, Policy
from router.core.ports import CueReader, Recogniser
from router.core.rollout import is_drawn

log = logging.getLogger("router.engine")

OLD_REVISIONS_KEPT = 8
"""Earlier revisions kept per policy, beside those that a running conversation is pinned to."""

MEMO_ENTRIES = 5_000
"""User turns remembered per revision; an entry is about 2 KB."""

MIXES_KEPT = 2_000
"""Mixes remembered per revision; one is a tuple of pieces that exist anyway."""

V = TypeVar("V")

_PATH = itemgetter(0)


class _Memo(OrderedDict[Hashable, V]):
    """A bounded map; what was not used for longest goes first. A miss only costs time."""

    def __init__(self, limit: int = MEMO_ENTRIES) -> None:
        super().__init__()
        self._limit = limit

    def keep(self, key: Hashable, value: V) -> None:
        """Remember a value, or that it was used again."""
        self.pop(key, None)  # not `move_to_end`: another thread may have just dropped it
        self[key] = value
        if len(self) > self._limit:
            self.popitem(last=False)


NO_CUES: Mapping[str, CueValue] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One revision of a policy, ready to decide with. `recogniser` is None where none could be made.

    What was worked out under it is remembered with it, within bounds: observations of user turns, what was decided on
    each of them, and composed mixes.
    """

    policy: Policy
    cues: CueReader
    recogniser: Recogniser | None
    files: tuple[Path, ...] = ()
    faults: tuple[str, ...] = ()
    observations: _Memo[Any] = field(default_factory=lambda: _Memo(), init=False, repr=False)
    decisions: _Memo[Any] = field(default_factory=lambda: _Memo(), init=False, repr=False)
    _mixes: _Memo[Mix] = field(default_factory=lambda: _Memo(MIXES_KEPT), init=False, repr=False)

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """The fault codes of what every request has to do without."""
        return self.faults + (() if self.recogniser else ("recogniser_absent",))

    @cached_property
    def thresholds(self) -> Thresholds:
        """The thresholds in force."""
        return self.recogniser.thresholds if self.recogniser else Thresholds()

    @cached_property
    def rules(self) -> tuple[tuple[AuxiliaryRule, bool, bool], ...]:
        """The rules for machines' own calls, each with whether it is `typed` and `of_call`."""
        return tuple((rule, rule.typed, rule.of_call) for rule in self.policy.auxiliary)

    @cached_property
    def volatile(self) -> frozenset[str]:
        """The cues that change from call to call."""
        return frozenset(name for name, cue in self.policy.cues.items() if cue.volatile)

    def parted(self, cues: Mapping[str, CueValue]) -> tuple[Mapping[str, CueValue], Mapping[str, CueValue]]:
        """Return the cues that hold for more than one call, and those that are passing."""
        if self.volatile.isdisjoint(cues):
            return cues, NO_CUES
        passing = {name: value for name, value in cues.items() if name in self.volatile}
        return {name: value for name, value in cues.items() if name not in passing}, passing

    def forget(self) -> None:
        """Forget what was worked out: few requests are decided under an earlier revision. It only costs them time."""
        for memo in (self.observations, self.decisions, self._mixes):
            memo.clear()

    def compose(
        self,
        policy: Policy,
        found: Settlement,
        evidence: Evidence,
        levels: Mapping[str, Level],
        possible: tuple[str, ...],
    ) -> Mix:
        """Return what `router.core.compose.compose` does, and remember it: most requests are like an earlier one."""
        if not policy.personal.isdisjoint(evidence.cues):
            return compose(policy, found, evidence, levels, possible)  # a person's own words: no other request has them
        listed = tuple(map(_PATH, found.shortlist)) if found.shortlist else ()
        key = (tuple(map(_PATH, found.paths)), listed, possible, tuple(evidence.cues.items()), tuple(levels.values()))
        mix = self._mixes.get(key)
        if mix is None:
            mix = compose(policy, found, evidence, levels, possible)
        self._mixes.keep(key, mix)
        return mix


Build = Callable[[Path], Snapshot]
"""Makes a snapshot from a pack's path. Raises PolicyError."""


class Canary(NamedTuple):
    """A revision that a share of the conversations gets that begin. `revision` is its name before any audit."""

    snapshot: Snapshot
    revision: str
    share: float


class PolicyRegistry:
    """The snapshots by policy name. Swapping is one assignment: a request sees one revision or the other."""

    def __init__(self, snapshots: Mapping[str, Snapshot], default: str) -> None:
        self._current = dict(snapshots)
        self._old: dict[str, OrderedDict[str, Snapshot]] = {name: OrderedDict() for name in snapshots}
        self._levels: dict[str, Levels] = {}
        self.canaries: Mapping[str, Canary] = {}
        self.released: Mapping[str, float] = {}
        """By policy, the second of the wall clock before which what a conversation keeps does not bind it."""
        self.default = default

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all policies, the default one first."""
        return (self.default, *(name for name in self._current if name != self.default))

    @property
    def revisions(self) -> Mapping[str, str]:
        """The current revision of each policy."""
        return {name: snapshot.policy.revision for name, snapshot in self._current.items()}

    def current(self, name: str | None = None) -> Snapshot:
        """Return the newest revision of a policy. Raises RequestError (404) for an unknown name."""
        snapshot = self._current.get(name or self.default)
        if snapshot is None:
            hint = did_you_mean(name or "", self._current)
            raise RequestError(
                f'There is no policy "{name}". {hint}'.strip(),
                status=404,
                code="policy_not_found",
                param="x-router-policy",
            )
        return snapshot

    def levels(self, name: str) -> Levels | None:
        """Return how the levels of a policy stand; None where nothing is tuned."""
        return self._levels.get(name)

    def tune(self, name: str, levels: Levels) -> None:
        """Take up how the levels of a policy stand now."""
        self._levels[name] = levels

    def pinned(self, name: str, revision: str) -> Snapshot | None:
        """Return an earlier revision if it is still in the registry."""
        current = self._current[name]
        return current if current.policy.revision == revision else self._old[name].get(revision)

    def lets_go(self, name: str, seen_s: float) -> bool:
        """Say whether conversations that were last seen then are released from the revision that they began on."""
        return seen_s < self.released.get(name, 0.0)

    def elsewhere(self, name: str, conversation: str, revision: str = "", seen_s: float = 0.0) -> Snapshot | None:
        """Return what a conversation is decided with where that is not the policy in force, else None.

        That is the `revision` that it began on, unless it is released from it, or the canary if it is drawn for it.
        """
        if revision and not self.lets_go(name, seen_s):
            earlier = self.pinned(name, revision)
            if earlier is not None:
                return earlier
        canary = self.canaries.get(name)
        return canary.snapshot if canary and is_drawn(conversation, canary.revision, canary.share) else None

    def try_out(self, canaries: Mapping[str, Canary]) -> None:
        """Serve these to their shares of the conversations that begin; who began on another ends on it."""
        for name, canary in canaries.items():
            if not self.holds(canary.snapshot) and name in self._current:
                self.keep_old(canary.snapshot)
        self.canaries = canaries

    def holds(self, snapshot: Snapshot) -> bool:
        """Say whether requests can still be decided with this snapshot."""
        name = snapshot.policy.name
        return name in self._current and self.pinned(name, snapshot.policy.revision) is snapshot

    def keep_old(self, snapshot: Snapshot) -> None:
        """Put an earlier revision in the registry, for conversations that began on it."""
        self._old[snapshot.policy.name][snapshot.policy.revision] = snapshot

    def forget_old(self, needed: Collection[tuple[str, str]]) -> None:
        """Forget all but the last of the earlier revisions, and those that are `needed`, as (policy, revision)."""
        for name, old in self._old.items():
            canary = self.canaries.get(name)
            for revision in list(old)[:-OLD_REVISIONS_KEPT]:
                if (name, revision) not in needed and not (canary and canary.snapshot is old[revision]):
                    old.pop(revision, None)

    def swap(self, name: str, snapshot: Snapshot) -> bool:
        """Make `snapshot` the current one of `name`; return whether its revision is a new one."""
        before = self._current[name]
        if before.policy.revision == snapshot.policy.revision:
            return False
        old = self._old[name]
        old[before.policy.revision] = before
        old.pop(snapshot.policy.revision, None)
        self._current[name] = snapshot
        before.forget()
        return True


@dataclass(frozen=True, slots=True)
class _Reloaded:
    """What came of reloading one policy: a new revision, the same one, or the fault that kept the old one."""

    name: str
    revision: str
    changed: bool
    fault: str = ""


class Reloader:
    """Reloads packs into a registry. `faults` names the policies whose files do not load at present, and why.

    `tidy` is called in a thread when a policy has a new revision: some may be needed no more.
    """

    def __init__(
        self,
        registry: PolicyRegistry,
        packs: dict[str, Path],
        build: Build,
        note: Callable[[str], None],
        tidy: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._packs = packs
        self._build = build
        self._note = note
        self._tidy = tidy
        self._one_at_a_time = asyncio.Lock()
        self.faults: dict[str, str] = {}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files and folders whose change calls for a reload."""
        return tuple(path for name in self._packs for path in (self._packs[name], *self._registry.current(name).files))

    async def reload(self) -> tuple[_Reloaded, ...]:
        """Reload every pack and return what came of each."""
        async with self._one_at_a_time:
            reloaded = tuple([await self._reload(name, path) for name, path in self._packs.items()])
            if any(each.changed for each in reloaded):
                await asyncio.to_thread(self._tidy)
            return reloaded

    async def _reload(self, name: str, path: Path) -> _Reloaded:
        before = self._registry.current(name)
        try:
            snapshot = await asyncio.to_thread(self._build, path)
        except PolicyError as error:
            return self._keep(name, before, str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the next change must find somebody who reloads
            return self._keep(name, before, f"{path}: {type(error).__name__}: {error}")
        if snapshot.policy.name != name:
            return self._keep(
                name, before, f'{path}: the policy "{name}" is now called "{snapshot.policy.name}"; restart'
            )
        repaired = self.faults.pop(name, None) is not None
        changed = self._registry.swap(name, snapshot)
        if changed or repaired:
            state = "is repaired and now" if repaired else "is now"
            log.info("policy %s %s at revision %s", name, state, snapshot.policy.revision)
        return _Reloaded(name, snapshot.policy.revision, changed)

    def _keep(self, name: str, before: Snapshot, fault: str) -> _Reloaded:
        if self.faults.get(name) != fault:  # it is tried again and again while it stands
            self._note("reload_failed")
            log.error("policy %s stays at revision %s: %s", name, before.policy.revision, fault)
        self.faults[name] = fault
        return _Reloaded(name, before.policy.revision, changed=False, fault=fault)
