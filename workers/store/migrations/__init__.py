"""The schema's versions, and how a database gets to the newest."""

import sqlalchemy as sa

from workers.store.errors import StoreSchemaError

HEAD = "0001"
_LOCK = 7_105_716_001  # any number, the same for every process of this program


def upgrade(connection: sa.Connection, name: str) -> None:
    """Bring the database up to date, in the transaction that `connection` is in; whoever comes second finds it done.

    Raises:
        StoreSchemaError: it is newer than this program.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction itself is the lock
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        message = f"the database {name} has schema {found}, this program knows up to {HEAD}: update the program"
        raise StoreSchemaError(message)
    _migrate(connection)


def is_current(connection: sa.Connection) -> bool:
    """Whether there is nothing to do."""
    return _version(connection) == HEAD


def _version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM alembic_version"
    ).scalar()
    return version


def _migrate(connection: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415  # a tenth of a second, once in a database's life
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "workers.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
