"""What answers cost and how often clients had asked before: version 2 of the databases of earlier releases.

A process of such a release adds the columns one by one, so some of them may be there.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns that are missing."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("decisions")}
    if "retry" not in there:
        op.add_column("decisions", sa.Column("retry", sa.Integer, nullable=False, server_default="0"))
    for name in ("prompt_tokens", "cached_tokens", "written_tokens", "completion_tokens"):
        if name not in there:
            op.add_column("decisions", sa.Column(name, sa.Integer))
