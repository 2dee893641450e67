"""The tasks that a decision said as cases, beside those it settled on, in traces and in audits.

Decisions from before had none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for table in ("decisions", "audits"):
        op.add_column(table, sa.Column("shortlist", sa.Text, nullable=False, server_default="[]"))
