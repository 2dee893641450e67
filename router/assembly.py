"""Puts the rooms of floor 1 together: a pack on disk becomes a snapshot that requests are decided with."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType

from router.classify import recogniser_for
from router.core.errors import Degraded, Fault, PolicyError, RequestError, SettingsError, did_you_mean
from router.core.policy import Policy
from router.core.ports import Recogniser, Wire
from router.cues import DeclaredCues
from router.engine.guarding import FaultHandler
from router.engine.identity import SALT_BYTES, SALT_CHARS, Identifier, kept_salt
from router.engine.prepare import RequestPreparer
from router.engine.snapshot import PolicyRegistry, Snapshot
from router.packs import Archive, Pack, at_a_glance, empty_files, load_pack, losses
from router.wire.chat import ChatCompletions
from router.wire.messages import CountTokens, Messages
from router.wire.responses import InputTokens, Responses

log = logging.getLogger("router")

WIRES: Mapping[str, Wire] = MappingProxyType(
    {"chat": ChatCompletions(), "responses": Responses(), "messages": Messages()}
)
"""The wire formats by the name that `Router.wrap` and traces use."""


COUNTING: tuple[Wire, ...] = (CountTokens(), InputTokens())
"""The formats in which is asked what a request would cost."""


def wire_named(name: str) -> Wire:
    """Return the wire format with this name. Raises RequestError."""
    wire = WIRES.get(name)
    if wire is None:
        raise RequestError(f'There is no wire format "{name}". {did_you_mean(name, WIRES)}', code="unknown_wire")
    return wire


def default_cache() -> Path:
    """Return the folder for fitted recognisers where no data folder is set: the user's cache (XDG base directories)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prompt-router"


def salt_for(cache: Path | None, said: str | None = None) -> bytes:
    """Return the secret that keys hashes where no server has one: as said, else kept in the cache folder.

    Where that cannot be written it is of this process alone: others, and the next one, mark our text with other words,
    so that a provider's cache of a conversation is lost between them. Raises SettingsError.
    """
    if said:
        if len(said) < SALT_CHARS:
            raise SettingsError(
                f"the salt is too short: give it at least {SALT_CHARS} characters that nobody can guess"
            )
        return said.encode()
    if cache is not None:
        try:
            return kept_salt(cache)
        except OSError as error:
            log.warning("%s keeps no salt (%s): conversations are marked anew in each process", cache, error)
    return secrets.token_bytes(SALT_BYTES)


def shipped_pack() -> Path:
    """Return the pack that is served where none is named: of the project's folder, else of the installation.

    A wheel has it inside the package; of what is installed in place it lies beside it.
    """
    here, room = Path("policies/customer_support"), Path(__file__).parent
    return next((each for each in (here, room / here, room.parent / here) if each.exists()), here)


def snapshot_of(pack: Pack, cache: Path | None, fault_handler: FaultHandler, *, isolated: bool = False) -> Snapshot:
    """Return the snapshot of a loaded pack.

    A recogniser that cannot be made leaves the snapshot without one: requests then get the general instructions.
    `isolated` fits in a process of its own, so that scikit-learn never enters this one.
    """
    recogniser: Recogniser | None = None
    faults: tuple[str, ...] = ()
    try:
        recogniser = fault_handler.run("fit_failed", recogniser_for, pack.policy, cache, isolated=isolated)
    except Degraded as fault:
        log.warning("%s is not recognised, only general instructions are sent: %s", pack.policy.name, fault)
        faults = (fault.code,)
    return Snapshot(pack.policy, DeclaredCues(pack.policy), recogniser, files=pack.files, faults=faults)


class SnapshotBuilder:
    """Builds snapshots for a server, at its start and on reload.

    A pack that is built again may not lack what the one before it had (`router.packs.losses`), unless `allow_losses`.
    What is built is kept in the archive, so that a conversation can go on with it after a restart.
    """

    def __init__(
        self,
        cache: Path | None,
        fault_handler: FaultHandler,
        archive: Archive | None = None,
        *,
        allow_losses: bool = False,
    ) -> None:
        self._cache = cache
        self._fault_handler = fault_handler
        self._archive = archive
        self._allow_losses = allow_losses
        self._served: dict[Path, Pack] = {}

    def __call__(self, path: Path) -> Snapshot:
        """Return the snapshot of a pack. Raises PolicyError, also for files that hold nothing or do not hold still."""
        pack = _read_quietly(path)
        faults = list(empty_files(pack))
        before = self._served.get(path)
        if before is not None and not self._allow_losses:
            faults += losses(before, pack)
        if faults:
            raise PolicyError(faults)
        if before is None or before.policy.revision != pack.policy.revision:
            _warn_of(pack, path)
        if before is not None:
            pack = replace(pack, policy=_sharing(before.policy, pack.policy))
        if before is None or before.policy.name == pack.policy.name:  # under another name it will not be served
            self._served[path] = pack
        if self._archive is not None:
            self._archive.keep(path, pack)
        return snapshot_of(pack, self._cache, self._fault_handler, isolated=True)


MOST_TOLD = 10
"""Findings in a pack that the log gets, at most."""


def _warn_of(pack: Pack, path: Path) -> None:
    """Log what is wrong in a pack that is taken up all the same."""
    findings = at_a_glance(pack)
    for finding in findings[:MOST_TOLD]:
        log.warning("%s", finding)
    if len(findings) > MOST_TOLD:
        log.warning("and %s more, which `router check %s` lists", len(findings) - MOST_TOLD, path)


def _sharing(old: Policy, new: Policy) -> Policy:
    """Return `new` with what is equal in `old` in its place: revisions that stand beside each other share it."""
    tasks = {path: old.tasks[path] if old.tasks.get(path) == task else task for path, task in new.tasks.items()}
    alike = {each.name for each in fields(Policy) if getattr(old, each.name) == getattr(new, each.name)}
    return replace(new, **{name: getattr(old, name) for name in alike} | {"tasks": MappingProxyType(tasks)})


READINGS = 4
"""How often a pack is read, at most, until it reads twice alike."""


def _read_quietly(path: Path) -> Pack:
    """Return a pack that reads twice alike: its files may be changing. Raises PolicyError."""
    pack = load_pack(path)
    for _ in range(READINGS - 1):
        before, pack = pack, load_pack(path)
        if pack.contents == before.contents:
            return pack
    raise PolicyError([Fault(str(path), 1, "the files change while they are read", "they are read again soon")])


def preparer_for(
    registry: PolicyRegistry,
    fault_handler: FaultHandler,
    identifier: Identifier,
    clock: Callable[[], float] = time.time,
) -> RequestPreparer:
    """Return a preparer over a registry."""
    return RequestPreparer(registry, identifier, fault_handler, clock)
