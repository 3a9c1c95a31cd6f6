"""What was handled: the notes of inboxes."""

import sqlalchemy as sa
from alembic import op

from qt_events.outbox.tables import now_microseconds

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "outbox_handled",
        sa.Column("subscription", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False, server_default=now_microseconds()),
    )
    op.create_index("outbox_handled_by_age", "outbox_handled", ["subscription", "at"])
