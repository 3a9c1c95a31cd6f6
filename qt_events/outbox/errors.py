"""Errors of the outbox. Their texts never hold a password."""

from qt_events.errors import InvalidUrlError, QtEventsError, UsageError


class OutboxError(QtEventsError):
    """Root of what can be wrong with an outbox."""


class MissingExtraError(OutboxError, UsageError):
    """Package of the extra `outbox` that is not installed."""


class InvalidOutboxUrlError(OutboxError, InvalidUrlError):
    """URL of a wrong form, or one whose driver is not installed."""


class NoTransactionError(OutboxError, UsageError):
    """Event added outside a transaction, where nothing would tie it to your rows."""


class WrongEngineError(OutboxError, UsageError):
    """Engine, session or connection of another kind, or of another database than the outbox's."""


class SqliteBeginError(OutboxError, UsageError):
    """Engine for SQLite whose transactions do not begin by BEGIN IMMEDIATE; see the text."""


class NotAwaitedError(OutboxError, UsageError):
    """Event added to an AsyncConnection without `await`: its transaction is not committed."""


class OutboxSchemaError(OutboxError):
    """Database without the outbox's tables, or with those of another release."""


class OutboxUnavailableError(OutboxError):
    """Database that is away, locked, full or not to be written. It may work again later."""


class UnknownRowError(OutboxError):
    """Id of no event that could be sent again."""
