"""Conversations that the backend keeps: a client sends only what is new, and names the answer it goes on from.

What was decided: the earlier turns are not in the body, so it is remembered here, under the id of the answer (or of the
stored conversation) and the tenant. No words are kept. After a restart it is worked out again from the traces
(`rebuild`). What is forgotten, or was never seen, is decided from the new turns alone; the backend still has the text
that was sent with the earlier ones.

Whose it is: a backend knows one account, the operator's, so telling tenants apart is left to us. An answer is a
tenant's when a trace, or a stream that is still open, says that it was passed on to them, and none says so of another
tenant. Of stored conversations, prompts and items no trace tells. What cannot be proved does not exist for a tenant, be
it another's, never seen, older than the oldest trace, or the store down; unless the operator has one tenant only, or
lists the id. That is asked in a thread, and only where a request names such ids.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from router.core.errors import Degraded, RequestError
from router.core.evidence import Evidence
from router.engine.identity import Identifier, Identity
from router.engine.observe import TurnObservation
from router.engine.pins import Pin, Pins
from router.engine.send import StreamEnding
from router.engine.snapshot import PolicyRegistry, Snapshot

THREADS_KEPT = 20_000
"""Answers remembered at most. Each shares its observations with the answers before it: about 1 KB."""


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


def rebuild(
    links: Iterable[Link], pins: Pins, registry: PolicyRegistry, identifier: Identifier
) -> Iterator[tuple[Link, Thread]]:
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
        yield link, Thread(identifier.of(link.conversation, link.unit), snapshot, pin, tuple(found))


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


ANSWER = "previous_response_id"
"""The place in a body that names an answer; what other places name is known from no trace."""

PATIENCE_S = (0.0, 0.1, 0.3, 0.6)
"""When an answer that is not known is asked for again: another replica may not have written its trace yet."""

ID_CHARS = 200
"""Longer ids are stored cut off, so they prove nothing."""

_KINDS = {ANSWER: "answer", "conversation": "conversation", "prompt.id": "prompt"}

Owner: TypeAlias = tuple[str, str]
"""A tenant to whom an answer was passed on, and the backend that gave it."""


class Ownership:
    """Says whose stored ids are.

    `single` says that the operator has one tenant, to whom all belongs that is not known to be another's. `listed` are
    the ids that tenants may name without proof, with a `*` at the end for all that begin so. `owners` looks up the
    traces, the newest first, and raises Degraded; `flush` writes those that are waiting; both block. `note` counts a
    fault by its code.
    """

    def __init__(
        self,
        owners: Callable[[str], Sequence[Owner]],
        flush: Callable[[], None],
        note: Callable[[str], None],
        *,
        single: bool,
        listed: Mapping[str, Collection[str]],
    ) -> None:
        self._owners = owners
        self._flush = flush
        self._note = note
        self._single = single
        self._exact = {tenant: frozenset(ids) for tenant, ids in listed.items()}
        self._begin = {tenant: tuple(i[:-1] for i in ids if i.endswith("*")) for tenant, ids in listed.items()}
        self._streaming: dict[int, tuple[Owner, StreamEnding]] = {}

    @contextmanager
    def streaming(self, tenant: str, backend: str, ending: StreamEnding) -> Iterator[None]:
        """While entered, the answer that is being streamed is the tenant's: its trace is written at its end only."""
        self._streaming[id(ending)] = ((tenant, backend), ending)
        try:
            yield
        finally:
            del self._streaming[id(ending)]

    async def require(self, tenant: str, stored: Iterable[tuple[str, str]]) -> None:
        """Raise RequestError (404) unless all these ids, each with its place in the body, are the tenant's."""
        for place, name in stored:
            if place == ANSWER:
                await self.backend_of(tenant, name, place)
            elif not self._trusted(tenant, name):
                raise _unknown(name, place)

    async def backend_of(self, tenant: str, answer: str, place: str = ANSWER) -> str:
        """Return the name of the backend that gave a tenant an answer; "" where it is not known but theirs to name.

        Raises RequestError (404) where it is not shown to be theirs.
        """
        trusted = self._trusted(tenant, answer)
        owners = await self._find(answer, PATIENCE_S[:1] if trusted else PATIENCE_S)
        if any(owner != tenant for owner, _ in owners) or not (owners or trusted):
            raise _unknown(answer, place)
        return owners[0][1] if owners else ""

    def _trusted(self, tenant: str, name: str) -> bool:
        return self._single or name in self._exact.get(tenant, ()) or name.startswith(self._begin.get(tenant, ()))

    async def _find(self, answer: str, patience_s: Sequence[float]) -> list[Owner]:
        if not answer.isprintable() or len(answer) > ID_CHARS:
            return []
        for wait_s in patience_s:
            await asyncio.sleep(wait_s)
            found = [owner for owner, ending in self._streaming.values() if ending.answer_metadata.id == answer]
            try:
                found += await asyncio.to_thread(self._ask, answer)
            except Degraded as fault:
                self._note(fault.code)
                return []
            if found:
                return found
        return []

    def _ask(self, answer: str) -> Sequence[Owner]:
        found = self._owners(answer)
        if found:
            return found
        self._flush()
        return self._owners(answer)


def _unknown(name: str, place: str) -> RequestError:
    return RequestError(
        f'There is no {_KINDS.get(place, "item")} "{name[:100]}".',
        status=404,
        code="not_found",
        param=place,
        kind="not_found_error",
        headers={"x-should-retry": "false"},
    )
