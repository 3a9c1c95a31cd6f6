"""Alembic runs this for each command: on the connection, and in the transaction, of whoever asks."""

from alembic import context

from workers.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
