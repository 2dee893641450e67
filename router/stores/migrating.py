"""Brings a database to the newest revision of the schema. The only place that runs Alembic; imported when needed.

Databases of releases before the revisions say their version in `schema_version`. What the first two revisions make is
exactly what such a database holds, and both leave alone what is there, so it is brought up to date from the beginning.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


def config_for(connection: Connection | None = None) -> Config:
    """Return the configuration that a file would hold, for this connection."""
    config = Config()
    folder = str(Path(__file__).with_name("migrations"))
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Return the revisions that this program knows, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(config_for()).walk_revisions()]


def migrate(connection: Connection) -> None:
    """Run the revisions that a database lacks, in the transaction of this connection."""
    command.upgrade(config_for(connection), "head")
