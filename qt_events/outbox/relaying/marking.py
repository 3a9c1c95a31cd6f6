"""Marking: what became of rows, in one statement for all that were sent; and old rows pruned."""

import json
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from qt_events.outbox.relaying.claiming import Settled
from qt_events.outbox.tables import DEAD, SENT, events, now_microseconds

#: Rows with a reason that are written one by one, at most.
_HELD = 100
_MICROSECONDS = 1_000_000
_WAITS = sa.text("state = 0")


def mark(connection: sa.Connection, settled: Settled) -> None:
    """Write down what became of the rows of one turn."""
    if settled.sent:
        connection.execute(
            sa.update(events)
            .where(_one_of(connection, settled.sent), _WAITS)
            .values(state=SENT, ended_at=now_microseconds(), reason=None)
        )
    for sequence, reason in settled.dead:
        connection.execute(
            sa.update(events)
            .where(events.c.sequence == sequence, _WAITS)
            .values(state=DEAD, ended_at=now_microseconds(), reason=reason)
        )
    for sequence, reason in settled.held[:_HELD]:
        connection.execute(
            sa.update(events)
            .where(events.c.sequence == sequence, _WAITS)
            .where(events.c.reason.is_distinct_from(reason))
            .values(reason=reason)
        )


def prune(connection: sa.Connection, keep: float, limit: int = 1000) -> int:
    """Remove rows that were sent longer than `keep` seconds ago, by the database's clock."""
    before = now_microseconds() - sa.literal(int(keep * _MICROSECONDS), sa.BigInteger)
    old = sa.select(events.c.sequence).where(sa.text("state = 1"), events.c.ended_at < before)
    chosen = list(connection.scalars(old.limit(limit)))
    if chosen:
        connection.execute(sa.delete(events).where(_one_of(connection, chosen)))
    return len(chosen)


def _one_of(connection: sa.Connection, sequences: Sequence[int]) -> sa.ColumnElement[bool]:
    """Compare with any number of sequences, by one parameter."""
    if connection.dialect.name == "postgresql":
        return events.c.sequence == sa.any_(sa.literal(sequences, ARRAY(sa.BigInteger)))
    every = sa.func.json_each(json.dumps(sequences))
    return events.c.sequence.in_(sa.select(every.table_valued("value").c.value))
