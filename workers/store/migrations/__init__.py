"""Migrations: versions of the schema."""

import sqlalchemy as sa

from workers.store.errors import StoreSchemaError

HEAD = "0001"
#: Any number, the same for all processes of this program.
_LOCK = 7_105_716_001


def upgrade(connection: sa.Connection, name: str) -> None:
    """Bring the database up to date in the transaction of `connection`. Concurrent calls wait.

    Raises:
        StoreSchemaError: it is newer than this program.
    """
    # On SQLite the transaction itself is the lock.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StoreSchemaError(
            f"the database {name} has schema {found}, this program knows up to {HEAD}: "
            "update the program"
        )
    _migrate(connection)


def is_current(connection: sa.Connection) -> bool:
    """Return True if the database has the newest schema."""
    return _version(connection) == HEAD


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM alembic_version"
    ).scalar()
    return version


def _migrate(connection: sa.Connection) -> None:
    # Imported when needed: this takes a tenth of a second, and a database needs it once.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "workers.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
