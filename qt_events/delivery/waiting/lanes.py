"""Lanes: events that wait in this process, a lane for each subscription that has any."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextvars import Context, copy_context
from functools import partial
from operator import itemgetter
from threading import get_ident
from time import monotonic
from typing import Any, Generic, TypeVar

from qt_events.delivery.ending import UnjudgedError, abandon, bind_end
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.event_loop import running_loop

logger = logging.getLogger("qt_events")

T = TypeVar("T")
Process = Callable[[T], Awaitable[None] | None]
# Of the waiting items, with the worker's cancel requests and the end of its turn: handles some, and
# returns how many, the last one, and what has to be awaited for that. Raises nothing.
Take = Callable[[deque[T], Callable[[], int], float], tuple[int, T, Awaitable[None] | None]]

#: Items that a worker takes before it lets the rest of the loop run, if no handler has waited.
BURST = 64
#: Seconds after which it does so in any case.
TURN = 0.005
# Seconds before an item without an outcome is tried again: at once it would fail again.
_PAUSE = 1.0
# Seconds that handlers have to clean up once they are cancelled.
_CLEAN_UP = 3.0
# Seconds for the end of a handler that is abandoned. One that awaits a task which goes on stays.
_LAST = 0.5


class Lane(Generic[T]):
    """Queue whose items are processed in order, `concurrency` at a time, on one event loop.

    `process` returns an awaitable that processes the rest of the item, or None if nothing is left
    to do. If it raises anything, the item has no outcome, and goes back to the head of the lane.
    `on_idle` is called when the last item has been handled and none waits. An idle lane costs
    nothing. Where `choose` returns a Take, that handles items in the place of `process`.
    """

    def __init__(
        self,
        concurrency: int,
        process: Process[T],
        on_idle: Callable[[], None] = lambda: None,
        choose: Callable[[], Take[T] | None] | None = None,
    ) -> None:
        self.concurrency = concurrency
        self._process, self._choose = process, choose
        self._on_idle = on_idle
        self._waiting: deque[T] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()

    def __len__(self) -> int:
        """Number of waiting items, those being handled not counted."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(self._waiting)

    @property
    def busy(self) -> int:
        """Number of items being handled."""
        return len(self._workers)

    @property
    def to_do(self) -> int:
        """Number of items that wait or are being handled."""
        return len(self._waiting) + len(self._workers)

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Begin to process on this loop; handlers see this context's variables."""
        self._loop, self._context = loop, context
        for _ in self._waiting:
            self._hire()

    def pause(self) -> None:
        """Take up nothing new; items being handled go on."""
        self._loop = None

    def push(self, item: T) -> None:
        """Append an item. Once started, only on the loop's own thread."""
        self._waiting.append(item)
        if len(self._workers) < self.concurrency:
            self._hire()

    def clear(self) -> list[T]:
        """Remove and return the waiting items."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    async def cancel(self) -> int:
        """Cancel the items being handled: they go back to the head.

        Return how many of them went on in spite of that, for some seconds, and were abandoned.
        """
        self.pause()
        for worker in tuple(self._workers):
            worker.cancel()
        await self._ended(_CLEAN_UP)
        stubborn = tuple(self._workers)
        for worker in stubborn:
            abandon(worker)
        await self._ended(_LAST)
        return len(stubborn)

    async def _ended(self, timeout: float) -> None:
        if self._workers:
            await asyncio.wait(tuple(self._workers), timeout=timeout)

    async def settled(self) -> None:
        """Return when nothing is being handled."""
        while self._workers:
            await asyncio.wait(tuple(self._workers))

    def _hire(self) -> None:
        if self._loop is not None and len(self._workers) < self.concurrency:
            worker = self._loop.create_task(self._work(), context=self._context.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._dismiss)

    def _dismiss(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        # If a handler cancelled the task it ran in, another one must take over.
        if self._waiting:
            self._hire()
        elif not self._workers:
            self._on_idle()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101
        process, waiting, cancel_requests = self._process, self._waiting, worker.cancelling
        choose = self._choose
        done, until = 0, monotonic() + TURN
        while waiting and self._loop is not None:
            taken = 1
            take = None if choose is None else choose()
            try:
                if take is None:
                    item = waiting.popleft()
                    rest = process(item)
                else:
                    taken, item, rest = take(waiting, cancel_requests, until)
                if rest is not None:
                    await rest
            except BaseException as error:  # noqa: BLE001  # raised again, or said
                await self._put_back(item, error)
            # A handler cancelled this task, or TaskGroup of CPython 3.11 left its mark there: the
            # next item gets a new task.
            if cancel_requests():
                return
            done += taken
            if done >= BURST or monotonic() > until:
                await asyncio.sleep(0)
                done, until = 0, monotonic() + TURN

    async def _put_back(self, item: T, error: BaseException) -> None:
        """Keep an item that has no outcome, and pause before another try, or raise the error."""
        self._waiting.appendleft(item)
        if isinstance(error, KeyboardInterrupt):
            # It ends the loop, which is run once more to cancel what is left. Nobody else looks at
            # this task's error.
            self.pause()
            worker = asyncio.current_task()
            asyncio.get_running_loop().call_soon(worker.exception)  # type: ignore[union-attr]
        if not isinstance(error, Exception):
            raise error
        if isinstance(error, UnjudgedError):
            logger.warning("an event waits for another try: %s", error)
        else:
            message = "an event waits for another try: a retry policy failed, or this library"
            logger.error(message, exc_info=error)
        if self._loop is not None:
            await asyncio.sleep(_PAUSE)


async def cancel_all(lanes: Iterable[tuple[str, Lane[Any]]]) -> None:
    """Cancel what is handled in lanes with these names, and log who goes on in spite of that."""
    names, cancelled = [], []
    for name, lane in lanes:
        names.append(name)
        cancelled.append(lane.cancel())
    for name, stubborn in zip(names, await asyncio.gather(*cancelled), strict=True):
        if stubborn:
            message = (
                "%s: %d of its handlers went on for %g s after they were cancelled, and are left "
                "behind: their events come again. Does one of them catch asyncio.CancelledError?"
            )
            logger.error(message, name, stubborn, _CLEAN_UP)


class _BySubscription(dict[Subscription, Lane[T]]):
    """Dictionary that makes a lane for each subscription that is asked for."""

    def __init__(self, make: Callable[[Subscription], Lane[T]]) -> None:
        self._make = make

    def __missing__(self, subscription: Subscription) -> Lane[T]:
        return self._make(subscription)


class Lanes(Generic[T]):
    """Queues by subscription, processed on one event loop at a time, and kept while there is none.

    Any thread may push and retire at any time. See Lane for `process`, and for `choose`, which is
    called with the subscription here. `batch_lane` makes the lanes of batch subscriptions; it is
    given what a Lane calls when it is idle.
    """

    def __init__(
        self,
        process: Process[T],
        choose: Callable[[Subscription], Take[T] | None] = lambda _: None,
        batch_lane: Callable[[Subscription, Callable[[], None]], Lane[T]] | None = None,
    ) -> None:
        self._process, self._choose, self._batch_lane = process, choose, batch_lane
        self._lanes: _BySubscription[T] = _BySubscription(self._new_lane)
        #: Returns the subscription's lane; only for the thread of the loop.
        self.lane_of = self._lanes.__getitem__
        self._beside: list[tuple[Subscription, Lane[T]]] = []
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Thread of the loop; 0 without one.
        self.thread = 0
        # Context for handlers; None while nothing new is to be taken up.
        self._context: Context | None = None

    @property
    def queued(self) -> int:
        """Number of items that wait or are being handled."""
        return sum(lane.to_do for _, lane in self._all())

    @property
    def running(self) -> bool:
        """True while a loop processes them."""
        return self._loop is not None

    def slowest(self) -> tuple[str, int]:
        """Return the subscription with most to do, and how much that is; ("", 0) if idle."""
        with self._lock:
            to_do = [(subscription.name, lane.to_do) for subscription, lane in self._all()]
        return max(filter(itemgetter(1), to_do), key=itemgetter(1), default=("", 0))

    def describe_slowest(self) -> str:
        """Name the subscription that holds others up; empty if there is none."""
        name, to_do = self.slowest()
        return f"the slowest subscription is {name!r} with {to_do} events to go" if name else ""

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

    def call(self, act: Callable[[], object]) -> None:
        """Call a function on the loop's own thread, soon; not at all if there is no loop."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(act)

    def _new_lane(self, subscription: Subscription) -> Lane[T]:
        with self._lock:
            lane = self._made(subscription, partial(self.retire, subscription))
            if not subscription.is_held_back:
                self._start(lane)
            self._lanes[subscription] = lane
            return lane

    def _made(self, subscription: Subscription, on_idle: Callable[[], None]) -> Lane[T]:
        if subscription.batch is None or self._batch_lane is None:
            choose = partial(self._choose, subscription)
            return Lane(subscription.concurrency, self._process, on_idle, choose)
        return self._batch_lane(subscription, on_idle)

    def beside(self, subscription: Subscription) -> Lane[T]:
        """Return another lane for a subscription whose own one is held back."""
        with self._lock:
            lane = self._made(subscription, lambda: None)
            self._start(lane)
            self._beside.append((subscription, lane))
            return lane

    def release(self, subscription: Subscription) -> None:
        """Process what was held back. Only on the loop's own thread."""
        with self._lock:
            self._beside = [each for each in self._beside if each[0] is not subscription]
            subscription.is_held_back = False
            self._start(self.lane_of(subscription))
            self.retire(subscription)

    def _all(self) -> list[tuple[Subscription, Lane[T]]]:
        return [*tuple(self._lanes.items()), *self._beside]

    def _going(self) -> list[Lane[T]]:
        """Return the lanes that are not held back."""
        own = (lane for each, lane in tuple(self._lanes.items()) if not each.is_held_back)
        return [*own, *(lane for _, lane in self._beside)]

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
            self._loop, self.thread = running_loop(), get_ident()
            self._context = copy_context()
            self._context.run(bind_end, lambda: self._context is None)
            for lane in self._going():
                self._start(lane)

    def _start(self, lane: Lane[T]) -> None:
        if self._loop is not None and self._context is not None:
            lane.start(self._loop, self._context)

    async def drain(self, timeout: float | None = None) -> None:
        """Return when nothing is queued but what is held back.

        TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while any(lane.to_do for lane in self._going()):
                await asyncio.gather(*(lane.settled() for lane in self._going()))

    async def stop(self) -> None:
        """Cancel the items being handled: they go back to the head and wait for the next start."""
        self._context = None
        lanes = [(subscription.name, lane) for subscription, lane in self._all()]
        await cancel_all(lanes)
        with self._lock:
            self._loop, self.thread = None, 0
