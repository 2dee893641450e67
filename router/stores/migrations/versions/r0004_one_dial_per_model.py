"""One dial for each task and model, where there had been one for each complexity of requests as well.

The dial of ordinary requests goes on as the dial of all, and so do the words that were said for every complexity. What
the log says of other dials is kept for the record and moves nothing any more. A task that a person froze for one
complexity stays frozen, for all.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Set aside what was said of other dials, and drop the column."""
    log = sa.table("experiments", sa.column("kind", sa.String), sa.column("complexity", sa.Text))
    other = log.c.complexity.not_in(("", "*", "standard")) & log.c.kind.not_in(("frozen", "thawed"))
    op.execute(log.update().where(other).values(kind="retired"))
    op.drop_column("experiments", "complexity")
