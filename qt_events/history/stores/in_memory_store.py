"""InMemoryStore: a history for tests and for the in-memory bus; gone with its process."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from threading import RLock

from qt_events.delivery.telling.fates import Fate
from qt_events.events.raw import RawEvent
from qt_events.history.filters import EVERY_EVENT, EventFilter
from qt_events.history.store import (
    PAGE,
    Bookmark,
    Pruned,
    StoredEvent,
    StoreStats,
    number_in_page,
)


class InMemoryStore:
    """See Store."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._sequence = 0
        # By id and source, in the order of recording.
        self._events: dict[tuple[str, str], StoredEvent] = {}
        # In the order in which they were told.
        self._fates: dict[tuple[object, ...], Fate] = {}
        self._bookmarks: dict[str, Bookmark] = {}

    def __str__(self) -> str:
        return "memory"

    def append(self, events: Sequence[RawEvent]) -> int:
        """See Store."""
        now = datetime.now(UTC)
        with self._lock:
            before = len(self._events)
            for event in events:
                if (event.id, event.source) not in self._events:
                    self._sequence += 1
                    stored = StoredEvent(self._sequence, now, event)
                    self._events[event.id, event.source] = stored
            return len(self._events) - before

    def append_fates(self, fates: Sequence[Fate]) -> int:
        """See Store."""
        with self._lock:
            before = len(self._fates)
            for each in fates:
                once = (*_owner(each), each.subscription, each.attempt, each.outcome, each.at)
                self._fates.setdefault(once, each)
            return len(self._fates) - before

    def page(
        self,
        which: EventFilter = EVERY_EVENT,
        *,
        after: int = 0,
        limit: int = PAGE,
        newest_first: bool = False,
    ) -> list[StoredEvent]:
        """See Store."""
        with self._lock:
            found = list(self._fitting(which))
        if newest_first:
            found = [each for each in reversed(found) if not after or each.sequence < after]
        else:
            found = [each for each in found if each.sequence > after]
        found = found[:limit]
        return found[: number_in_page(len(each.event.body) for each in found)]

    def count(self, which: EventFilter = EVERY_EVENT) -> int:
        """See Store."""
        with self._lock:
            return sum(1 for _ in self._fitting(which))

    def _fitting(self, which: EventFilter) -> Iterator[StoredEvent]:
        fits = [each for each in self._events.values() if which.matches(each.event)]
        if not which.asks_for_fates:
            return iter(fits)
        told: dict[tuple[str, str], list[Fate]] = {}
        for each in self._fates.values():
            told.setdefault(_owner(each), []).append(each)
        return (
            each
            for each in fits
            if which.matches_fates(told.get((each.event.id, each.event.source), ()))
        )

    def beginning_with(
        self, prefix: str, *, source: str | None = None, limit: int
    ) -> list[StoredEvent]:
        """See Store."""
        with self._lock:
            keys = [
                key
                for key in self._events
                if key[0].startswith(prefix) and source in {None, key[1]}
            ]
            return [self._events[key] for key in sorted(keys)[:limit]]

    def fates_of(self, event_ids: Collection[str]) -> list[Fate]:
        """See Store."""
        with self._lock:
            return [each for each in self._fates.values() if each.event_id in event_ids]

    def prune(self, which: EventFilter, limit: int = PAGE) -> Pruned:
        """See Store."""
        with self._lock:
            owners = {(each.event.id, each.event.source) for each in self.page(which, limit=limit)}
            for each in owners:
                del self._events[each]
            if owners:
                gone = [once for once, fate in self._fates.items() if _owner(fate) in owners]
            else:
                strays = (once for once, fate in self._fates.items() if self._strays(fate, which))
                gone = list(islice(strays, limit))
            for once in gone:
                del self._fates[once]
            return Pruned(len(owners), len(gone))

    def _strays(self, fate: Fate, which: EventFilter) -> bool:
        return (
            which.pattern == "#"
            and not which.equal
            and _owner(fate) not in self._events
            and (which.since is None or which.since <= fate.at)
            and (which.until is None or fate.at < which.until)
        )

    def stats(self) -> StoreStats:
        """See Store. `bytes` are those of the bodies."""
        with self._lock:
            events = [each.event for each in self._events.values()]
            times = [each.time for each in events]
            by_type = Counter(each.type for each in sorted(events, key=lambda each: each.type))
            return StoreStats(
                events=len(events),
                fates=len(self._fates),
                bytes=sum(len(each.body) for each in events),
                first=min(times, default=None),
                last=max(times, default=None),
                by_type=dict(by_type.most_common()),
            )

    def bookmark(self, replay_id: str) -> Bookmark | None:
        """See Store."""
        with self._lock:
            return self._bookmarks.get(replay_id)

    def keep_bookmark(self, bookmark: Bookmark) -> None:
        """See Store."""
        with self._lock:
            self._bookmarks[bookmark.replay_id] = bookmark

    def upgrade(self) -> None:
        """See Store."""

    def close(self) -> None:
        """See Store."""


def _owner(fate: Fate) -> tuple[str, str]:
    return (fate.event_id, fate.event_source)
