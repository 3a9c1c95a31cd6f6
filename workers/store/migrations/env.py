"""Alembic's environment: migrations run on the caller's connection, in its transaction."""

from alembic import context

from workers.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
