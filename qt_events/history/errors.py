"""Errors of the history. Their texts never hold a password."""

from qt_events.errors import InvalidOptionError, InvalidUrlError, QtEventsError, UsageError


class HistoryError(QtEventsError):
    """Root of what can be wrong with a history."""


class InvalidHistoryUrlError(HistoryError, InvalidUrlError):
    """URL of a wrong form, or one whose driver is not installed."""


class MissingExtraError(HistoryError, UsageError):
    """Package of the extra `history` that is not installed."""


class NoHistoryError(HistoryError, UsageError):
    """Database in which nothing was ever recorded: perhaps another one is meant."""


class HistorySchemaError(HistoryError):
    """Database with tables of another release; the text says which command mends that."""


class HistoryUnavailableError(HistoryError):
    """Database that is away, locked, full or not to be written. It may work again later."""


class RefusedRowError(HistoryError):
    """Event or fate that the database does not take, now or ever; others it does."""


class ChangedRowError(HistoryError):
    """Row that cannot be read, because somebody changed it; the text says which."""


class InvalidWhereError(HistoryError, InvalidOptionError):
    """Condition on a payload that has another form; its notes show the place."""


class UnknownEventIdError(HistoryError):
    """Id of no event that is kept."""


class AmbiguousEventIdError(HistoryError):
    """Id, or beginning of one, of several events; the notes list them."""


class UnheardPatternError(HistoryError, InvalidOptionError):
    """Replay of events to a subscription that does not hear them."""


class UnknownReplayError(HistoryError):
    """Id of no replay that was begun."""


class ReplayTakenOverError(HistoryError):
    """Replay that another process goes on with: two at once would send everything twice."""
