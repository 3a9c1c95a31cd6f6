"""Errors of inboxes."""

from qt_events.delivery.retry import RetryLater
from qt_events.errors import UsageError
from qt_events.outbox.errors import OutboxError


class InvalidKeyError(OutboxError, UsageError):
    """Business key that is no text, or too long: what `key=` returned for an event."""


class NoInboxError(OutboxError, UsageError):
    """current_inbox() outside of a handler that was subscribed with `inbox=`."""


class TransactionOverError(OutboxError, UsageError):
    """Use of a handler's transaction after its end, by a task or a thread that it left behind."""


class BrokenTransactionError(OutboxError):
    """Handler that returned though its transaction was rolled back, or ended by itself.

    None of its effects is kept, and the event is not noted as handled.
    """


class TransactionConflict(RetryLater):
    """Transaction that the database ended in favour of another: the event is handled again.

    A deadlock, a serialization failure, a lock that was not given in time. Nothing of it is kept.
    It is an attempt like any other, but `retry_on` and `give_up_on` are not asked.
    """

    __module__ = "qt_events.outbox"
