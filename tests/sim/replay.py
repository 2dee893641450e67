"""V12: the evidence is the same to the bit, whatever befell the store and the feedback on its way.

Two lives of the same days, with the shipped stores (SQLite) and the shipped learner. In the quiet one everything comes once
and in order. In the other, feedback is sent up to three times, in another order, in batches of other sizes, some of it
after maturity; outcomes are settled in other batches; and the process is killed (SIGKILL) while it writes, again and
again, to begin anew with what is stored. Then everything is read back and folded: outcomes, evidence, log and levels
must be equal, and nothing that was acknowledged may be missing or there twice.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from sqlalchemy import select

from router.core.decision import Decision, Settled
from router.core.evidence import Evidence
from router.core.learning import Assignment, ExperimentEvent, Feedback, MaturedAssignment, Outcome, Source
from router.core.levels import LevelQuery, Levels, choose_levels, draw
from router.core.policy import Metric, Policy
from router.core.trace import Trace
from router.engine.guarding import FaultHandler
from router.engine.snapshot import PolicyRegistry
from router.server.learner import Learner, Records
from router.stores import SqlFeedbackStore, SqlLearningStore, SqlTraceStore, open_database
from router.stores.database import Database
from router.stores.schema import feedback
from router.tuning.level_state import fold
from router.tuning.sequential_test import SequentialTest
from tests.sim.controller import DAY_MS, HORIZON_MS, MODEL, pack
from tests.sim.finding import Finding, Tier
from tests.support.parts import snapshot
from tests.tuning.one_by_one import advance_one

SALT = b"the same in both lives"
PER_DAY, USERS = 240, 2_500
TASKS = ("/d0/t0", "/d0/t1", "/d1/t0")
WORTH = (0.35, 0.85, 0.6, 0.5)  # by level: what is said too much of in this world is easily seen
HOUR_MS = 3600 * 1000
PATIENCE_S = 120.0  # a busy disk is no finding
COMMITS_A_DAY = 8  # a little fewer than a day has
WHOLE = ";"  # ends the id of feedback that was acknowledged, in the note of it
LATEST_DAYS = 5  # nothing is said later than that

# Who says something, with which chance, how many hours after the assignment, and whether it is the truth.
WORDS: tuple[tuple[Source, float, float, bool], ...] = (
    ("user", 0.25, 2, True),
    ("system", 0.40, 20, True),
    ("agent", 0.05, 22, True),
    ("judge", 0.10, 100, False),
)


def policy() -> Policy:
    """Return the pack of the simulation, with a guardrail."""
    metrics = {
        "resolved": Metric("resolved", "boolean", primary=True, default=1.0, horizon_s=HORIZON_MS / 1000),
        "escalated": Metric("escalated", "boolean", default=0.0, better="low", guardrail=True),
    }
    return replace(pack(), metrics=metrics)


@dataclass(frozen=True, slots=True)
class Manner:
    """How a life goes: quietly, or with feedback sent again and out of order, in batches of all sizes."""

    troubled: bool
    life: int = 0

    def dice(self, day: int) -> np.random.Generator:
        """Return what decides about the trouble of a day; about nothing else."""
        return np.random.default_rng([12, int(self.troubled), self.life, day])


class Watched(SqlLearningStore):
    """The store of the learner, in troubled times: batches of all sizes, and word of whatever was committed."""

    def __init__(self, database: Database, told: Callable[[], None]) -> None:
        super().__init__(database)
        self.told = told
        self.dice: np.random.Generator | None = None

    def due(self, policy: str, upto_ms: int, limit: int) -> list[MaturedAssignment]:
        return super().due(policy, upto_ms, limit if self.dice is None else int(self.dice.integers(20, 300)))

    def settle(self, given: Sequence[Outcome]) -> None:
        super().settle(given)
        self.told()

    def append(self, events: Sequence[ExperimentEvent], last: int) -> bool:
        written = super().append(events, last)
        self.told()
        return written


def live(file: Path, days: int, manner: Manner, acknowledged: Path, commits: Connection | None = None) -> None:
    """Live from the day that the store has come to up to the last. Tells `commits` of everything that was written."""
    tuned = policy()
    faults: list[str] = []
    now_ms = 0
    database = open_database(f"sqlite:///{file}", within_s=PATIENCE_S)
    try:
        store = Watched(database, (lambda: commits.send_bytes(b".")) if commits is not None else lambda: None)
        registry = PolicyRegistry({tuned.name: snapshot(tuned)}, tuned.name)
        learner = Learner(store, registry, SALT, FaultHandler(faults.append), lambda: now_ms)
        newest = SqlTraceStore(database).recent(1)
        for day in range(int(newest[0]["at_ms"]) // DAY_MS if newest else 0, days):
            store.dice = manner.dice(day) if manner.troubled else None
            _serve(database, store, tuned, day, acknowledged)
            now_ms = (day + 1) * DAY_MS
            learner.advance()
            if faults:
                raise RuntimeError(f"on day {day} the learner could not work: {faults}")
    finally:
        database.close()


def _serve(database: Database, store: Watched, tuned: Policy, day: int, acknowledged: Path) -> None:
    """Serve the conversations of a day, and receive its feedback. A day begun anew writes the same again."""
    by_day = {
        when: _traces(tuned, store.events(tuned.name), when) for when in range(max(0, day - LATEST_DAYS), day + 1)
    }
    for some in _batches(by_day[day], 60, store.dice):
        SqlTraceStore(database).write(some)
        store.told()
    sender = SqlFeedbackStore(database)
    at_ms = max(sender.last_ms() + 1, (day + 1) * DAY_MS - HOUR_MS)  # the day's feedback is received in its last hour
    for batch in _batches(_sent(by_day, day, store.dice), 80, store.dice):
        stamped = [replace(row, at_ms=at_ms + place) for place, row in enumerate(batch)]
        at_ms += len(batch)
        sender.record(stamped)
        with acknowledged.open("ab", buffering=0) as noted:  # whole lines alone count: a kill may tear the last
            noted.write(("\n" + "".join(f"{row.id}{WHOLE}\n" for row in stamped)).encode())
        store.told()


def _traces(tuned: Policy, log: list[ExperimentEvent], day: int) -> list[Trace]:
    """Return the decisions of a day, with the levels of its morning: what the tuner wrote later was not known then."""
    levels = fold(event for event in log if event.at_ms <= day * DAY_MS).levels(SALT, tuned.settings.holdout)
    return [_trace(tuned, levels, number) for number in range(day * PER_DAY, (day + 1) * PER_DAY)]


def _trace(tuned: Policy, levels: Levels, number: int) -> Trace:
    task, unit = TASKS[number % len(TASKS)], f"u{int(draw(SALT, str(number), 'user') * USERS)}"
    chosen, _, drawn = choose_levels(tuned, [task], levels, {}, LevelQuery(unit, "", MODEL))
    at_ms = number * DAY_MS // PER_DAY
    node = drawn.node if drawn else task
    assignment = Assignment(
        decision=f"dec_{number}",
        at_ms=at_ms,
        tenant="acme",
        policy=tuned.name,
        conversation=f"c{number}",
        unit=unit,
        task=task,
        complexity="",
        model=MODEL,
        level=chosen[task],
        text=tuned.texts[node],
        matures_ms=at_ms + HORIZON_MS,
        trial=drawn.trial if drawn else "",
        node=node,
        challenger=drawn.challenger if drawn else False,
        share=drawn.share if drawn else 0.0,
        holdout=levels.held_out(unit),
    )
    return Trace(
        id=assignment.decision,
        at_ms=at_ms,
        policy=tuned.name,
        tenant="acme",
        conversation=assignment.conversation,
        unit=unit,
        turn=0,
        wire="chat",
        model=MODEL,
        backend="echo",
        stream=False,
        decision=Decision(tuned.revision, "classified", (Settled(task, 0.9, 0.5),), levels=chosen),
        evidence=Evidence(None),
        cues={},
        status=200 if number % 50 else 502,
        total_ms=500.0 + number % 700,
        assignment=assignment,
    )


def _sent(by_day: dict[int, list[Trace]], day: int, dice: np.random.Generator | None) -> list[Feedback]:
    """Return the feedback that comes on a day: in order and once, or as the dice have it."""
    rows = [row for traces in by_day.values() for trace in traces for row in _said(trace)]
    today = [row for row in rows if row.at_ms // DAY_MS == day]
    if dice is None:
        return today
    again = [row for row in today for _ in range(int(dice.integers(1, 4)))]
    again += [row for row in rows if row.at_ms // DAY_MS == day - 1 and dice.random() < 0.3]
    return [again[at] for at in dice.permutation(len(again))]


def _said(trace: Trace) -> Iterator[Feedback]:
    """Yield what is said of a conversation, with the time at which it is said."""
    given = trace.assignment
    if given is None:
        return
    well = draw(SALT, trace.id, "well") < WORTH[given.level]
    for source, chance, hours, true in WORDS:
        if draw(SALT, trace.id, source) < chance:
            fled = source == "system" and draw(SALT, trace.id, "which") < 0.3
            yield Feedback(
                id=f"{trace.id}:{source}",
                at_ms=trace.at_ms + hours * HOUR_MS,
                tenant=trace.tenant,
                policy=trace.policy,
                conversation=trace.conversation,
                unit=trace.unit,
                decision=trace.id,
                metric="escalated" if fled else "resolved",
                value=float(well is not (fled or not true)),
                source=source,
            )


def _batches(rows: list, size: int, dice: np.random.Generator | None) -> Iterator[list]:
    start = 0
    while start < len(rows):
        step = size if dice is None else int(dice.integers(1, 2 * size))
        yield rows[start : start + step]
        start += step


# ---------------------------------------------------------------------------------------------------- afterwards


@dataclass(frozen=True, slots=True)
class Ended:
    """What a life has come to: the log and the outcomes without their numbers, the evidence of all trials, feedback."""

    events: tuple[ExperimentEvent, ...]
    outcomes: tuple[Outcome, ...]
    tests: tuple[tuple[str, SequentialTest], ...]
    levels: Levels
    feedback: tuple[str, ...]


def ended(file: Path, tuned: Policy) -> Ended:
    """Read a life back, as a replica does when it starts; then fold its evidence again, conversation by conversation."""
    database = open_database(f"sqlite:///{file}", within_s=PATIENCE_S)
    try:
        store = SqlLearningStore(database)
        records = Records(tuned.name, store)
        records.read_log()
        records.read_outcomes()
        outcomes = store.outcomes(tuned.name)
        running = {each.id: each.opening for each in records.state.running.values()}
        bets: dict[str, SequentialTest] = {}
        for outcome in outcomes:
            trial = outcome.assignment.trial
            if trial:
                bets[trial] = advance_one(bets.get(trial, running.get(trial, SequentialTest())), outcome)
        if {trial: bets.get(trial, opening) for trial, opening in running.items()} != records.tests:
            raise AssertionError("one by one the evidence is another than all at once")
        rows = database.read(lambda connection: connection.execute(select(feedback.c.id)).all(), "read", "unreadable")
        return Ended(
            tuple(replace(event, number=0) for event in store.events(tuned.name)),
            tuple(replace(outcome, number=0) for outcome in outcomes),
            tuple(sorted(bets.items())),
            records.state.levels(),
            tuple(sorted(row.id for row in rows)),
        )
    finally:
        database.close()


def killed(file: Path, days: int, acknowledged: Path, *, patience: float, most: int) -> int:
    """Live a troubled life, killed at a random commit; with probability `patience` it gets through a day before."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    dice = np.random.default_rng(120)
    kills = 0
    while kills < most:
        here, there = context.Pipe(duplex=False)
        life = context.Process(target=live, args=(file, days, Manner(True, kills + 1), acknowledged, there))
        life.start()
        there.close()
        within = 3 * COMMITS_A_DAY if dice.random() < patience else COMMITS_A_DAY
        try:
            for _ in range(int(dice.integers(1, within))):
                here.recv_bytes()
            time.sleep(float(dice.random()) * 0.004)
        except EOFError:  # it has lived to the end
            life.join()
            if life.exitcode:
                raise RuntimeError(f"a life ended by itself with status {life.exitcode}") from None
            return kills
        life.kill()
        life.join()
        here.close()
        kills += 1
    live(file, days, Manner(True), acknowledged)
    return kills


def replays(tier: Tier) -> Finding:
    """V12."""
    days, most, patience = tier.pick((7, 4, 0.5), (11, 60, 0.5), (16, 400, 0.12))
    tuned = policy()
    with tempfile.TemporaryDirectory() as folder:
        quiet, troubled = Path(folder, "quiet.db"), Path(folder, "troubled.db")
        live(quiet, days, Manner(False), Path(folder, "quiet.txt"))
        acknowledged = Path(folder, "troubled.txt")
        kills = killed(troubled, days, acknowledged, patience=patience, most=most)
        expected, found = ended(quiet, tuned), ended(troubled, tuned)
        lines = acknowledged.read_text(encoding="utf-8").split()
        promised = [line.removesuffix(WHOLE) for line in lines if line.endswith(WHOLE)]
    lost = len(set(promised) - set(found.feedback))
    twice = len(found.feedback) - len(set(found.feedback))
    differing = [name for name in Ended.__dataclass_fields__ if getattr(expected, name) != getattr(found, name)]
    return Finding(
        row="V12",
        what="store killed, feedback duplicated, late, reordered: evidence after replay",
        target="identical to the bit",
        ours="identical; " * (not differing)
        + "".join(f"{name} differ; " for name in differing)
        + f"{lost} acknowledged lost, {twice} counted twice",
        reference="-",
        met=not differing and not lost and not twice,
        conditions=f"{kills} kills (SIGKILL) over {days} days, {len(found.outcomes):,} outcomes, {len(found.events)} events "
        f"in the log, {len(promised):,} acknowledgements of {len(found.feedback):,} pieces of feedback, "
        f"{len(found.tests)} trials; SQLite; seed 12",
    )
