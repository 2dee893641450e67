"""Runs the revisions on the connection that `router.stores.opening` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from router.stores.schema import metadata

# SQLite can undo a change of tables as well; Alembic's default is for drivers that commit before one.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
