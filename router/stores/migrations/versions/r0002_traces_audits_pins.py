"""Traces, audits and pins, and what answers cost: versions 1 and 2 of databases of releases before the revisions.

A database of version 1 may lack the tables of audits and pins, which came later in it, and any of the columns of
version 2, which were added one by one. What is there is left.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and columns that are missing."""
    tables = set(sa.inspect(op.get_bind()).get_table_names())
    for name, create in _TABLES.items():
        if name not in tables:
            create()
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("decisions")}
    if "retry" not in columns:
        op.add_column("decisions", sa.Column("retry", sa.Integer, nullable=False, server_default="0"))
    for name in ("prompt_tokens", "cached_tokens", "written_tokens", "completion_tokens"):
        if name not in columns:
            op.add_column("decisions", sa.Column(name, sa.Integer))


def _schema_version() -> None:
    op.create_table(
        "schema_version",
        sa.Column("part", sa.String(40), primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("conversation", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(64), nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("wire", sa.String(40), nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("stream", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("tasks", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("confidence", sa.Float(53), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("tokens", sa.Integer, nullable=False),
        sa.Column("mix", sa.Text, nullable=False),
        sa.Column("dropped", sa.Text, nullable=False),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("response_id", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("overhead_ms", sa.Float(53), nullable=False),
        sa.Column("first_ms", sa.Float(53), nullable=False),
        sa.Column("total_ms", sa.Float(53), nullable=False),
        sa.Column("stages", sa.Text, nullable=False),
    )
    for column in ("at_ms", "task", "response_id"):
        op.create_index(f"ix_decisions_{column}", "decisions", [column])
    op.create_index("ix_decisions_conversation", "decisions", ["tenant", "conversation"])


def _audits() -> None:
    op.create_table(
        "audits",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("decision", sa.String(64), nullable=False),
        sa.Column("auditor", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("certificate", sa.String(40), nullable=False),
        sa.Column("thresholds", sa.Text, nullable=False),
        sa.Column("settled", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.UniqueConstraint("decision", "auditor"),
    )
    op.create_index("ix_audits_policy", "audits", ["policy"])


def _pins() -> None:
    op.create_table(
        "pins",
        sa.Column("policy", sa.Text, primary_key=True),
        sa.Column("conversation", sa.String(64), primary_key=True),
        sa.Column("first", sa.String(16), primary_key=True),
        sa.Column("revision", sa.String(64), nullable=False),
        sa.Column("began_s", sa.Float(53), nullable=False),
        sa.Column("seen_s", sa.Float(53), nullable=False),
        sa.Column("idle_s", sa.Float(53), nullable=False),
        sa.Column("cues", sa.Text, nullable=False),
        sa.Column("faulted", sa.Text, nullable=False),
    )


_TABLES = {"schema_version": _schema_version, "decisions": _decisions, "audits": _audits, "pins": _pins}
