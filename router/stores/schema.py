"""The one SQL schema, for every database SQLAlchemy knows.

Only portable types: integers, doubles and text; JSON is text, written and read by `router.stores.rows`, so that no
database's own JSON type changes what comes back. Times are integer milliseconds since the Unix epoch.

`schema_version` holds one row per part of the schema. A database whose version is newer than SCHEMA_VERSION is refused
at opening: an old program must not write into tables it does not understand.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

SCHEMA_VERSION = 2
"""Version of the tables below; raised with every change of one. A table more is no change: older programs ignore it."""

PART = "traces"
"""The part of the schema that this version number speaks for."""

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("part", String(40), primary_key=True),
    Column("version", Integer, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("policy", Text, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("conversation", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("wire", String(40), nullable=False),
    Column("model", Text, nullable=False),
    Column("backend", Text, nullable=False),
    Column("stream", Integer, nullable=False),
    Column("task", Text, nullable=False, index=True),
    Column("tasks", Text, nullable=False),
    Column("level", Integer, nullable=False),
    Column("confidence", Float(53), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("tokens", Integer, nullable=False),
    Column("mix", Text, nullable=False),
    Column("dropped", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("response_id", Text, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("retry", Integer, nullable=False, server_default="0"),
    Column("prompt_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("written_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("overhead_ms", Float(53), nullable=False),
    Column("first_ms", Float(53), nullable=False),
    Column("total_ms", Float(53), nullable=False),
    Column("stages", Text, nullable=False),
    Index("ix_decisions_conversation", "tenant", "conversation"),
)

# What auditors said of decisions, in the order of `number`. A row holds all that judging it needs, so that it outlives
# the decision's own row; it is written once and never changed.
audits = Table(
    "audits",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("decision", String(64), nullable=False),
    Column("auditor", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("policy", Text, nullable=False, index=True),
    Column("certificate", String(40), nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("settled", Text, nullable=False),
    Column("label", Text, nullable=False),
    UniqueConstraint("decision", "auditor"),
)

# What running conversations keep from their first turn, so that a restart does not change what they are told.
pins = Table(
    "pins",
    metadata,
    Column("policy", Text, primary_key=True),
    Column("conversation", String(64), primary_key=True),
    Column("first", String(16), primary_key=True),
    Column("revision", String(64), nullable=False),
    Column("began_s", Float(53), nullable=False),
    Column("seen_s", Float(53), nullable=False),
    Column("idle_s", Float(53), nullable=False),
    Column("cues", Text, nullable=False),
    Column("faulted", Text, nullable=False),
)

ADDED = {
    2: tuple(
        decisions.c[name] for name in ("retry", "prompt_tokens", "cached_tokens", "written_tokens", "completion_tokens")
    )
}
"""By version, the columns that it added. A database of an older version is given them when it is opened."""
