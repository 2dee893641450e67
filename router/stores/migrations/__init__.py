"""The revisions of the schema, in order: from what a database holds to what `router.stores.schema` says.

Each revision spells out its own tables and columns, since a revision must do tomorrow what it does today. Imported by
Alembic, and only where a database has to be made or brought up to date.
"""
