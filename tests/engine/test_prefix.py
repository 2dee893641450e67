"""The watch over the prefix: it counts what the router broke, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from router.engine.prefix import PrefixWatch, WatchedRequest
from router.engine.prepare import Call, RequestPreparer
from tests.support.parts import CHAT, body, call, preparer, small_policy, snapshot

TALK = ["I want a refund", "Sure.", "Where is my parcel?", "On its way.", "And the refund?"]


class Watched:
    """A preparer whose sent bodies are watched."""

    def __init__(self, of: RequestPreparer | None = None) -> None:
        self.of = of or preparer()
        self.broken: list[str] = []
        self.watch = PrefixWatch(self.broken.append)

    def send(self, *texts: str, change: tuple[str, str] = ("", ""), backend: str = "b", **more: Any) -> None:
        look = self.of.prepare(call(body(*texts, **more)))
        sent = self.of.weave(look, CHAT).body.replace(*(part.encode() for part in change)) if change[0] else None
        self.watch.put(WatchedRequest(Call(CHAT, b""), look, backend, "m", sent or self.of.weave(look, CHAT).body))
        self.watch.look()


def test_a_growing_conversation_breaks_nothing() -> None:
    watched = Watched()
    for turns in (1, 3, 3, 5):  # with a turn that the client sends again
        watched.send(*TALK[:turns])
    assert watched.broken == []


def test_text_that_is_not_put_back_is_counted() -> None:
    for text in ("Be polite.", "Say where the parcel is."):
        watched = Watched()
        watched.send(*TALK[:3])
        watched.send(*TALK, change=(text, "Something else."))
        assert watched.broken == ["desk"]


def test_instructions_in_the_head_that_follow_the_task_are_counted() -> None:
    watched = Watched(preparer(snapshot(small_policy(on_switch="head"))))
    for turns in (1, 3, 5):
        watched.send(*TALK[:turns])
    assert watched.broken == ["desk", "desk"]


def test_a_client_that_edits_its_history_breaks_its_own_prefix() -> None:
    watched = Watched()
    watched.send(*TALK[:3])
    watched.send("Where is my parcel?", *TALK[1:])
    assert watched.broken == []


def test_text_of_the_moment_is_no_break() -> None:
    watched = Watched()
    for turns in (1, 3, 5):
        watched.send(*TALK[:turns], metadata={"queue": turns})
    assert watched.broken == []
    watched.send(*TALK, "ok", "bye", metadata={"queue": 9}, change=("Be polite.", "Be quick."))
    assert watched.broken == ["desk"]


def test_another_model_has_a_cache_of_its_own_and_so_has_a_conversation_that_begins_alike() -> None:
    watched = Watched()
    watched.send(*TALK[:3])
    watched.send(*TALK, backend="other", change=("Be polite.", "Be quick."))
    watched.send("I want a refund", metadata={"tier": "pro"})
    watched.send(*TALK)
    assert watched.broken == []


def test_only_digests_are_kept() -> None:
    watched = Watched()
    watched.send(*TALK)
    assert json.dumps(list(map(repr, watched.watch._known.values()))).find("parcel") < 0
