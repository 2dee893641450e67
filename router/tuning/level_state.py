"""The state of all dials: a pure fold over the tuner's log. The same log gives the same state, and so the same levels.

A dial is a task's level for one model. It has the level that tuning turned it to (None: it follows the nearest dial
above it, or starts where the pack says), and at most one trial. The fold believes the log: whether a step was earned
was found by `tuner` before it was written. Words that come too late (an acceptance of a trial that has ended) change
nothing.

What people say (accept, reject, freeze, thaw, reset) is checked here, and made an event for the log; the next refresh
acts on it. Their words may be for many dials at once: ANY stands for every model, and a task for those below it too,
the root for all. Freezing a task holds still whatever could move it: trials of its ancestors and descendants give
everybody the level in force until it is thawed; feedback is collected meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from router.core.learning import DialKey, ExperimentEvent, Outcome
from router.core.levels import Dial, Levels, Trial
from router.core.policy import Level, Policy, lineage
from router.tuning.sequential_test import SequentialTest, advance, new_test
from router.tuning.words import ANY, place, tell

SAID_BY_PEOPLE = ("accepted", "rejected", "frozen", "thawed", "reset")
"""The kinds of events that are words of people."""

TrialKind = Literal["up", "down", "holdback"]
"""What a trial asks: is more better, is less not worse, or was the level that was left better after all?"""


@dataclass(frozen=True, slots=True)
class RunningTrial:
    """A trial that is under way. `k` counts the challengers of the dial, `alpha` is the error allowed to this one.

    `margin` is by how much the challenger may be worse; a holdback's is the negative of its step's. `metric` says what
    the rewards mean. `accepted` and `rejected` name the person who said so.
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
    def opening(self) -> SequentialTest:
        """The trial's evidence before its first outcome."""
        return new_test(self.margin, reverse=self.kind == "holdback")


class Cooldown(NamedTuple):
    """A challenger that has been tried against an incumbent, and is left alone while the text is the same."""

    incumbent: Level
    challenger: Level
    text: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class _DialState:
    """How one dial stands. `before` is where a rollback would put it; `ended` counts the trials that have ended."""

    level: Level | None = None
    before: Level | None = None
    running: RunningTrial | None = None
    k: int = 0
    ended: int = 0
    cooldowns: tuple[Cooldown, ...] = ()
    history: tuple[ExperimentEvent, ...] = ()

    def cooldown(self, incumbent: Level, challenger: Level, text: str, now_ms: int) -> Cooldown | None:
        """Return the cooldown that a challenger is in now, if it is in one."""
        return next(
            (each for each in self.cooldowns if each[:3] == (incumbent, challenger, text) and now_ms < each.until_ms),
            None,
        )


NEVER = _DialState()
"""A dial that was never turned."""


@dataclass(frozen=True)
class LevelState:
    """How the dials of one policy stand. `last` is the number of the newest event folded in."""

    dials: Mapping[DialKey, _DialState] = field(default_factory=lambda: MappingProxyType({}))
    frozen: frozenset[DialKey] = frozenset()
    last: int = 0

    def dial(self, key: DialKey) -> _DialState:
        """Return how one dial stands."""
        return self.dials.get(key, NEVER)

    def held(self, key: DialKey) -> DialKey | None:
        """Return the word that holds a dial still, if there is one."""
        return next((word for word in sorted(self.frozen) if _touches(word, key)), None)

    @property
    def running(self) -> Mapping[DialKey, RunningTrial]:
        """The trials that are under way."""
        return {key: dial.running for key, dial in self.dials.items() if dial.running is not None}

    def levels(self, salt: bytes = b"", holdout: float = 0.0) -> Levels:
        """Return the dials as requests are decided by. A trial that is held still, or has no share, draws nobody."""
        dials: dict[DialKey, Dial] = {}
        for key, dial in self.dials.items():
            running = dial.running
            if running is not None:
                # A frozen trial draws nobody, and everybody has the incumbent: a dial without a draw, not no dial.
                draws = running.share > 0.0 and self.held(key) is None
                trial = Trial(running.id, running.challenger, running.share, running.text) if draws else None
                dials[key] = Dial(running.incumbent, trial)
            elif dial.level is not None:
                dials[key] = Dial(dial.level)
        return Levels(MappingProxyType(dials), salt, holdout)


def covers(word: DialKey, key: DialKey) -> bool:
    """Say whether a person's word is for a dial: its task or one above, its model or any."""
    return word.model in (ANY, key.model) and word.task in lineage(key.task)


def fold(events: Iterable[ExperimentEvent], state: LevelState | None = None) -> LevelState:
    """Return the state after these events, in the order of the log.

    Raises ValueError for an event without its facts.
    """
    state = state or LevelState()
    dials, frozen, last = dict(state.dials), set(state.frozen), state.last
    for event in events:
        last = max(last, event.number)  # events that the tuner has only just made have no number yet
        if event.kind == "retired":
            continue
        if event.kind == "frozen":
            frozen.add(event.key)
        elif event.kind == "thawed":
            # Thawing takes back the words it covers, and leaves those on tasks above: who froze all must thaw all.
            frozen = {word for word in frozen if not covers(event.key, word)}
        if event.kind in SAID_BY_PEOPLE:
            # A word changes dials that have moved. A freeze holds those yet to come as well, so it is kept in `frozen`.
            for key in [key for key in dials if covers(event.key, key)]:
                dials[key] = _said(dials[key], event)
            continue
        before = dials.get(event.key, NEVER)
        try:
            after = _moved(before, event)
        except (KeyError, TypeError) as error:
            raise ValueError(f"event {event.number} ({event.kind} {event.key.task}) lacks a fact: {error}") from error
        dials[event.key] = replace(after, history=(*before.history, event))
    return LevelState(MappingProxyType(dials), frozenset(frozen), last)


def advance_tests(
    state: LevelState, outcomes: Iterable[Outcome], tests: Mapping[str, SequentialTest] | None = None
) -> dict[str, SequentialTest]:
    """Return the evidence of every running trial after further outcomes, by the trial's id.

    `tests` is what this function gave for the outcomes before; the log is to be folded first. Outcomes of trials that
    have ended are left out.
    """
    # A trial's id is used once, so evidence of an ended trial cannot reach another: it is simply not carried over.
    opened = {running.id: running.opening for running in state.running.values()}
    known = tests or {}
    by_trial: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.assignment.trial in opened:
            by_trial.setdefault(outcome.assignment.trial, []).append(outcome)
    return {trial: advance(known.get(trial, opening), by_trial.get(trial, ())) for trial, opening in opened.items()}


def level_named(word: Any) -> Level:
    """Return the level that a fact of an event names."""
    return Level[str(word).upper()]


def _said(dial: _DialState, event: ExperimentEvent) -> _DialState:
    """Apply a person's word to one dial."""
    running, facts = dial.running, event.facts
    known = replace(dial, history=(*dial.history, event))
    if event.kind == "reset":
        # k stays: the error allowed to a dial's whole life is spent by challengers, and a reset must not win it back.
        ended = dial.ended + (running is not None)
        return replace(known, level=None, before=None, running=None, ended=ended, cooldowns=())
    # A word names the trial it was said of; where that has ended meanwhile, it must not fall on the next one.
    if event.kind in ("frozen", "thawed") or running is None or facts.get("trial", running.id) != running.id:
        return known
    if event.kind == "rejected" and running.kind != "holdback":
        return replace(known, running=replace(running, rejected=event.by))
    if event.kind == "accepted" and running.proposed_ms is not None:
        return replace(known, running=replace(running, accepted=event.by))
    return known


def _moved(dial: _DialState, event: ExperimentEvent) -> _DialState:
    """Apply the tuner's own event to its dial."""
    facts, running = event.facts, dial.running
    if event.kind == "started":
        return _started(dial, event)
    if running is None or facts.get("trial") != running.id:
        return dial  # of a trial that has ended: too late
    if event.kind == "shared":
        return replace(dial, running=replace(running, share=float(facts["share"])))
    if event.kind == "proposed":
        return replace(dial, running=replace(running, proposed_ms=event.at_ms))
    over = replace(dial, running=None, ended=dial.ended + 1)
    if event.kind == "stepped":
        # `dial.level`, not the incumbent: after a rollback, None follows the dial above again.
        return replace(over, level=running.challenger, before=dial.level)
    if event.kind == "rolled_back":
        return _cooled(replace(over, level=dial.before, before=None), running.challenger, running.incumbent, event)
    if event.kind == "stopped":
        # A holdback that stops confirms its step: there is nothing to go back to any more. Another trial leaves it.
        before = None if running.kind == "holdback" else dial.before
        return _cooled(replace(over, before=before), running.incumbent, running.challenger, event)
    return dial


def _started(dial: _DialState, event: ExperimentEvent) -> _DialState:
    facts = event.facts
    running = RunningTrial(
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
    return replace(dial, running=running, k=max(dial.k, running.k))


def _cooled(dial: _DialState, incumbent: Level, challenger: Level, event: ExperimentEvent) -> _DialState:
    until = int(event.facts.get("rests_until_ms", 0))
    kept = tuple(each for each in dial.cooldowns if each.until_ms > event.at_ms)
    if until <= event.at_ms:
        return replace(dial, cooldowns=kept)
    return replace(dial, cooldowns=(*kept, Cooldown(incumbent, challenger, str(event.facts["text"]), until)))


def _touches(word: DialKey, key: DialKey) -> bool:
    return word.model in (ANY, key.model) and (word.task in lineage(key.task) or key.task in lineage(word.task))


# ---- what people say

Word = Literal["accepted", "rejected", "frozen", "thawed", "reset"]


def say(policy: Policy, state: LevelState, word: Word, key: DialKey, by: str, now_ms: int) -> ExperimentEvent:
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
    facts = _facts(state, word, key)
    said = tell(word, key, facts, by)
    return ExperimentEvent(now_ms, policy.name, word, key, MappingProxyType(facts), said, by)


def _facts(state: LevelState, word: Word, key: DialKey) -> dict[str, Any]:
    meant = {k: dial for k, dial in state.dials.items() if covers(key, k)}
    if word == "frozen":
        if any(covers(other, key) for other in state.frozen):
            raise ValueError(f"{place(key)} is frozen already")
        return {}
    if word == "thawed":
        if not any(covers(key, other) for other in state.frozen):
            held = state.held(key)
            way_out = f"; it is held by the word on {place(held)}: thaw that" if held else ""
            raise ValueError(f"{place(key)} was not frozen by itself{way_out}")
        return {}
    if word == "reset":
        if not any(dial.level is not None or dial.running for dial in meant.values()):
            raise ValueError(f"{place(key)} stands where the pack says, and has no trial: there is nothing to reset")
        return {}
    trials = {k: dial.running for k, dial in meant.items() if dial.running}
    return _answer(trials, word, key)


def _answer(trials: Mapping[DialKey, RunningTrial], word: Word, key: DialKey) -> dict[str, Any]:
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
