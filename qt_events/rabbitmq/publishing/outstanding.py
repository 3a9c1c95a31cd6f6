"""Outstanding: events that this process published or took and that lack an outcome here."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType

from qt_events.rabbitmq.connection.forking import renew_after_fork

_REMEMBERED = 10_000  # events of other publishers, or published before anybody here serves them
_FOLLOWED = 100_000  # own events while somebody here settles them


class Outstanding:
    """Subscriptions of this process that have not settled an event, by event. Safe from any thread.

    Any hashable object may stand for a subscription. `all_here` are those that hear the event: a
    tuple, which is kept as it is until the first of several has settled.

    Memory is bounded: beyond _FOLLOWED own events the oldest are not followed any more, and none
    are while other processes settle them too.
    """

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Start anew: a child has published nothing yet, and nobody there holds the lock."""
        self._own: OrderedDict[str, Collection[Hashable]] = OrderedDict()
        self._foreign: OrderedDict[str, Collection[Hashable]] = OrderedDict()
        self._waiting: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._most = _REMEMBERED
        #: Too many were outstanding: the oldest own events are not followed any more.
        self.overflowed = False
        #: Other processes have served the same subscriptions, and own events are not followed.
        self.shared = False

    def __len__(self) -> int:
        return len(self._own)

    @property
    def oldest(self) -> str | None:
        """Id of the own event that has waited for its outcomes longest."""
        with self._lock:
            return next(iter(self._own), None)

    def serve(self) -> None:
        """Begin a run: own events are settled here from now on."""
        self._most, self.overflowed, self.shared = _FOLLOWED, False, False

    def end(self) -> None:
        """End a run: nobody here settles own events now."""
        self._most = _REMEMBERED

    def share(self) -> None:
        """Follow no own events in this run: other processes settle some, and do not say which."""
        with self._lock:
            self.shared = True
            self._own.clear()
            self._wake()

    def published(self, event_id: str, all_here: tuple[Hashable, ...]) -> None:
        """Record an event that is about to be published, for these subscriptions to settle."""
        if not all_here or self.shared:
            return
        with self._lock:
            self._own[event_id] = all_here
            while len(self._own) > self._most:
                self._own.popitem(last=False)
                self.overflowed = True

    def goes_again(self, event_id: str, subscription: Hashable) -> None:
        """Follow an event that waits for its retry, if it may be one that fell out of the book."""
        if self.overflowed and event_id not in self._own:
            self.published(event_id, (subscription,))

    def forget(self, event_id: str) -> None:
        """Stop waiting for an event: it is unknown whether it was published."""
        with self._lock:
            self._own.pop(event_id, None)
            self._wake()

    def settled(
        self, event_id: str, subscription: Hashable, all_here: tuple[Hashable, ...]
    ) -> bool:
        """Record an outcome. Return True if it was the event's last one in this process."""
        with self._lock:
            return self._settle(event_id, subscription, all_here)

    def settled_together(
        self, events: Iterable[tuple[str, tuple[Hashable, ...]]], subscription: Hashable
    ) -> list[bool]:
        """Do what `settled` does, for events with those that hear them."""
        with self._lock:
            return [self._settle(each, subscription, all_here) for each, all_here in events]

    def _settle(
        self, event_id: str, subscription: Hashable, all_here: tuple[Hashable, ...]
    ) -> bool:
        events = self._own if event_id in self._own else self._foreign
        left = [each for each in events.pop(event_id, all_here) if each != subscription]
        if left:
            events[event_id] = left
            while len(self._foreign) > _REMEMBERED:
                self._foreign.popitem(last=False)
        else:
            self._wake()
        return not left

    def drop(self, subscription: Hashable) -> None:
        """Stop waiting for a subscription's outcomes: it is not served here any more."""
        with self._lock:
            for events in (self._own, self._foreign):
                for event_id in [each for each, left in events.items() if subscription in left]:
                    events[event_id] = [each for each in events[event_id] if each != subscription]
                    if not events[event_id]:
                        del events[event_id]
            self._wake()

    def expecting(self, event_id: str, all_here: tuple[Hashable, ...]) -> "_Expecting":
        """Return a context for publishing an event. An error inside makes it forgotten."""
        self.published(event_id, all_here)
        return _Expecting(self, event_id)

    async def idle(self) -> None:
        """Return when nothing of this process is outstanding."""
        loop, idle = asyncio.get_running_loop(), asyncio.Event()
        wake = partial(loop.call_soon_threadsafe, idle.set)
        with self._lock:
            self._waiting.append(wake)
            self._wake()
        try:
            await idle.wait()
        finally:
            with self._lock, suppress(ValueError):
                self._waiting.remove(wake)

    def _wake(self) -> None:
        while not self._own and self._waiting:
            # If its loop is closed, nobody waits there any more.
            with suppress(RuntimeError):
                self._waiting.pop()()


class _Expecting:
    """Context of one publish. contextlib's generators would take longer than the work itself."""

    __slots__ = ("_book", "_event_id")

    def __init__(self, book: Outstanding, event_id: str) -> None:
        self._book, self._event_id = book, event_id

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._book.forget(self._event_id)
