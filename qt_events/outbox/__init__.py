"""Outbox: events added in the transaction of the rows they are about. The extra `outbox`.

outbox.py      Outbox, the part that users see
joining.py     one row written in a transaction of the user's own
rows.py        an event as a row, and back
engines.py     engines checked, or made from a URL
transactions.py  transactions of the outbox's own, with named errors
tables.py      the tables
contents.py    what waits, what is dead
schema.py      the tables made, brought up to date, or refused
migrations/    versions of the schema
inbox/         what was handled, noted in the transaction of the handler
relaying/      events sent when they are committed
spool/         events on the local disk while the broker is away
errors.py      the errors
"""

try:
    import alembic  # noqa: F401
    import sqlalchemy.ext.asyncio  # noqa: F401
except ImportError as error:
    from qt_events.outbox.errors import MissingExtraError

    raise MissingExtraError(
        f"an outbox needs {error.name}: pip install 'qt-events[outbox]'"
    ) from None

from qt_events.outbox.contents import KeptEvent, OutboxStats, State
from qt_events.outbox.engines import begin_immediately
from qt_events.outbox.errors import (
    InvalidOutboxUrlError,
    MissingExtraError,
    NotAwaitedError,
    NoTransactionError,
    OutboxError,
    OutboxSchemaError,
    OutboxUnavailableError,
    SqliteBeginError,
    UnknownRowError,
    WrongEngineError,
)
from qt_events.outbox.inbox.errors import (
    BrokenTransactionError,
    InvalidKeyError,
    NoInboxError,
    TransactionConflict,
    TransactionOverError,
)
from qt_events.outbox.inbox.inbox import Inbox
from qt_events.outbox.inbox.transaction import HandlerTransaction, current_inbox
from qt_events.outbox.outbox import Outbox
from qt_events.outbox.tables import metadata

__all__ = [
    "BrokenTransactionError",
    "HandlerTransaction",
    "Inbox",
    "InvalidKeyError",
    "InvalidOutboxUrlError",
    "KeptEvent",
    "MissingExtraError",
    "NoInboxError",
    "NoTransactionError",
    "NotAwaitedError",
    "Outbox",
    "OutboxError",
    "OutboxSchemaError",
    "OutboxStats",
    "OutboxUnavailableError",
    "SqliteBeginError",
    "State",
    "TransactionConflict",
    "TransactionOverError",
    "UnknownRowError",
    "WrongEngineError",
    "begin_immediately",
    "current_inbox",
    "metadata",
]
