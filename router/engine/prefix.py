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
from router.engine.pins import name_pin
from router.engine.prepare import Call, PreparedRequest

CONVERSATIONS_WATCHED = 20_000
"""Conversations whose last prefix is remembered; one is about 200 bytes."""

WAITING = 500
WAITING_BYTES = 16 << 20
"""How many sightings wait at most, and how large in all; under more load than this only some are compared."""


class WatchedRequest(NamedTuple):
    """A request as it came, with all that was decided about it, and the body that is sent for it."""

    call: Call
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
    """Compares what is sent in one conversation with what was sent before; `count` is called with a policy's name.

    What was compared is handed on; `left_out` is called with the policy of a request for which there is no room.
    """

    def __init__(
        self,
        count: Callable[[str], None],
        hand_on: Callable[[WatchedRequest], None] = lambda seen: None,
        left_out: Callable[[str], None] = lambda policy: None,
    ) -> None:
        self._count = count
        self._hand_on = hand_on
        self._left_out = left_out
        self._looking = threading.Lock()
        self._waiting: deque[WatchedRequest] = deque()
        self._bytes = 0
        self._known: OrderedDict[tuple[str, ...], _Prefix] = OrderedDict()

    def put(self, sighting: WatchedRequest) -> None:
        """Take note of a request. Never blocks."""
        prepared = sighting.prepared
        if prepared.request.conversation.continues or prepared.placed.turn < 0:
            return
        if self._bytes > WAITING_BYTES or len(self._waiting) == WAITING:
            self._left_out(prepared.snapshot.policy.name)
            return
        self._bytes += 2 * len(sighting.sent)
        self._waiting.append(sighting)

    def look(self) -> None:
        """Compare what has come since."""
        with self._looking:
            while self._waiting:
                seen = self._waiting.popleft()
                self._compare(seen)
                self._hand_on(seen)
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
        came, sent = seen.call.wire.prompt(prepared.request.body), seen.call.wire.prompt(seen.sent)
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
