"""Decide once more under a changed pack, off the request's path: nothing of it is sent, differences are counted.

    put (the prefix watch's thread)  ->  a bounded queue  ->  one thread: decide, compare, store in batches

A request is decided anew from its own messages and the facts that came with it, at the levels that its conversation
has. What was missing on the way then may be there now, and the other way round. Requests that go on from what the
backend keeps are not compared: their earlier turns are not in them. More than can be decided in a fifth of one core's
time is left out and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from router.core.decision import Decision
from router.core.errors import Degraded
from router.core.rollout import ShadowDifference
from router.engine.decide_turns import decide_turns
from router.engine.guarding import FaultHandler
from router.engine.observe import observe
from router.engine.pins import Pin
from router.engine.prefix import WatchedRequest
from router.engine.snapshot import PolicyRegistry, Snapshot

QUEUE_REQUESTS = 500
PAUSE_S = 0.2

BUSY_SHARE = 0.2
"""The most of one core's time that deciding takes; at 0.3 ms a request it is enough for 600 a second."""

OTHER_WORDS = " (other words)"
"""Stands behind tasks that are the same, where what is said of them is not."""


class ShadowDecider:
    """Decides under the snapshots of `trying`, by policy, in its own thread.

    `record` takes what was found, and may raise Degraded. `count` is called with a policy and what became of a request:
    alike, different, failed, left_out or unstored.
    """

    def __init__(
        self,
        registry: PolicyRegistry,
        record: Callable[[Sequence[ShadowDifference]], None],
        count: Callable[[str, str, int], None],
        queue: int = QUEUE_REQUESTS,
    ) -> None:
        self._registry = registry
        self._record = record
        self._count = count
        self._limit = queue
        self._quiet = FaultHandler(lambda code: None)  # what breaks here is no fault of a request
        self.trying: Mapping[str, Snapshot] = {}
        self._waiting: deque[WatchedRequest] = deque()
        self._working = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, seen: WatchedRequest) -> None:
        """Queue a request, where its policy has a shadow. Never blocks."""
        if not self.trying:
            return
        policy, outcome = seen.prepared.snapshot.policy, seen.prepared.decision.outcome
        tried = self.trying.get(policy.name)
        if tried is None or outcome == "bypassed" or self._registry.current(policy.name).policy is not policy:
            return  # switched off by the client, or decided under a revision that is in force no more
        if len(self._waiting) >= self._limit:
            self.leave_out(policy.name)
        else:
            self._waiting.append(seen)

    def leave_out(self, policy: str) -> None:
        """Count a request that nobody has time for."""
        if policy in self.trying:
            self._count(policy, "left_out", 1)

    def flush(self) -> None:
        """Decide what is waiting and store what was found, in the calling thread."""
        with self._working:
            found: dict[tuple[str, ...], ShadowDifference] = {}
            while self._waiting:
                self._look(self._waiting.popleft(), found)
                time.sleep(0)  # the event loop comes first
            rows = list(found.values())
            try:
                self._record(rows)
            except Degraded:
                for row in rows:
                    self._count(row.policy, "unstored", row.decisions)

    def close(self) -> None:
        """Stop the thread and decide the rest."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        pause = PAUSE_S
        while not self._stop.wait(pause):
            began = time.thread_time()
            self.flush()
            spent = time.thread_time() - began
            pause = max(PAUSE_S, spent / BUSY_SHARE - spent)

    def _look(self, seen: WatchedRequest, found: dict[tuple[str, ...], ShadowDifference]) -> None:
        policy, decided = seen.prepared.snapshot.policy.name, seen.prepared.decision
        tried = self.trying.get(policy)
        if tried is None:
            return
        try:
            other = _decide(seen, tried, self._quiet)
        except Exception:  # noqa: BLE001  a pack that is tried breaks nothing
            self._count(policy, "failed", 1)
            return
        before, after = told(decided), told(other)
        if before == after and decided.text != other.text:
            after += OTHER_WORDS
        self._count(policy, "alike" if before == after else "different", 1)
        key = (policy, tried.policy.revision.partition("+")[0], before, after)
        known = found.get(key)
        found[key] = known._replace(decisions=known.decisions + 1) if known else ShadowDifference(*key, seen.call.id)


def told(decision: Decision) -> str:
    """Return what was decided as it is counted: the settled tasks, and those of the shortlist."""
    listed = f" or {', '.join(decision.listed)}" if decision.shortlist else ""
    return ", ".join(decision.tasks) + listed


def _decide(seen: WatchedRequest, snapshot: Snapshot, fault_handler: FaultHandler) -> Decision:
    call, prepared = seen.call, seen.prepared
    placed, request = prepared.placed, prepared.request
    cues, _ = snapshot.cues.read(call.headers, {**request.metadata, **call.metadata})
    lasting, passing = snapshot.parted(cues)
    timeline = ((0, lasting),)
    kept = placed.pin
    pin = Pin(snapshot.policy.revision, kept.began_s, kept.seen_s, kept.idle_s, timeline, moves=kept.moves)
    placed = replace(
        placed, snapshot=snapshot, pin=pin, cues=cues, lasting=lasting, passing=passing, timeline=timeline, notes=()
    )
    observed = observe(placed, request, fault_handler)
    return decide_turns(placed, observed, request.model, fault_handler).decisions[-1]
