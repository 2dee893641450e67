"""Conversations that the backend keeps: a client sends only what is new, and names the answer it goes on from.

The earlier turns are not in the body then, so what was decided about them is remembered here, under the id of the
answer (or of the stored conversation) and the tenant. No words are kept. What is forgotten, or was never seen, is
decided from the new turns alone; the backend still has the text that was sent with the earlier ones.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from router.engine.identity import Identity
from router.engine.observe import Sight
from router.engine.pins import Pin
from router.engine.snapshot import Snapshot

THREADS_KEPT = 20_000
"""Answers remembered at most. Each holds a list of sights that it shares with the answers before it: about 1 KB."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What is known of the turns before: whose they are, under which snapshot, and what was found at each."""

    identity: Identity
    snapshot: Snapshot
    pin: Pin
    sights: tuple[Sight, ...]


class Threads:
    """Threads by tenant and id; the least recently used is forgotten first."""

    def __init__(self, limit: int = THREADS_KEPT) -> None:
        self._threads: OrderedDict[tuple[str, str], Thread] = OrderedDict()
        self._limit = limit

    def find(self, tenant: str, continues: str) -> Thread | None:
        """Return the thread that a request goes on from, or None."""
        thread = self._threads.get((tenant, continues))
        if thread is not None:
            self._threads.move_to_end((tenant, continues))
        return thread

    def keep(self, tenant: str, name: str, thread: Thread) -> None:
        """Remember a thread under the name by which a client will go on from it."""
        self._threads[tenant, name] = thread
        if len(self._threads) > self._limit:
            self._threads.popitem(last=False)
