"""Feedback, and what levels are tuned from: assignments, outcomes, the tuner's log, how instructions are obeyed.

Programs from before the revisions are told, in their own way, to leave the database alone.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and let pins keep levels."""
    op.add_column("pins", sa.Column("levels", sa.Text))
    op.add_column("pins", sa.Column("drawn", sa.Integer, nullable=False, server_default="0"))
    _feedback()
    _assignments()
    _outcomes()
    _experiments()
    _compliance()
    told = sa.table("schema_version", sa.column("part", sa.String), sa.column("version", sa.Integer))
    op.execute(told.delete())
    op.execute(told.insert().values(part="traces", version=3))


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("conversation", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(64), nullable=False),
        sa.Column("decision", sa.String(64), nullable=False),
        sa.Column("metric", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.Column("source", sa.String(20), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("said_at_ms", sa.BigInteger),
        sa.Column("distance", sa.Float(53)),
        sa.UniqueConstraint("tenant", "id"),
    )
    op.create_index("ix_feedback_at_ms", "feedback", ["at_ms"])
    op.create_index("ix_feedback_conversation", "feedback", ["tenant", "conversation"])


def _assigned(*, kept: bool) -> list[sa.Column[Any]]:
    return [
        sa.Column("decision", sa.String(64), nullable=kept),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("conversation", sa.String(64), nullable=kept),
        sa.Column("unit", sa.String(64), nullable=kept),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("complexity", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("text", sa.String(64), nullable=False),
        sa.Column("matures_ms", sa.BigInteger, nullable=False),
        sa.Column("trial", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("challenger", sa.Integer, nullable=False),
        sa.Column("share", sa.Float(53), nullable=False),
        sa.Column("holdout", sa.Integer, nullable=False),
    ]


def _assignments() -> None:
    op.create_table(
        "assignments",
        *_assigned(kept=False),
        sa.Column("settled", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("policy", "conversation", "task"),
    )
    op.create_index("ix_assignments_due", "assignments", ["policy", "settled", "matures_ms", "decision"])
    op.create_index("ix_assignments_unit", "assignments", ["unit"])


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        *_assigned(kept=True),
        sa.Column("reward", sa.Float(53)),
        sa.Column("guards", sa.Text, nullable=False),
        sa.Column("repeated", sa.Integer, nullable=False),
        sa.UniqueConstraint("policy", "conversation", "task"),
    )
    op.create_index("ix_outcomes_policy", "outcomes", ["policy", "number"])
    op.create_index("ix_outcomes_trial", "outcomes", ["trial", "unit"])


def _experiments() -> None:
    op.create_table(
        "experiments",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("complexity", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
    )
    op.create_index("ix_experiments_policy", "experiments", ["policy", "number"])


def _compliance() -> None:
    op.create_table(
        "compliance",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("instruction", sa.Text, nullable=False),
        sa.Column("text", sa.String(64), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("said", sa.Integer, nullable=False),
        sa.Column("drawn", sa.Integer, nullable=False),
        sa.Column("answers", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("policy", "instruction", "text", "model", "said", "drawn"),
    )
