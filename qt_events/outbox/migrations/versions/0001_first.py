"""First schema: events that wait, are sent or dead, and leases."""

import sqlalchemy as sa
from alembic import op

from qt_events.outbox.tables import now_microseconds

revision = "0001"
down_revision = None


def upgrade() -> None:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "outbox_events",
        sa.Column("sequence", kind, primary_key=True, autoincrement=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("causation_id", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("ordering_key", sa.Text, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("added_at", sa.BigInteger, nullable=False, server_default=now_microseconds()),
        sa.Column("state", sa.SmallInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sqlite_autoincrement=True,
    )
    _index("outbox_events_waiting", ["slot", "sequence"], "state = 0")
    _index("outbox_events_sent", ["ended_at"], "state = 1")
    _index("outbox_events_dead", ["sequence"], "state = 2")
    op.create_table(
        "outbox_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
    )


def _index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "outbox_events", columns, sqlite_where=where, postgresql_where=where)
