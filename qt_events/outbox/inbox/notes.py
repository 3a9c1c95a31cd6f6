"""Notes: the table of what was handled, by which subscription, and when."""

import sqlalchemy as sa

from qt_events.outbox.inbox.keys import Key
from qt_events.outbox.tables import metadata, now_microseconds

#: A row for each event that a subscription has handled.
handled = sa.Table(
    "outbox_handled",
    metadata,
    sa.Column("subscription", sa.Text, primary_key=True),
    # As keys.Key has them.
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    # Microseconds since 1970, by the clock of the database: that is one for all processes.
    sa.Column("at", sa.BigInteger, nullable=False, server_default=now_microseconds()),
    sa.Index("outbox_handled_by_age", "subscription", "at"),
)


def noting(dialect: sa.Dialect) -> str:
    """Return the statement that notes an event, with the driver's placeholders.

    Where another transaction has noted it and not ended yet, the statement waits for that. It
    returns a row, or none if the event was handled before: not every driver counts rows.
    """
    names = ("subscription", "source", "key")
    if dialect.paramstyle == "qmark":
        places = "?, ?, ?"
    else:
        places = "$1, $2, $3" if dialect.paramstyle == "numeric_dollar" else "%s, %s, %s"
    # As text: a construct of SQLAlchemy's would take as long as all the rest of the inbox.
    return (
        f"INSERT INTO {handled.name} ({', '.join(names)}) VALUES ({places}) "  # noqa: S608  # names of ours
        "ON CONFLICT DO NOTHING RETURNING 1"
    )


def note_of(subscription: str, key: Key) -> tuple[str, str, str]:
    """Return the parameters of that statement."""
    return subscription, *key


def forgetting(subscription: str, window: float, most: int) -> sa.Delete:
    """Return the statement that deletes the oldest of those before a window; `most` of them."""
    own = sa.tuple_(*handled.primary_key.columns)
    oldest = (
        sa.select(*handled.primary_key.columns)
        .where(
            handled.c.subscription == subscription,
            handled.c.at < now_microseconds() - int(window * 1e6),
        )
        .order_by(handled.c.at)
        .limit(most)
        # Two processes prune at a time, and must not wait for each other's rows. SQLite has no such
        # clause, and one writer.
        .with_for_update(skip_locked=True)
    )
    return sa.delete(handled).where(own.in_(oldest))
