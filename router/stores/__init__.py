"""Floor 1: stores. What is kept of requests, and what levels learn from it: one SQL schema, in SQLite or PostgreSQL.

    database = open_database("sqlite:////var/lib/router/router.db")
    traces, feedback = SqlTraceStore(database), SqlFeedbackStore(database)

One opened database serves all stores, and is closed once, after them. `evidence_of` makes evidence of what a trace
store returns, so that a stored decision can be made once more.

    SqlTraceStore     decisions, and with them the levels that were assigned
    SqlPinStore       what running conversations keep from their first turn
    SqlAuditStore     what auditors said of decisions
    SqlFeedbackStore  what anybody said of decisions and conversations
    SqlLearningStore  outcomes, the tuner's log, how instructions are obeyed
    SqlRolloutStore   changed packs that are tried beside the ones in force

    Retention                         removes what is too old or too much
    forget_unit, forget_conversation  remove what is about a person
    export                            writes a table to a file of CSV, JSON Lines or Parquet
"""

from router.stores.database import Database
from router.stores.exporting import EXPORTED, export
from router.stores.feedback import SqlAuditStore, SqlFeedbackStore
from router.stores.learning import SqlLearningStore
from router.stores.opening import open_database
from router.stores.records import Removed, Retention, forget_conversation, forget_unit
from router.stores.rollouts import SqlRolloutStore
from router.stores.rows import evidence_of
from router.stores.traces import SqlPinStore, SqlTraceStore

__all__ = [
    "EXPORTED",
    "Database",
    "Removed",
    "Retention",
    "SqlAuditStore",
    "SqlFeedbackStore",
    "SqlLearningStore",
    "SqlPinStore",
    "SqlRolloutStore",
    "SqlTraceStore",
    "evidence_of",
    "export",
    "forget_conversation",
    "forget_unit",
    "open_database",
]
