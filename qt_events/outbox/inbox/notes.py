"""Notes: the table of what was handled, by which subscription, and when."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from qt_events.outbox.inbox.keys import Key
from qt_events.outbox.tables import metadata

_MICROSECOND = timedelta(microseconds=1)

#: A row for each event that a subscription has handled.
handled = sa.Table(
    "outbox_handled",
    metadata,
    sa.Column("subscription", sa.Text, primary_key=True),
    # As keys.Key has them.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    # Microseconds since 1970, by the clock of the database: that is one for all processes.
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("outbox_handled_by_age", "subscription", "at"),
)

_NOW = {
    "sqlite": "CAST(strftime('%s', 'now') AS INTEGER) * 1000000",
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
}
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _now(dialect: str) -> Any:
    return sa.literal_column(_NOW[dialect], sa.BigInteger)


def noting(dialect: str) -> sa.Insert:
    """Return the statement that notes an event, unless that is done already.

    Where another transaction has noted it and not ended yet, the statement waits for that. Its
    `rowcount` is 1, or 0 if the event was handled before.
    """
    names = ("subscription", "source", "key")
    values = {name: sa.bindparam(name) for name in names}
    insert: Any = _INSERT[dialect](handled).values(**values, at=_now(dialect))
    statement: sa.Insert = insert.on_conflict_do_nothing()
    return statement


def note_of(subscription: str, key: Key) -> dict[str, str]:
    """Return the parameters of that statement."""
    source, text = key
    return {"subscription": subscription, "source": source, "key": text}


def forgetting(dialect: str, subscription: str, window: timedelta, most: int) -> sa.Delete:
    """Return the statement that deletes the oldest notes before a window; `most` of them."""
    own = sa.tuple_(*handled.primary_key.columns)
    oldest = (
        sa.select(*handled.primary_key.columns)
        .where(
            handled.c.subscription == subscription,
            handled.c.at < _now(dialect) - window // _MICROSECOND,
        )
        .order_by(handled.c.at)
        .limit(most)
        # Two processes prune at a time, and must not wait for each other's rows. SQLite has no such
        # clause, and one writer.
        .with_for_update(skip_locked=True)
    )
    return sa.delete(handled).where(own.in_(oldest))
