"""Watches in production over what paper cannot promise: that what is sent grows as the conversation does.

A provider caches the prefix of a prompt. Where a client has only appended to what it sent before, what we send must
begin with what we sent before, byte for byte; where it does not, a cache was lost through us, and that is counted. A
client that edits its own history breaks its own prefix, and is not counted.

The request path only appends to a queue; parts are compared in the recorder's rhythm, in a thread (`look`). Only
digests are kept. Left out: text that is said only once by its nature (a volatile cue), so what is compared then ends
before the newest user turn; conversations whose earlier turns the backend keeps; and requests without a user turn, by
whose first one the head is settled.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from router.core.conversation import Conversation
from router.core.ports import Wire
from router.engine.pins import name_pin
from router.engine.prepare import PreparedRequest

CONVERSATIONS_WATCHED = 20_000
"""Conversations whose last prefix is remembered; one is about 200 bytes."""

WAITING = 500
WAITING_BYTES = 16 << 20
"""How many sightings wait at most, and how large in all; under more load than this only some are compared."""


class WatchedRequest(NamedTuple):
    """A request as it came, with all that was decided about it, and the body that is sent for it."""

    wire: Wire
    prepared: PreparedRequest
    backend: str
    model: str
    sent: bytes


class _Prefix(NamedTuple):
    came: int
    came_digest: bytes
    sent: int
    sent_digest: bytes


class PrefixWatch:
    """Compares what is sent in one conversation with what was sent before; `count` is called with a policy's name."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._looking = threading.Lock()
        self._waiting: deque[WatchedRequest] = deque(maxlen=WAITING)
        self._bytes = 0
        self._known: OrderedDict[tuple[str, ...], _Prefix] = OrderedDict()

    def put(self, sighting: WatchedRequest) -> None:
        """Take note of a request. Never blocks."""
        prepared = sighting.prepared
        if prepared.request.conversation.continues or prepared.placed.turn < 0 or self._bytes > WAITING_BYTES:
            return
        self._bytes += 2 * len(sighting.sent)
        self._waiting.append(sighting)

    def look(self) -> None:
        """Compare what has come since."""
        with self._looking:
            while self._waiting:
                self._compare(self._waiting.popleft())
            self._bytes = 0

    def _compare(self, seen: WatchedRequest) -> None:
        prepared, policy = seen.prepared, seen.prepared.snapshot.policy.name
        key = (
            policy,
            prepared.identity.conversation,
            repr(prepared.pin.began_s),
            name_pin(prepared.snapshot.policy, prepared.pin),
            seen.backend,
            seen.model,
        )
        came, sent = seen.wire.prompt(prepared.request.body), seen.wire.prompt(seen.sent)
        before = self._known.get(key)
        if (
            before is not None
            and len(came) >= before.came
            and _digest(came[: before.came]) == before.came_digest
            and _digest(sent[: before.sent]) != before.sent_digest
        ):
            self._count(policy)
        if any(piece.volatile for piece in prepared.decision.mix):
            came, sent = _lasting(came, sent, prepared.request.conversation)
        self._known[key] = _Prefix(len(came), _digest(came), len(sent), _digest(sent))
        self._known.move_to_end(key)
        if len(self._known) > CONVERSATIONS_WATCHED:
            self._known.popitem(last=False)


def _lasting(
    came: Sequence[bytes], sent: Sequence[bytes], conversation: Conversation
) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """Return the parts before the newest user turn, and before what was put in right in front of it."""
    turns = conversation.turns
    newest = max((turn.at for turn in turns if turn.role == "user"), default=0)
    behind = turns[-1].at - newest + 1 if turns else 0
    came, sent = came[: len(came) - behind], sent[: len(sent) - behind]
    if came and sent and sent[-1] != came[-1] and len(sent) > len(came):
        sent = sent[:-1]
    return came, sent


def _digest(parts: Sequence[bytes]) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(b"%d:" % len(memoryview(part)))
        digest.update(part)
    return digest.digest()
