"""Errors of the store. Their texts never hold a password."""

from qt_events import QtEventsError, UsageError


class StoreError(QtEventsError):
    """The database has refused, for good: no right, no database, or an impossible value."""


class InvalidStoreUrlError(StoreError, UsageError):
    """A database URL has a wrong form, or its driver is missing."""


class StoreUnavailableError(StoreError):
    """The database is locked, full or away, and nothing was written. It may work later."""


class StoreSchemaError(StoreError):
    """The database was made by a newer version of this program."""
