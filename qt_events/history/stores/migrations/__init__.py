"""Migrations: versions of the schema."""

from qt_events.databases.migrating import Migrations

HEAD = "0001"
VERSION_TABLE = "history_version"
_migrations = Migrations("qt_events.history.stores:migrations", VERSION_TABLE, HEAD)

version_of, upgrade = _migrations.version_of, _migrations.upgrade
