"""A changed pack beside the one in force, and conversations that are let go from old revisions: what operators said.

Said is kept as a log, and how a policy stands is a fold over it, so every replica and every start comes to the same.
Which conversations a canary gets follows from their keyed hash and its revision: a conversation stays on its side, and
whoever is in at a tenth is in at a third.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, NamedTuple, TypeAlias

RolloutKind: TypeAlias = Literal["try", "stop", "release"]


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """What an operator said at `at_ms` of a policy: try a revision for a `share` of conversations, stop, or release.

    A share of 0 is a shadow: it decides beside the revision in force, and nothing of it is sent.
    """

    at_ms: int
    policy: str
    kind: RolloutKind
    revision: str = ""
    share: float = 0.0
    number: int = 0


class Rollout(NamedTuple):
    """How a policy stands: the revision that is tried, since when and for which share of conversations.

    `revision` is empty where none is. What a conversation keeps from before `released_ms` does not bind it.
    """

    revision: str = ""
    share: float = 0.0
    began_ms: int = 0
    released_ms: int = 0


class ShadowDifference(NamedTuple):
    """So many decisions for which a policy said `before` and the revision in shadow `after`; the first one's id."""

    policy: str
    revision: str
    before: str
    after: str
    decision: str
    decisions: int = 1


def rollouts(events: Iterable[RolloutEvent]) -> dict[str, Rollout]:
    """Return how each policy stands after these events, in the order of their numbers."""
    found: dict[str, Rollout] = {}
    for event in events:
        now = found.get(event.policy, Rollout())
        if event.kind == "release":
            now = now._replace(released_ms=event.at_ms)
        elif event.kind == "stop":
            now = Rollout(released_ms=now.released_ms)
        else:
            began_ms = now.began_ms if now.revision == event.revision else event.at_ms
            now = now._replace(revision=event.revision, share=event.share, began_ms=began_ms)
        found[event.policy] = now
    return found


def is_drawn(conversation: str, revision: str, share: float) -> bool:
    """Say whether a conversation, by its keyed hash, is among the share that a revision gets."""
    digest = blake2b(conversation.encode(), key=revision.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64
