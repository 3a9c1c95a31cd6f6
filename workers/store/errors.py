"""What can go wrong with the store, in words that never hold a password."""

from qt_events import QtEventsError, UsageError


class StoreError(QtEventsError):
    """The database did not do its part; as this class itself, for good: no right, no database, no such value."""


class InvalidStoreUrlError(StoreError, UsageError):
    """A database URL that means nothing, or for which a driver is missing."""


class StoreUnavailableError(StoreError):
    """The database is locked, full or away: worth another try. Nothing of what was to be written is written."""


class StoreSchemaError(StoreError):
    """The database was made by a newer version of this program."""
