"""What levels are tuned from, in the database: assignments that mature, outcomes, the tuner's log, compliance.

Outcomes and the log are only ever added to, in the order of their numbers; what is computed from them is a fold, so
every reader comes to the same. Numbers become visible in their order, since who adds holds a lock of the fleet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, bindparam, case, func, insert, or_, select, update
from sqlalchemy.sql import Select
from sqlalchemy.sql.selectable import Subquery

from router.core.learning import Compliance, ExperimentEvent, Feedback, MaturedAssignment, Outcome, ServiceRecord
from router.core.store_ports import FeedbackSubject
from router.stores.database import Database, Insertion, lock, try_lock
from router.stores.rows import (
    Row,
    chunks,
    compliance_row,
    event_row,
    loaded_assignment,
    loaded_compliance,
    loaded_event,
    loaded_feedback,
    loaded_outcome,
    outcome_row,
)
from router.stores.schema import assignments, compliance, decisions, experiments, feedback, outcomes

T = TypeVar("T")

COLUMNS = tuple(column.name for column in outcomes.columns if column.name != "number")

SAID_MOST = 1_000
"""Pieces of feedback of one source by one metric that are looked at for one conversation."""

_Key = tuple[str, str]  # conversation and task: with the policy, what tells assignments apart


class SqlLearningStore:
    """Implements `core.store_ports.LearningStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._settle = Insertion(database, outcomes, COLUMNS)
        self._settled = (
            update(assignments)
            .where(*(assignments.c[name] == bindparam(f"of_{name}") for name in ("policy", "conversation", "task")))
            .values(settled=1)
        )

    def due(self, policy: str, upto_ms: int, limit: int) -> list[MaturedAssignment]:
        """Return assignments that have matured by then and have no outcome, in the order of maturity.

        At most `limit`, with the feedback on each conversation received by its maturity, and how it was served by then.
        Raises Degraded.
        """
        matured = _matured(policy, upto_ms, limit)
        chosen = matured.subquery()

        def ask(connection: Connection) -> list[MaturedAssignment]:
            rows = connection.execute(matured).mappings().all()
            if not rows:
                return []
            said = _said(connection, chosen)
            served = _served(connection, chosen)
            return [
                MaturedAssignment(loaded_assignment(row), tuple(said.get(key, ())), served.get(key, ServiceRecord()))
                for row in rows
                for key in [(row["conversation"], row["task"])]
            ]

        return self._read(ask)

    def seen(self, trial: str, units: Sequence[str]) -> frozenset[str]:
        """Return those of the units of which a trial has counted an outcome. Raises Degraded.

        An outcome without a reward counts as well: whoever folds outcomes bets on its guardrails, and on silence.
        """

        def ask(connection: Connection) -> frozenset[str]:
            return frozenset(
                unit
                for some in chunks(units)
                for unit in connection.scalars(
                    select(outcomes.c.unit).distinct().where(outcomes.c.trial == trial, outcomes.c.unit.in_(some))
                )
            )

        return self._read(ask)

    def earlier(
        self, *, tenant: str, policy: str, unit: str, task: str, conversation: str, since_ms: int
    ) -> FeedbackSubject | None:
        """Return the newest other conversation in which a unit came to a task since then, or None. Raises Degraded."""
        a = assignments.c
        query = (
            select(a.policy, a.conversation, a.unit, a.decision, a.at_ms)
            .where(a.policy == policy, a.unit == unit, a.task == task, a.at_ms >= since_ms)
            .where(a.tenant == tenant, a.conversation != conversation)
            .order_by(a.at_ms.desc(), a.decision.desc())
            .limit(1)
        )

        def ask(connection: Connection) -> FeedbackSubject | None:
            row = connection.execute(query).first()
            return None if row is None else FeedbackSubject(*row)

        return self._read(ask)

    def settle(self, given: Sequence[Outcome]) -> None:
        """Store outcomes in this order; one that is stored already changes nothing. Raises Degraded."""
        if not given:
            return
        rows = [outcome_row(outcome) for outcome in given]
        arranged = self._settle.arrange(rows)
        keys = [{f"of_{name}": row[name] for name in ("policy", "conversation", "task")} for row in rows]

        def change(connection: Connection) -> None:
            lock(connection, outcomes.name)
            self._settle.run(connection, arranged)
            connection.execute(self._settled, keys)

        self._write(change, f"{len(given)} outcomes were not stored")

    def outcomes(self, policy: str, after: int = 0, limit: int = 100_000) -> list[Outcome]:
        """Return the outcomes of a policy with higher numbers, in the order of their numbers. Raises Degraded."""
        query = select(outcomes).where(outcomes.c.policy == policy, outcomes.c.number > after)
        ordered = query.order_by(outcomes.c.number).limit(limit)
        return self._list(ordered, loaded_outcome)

    def events(self, policy: str, after: int = 0) -> list[ExperimentEvent]:
        """Return the tuner's log of a policy, in the order of numbers. Raises Degraded."""
        query = select(experiments).where(experiments.c.policy == policy, experiments.c.number > after)
        ordered = query.order_by(experiments.c.number)
        return self._list(ordered, loaded_event)

    def append(self, events: Sequence[ExperimentEvent], last: int) -> bool:
        """Add events to a policy's log if `last` is still the number of its newest; say whether that was so.

        False as well where another process is adding just now. All events are of one policy. Raises Degraded.
        """
        if not events:
            return True
        rows = [event_row(event) for event in events]
        policy = events[0].policy
        if any(event.policy != policy for event in events):
            raise ValueError("the events of one call belong to one policy")
        newest = select(func.max(experiments.c.number)).where(experiments.c.policy == policy)

        def change(connection: Connection) -> bool:
            if not try_lock(connection, f"{experiments.name} of {policy}"):
                return False
            if (connection.scalar(newest) or 0) != last:
                return False
            connection.execute(insert(experiments), rows)
            return True

        return self._write(change, f"{len(events)} steps of the tuner were not stored")

    def newest(self) -> dict[str, int]:
        """Return the number of the newest event of each policy. Raises Degraded."""
        query = select(experiments.c.policy, func.max(experiments.c.number)).group_by(experiments.c.policy)
        return self._read(lambda connection: {policy: number for policy, number in connection.execute(query)})

    def tally(self, counts: Sequence[Compliance]) -> None:
        """Add to the counts of how often instructions were obeyed. Raises Degraded."""
        summed: dict[tuple[Any, ...], Row] = {}
        for row in map(compliance_row, counts):
            key = tuple(row[column.name] for column in compliance.primary_key.columns)
            before = summed.setdefault(key, row | {"answers": 0, "held": 0})
            before["answers"] += row["answers"]
            before["held"] += row["held"]
        if not summed:
            return
        rows = [summed[key] for key in sorted(summed)]  # two that add to the same rows never wait crosswise
        adding = self._database.insert_adding(compliance, ("answers", "held"))
        self._database.write(
            lambda connection: connection.execute(adding, rows),
            "learning_failed",
            f"{len(rows)} counts of instructions were not stored",
        )

    def compliance(self, policy: str) -> list[Compliance]:
        """Return the counts of a policy. Raises Degraded."""
        query = select(compliance).where(compliance.c.policy == policy)
        ordered = query.order_by(*compliance.primary_key.columns)
        return self._list(ordered, loaded_compliance)

    def waiting(self, policy: str) -> tuple[int, int | None]:
        """Return how many conversations of a policy are still to mature, and when the first does. Raises Degraded."""
        a = assignments.c
        query = select(func.count(a.conversation.distinct()), func.min(a.matures_ms)).where(
            a.policy == policy, a.settled == 0
        )

        def ask(connection: Connection) -> tuple[int, int | None]:
            count, first_ms = connection.execute(query).one()
            return int(count), first_ms

        return self._read(ask)

    def received(self, policy: str) -> dict[str, dict[str, int]]:
        """Return how many pieces of feedback came for a policy, by metric and source. Raises Degraded."""
        f = feedback.c
        query = select(f.metric, f.source, func.count()).where(f.policy == policy).group_by(f.metric, f.source)

        def ask(connection: Connection) -> dict[str, dict[str, int]]:
            found: dict[str, dict[str, int]] = {}
            for metric, source, count in sorted(map(tuple, connection.execute(query))):
                found.setdefault(metric, {})[source] = int(count)
            return found

        return self._read(ask)

    def _list(self, query: Select[Any], load: Callable[[Any], T]) -> list[T]:
        return self._read(lambda connection: [load(row) for row in connection.execute(query).mappings()])

    def _read(self, ask: Callable[[Connection], T]) -> T:
        return self._database.read(ask, "learning_failed", "what levels are tuned from cannot be read")

    def _write(self, change: Callable[[Connection], T], failing: str) -> T:
        return self._database.write(change, "learning_failed", failing, durable=True)


def _matured(policy: str, upto_ms: int, limit: int) -> Select[Any]:
    """Return the query of the assignments that wait for their outcome; the index on them has this order."""
    waiting = select(assignments).where(
        assignments.c.policy == policy, assignments.c.settled == 0, assignments.c.matures_ms <= upto_ms
    )
    return waiting.order_by(assignments.c.matures_ms, assignments.c.decision).limit(limit)


def _said(connection: Connection, chosen: Subquery) -> dict[_Key, list[Feedback]]:
    """Return the feedback on the conversations of chosen assignments, received from then on up to their maturity.

    Of each source and metric the first SAID_MOST: what comes after so many words of one source changes nothing.
    """
    place = func.row_number().over(
        partition_by=(chosen.c.conversation, chosen.c.task, feedback.c.metric, feedback.c.source),
        order_by=feedback.c.number,
    )
    found = (
        select(
            chosen.c.conversation.label("of_conversation"),
            chosen.c.task.label("of_task"),
            place.label("place"),
            feedback,
        )
        .join(
            feedback,
            and_(
                feedback.c.tenant == chosen.c.tenant,
                feedback.c.conversation == chosen.c.conversation,
                feedback.c.policy == chosen.c.policy,
                feedback.c.at_ms.between(chosen.c.at_ms, chosen.c.matures_ms),
            ),
        )
        .subquery()
    )
    query = select(found).where(found.c.place <= SAID_MOST).order_by(found.c.number)
    said: dict[_Key, list[Feedback]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        said[row["of_conversation"], row["of_task"]].append(loaded_feedback(row))
    return said


def _served(connection: Connection, chosen: Subquery) -> dict[_Key, ServiceRecord]:
    """Return how the conversations of chosen assignments were served from then on up to their maturity.

    A client that went away (499, nginx's word for it) was not failed by anybody.
    """
    failed = and_(or_(decisions.c.error != "", decisions.c.status >= 400), decisions.c.status != 499)
    used = func.coalesce(decisions.c.prompt_tokens, 0) + func.coalesce(decisions.c.completion_tokens, 0)
    query = (
        select(
            chosen.c.conversation,
            chosen.c.task,
            func.count(),
            func.sum(case((failed, 1), else_=0)),
            func.max(decisions.c.total_ms),
            func.sum(used),
        )
        .join(
            decisions,
            and_(
                decisions.c.tenant == chosen.c.tenant,
                decisions.c.conversation == chosen.c.conversation,
                decisions.c.policy == chosen.c.policy,
                decisions.c.at_ms.between(chosen.c.at_ms, chosen.c.matures_ms),
            ),
        )
        .group_by(chosen.c.conversation, chosen.c.task)
    )
    return {
        (conversation, task): ServiceRecord(int(answers), int(failures), float(slowest_ms), int(tokens))
        for conversation, task, answers, failures, slowest_ms, tokens in connection.execute(query)
    }
