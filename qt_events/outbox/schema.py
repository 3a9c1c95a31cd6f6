"""Schema: the tables made, brought up to date, or refused."""

import sqlalchemy as sa

from qt_events.databases.urls import shown
from qt_events.outbox.errors import OutboxSchemaError
from qt_events.outbox.migrations import HEAD, migrations
from qt_events.outbox.tables import metadata

# Any number, the same in all processes.
_LOCK = 7_105_716_003


def make_tables(connection: sa.Connection) -> None:
    """Make the tables if there are none; refuse those of another release."""
    found = migrations.version_of(connection)
    if found is None and not _are_yours(connection):
        upgrade(connection)
    elif found is not None and found < HEAD:
        raise OutboxSchemaError(
            f"{_place(connection)} has outbox tables of version {found}, this release needs "
            f"{HEAD}: run `qt-events outbox upgrade --store URL`"
        )
    elif found is not None and found > HEAD:
        raise OutboxSchemaError(
            f"{_place(connection)} has outbox tables of version {found}, this release knows "
            f"{HEAD}: run `pip install --upgrade 'qt-events[outbox]'`"
        )


def upgrade(connection: sa.Connection) -> None:
    """Make the tables, or bring those of an older release up to date."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    # Another process may have done it meanwhile.
    if (migrations.version_of(connection) or "") < HEAD:
        migrations.upgrade(connection)


def _are_yours(connection: sa.Connection) -> bool:
    """Tell whether migrations of the user's own have made the tables, and made them right."""
    found = sa.inspect(connection)
    there = [each for each in metadata.sorted_tables if found.has_table(each.name)]
    missing = [
        f"{table.name}.{column.name}"
        for table in there
        for column in table.columns
        if column.name not in {each["name"] for each in found.get_columns(table.name)}
    ]
    missing += [each.name for each in metadata.sorted_tables if there and each not in there]
    if missing:
        raise OutboxSchemaError(
            f"{_place(connection)} has outbox tables of your own migrations, without "
            f"{', '.join(sorted(missing))}: have Alembic compare qt_events.outbox.metadata"
        )
    return bool(there)


def _place(connection: sa.Connection) -> str:
    return shown(connection.engine.url)
