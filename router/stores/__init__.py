"""Floor 1: stores. Where traces and audits are kept.

`SqlTraceStore` lasts, `MemoryTraceStore` is for tests and for a run that is to leave nothing behind; both keep one
contract. `evidence_of` makes evidence of what they return, so that a stored decision can be made once more.
`SqlAuditStore` keeps what auditors said of decisions, `SqlPinStore` what running conversations keep from their first
turn, in the same database.
"""

from router.stores.audits import SqlAuditStore
from router.stores.memory import MemoryTraceStore
from router.stores.pins import SqlPinStore
from router.stores.rows import evidence_of
from router.stores.sql import SqlTraceStore

__all__ = ["MemoryTraceStore", "SqlAuditStore", "SqlPinStore", "SqlTraceStore", "evidence_of"]
