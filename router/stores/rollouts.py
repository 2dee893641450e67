"""What operators said of changed packs, the packs themselves, and what their shadows decided otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import func, insert, select

from router.core.rollout import RolloutEvent, ShadowDifference
from router.stores.database import Database
from router.stores.schema import pins, rollouts, shadow_differences

FAILED = "rollouts_failed"

_EVENT = [column for column in rollouts.columns if column.name != "files"]


class SqlRolloutStore:
    """Implements `core.store_ports.RolloutStore`. Owns nothing: who opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self) -> int:
        """Return the number of the newest event, 0 where there is none. Raises Degraded."""
        query = select(func.max(rollouts.c.number))
        return self._database.read(
            lambda connection: connection.scalar(query) or 0, FAILED, "what is tried cannot be read"
        )

    def events(self) -> list[RolloutEvent]:
        """Return all that was said, in its order. Raises Degraded."""
        query = select(*_EVENT).order_by(rollouts.c.number)
        return self._database.read(
            lambda connection: [RolloutEvent(**row) for row in connection.execute(query).mappings()],
            FAILED,
            "what is tried cannot be read",
        )

    def files(self, policy: str, revision: str) -> str:
        """Return the files of a revision that was to be tried, as `packs.bundle` made them. Raises Degraded."""
        query = (
            select(rollouts.c.files)
            .where(rollouts.c.policy == policy, rollouts.c.revision == revision, rollouts.c.files != "")
            .order_by(rollouts.c.number.desc())
            .limit(1)
        )
        return self._database.read(
            lambda connection: connection.scalar(query) or "", FAILED, "the pack that is tried cannot be read"
        )

    def append(self, event: RolloutEvent, files: str = "") -> None:
        """Store an event, with the files of a pack that is new. Raises Degraded."""
        row = {column.name: getattr(event, column.name) for column in _EVENT if column.name != "number"}
        self._database.write(
            lambda connection: connection.execute(insert(rollouts).values(**row, files=files)),
            FAILED,
            "nothing was changed",
            durable=True,
        )

    def tally(self, found: Sequence[ShadowDifference]) -> None:
        """Add to the counts of what was decided alike and otherwise. Raises Degraded."""
        if found:
            adding = self._database.insert_adding(shadow_differences, ["decisions"])
            rows = [each._asdict() for each in found]
            self._database.write(
                lambda connection: connection.execute(adding, rows), FAILED, "what a shadow decided was not stored"
            )

    def differences(self, policy: str, revision: str) -> list[ShadowDifference]:
        """Return the counts of a revision, the largest first. Raises Degraded."""
        c = shadow_differences.c
        query = select(shadow_differences).where(c.policy == policy, c.revision == revision)
        ordered = query.order_by(c.decisions.desc(), c.before, c.after)
        return self._database.read(
            lambda connection: [ShadowDifference(**row) for row in connection.execute(ordered).mappings()],
            FAILED,
            "what a shadow decided cannot be read",
        )

    def pinned(self, policy: str, now_s: float) -> Mapping[str, int]:
        """Return how many running conversations each revision of a policy has. Raises Degraded."""
        live = select(pins.c.revision, func.count()).where(pins.c.policy == policy)
        query = live.where(pins.c.seen_s + pins.c.idle_s >= now_s).group_by(pins.c.revision).order_by(pins.c.revision)
        return self._database.read(
            lambda connection: {revision: count for revision, count in connection.execute(query)},
            FAILED,
            "running conversations cannot be counted",
        )
