"""Lanes: events that wait in this process, a lane for each subscription that has any."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from operator import itemgetter
from threading import get_ident
from typing import Generic, TypeVar

from qt_events.delivery.lane import Lane, Process
from qt_events.delivery.subscription import Subscription

T = TypeVar("T")


class _BySubscription(dict[Subscription, Lane[T]]):
    """Dictionary that makes a lane for each subscription that is asked for."""

    def __init__(self, make: Callable[[Subscription], Lane[T]]) -> None:
        self._make = make

    def __missing__(self, subscription: Subscription) -> Lane[T]:
        return self._make(subscription)


class Lanes(Generic[T]):
    """Queues by subscription, processed on one event loop at a time, and kept while there is none.

    Any thread may push and retire at any time. See Lane for `process`.
    """

    def __init__(self, process: Process[T]) -> None:
        self._process = process
        self._lanes: _BySubscription[T] = _BySubscription(self._new_lane)
        #: Returns the subscription's lane; only for the thread of the loop.
        self.lane_of = self._lanes.__getitem__
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Thread of the loop; 0 without one.
        self.thread = 0
        # Context for handlers; None while nothing new is to be taken up.
        self._context: Context | None = None

    @property
    def queued(self) -> int:
        """Number of items that wait or are being handled."""
        return sum(lane.to_do for lane in tuple(self._lanes.values()))

    @property
    def running(self) -> bool:
        """True while a loop processes them."""
        return self._loop is not None

    def slowest(self) -> tuple[str, int]:
        """Return the subscription with most to do, and how much that is; ("", 0) if idle."""
        with self._lock:
            to_do = [(subscription.name, lane.to_do) for subscription, lane in self._lanes.items()]
        return max(filter(itemgetter(1), to_do), key=itemgetter(1), default=("", 0))

    def push(self, subscription: Subscription, item: T) -> None:
        """Append an item to the subscription's lane, on the loop's own thread if there is one."""
        if self.thread == get_ident():
            self.lane_of(subscription).push(item)
            return
        with self._lock:
            if self._loop is None:
                self.lane_of(subscription).push(item)
            else:
                self._loop.call_soon_threadsafe(self.push, subscription, item)

    def _new_lane(self, subscription: Subscription) -> Lane[T]:
        with self._lock:
            lane = Lane(subscription.concurrency, self._process, partial(self.retire, subscription))
            self._start(lane)
            self._lanes[subscription] = lane
            return lane

    def retire(self, subscription: Subscription) -> None:
        """Drop the lane of a subscription that is gone, at the latest when it is empty and idle."""
        with self._lock:
            if self._loop is not None and self.thread != get_ident():
                self._loop.call_soon_threadsafe(self.retire, subscription)
                return
            lane = self._lanes.get(subscription)
            if lane is not None and not (subscription.patterns or lane.to_do):
                del self._lanes[subscription]

    def start(self) -> None:
        """Begin to process on the running loop; handlers see the context variables of now."""
        with self._lock:
            self._loop, self.thread = asyncio.get_running_loop(), get_ident()
            self._context = copy_context()
            for lane in self._lanes.values():
                self._start(lane)

    def _start(self, lane: Lane[T]) -> None:
        if self._loop is not None and self._context is not None:
            lane.start(self._loop, self._context)

    async def drain(self, timeout: float | None = None) -> None:
        """Return when nothing is queued. TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while self.queued:
                await asyncio.gather(*(lane.settled() for lane in tuple(self._lanes.values())))

    async def stop(self) -> None:
        """Cancel the items being handled: they go back to the head and wait for the next start."""
        self._context = None
        await asyncio.gather(*(lane.cancel() for lane in tuple(self._lanes.values())))
        with self._lock:
            self._loop, self.thread = None, 0
