"""Tables, as the last migration leaves them.

Their names begin with `history_`: the database may be one that has tables of its own.
"""

from typing import Any

import sqlalchemy as sa

from qt_events.databases.columns import Name, Time, Words

metadata = sa.MetaData()

#: Fates that the index of outcomes has, few of many: those of dead letters and of more to come.
UNFINISHED = "outcome IN ('dead', 'given_back', 'retried')"


def _sequence() -> sa.Column[Any]:
    # Only an INTEGER PRIMARY KEY grows by itself on SQLite; it has 64 bits there.
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("sequence", kind, primary_key=True, autoincrement=True)


events = sa.Table(
    "history_events",
    metadata,
    _sequence(),
    sa.Column("type", Name, nullable=False),
    sa.Column("source", Name, nullable=False),
    sa.Column("id", Name, nullable=False),
    sa.Column("time", Time, nullable=False),
    sa.Column("recorded_at", Time, nullable=False),
    sa.Column("correlation_id", Name, nullable=False),
    sa.Column("causation_id", Name),
    sa.Column("content_type", Name, nullable=False),
    # As on the wire.
    sa.Column("body", sa.LargeBinary, nullable=False),
    # The id comes first: it is looked for without its source, too.
    sa.Index("history_events_by_id", "id", "source", unique=True),
    sa.Index("history_events_by_type", "type", "sequence"),
    sa.Index("history_events_by_time", "time"),
    # In the order of the pages: PostgreSQL would else read the whole table in that order.
    sa.Index("history_events_by_correlation", "correlation_id", "sequence"),
    sa.Index("history_events_by_causation", "causation_id"),
    # Else SQLite would give the number of a pruned event to a new one.
    sqlite_autoincrement=True,
)

fates = sa.Table(
    "history_fates",
    metadata,
    _sequence(),
    sa.Column("event_id", Name, nullable=False),
    sa.Column("event_source", Name, nullable=False),
    sa.Column("event_type", Name, nullable=False),
    sa.Column("subscription", Name, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    # The end of the attempt.
    sa.Column("at", Time, nullable=False),
    sa.Column("seconds", sa.Float(53)),
    sa.Column("worker", Words, nullable=False),
    sa.Column("outcome", Name, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("message", Words, nullable=False),
    # Seconds until the next attempt.
    sa.Column("delay", sa.Float(53)),
    sa.Column("replayed", sa.Boolean, nullable=False),
    sa.Index(
        "history_fates_once",
        *("event_id", "event_source", "subscription", "attempt", "outcome", "at"),
        unique=True,
    ),
    sa.Index(
        "history_fates_unfinished",
        "outcome",
        sqlite_where=sa.text(UNFINISHED),
        postgresql_where=sa.text(UNFINISHED),
    ),
    sa.Index("history_fates_by_time", "at"),
    sqlite_autoincrement=True,
)

bookmarks = sa.Table(
    "history_bookmarks",
    metadata,
    sa.Column("replay_id", Name, primary_key=True),
    sa.Column("subscription", Name, nullable=False),
    sa.Column("request", Words, nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
)
