"""First schema: events, fates, bookmarks."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


# Compared by code points, as Python and SQLite do it: the beginning of a text is a range.
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _sequence() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("sequence", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    _create_events()
    _create_fates()
    _create_bookmarks()


def _create_events() -> None:
    op.create_table(
        "history_events",
        _sequence(),
        sa.Column("type", _NAME, nullable=False),
        sa.Column("source", _NAME, nullable=False),
        sa.Column("id", _NAME, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sa.Column("correlation_id", _NAME, nullable=False),
        sa.Column("causation_id", _NAME),
        sa.Column("content_type", _NAME, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("history_events_by_id", "history_events", ["id", "source"], unique=True)
    op.create_index("history_events_by_type", "history_events", ["type", "sequence"])
    op.create_index("history_events_by_time", "history_events", ["time"])
    op.create_index(
        "history_events_by_correlation", "history_events", ["correlation_id", "sequence"]
    )
    op.create_index("history_events_by_causation", "history_events", ["causation_id"])


def _create_fates() -> None:
    op.create_table(
        "history_fates",
        _sequence(),
        sa.Column("event_id", _NAME, nullable=False),
        sa.Column("event_source", _NAME, nullable=False),
        sa.Column("event_type", _NAME, nullable=False),
        sa.Column("subscription", _NAME, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float(53)),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("outcome", _NAME, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("delay", sa.Float(53)),
        sa.Column("replayed", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "history_fates_once",
        "history_fates",
        ["event_id", "event_source", "subscription", "attempt", "outcome", "at"],
        unique=True,
    )
    unfinished = sa.text("outcome IN ('dead', 'given_back', 'retried')")
    op.create_index(
        "history_fates_unfinished",
        "history_fates",
        ["outcome"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_index("history_fates_by_time", "history_fates", ["at"])


def _create_bookmarks() -> None:
    op.create_table(
        "history_bookmarks",
        sa.Column("replay_id", _NAME, primary_key=True),
        sa.Column("subscription", _NAME, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
