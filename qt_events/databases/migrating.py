"""Migrations: versions of a schema, made by Alembic in the caller's transaction."""

from typing import Any

import sqlalchemy as sa


class Migrations:
    """Migrations of one room.

    Args:
        place: their folder, as `package:folder`.
        table: the table that has the version.
        head: the newest version.
    """

    def __init__(self, place: str, table: str, head: str) -> None:
        self._place, self.table, self.head = place, table, head
        self._version: sa.Select[Any] = sa.select(sa.column("version_num", sa.String)).select_from(
            sa.table(table)
        )

    def version_of(self, connection: sa.Connection) -> str | None:
        """Return the version of the tables; None if there are none."""
        if not sa.inspect(connection).has_table(self.table):
            return None
        version: str | None = connection.scalar(self._version)
        return version

    def upgrade(self, connection: sa.Connection) -> None:
        """Make the tables, or bring them up to date, in the transaction of the connection."""
        # Imported when needed: it takes a tenth of a second, and a database needs it once.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", self._place)
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
