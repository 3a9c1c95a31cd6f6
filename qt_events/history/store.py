"""Store: what a history needs of the place where it keeps events, fates and bookmarks.

Its methods block; History calls them in a thread. One test suite runs on all stores.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate, islice, takewhile
from typing import NamedTuple, Protocol

from qt_events.delivery.telling.fates import Fate
from qt_events.events.raw import RawEvent
from qt_events.history.filters import EVERY_EVENT, EventFilter

#: Rows of a page, and of a transaction that prunes.
PAGE = 500
#: Bytes of bodies in a page, unless one event alone has more.
PAGE_BYTES = 32 * 1024 * 1024


class StoredEvent(NamedTuple):
    """An event with its place in the history."""

    #: Grows in the order in which events were recorded; has gaps, is never used twice.
    sequence: int
    recorded_at: datetime
    event: RawEvent


class Bookmark(NamedTuple):
    """Progress of a replay."""

    replay_id: str
    subscription: str
    #: What it was asked for, and what it has done, as JSON; see replay_request.py.
    request: str
    #: The last event that it has gone through.
    sequence: int
    updated_at: datetime


class Pruned(NamedTuple):
    """Numbers of rows that one transaction has removed."""

    events: int
    fates: int


class StoreStats(NamedTuple):
    """Size of a history."""

    events: int
    fates: int
    #: Of all tables with their indexes.
    bytes: int
    #: Times of the oldest and of the newest event; None if there is none.
    first: datetime | None
    last: datetime | None
    #: Events by type, the most frequent type first.
    by_type: dict[str, int]


class Store(Protocol):
    """A place where events are kept. Threads may share it.

    All methods raise HistoryUnavailableError if the store cannot be used now, and
    HistorySchemaError if it is another release's.
    """

    def append(self, events: Sequence[RawEvent]) -> int:
        """Keep all events in one transaction, and return how many of them are new.

        An event that is kept already, by source and id, stays as it is. Who reads all events up to
        some sequence has missed none: a later one never appears before it.

        Raises:
            RefusedRowError: the store takes one of them at no time; nothing was kept.
        """

    def append_fates(self, fates: Sequence[Fate]) -> int:
        """Keep fates in one transaction, each once, and return how many are new."""

    def page(
        self,
        which: EventFilter = EVERY_EVENT,
        *,
        after: int = 0,
        limit: int = PAGE,
        newest_first: bool = False,
    ) -> list[StoredEvent]:
        """Return the next events behind the sequence `after`, in the order of their recording.

        They are fewer than `limit` if their bodies are large (PAGE_BYTES), but none only at the
        end. `newest_first` begins with the newest, or with the next older one than `after`.
        """

    def beginning_with(
        self, prefix: str, *, source: str | None = None, limit: int
    ) -> list[StoredEvent]:
        """Return events whose id begins so, of one source if given, in the order of their ids."""

    def count(self, which: EventFilter = EVERY_EVENT) -> int:
        """Return the number of events."""

    def fates_of(self, event_ids: Collection[str]) -> list[Fate]:
        """Return the fates of events with these ids, in the order in which they were told."""

    def prune(self, which: EventFilter, limit: int = PAGE) -> Pruned:
        """Remove at most `limit` events and their fates.

        If no event is left, and no more than times was asked for, fates of no event go too: they
        were told late, or their event was never recorded. Call it until nothing more is removed.
        Another process may record meanwhile.
        """

    def stats(self) -> StoreStats:
        """Return sizes and numbers."""

    def bookmark(self, replay_id: str) -> Bookmark | None:
        """Return how far a replay has come; None for one that is not known."""

    def keep_bookmark(self, bookmark: Bookmark) -> None:
        """Keep a bookmark in place of the replay's earlier one."""

    def upgrade(self) -> None:
        """Bring the tables of an older release up to date.

        Raises:
            NoHistoryError: there are none.
        """

    def close(self) -> None:
        """Close its connections. It may be used again."""


def every_page(
    store: Store,
    which: EventFilter = EVERY_EVENT,
    *,
    after: int = 0,
    limit: int = PAGE,
    newest_first: bool = False,
) -> Iterator[list[StoredEvent]]:
    """Return all pages, one at a time: any number of events, never more than `limit` of them."""
    while page := store.page(which, after=after, limit=limit, newest_first=newest_first):
        yield page
        after = page[-1].sequence


def number_in_page(sizes: Iterable[int]) -> int:
    """Return how many of the next events fit into a page, by the sizes of their bodies."""
    within = (total <= PAGE_BYTES for total in accumulate(sizes))
    # The first one fits, whatever its size.
    return 1 + sum(1 for _ in takewhile(bool, islice(within, 1, None)))


def share_of_page(limit: int) -> int:
    """Return the largest size of a body of which `limit` fit into a page."""
    return PAGE_BYTES // limit
