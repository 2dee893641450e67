"""The one SQL schema, the same in SQLite and PostgreSQL.

Only portable types: integers, doubles and text; JSON is text, written and read by Python, so that no database's own
JSON type changes what comes back. Times are integer milliseconds since the Unix epoch. Numbers that grow by one a row
have 64 bits; SQLite calls that INTEGER, and counts up by itself under no other name.

The tables are made, and changed, by the revisions in `migrations/versions/`, one file each. They spell out their own
tables and columns, since a revision must do tomorrow what it does today; a test compares their outcome with this. A
database whose revision this program does not know is refused at opening: an old program must not write into tables it
does not understand.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

REVISION = "0007"
"""The newest revision. A database that has it is opened without a look at the revisions themselves."""

RELEASED_VERSION = 2
"""The newest number in `schema_version`, with which releases before the revisions told their databases apart."""

metadata = MetaData()

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

# Tells programs from before the revisions that the database is newer than they are, so that they leave it alone.
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
    Column("shortlist", Text, nullable=False, server_default="[]"),
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
    Column("shortlist", Text, nullable=False, server_default="[]"),
    UniqueConstraint("decision", "auditor"),
)

# What running conversations keep from their first turn, so that a restart does not change what they are told. `levels`
# is null where a conversation began while nothing was tuned, which is not the same as having no level yet.
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
    Column("levels", Text),
    Column("drawn", Integer, nullable=False, server_default="0"),
    Column("answer", String(16), nullable=False, server_default=""),
)

# What was said of decisions and conversations, in the order of `number`. Only ever added to; the sender's `id` counts
# once for a tenant.
feedback = Table(
    "feedback",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("tenant", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("policy", Text, nullable=False),
    Column("conversation", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("decision", String(64), nullable=False),
    Column("metric", Text, nullable=False),
    Column("value", Float(53), nullable=False),
    Column("source", String(20), nullable=False),
    Column("comment", Text, nullable=False),
    Column("said_at_ms", BigInteger),
    Column("distance", Float(53)),
    UniqueConstraint("tenant", "id"),
    Index("ix_feedback_conversation", "tenant", "conversation"),
)


def _assigned(*, kept: bool) -> list[Column[Any]]:
    """Return the columns of an assignment; where they are `kept` for ever, those that name a person may go."""
    return [
        Column("decision", String(64), nullable=kept),
        Column("at_ms", BigInteger, nullable=False),
        Column("tenant", Text, nullable=False),
        Column("policy", Text, nullable=False),
        Column("conversation", String(64), nullable=kept),
        Column("unit", String(64), nullable=kept),
        Column("task", Text, nullable=False),
        Column("complexity", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("level", Integer, nullable=False),
        Column("text", String(64), nullable=False),
        Column("matures_ms", BigInteger, nullable=False),
        Column("trial", Text, nullable=False),
        Column("node", Text, nullable=False),
        Column("challenger", Integer, nullable=False),
        Column("share", Float(53), nullable=False),
        Column("holdout", Integer, nullable=False),
    ]


# The level that a conversation was given when it first settled on a task. `settled` once its outcome is written.
assignments = Table(
    "assignments",
    metadata,
    *_assigned(kept=False),
    Column("settled", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("policy", "conversation", "task"),
    Index("ix_assignments_due", "policy", "settled", "matures_ms", "decision"),
    Index("ix_assignments_unit", "unit"),
)

# Matured assignments with how it went: the evidence, in the order of `number`, never changed. Forgetting a person takes
# away what names them (null) and leaves the numbers.
outcomes = Table(
    "outcomes",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    *_assigned(kept=True),
    Column("reward", Float(53)),
    Column("guards", Text, nullable=False),
    Column("repeated", Integer, nullable=False),
    UniqueConstraint("policy", "conversation", "task"),
    Index("ix_outcomes_policy", "policy", "number"),
    Index("ix_outcomes_trial", "trial", "unit"),
)

# The tuner's log: how the dials stand is a fold over it.
experiments = Table(
    "experiments",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("task", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("author", Text, nullable=False),
    Index("ix_experiments_policy", "policy", "number"),
)

# How often instructions were obeyed: counts, so that no answer needs to be kept.
compliance = Table(
    "compliance",
    metadata,
    Column("policy", Text, nullable=False),
    Column("instruction", Text, nullable=False),
    Column("text", String(64), nullable=False),
    Column("model", Text, nullable=False),
    Column("said", Integer, nullable=False),
    Column("drawn", Integer, nullable=False),
    Column("answers", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    PrimaryKeyConstraint("policy", "instruction", "text", "model", "said", "drawn"),
)

# What operators said of changed packs, in the order of `number`; `files` holds a pack that is new (`packs.bundle`).
rollouts = Table(
    "rollouts",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("revision", String(64), nullable=False),
    Column("share", Float(53), nullable=False),
    Column("files", Text, nullable=False),
)

# How often a revision in shadow decided like the one in force, and how often otherwise: counts, and one id of each.
shadow_differences = Table(
    "shadow_differences",
    metadata,
    Column("policy", Text, nullable=False),
    Column("revision", String(64), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("decision", String(64), nullable=False),
    Column("decisions", BigInteger, nullable=False),
    PrimaryKeyConstraint("policy", "revision", "before", "after"),
)
