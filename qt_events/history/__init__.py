"""History: every event and its fate, kept and asked for. The extra `history`.

history.py           History, the part that users see
recorder.py          the handlers that keep events and fates
past.py              what a new subscription gets that begins with old events
store.py             Store: what a history needs of the place where it keeps things
stores/              where it keeps them: memory, SQLite, PostgreSQL
filters.py           EventFilter: which events are meant
where.py             Where: conditions on the fields of a payload
asking.py            questions to a store
conversations/       answers: what became of an event, and what followed from it
replaying/           events sent again, and days run again
errors.py            the errors
"""

from qt_events.history.errors import (
    AmbiguousEventIdError,
    ChangedRowError,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailableError,
    InvalidHistoryUrlError,
    InvalidWhereError,
    MissingExtraError,
    NoHistoryError,
    RefusedRowError,
    ReplayTakenOverError,
    UnheardPatternError,
    UnknownEventIdError,
    UnknownReplayError,
)
from qt_events.history.filters import EventFilter
from qt_events.history.history import History
from qt_events.history.replaying.replay import Replayed
from qt_events.history.replaying.rerunning import Rerun, rerun

__all__ = [
    "AmbiguousEventIdError",
    "ChangedRowError",
    "EventFilter",
    "History",
    "HistoryError",
    "HistorySchemaError",
    "HistoryUnavailableError",
    "InvalidHistoryUrlError",
    "InvalidWhereError",
    "MissingExtraError",
    "NoHistoryError",
    "RefusedRowError",
    "ReplayTakenOverError",
    "Replayed",
    "Rerun",
    "UnheardPatternError",
    "UnknownEventIdError",
    "UnknownReplayError",
    "rerun",
]
