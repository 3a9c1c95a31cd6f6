"""Migrations: versions of the schema."""

from qt_events.databases.migrating import Migrations

HEAD = "0002"
VERSION_TABLE = "outbox_version"
migrations = Migrations("qt_events.outbox:migrations", VERSION_TABLE, HEAD)
