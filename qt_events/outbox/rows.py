"""Rows of the outbox: an event on its way into the table, and out of it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.orm import registry

from qt_events.databases.columns import microseconds
from qt_events.events.attributes import checked_text
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.outbox.tables import SLOTS, events

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Channel by which PostgreSQL wakes relays.
CHANNEL = "qt_events_outbox"

#: Returns the key of an event: events of one key go one after the other.
Key = Callable[[Event[Any]], str]


class Row(NamedTuple):
    """Columns that the outbox fills."""

    type: str
    id: str
    source: str
    time: int
    correlation_id: str
    causation_id: str | None
    body: bytes
    ordering_key: str
    slot: int


def row_of(event: Event[Any], key: str | None) -> Row:
    """Return the row of an event; its key is its correlation id unless given.

    Raises:
        InvalidEventError: the key is no printable text of 1 to 255 bytes.
        InvalidPayloadError: no consumer would read the event; see `encode`.
    """
    correlation_id = event.correlation_id
    key = correlation_id if key is None else checked_text("the ordering key", key)
    return Row(
        event.type,
        event.id,
        event.source,
        microseconds(event.timestamp),
        correlation_id,
        event.causation_id,
        encode(event),
        key,
        crc32(key.encode()) % SLOTS,
    )


class Waiting(NamedTuple):
    """An event that waits, as a relay reads it."""

    sequence: int
    ordering_key: str
    type: str
    id: str
    source: str
    time: int
    correlation_id: str
    causation_id: str | None
    body: bytes

    def as_raw(self) -> RawEvent:
        """Return the event as it goes on the wire."""
        return RawEvent(
            self.type,
            self.id,
            self.source,
            _EPOCH + timedelta(microseconds=self.time),
            self.correlation_id,
            self.causation_id,
            CONTENT_TYPE,
            self.body,
        )


#: Columns of `Waiting`.
WAITING_COLUMNS: Sequence[sa.Column[Any]] = [events.c[each] for each in Waiting._fields]


class OutboxRow:
    """Row as an object of an AsyncSession, which writes it as it writes your own."""

    def __init__(self, row: Row) -> None:
        for name, value in zip(Row._fields, row, strict=True):
            setattr(self, name, value)


registry().map_imperatively(OutboxRow, events)


_POSTGRESQL_TYPES = {"time": "bigint", "body": "bytea", "slot": "smallint"}


def insertion(dialect: sa.Dialect | str, *, notify: bool) -> str:
    """Return the statement that adds one row, with the driver's placeholders.

    On PostgreSQL it wakes the relays, too: at the commit, and once however many rows there are.
    """
    style = dialect if isinstance(dialect, str) else dialect.paramstyle
    numbers = range(1, len(Row._fields) + 1)
    places = {
        "qmark": ["?" for _ in numbers],
        "numeric_dollar": [f"${number}" for number in numbers],
    }.get(style, ["%s" for _ in numbers])
    into = f"INSERT INTO {events.name} ({', '.join(Row._fields)})"
    if not notify:
        return f"{into} VALUES ({', '.join(places)})"
    # Not RETURNING: a statement with a result takes half as long again.
    cast = [
        f"CAST({place} AS {_POSTGRESQL_TYPES.get(name, 'text')})"
        for name, place in zip(Row._fields, places, strict=True)
    ]
    return f"{into} SELECT {', '.join(cast)} FROM pg_notify('{CHANNEL}', '')"  # noqa: S608  # names of ours
