"""How every dial stands: a pure fold over the tuner's log. The same log gives the same book, and so the same levels.

A dial is a task's level for one model. It holds the level that tuning turned it to (None: it
follows the nearest dial above it, or starts where the pack says), and at most one trial. The fold believes the log:
whether a step was earned was settled by `tuner` before it was written. Words that come too late (an acceptance of a
trial that has ended) change nothing.

Words of people may be for many dials at once: ANY stands for every model, and a task for those below it too, the root
for all. Freezing a task holds still whatever could move it: trials of its ancestors and descendants give
everybody the level in force until it is thawed; feedback is collected meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from router.core.learning import DialKey, Event, Outcome
from router.core.levels import Dial, Levels, Trial
from router.core.policy import Level, lineage
from router.tuning.betting import Bets, advance_all, opened

ANY = "*"
"""In the key of a person's word: every model."""

PEOPLES = ("accepted", "rejected", "frozen", "thawed", "reset")
"""The kinds of events that are words of people."""

TrialKind = Literal["up", "down", "holdback"]
"""What a trial asks: is more better, is less not worse, or was the level that was left better after all?"""


@dataclass(frozen=True, slots=True)
class Running:
    """A trial that is under way. `k` counts the challengers of the dial, `alpha` is the error allowed to this one.

    `margin` is by how much the challenger may be worse; a holdback's is the negative of its step's. `metric` says what
    the rewards mean. `accepted` and
    `rejected` name the person who said so.
    """

    id: str
    kind: TrialKind
    incumbent: Level
    challenger: Level
    share: float
    alpha: float
    margin: float
    text: str
    metric: str
    k: int
    started_ms: int
    proposed_ms: int | None = None
    accepted: str = ""
    rejected: str = ""

    @property
    def opening(self) -> Bets:
        """The trial's evidence before its first outcome."""
        return opened(self.margin, reverse=self.kind == "holdback")


class Rest(NamedTuple):
    """A challenger that has been tried against an incumbent, and is left alone while the text is the same."""

    incumbent: Level
    challenger: Level
    text: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How one dial stands. `before` is where a rollback would put it; `ended` counts the trials that have ended."""

    level: Level | None = None
    before: Level | None = None
    running: Running | None = None
    k: int = 0
    ended: int = 0
    rests: tuple[Rest, ...] = ()
    history: tuple[Event, ...] = ()

    def resting(self, incumbent: Level, challenger: Level, text: str, now_ms: int) -> Rest | None:
        """Return why a challenger is left alone now, if it is."""
        return next(
            (r for r in self.rests if r[:3] == (incumbent, challenger, text) and now_ms < r.until_ms),
            None,
        )


NEVER = Standing()
"""A dial that was never turned."""


@dataclass(frozen=True)
class Book:
    """How the dials of one policy stand. `last` is the number of the newest event folded in."""

    standings: Mapping[DialKey, Standing] = field(default_factory=lambda: MappingProxyType({}))
    frozen: frozenset[DialKey] = frozenset()
    last: int = 0

    def standing(self, key: DialKey) -> Standing:
        """Return how one dial stands."""
        return self.standings.get(key, NEVER)

    def held(self, key: DialKey) -> DialKey | None:
        """Return the word that holds a dial still, if there is one."""
        return next((word for word in sorted(self.frozen) if _touches(word, key)), None)

    @property
    def running(self) -> Mapping[DialKey, Running]:
        """The trials that are under way."""
        return {key: standing.running for key, standing in self.standings.items() if standing.running is not None}

    def levels(self, salt: bytes = b"", holdout: float = 0.0) -> Levels:
        """Return the dials as requests are decided by. A trial that is held still, or has no share, draws nobody."""
        dials: dict[DialKey, Dial] = {}
        for key, standing in self.standings.items():
            running = standing.running
            if running is not None:
                draws = running.share > 0.0 and self.held(key) is None
                trial = Trial(running.id, running.challenger, running.share, running.text) if draws else None
                dials[key] = Dial(running.incumbent, trial)
            elif standing.level is not None:
                dials[key] = Dial(standing.level)
        return Levels(MappingProxyType(dials), salt, holdout)


def covers(word: DialKey, key: DialKey) -> bool:
    """Say whether a person's word is for a dial: its task or one above, its model or any."""
    return word.model in (ANY, key.model) and word.task in lineage(key.task)


def fold(events: Iterable[Event], book: Book | None = None) -> Book:
    """Return the book after these events, in the order of the log. Raises ValueError for an event without its facts."""
    book = book or Book()
    standings, frozen, last = dict(book.standings), set(book.frozen), book.last
    for event in events:
        last = max(last, event.number)
        if event.kind == "retired":
            continue
        if event.kind == "frozen":
            frozen.add(event.key)
        elif event.kind == "thawed":
            frozen = {word for word in frozen if not covers(event.key, word)}
        if event.kind in PEOPLES:
            for key in [key for key in standings if covers(event.key, key)]:
                standings[key] = _said(standings[key], event)
            continue
        before = standings.get(event.key, NEVER)
        try:
            after = _moved(before, event)
        except (KeyError, TypeError) as error:
            raise ValueError(f"event {event.number} ({event.kind} {event.key.task}) lacks a fact: {error}") from error
        standings[event.key] = replace(after, history=(*before.history, event))
    return Book(MappingProxyType(standings), frozenset(frozen), last)


def gathered(book: Book, outcomes: Iterable[Outcome], bets: Mapping[str, Bets] | None = None) -> dict[str, Bets]:
    """Return the evidence of every running trial after further outcomes, by the trial's id.

    `bets` is what this function gave for the outcomes before; the log is to be folded first. Outcomes of trials that
    have ended are left out.
    """
    opened = {running.id: running.opening for running in book.running.values()}
    known = bets or {}
    by_trial: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.assignment.trial in opened:
            by_trial.setdefault(outcome.assignment.trial, []).append(outcome)
    return {trial: advance_all(known.get(trial, opening), by_trial.get(trial, ())) for trial, opening in opened.items()}


def level_named(word: Any) -> Level:
    """Return the level that a fact of an event names."""
    return Level[str(word).upper()]


def _said(standing: Standing, event: Event) -> Standing:
    """Apply a person's word to one dial."""
    running, facts = standing.running, event.facts
    known = replace(standing, history=(*standing.history, event))
    if event.kind == "reset":
        ended = standing.ended + (running is not None)
        return replace(known, level=None, before=None, running=None, ended=ended, rests=())
    if event.kind in ("frozen", "thawed") or running is None or facts.get("trial", running.id) != running.id:
        return known
    if event.kind == "rejected" and running.kind != "holdback":
        return replace(known, running=replace(running, rejected=event.by))
    if event.kind == "accepted" and running.proposed_ms is not None:
        return replace(known, running=replace(running, accepted=event.by))
    return known


def _moved(standing: Standing, event: Event) -> Standing:
    """Apply the tuner's own event to its dial."""
    facts, running = event.facts, standing.running
    if event.kind == "started":
        return _started(standing, event)
    if running is None or facts.get("trial") != running.id:
        return standing
    if event.kind == "shared":
        return replace(standing, running=replace(running, share=float(facts["share"])))
    if event.kind == "proposed":
        return replace(standing, running=replace(running, proposed_ms=event.at_ms))
    over = replace(standing, running=None, ended=standing.ended + 1)
    if event.kind == "stepped":
        return replace(over, level=running.challenger, before=standing.level)
    if event.kind == "rolled_back":
        return _rested(replace(over, level=standing.before, before=None), running.challenger, running.incumbent, event)
    if event.kind == "stopped":
        before = None if running.kind == "holdback" else standing.before
        return _rested(replace(over, before=before), running.incumbent, running.challenger, event)
    return standing


def _started(standing: Standing, event: Event) -> Standing:
    facts = event.facts
    running = Running(
        id=str(facts["trial"]),
        kind=facts["kind"],
        incumbent=level_named(facts["incumbent"]),
        challenger=level_named(facts["challenger"]),
        share=float(facts["share"]),
        alpha=float(facts["alpha"]),
        margin=float(facts["margin"]),
        text=str(facts["text"]),
        metric=str(facts["metric"]),
        k=int(facts["k"]),
        started_ms=event.at_ms,
    )
    return replace(standing, running=running, k=max(standing.k, running.k))


def _rested(standing: Standing, incumbent: Level, challenger: Level, event: Event) -> Standing:
    until = int(event.facts.get("rests_until_ms", 0))
    kept = tuple(rest for rest in standing.rests if rest.until_ms > event.at_ms)
    if until <= event.at_ms:
        return replace(standing, rests=kept)
    return replace(standing, rests=(*kept, Rest(incumbent, challenger, str(event.facts["text"]), until)))


def _touches(word: DialKey, key: DialKey) -> bool:
    return word.model in (ANY, key.model) and (word.task in lineage(key.task) or key.task in lineage(word.task))
