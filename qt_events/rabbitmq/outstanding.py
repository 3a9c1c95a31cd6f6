"""Outstanding: which events that this process published or took still lack an outcome here."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from qt_events.rabbitmq.forking import renew_after_fork

_REMEMBERED = 10_000  # events of other publishers, or published before anybody here serves them


class Outstanding:
    """For each event the subscriptions of this process that have not settled it; safe from any thread."""

    def __init__(self) -> None:
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A child has published nothing yet, and nobody there holds the lock."""
        self._own: OrderedDict[str, set[str]] = OrderedDict()
        self._foreign: OrderedDict[str, set[str]] = OrderedDict()
        self._waiting: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self.serving = False  #: own events are kept without bound only while somebody here settles them

    def __len__(self) -> int:
        return len(self._own)

    def published(self, event_id: str, subscriptions: Iterable[str]) -> None:
        """An event is about to be published that these subscriptions will settle."""
        names = set(subscriptions)
        if not names:
            return
        with self._lock:
            self._own[event_id] = names
            while not self.serving and len(self._own) > _REMEMBERED:
                self._own.popitem(last=False)

    def forget(self, event_id: str) -> None:
        """It is unknown whether it was published: nobody waits for it."""
        with self._lock:
            self._own.pop(event_id, None)
            self._wake()

    def settled(self, event_id: str, subscription: str, all_here: Iterable[str]) -> bool:
        """One subscription has an outcome; whether that was the last one of the event in this process."""
        with self._lock:
            events = self._own if event_id in self._own else self._foreign
            left = events.setdefault(event_id, set(all_here))
            left.discard(subscription)
            if not left:
                del events[event_id]
            while len(self._foreign) > _REMEMBERED:
                self._foreign.popitem(last=False)
            self._wake()
            return not left

    def drop(self, subscription: str) -> None:
        """It is served here no more: nobody waits for its outcomes."""
        with self._lock:
            for events in (self._own, self._foreign):
                for event_id in [each for each, left in events.items() if subscription in left]:
                    events[event_id].discard(subscription)
                    if not events[event_id]:
                        del events[event_id]
            self._wake()

    @contextmanager
    def expecting(self, event_id: str, subscriptions: Iterable[str]) -> Iterator[None]:
        """It is about to be published; unless that fails: then it is unknown whether it was, and nobody waits."""
        self.published(event_id, subscriptions)
        try:
            yield
        except BaseException:
            self.forget(event_id)
            raise

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
            with suppress(RuntimeError):  # its loop is closed: nobody waits there any more
                self._waiting.pop()()
