"""Migrations: versions of the schema."""

from typing import Any

import sqlalchemy as sa

HEAD = "0001"
VERSION_TABLE = "history_version"
_VERSION: sa.Select[Any] = sa.select(sa.column("version_num", sa.String)).select_from(
    sa.table(VERSION_TABLE)
)


def version_of(connection: sa.Connection) -> str | None:
    """Return the version of the tables; None if there are none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version: str | None = connection.scalar(_VERSION)
    return version


def upgrade(connection: sa.Connection) -> None:
    """Make the tables, or bring them up to date, in the transaction of the connection."""
    # Imported when needed: it takes a tenth of a second, and a database needs it once.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "qt_events.history.stores:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
