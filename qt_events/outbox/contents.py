"""Contents of an outbox: what waits, how old it is and why; what is dead, sent again."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from qt_events.outbox.errors import UnknownRowError
from qt_events.outbox.rows import WAITING_COLUMNS, Waiting
from qt_events.outbox.tables import DEAD, SENT, WAITING, events, now_microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000


class State(StrEnum):
    """State of an event in an outbox."""

    WAITING = "waiting"
    #: The broker has confirmed it; the row goes after a while.
    SENT = "sent"
    #: It was refused for good.
    DEAD = "dead"


_NUMBERS = {State.WAITING: WAITING, State.SENT: SENT, State.DEAD: DEAD}
_STATES = {number: state for state, number in _NUMBERS.items()}


class KeptEvent(NamedTuple):
    """An event in an outbox."""

    sequence: int
    type: str
    id: str
    source: str
    correlation_id: str
    ordering_key: str
    state: State
    added_at: datetime
    #: Seconds since it was added, by the database's clock.
    age: float
    #: Why it could not be sent, if that is known.
    reason: str | None
    #: CloudEvents JSON, as on the wire.
    body: bytes


class OutboxStats(NamedTuple):
    """Size of an outbox."""

    waiting: int
    dead: int
    #: Of those that are not pruned yet.
    sent: int
    #: Seconds since the oldest event that waits was added, by the database's clock; None: no event.
    oldest: float | None
    #: Events that wait, by type, the most first.
    by_type: dict[str, int]


_AGE = now_microseconds() - events.c.added_at


def kept_in(states: Sequence[State], limit: int, connection: sa.Connection) -> list[KeptEvent]:
    """Return the first events in these states, in the order of their adding."""
    columns = (*WAITING_COLUMNS, events.c.state, events.c.added_at, _AGE, events.c.reason)
    chosen = sa.select(*columns).where(events.c.state.in_([_NUMBERS[each] for each in states]))
    found = connection.execute(chosen.order_by(events.c.sequence).limit(limit))
    return [_kept(*row) for row in found]


def _kept(*row: Any) -> KeptEvent:
    event = Waiting(*row[: len(Waiting._fields)])
    state, added_at, age, reason = row[len(Waiting._fields) :]
    return KeptEvent(
        sequence=event.sequence,
        type=event.type,
        id=event.id,
        source=event.source,
        correlation_id=event.correlation_id,
        ordering_key=event.ordering_key,
        state=_STATES[state],
        added_at=_EPOCH + timedelta(microseconds=added_at),
        age=age / _SECOND,
        reason=reason,
        body=event.body,
    )


def stats_of(connection: sa.Connection) -> OutboxStats:
    """Return the size of an outbox."""
    counted = sa.select(events.c.state, sa.func.count()).group_by(events.c.state)
    by_state = {row[0]: row[1] for row in connection.execute(counted)}
    waits = events.c.state == WAITING
    oldest = connection.scalar(sa.select(sa.func.max(_AGE)).where(waits))
    by_type = sa.select(events.c.type, sa.func.count()).where(waits).group_by(events.c.type)
    types = {row[0]: row[1] for row in connection.execute(by_type)}
    return OutboxStats(
        waiting=by_state.get(WAITING, 0),
        dead=by_state.get(DEAD, 0),
        sent=by_state.get(SENT, 0),
        oldest=None if oldest is None else oldest / _SECOND,
        by_type=dict(sorted(types.items(), key=lambda each: (-each[1], each[0]))),
    )


def let_go_again(ids: Sequence[str], connection: sa.Connection) -> int:
    """Have dead events wait again; all if none is named. Return their number.

    Raises:
        UnknownRowError: one of them is not dead. Nothing has changed then.
    """
    again = sa.update(events).where(events.c.state == DEAD)
    again = again.values(state=WAITING, ended_at=None, reason=None)
    if not ids:
        return connection.execute(again).rowcount
    return sum(map(partial(_let_one_go, again, connection), ids))


def _let_one_go(again: sa.Update, connection: sa.Connection, event_id: str) -> int:
    found = connection.execute(again.where(events.c.id == event_id)).rowcount
    if not found:
        raise UnknownRowError(
            f"no event {event_id!r:.300} is dead in this outbox: "
            "`qt-events outbox list --state dead` shows those that are"
        )
    return found
