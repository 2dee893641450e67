"""The first answer of a conversation without a name, as a keyed hash, beside its pin: by it a later request finds it.

Pins from before have none, and are found as those are whose answer nobody heard.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("pins", sa.Column("answer", sa.String(16), nullable=False, server_default=""))
