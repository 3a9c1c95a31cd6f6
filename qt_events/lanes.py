"""Lanes: what waits in this process, a lane for each subscription that has something to do."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from functools import partial
from operator import itemgetter
from typing import Any, Generic, TypeVar

from qt_events.lane import Lane
from qt_events.subscription import Subscription

T = TypeVar("T")


class Lanes(Generic[T]):
    """Queues by subscription, worked off on one event loop at a time, and kept while there is none.

    Any thread may push and retire at any time. `process` is as Lane wants it.
    """

    def __init__(self, process: Callable[[T], Awaitable[None]]) -> None:
        self.queued = 0  #: waiting or being handled
        self._process = process
        self._lanes: dict[Subscription, Lane[T]] = {}
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # of the loop
        self._context: Context | None = None  # for handlers; None while nothing new is to be taken up
        self._drained = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether a loop works them off."""
        return self._loop is not None

    def slowest(self) -> tuple[str, int]:
        """The subscription with most to do, and how much that is; "" if there is nothing to do."""
        with self._lock:
            to_do = [(subscription.name, len(lane) + lane.busy) for subscription, lane in self._lanes.items()]
        return max(filter(itemgetter(1), to_do), key=itemgetter(1), default=("", 0))

    def push(self, subscription: Subscription, item: T) -> None:
        """Append an item to the subscription's lane: on the loop's own thread, while there is one."""
        with self._lock:
            if self._loop is not None and self._thread != threading.get_ident():
                self._loop.call_soon_threadsafe(self.push, subscription, item)
                return
            self.queued += 1
            self._lane(subscription).push(item)

    def _lane(self, subscription: Subscription) -> Lane[T]:
        lane = self._lanes.get(subscription)
        if lane is None:
            lane = Lane(subscription.concurrency, self._handle, partial(self.retire, subscription))
            self._lanes[subscription] = lane
            self._start(lane)
        return lane

    def retire(self, subscription: Subscription) -> None:
        """Drop the lane of a subscription that is gone; called again once it is empty and idle."""
        with self._lock:
            lane = self._lanes.get(subscription)
            if lane is not None and not (subscription.patterns or len(lane) or lane.busy):
                del self._lanes[subscription]

    async def _handle(self, item: T) -> None:
        await self._process(item)
        self.queued -= 1
        if not self.queued:
            self._drained.set()

    def start(self) -> None:
        """Work them off, on the running loop; handlers see the context variables of now."""
        with self._lock:
            self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
            self._context, self._drained = copy_context(), asyncio.Event()
            for lane in self._lanes.values():
                self._start(lane)

    def _start(self, lane: Lane[T]) -> None:
        if self._loop is not None and self._context is not None:
            lane.start(self._loop, self._context)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call it on the loop that works them off, if there is one."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback, *arguments)

    async def drain(self, timeout: float) -> None:
        """Return when nothing is queued. TimeoutError after `timeout` seconds."""
        if self.queued:
            self._drained.clear()
            async with asyncio.timeout(timeout):
                await self._drained.wait()

    async def stop(self) -> None:
        """Cancel what is being handled: that goes back to the head of its lane, and waits there for the next start."""
        self._context = None
        await asyncio.gather(*(lane.cancel() for lane in tuple(self._lanes.values())))
        with self._lock:
            self._loop = None
