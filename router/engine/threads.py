"""Conversations that the backend keeps: a client sends only what is new, and names the answer it goes on from.

The earlier turns are not in the body then, so what was decided about them is remembered here, under the id of the
answer (or of the stored conversation) and the tenant. No words are kept. After a restart it is worked out again from
the traces (`rebuild`). What is forgotten, or was never seen, is decided from the new turns alone; the backend still has
the text that was sent with the earlier ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from router.core.evidence import Evidence
from router.engine.identity import Identity
from router.engine.observe import TurnObservation
from router.engine.pins import Pin, Pins
from router.engine.snapshot import PolicyRegistry, Snapshot

THREADS_KEPT = 20_000
"""Answers remembered at most. Each holds a list of found that it shares with the answers before it: about 1 KB."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What is known of the turns before: whose they are, under which snapshot, and what was found at each."""

    identity: Identity
    snapshot: Snapshot
    pin: Pin
    observations: tuple[TurnObservation, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """What the trace of one answer says that may be gone on from. `turn` counts the user turns before it, from 0."""

    tenant: str
    policy: str
    revision: str
    conversation: str
    unit: str
    turn: int
    response_id: str
    evidence: Evidence


def rebuild(links: Iterable[Link], pins: Pins, registry: PolicyRegistry) -> Iterator[tuple[Link, Thread]]:
    """Yield the threads of the answers, given their traces in the order of time.

    The evidence of a trace lacks the nonce and free text; whoever goes on from it brings both. A conversation that has
    no live pin any more, or not all of its turns, is left out.
    """
    seen: dict[tuple[str, str, str], list[TurnObservation]] = {}
    for link in links:
        found = seen.setdefault((link.tenant, link.policy, link.conversation), [])
        pin = pins.last(link.policy, link.conversation)
        snapshot = registry.pinned(link.policy, link.revision) if pin is not None else None
        if pin is None or snapshot is None or link.turn > len(found):
            continue
        del found[link.turn :]
        name = repr((link.tenant, link.conversation, link.response_id))
        found.append(TurnObservation(None, link.evidence, blake2b(name.encode(), digest_size=16).digest()))
        yield link, Thread(Identity.of(link.conversation, link.unit), snapshot, pin, tuple(found))


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
