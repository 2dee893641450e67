"""Puts the rooms of floor 1 together: a pack on disk becomes a snapshot that requests are decided with."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from router.classify import recogniser_for
from router.core.errors import Degraded, RequestError, SettingsError, did_you_mean
from router.core.ports import Recogniser, Wire
from router.cues import DeclaredCues
from router.engine.guarding import FaultHandler
from router.engine.identity import SALT_BYTES, SALT_CHARS, Identifier, kept_salt
from router.engine.prepare import RequestPreparer
from router.engine.snapshot import Build, PolicyRegistry, Snapshot
from router.packs import Archive, Pack, load_pack
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
    """Return the pack that is served where none is named: of the project's folder, else of the installed package."""
    here = Path("policies/customer_support")
    return here if here.exists() else Path(__file__).parent / here


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


def snapshot_builder(cache: Path | None, fault_handler: FaultHandler, archive: Archive | None = None) -> Build:
    """Return the function with which a server builds snapshots, at its start and on reload.

    What is built is kept in the archive, so that a conversation can go on with it after a restart.
    """

    def build(path: Path) -> Snapshot:
        pack = load_pack(path)
        if archive is not None:
            archive.keep(path, pack)
        return snapshot_of(pack, cache, fault_handler, isolated=True)

    return build


def preparer_for(
    registry: PolicyRegistry,
    fault_handler: FaultHandler,
    identifier: Identifier,
    clock: Callable[[], float] = time.time,
) -> RequestPreparer:
    """Return a preparer over a registry."""
    return RequestPreparer(registry, identifier, fault_handler, clock)
