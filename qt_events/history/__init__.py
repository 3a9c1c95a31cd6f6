"""History: every event and its fate, kept and asked for. The extra `history`.

history.py           History, the part that users see
recorder.py          the handlers that keep events and fates
store.py             Store: what a history needs of the place where it keeps things
in_memory_store.py   a Store for tests and the in-memory bus
sql_store.py         a Store in SQLite or PostgreSQL
filters.py           EventFilter: which events are meant
where.py             Where: conditions on the fields of a payload
asking.py            questions to a store
stories.py           Story: what one subscription told of one event
comparison.py        what a rerun published against what the history has, by causation
rerunning.py         root events once more through an app's subscriptions, in memory
trace.py             Conversation: events below their causes
replay.py            Replayed: events sent to one subscription again
replay_request.py    ReplayRequest: what a replay was asked for, and how far it is
words.py             fates in words
drawing.py           a conversation as a tree of lines, or as a Mermaid flowchart
schema.py            the tables
insertion.py         many rows, each unless it is there
columns.py           columns for hostile texts and for times
database.py          connections, transactions, named errors
sqlite.py            what SQLite does in its own way
postgresql.py        what PostgreSQL does in its own way
migrations/          versions of the schema
errors.py            the errors
"""

from qt_events.history.errors import (
    AmbiguousEventIdError,
    HistoryError,
    HistorySchemaError,
    HistoryUnavailableError,
    InvalidHistoryUrlError,
    InvalidWhereError,
    MissingExtraError,
    NoHistoryError,
    RefusedRowError,
    UnheardPatternError,
    UnknownEventIdError,
    UnknownReplayError,
)
from qt_events.history.filters import EventFilter
from qt_events.history.history import History
from qt_events.history.replay import Replayed
from qt_events.history.rerunning import Rerun, rerun

__all__ = [
    "AmbiguousEventIdError",
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
    "Replayed",
    "Rerun",
    "UnheardPatternError",
    "UnknownEventIdError",
    "UnknownReplayError",
    "rerun",
]
