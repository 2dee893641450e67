"""Takes up, at start, the conversations that were under way: each goes on with the revision on which it began.

Pins come from their store, the revisions that they name from the archive, and what was decided about answers that may
be gone on from out of the traces. What cannot be had costs a conversation its revision, never the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from router.core.errors import Degraded, PolicyError
from router.engine.prepare import RequestPreparer
from router.engine.snapshot import OLD_REVISIONS_KEPT, Build
from router.engine.threads import Link
from router.packs import Archive
from router.stores import SqlPinStore, SqlTraceStore, evidence_of

CHAINED_TAKEN_UP = 5_000
"""Answers that may be gone on from after a restart; reading so many takes a quarter of a second."""

log = logging.getLogger("router.server")


def resume(
    pins: SqlPinStore,
    store: SqlTraceStore,
    preparer: RequestPreparer,
    archive: Archive,
    build: Build,
    note: Callable[[str], None],
) -> None:
    """Let the preparer go on with the conversations that were under way. `note` counts a fault by its code."""
    shelf = preparer.shelf
    try:
        records = [record for record in pins.read(time.time()) if record.policy in shelf.revisions]
        began = min((record.began_s for record in records), default=time.time())
        chained = store.chained(int(began * 1000), CHAINED_TAKEN_UP)
    except Degraded as fault:
        note(fault.code)
        log.error("conversations under way move on to the present revisions: %s", fault)
        return
    wanted = dict.fromkeys((record.policy, record.revision) for record in reversed(records))  # the last used first
    for name, revision in list(wanted)[:OLD_REVISIONS_KEPT]:
        kept = None if shelf.pinned(name, revision) else archive.find(name, revision)
        if kept is not None:
            try:
                snapshot = build(kept)
            except PolicyError as error:
                log.warning("revision %s of policy %s cannot be loaded again: %s", revision, name, error)
            else:
                if (snapshot.policy.name, snapshot.policy.revision) == (name, revision):
                    shelf.keep_old(snapshot)
    preparer.pins.restore(records, lambda name, revision: (shelf.pinned(name, revision) or shelf.current(name)).policy)
    preparer.take_up(map(_link, chained))


def _link(row: Mapping[str, Any]) -> Link:
    """Return what a trace says of an answer that may be gone on from."""
    names = ("tenant", "policy", "revision", "conversation", "unit", "turn", "response_id")
    return Link(**{name: row[name] for name in names}, evidence=evidence_of(row))
