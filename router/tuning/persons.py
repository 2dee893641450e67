"""What a person says to the tuner: accept, reject, freeze, thaw, reset. Checked, and made an event for the log.

The next refresh acts on it. A key may be for many dials at once (`book.ANY`).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal

from router.core.learning import DialKey, Event
from router.core.policy import Policy
from router.tuning.book import Book, Running, covers
from router.tuning.words import place, tell

Word = Literal["accepted", "rejected", "frozen", "thawed", "reset"]


def say(policy: Policy, book: Book, word: Word, key: DialKey, by: str, now_ms: int) -> Event:
    """Return a person's word as the event to be appended.

    Raises ValueError, in words for that person, where it would mean nothing: no such task, nothing proposed there,
    nothing to reject, frozen already, not frozen, nothing to reset.
    """
    if not by.strip() or by == "tuner":
        raise ValueError("say who says so: a name other than `tuner`")
    if key.task not in policy.tasks:
        near = get_close_matches(key.task, policy.tasks, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"the policy {policy.name} has no task {key.task}{hint}")
    facts = _facts(book, word, key)
    said = tell(word, key, facts, by)
    return Event(now_ms, policy.name, word, key, MappingProxyType(facts), said, by)


def _facts(book: Book, word: Word, key: DialKey) -> dict[str, Any]:
    meant = {k: standing for k, standing in book.standings.items() if covers(key, k)}
    if word == "frozen":
        if any(covers(other, key) for other in book.frozen):
            raise ValueError(f"{place(key)} is frozen already")
        return {}
    if word == "thawed":
        if not any(covers(key, other) for other in book.frozen):
            held = book.held(key)
            way_out = f"; it is held by the word on {place(held)}: thaw that" if held else ""
            raise ValueError(f"{place(key)} was not frozen by itself{way_out}")
        return {}
    if word == "reset":
        if not any(standing.level is not None or standing.running for standing in meant.values()):
            raise ValueError(f"{place(key)} stands where the pack says, and has no trial: there is nothing to reset")
        return {}
    trials = {k: standing.running for k, standing in meant.items() if standing.running}
    return _answer(trials, word, key)


def _answer(trials: Mapping[DialKey, Running], word: Word, key: DialKey) -> dict[str, Any]:
    """Return the facts of an acceptance or a rejection: it is for one trial, whose id it names."""
    if word == "accepted":
        open_ = {k: running for k, running in trials.items() if running.proposed_ms is not None}
        none = "no step is proposed at {}; a proposal comes when a trial is certified"
    else:
        open_ = {k: running for k, running in trials.items() if running.kind != "holdback"}
        none = "no trial runs at {} that could be rejected; to take back a step, reset the task"
    if not open_:
        raise ValueError(none.format(place(key)))
    if len(open_) > 1:
        named = "; ".join(place(k) for k in sorted(open_))
        raise ValueError(f"{len(open_)} trials are meant by {place(key)}: name one of {named}")
    running = next(iter(open_.values()))
    return {"trial": running.id, "challenger": running.challenger.word, "incumbent": running.incumbent.word}
