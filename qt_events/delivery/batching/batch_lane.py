"""BatchLane: a lane whose events are handled many at a time, by one call of their handler."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import chain
from time import monotonic
from types import CoroutineType
from typing import Any, TypeVar

from qt_events.delivery.batching.haste import Haste
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.waiting.clock import Clock, LoopClock, Timer
from qt_events.delivery.waiting.lanes import BURST, TURN, Lane

T = TypeVar("T")
#: Tells whether an item belongs in a batch. If not, it is dealt with already.
Admit = Callable[[T], bool | Coroutine[Any, Any, bool]]
ProcessBatch = Callable[[list[T]], Awaitable[None]]

#: Bytes of the bodies of one batch, about: it ends before it is full.
MOST_BYTES = 16 * 1024 * 1024


class BatchLane(Lane[T]):
    """Lane that gathers items and processes `concurrency` batches at a time.

    A batch ends when it is full, or `within` seconds after its first item was admitted. While a
    batch is processed the next one is gathered. `process` has the rules of Lane: if it raises, what
    is in its list goes back to the head. Before that it may remove items that have an outcome.

    `admits_all` tells that every item belongs in a batch by now, without asking `admit`. `size_of`
    returns the bytes of an item, where a batch must not have too many. In `haste` none waits.
    """

    def __init__(  # noqa: PLR0917
        self,
        subscription: Subscription,
        admit: Admit[T],
        process: ProcessBatch[T],
        on_idle: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        admits_all: Callable[[], bool] = lambda: False,
        size_of: Callable[[T], int] | None = None,
        haste: Haste | None = None,
    ) -> None:
        super().__init__(subscription.concurrency, lambda _: None, on_idle)
        self.serve(subscription)
        self._admit, self._process_batch = admit, process
        self._clock, self._admits_all, self._size_of = clock or LoopClock(), admits_all, size_of
        self._haste = haste or Haste()
        self._haste.follow(self.look)
        self._gathered: list[T] = []
        self._bytes = 0
        # Until the batch that is gathered is due.
        self._timer: Timer | None = None
        # Wait for no further items: `within` is over, or the bus stops.
        self._is_due = self._is_hurried = False
        # The one worker that admits items.
        self._gatherer: asyncio.Task[None] | None = None
        self._batches = self._in_hand = 0

    def serve(self, subscription: Subscription) -> None:
        """Take over the subscription's numbers: it may have been subscribed again."""
        self.concurrency = subscription.concurrency
        self._size, self._within = subscription.batch or 1, subscription.within

    def __len__(self) -> int:
        return len(self._waiting) + len(self._gathered)

    def __iter__(self) -> Iterator[T]:
        return chain(self._gathered, self._waiting)

    @property
    def busy(self) -> int:
        """Number of items being handled."""
        return self._in_hand

    @property
    def to_do(self) -> int:
        """Number of items that wait or are being handled."""
        return len(self) + self._in_hand

    def start(self, loop: asyncio.AbstractEventLoop, context: Any) -> None:
        """See Lane."""
        self._is_hurried = False
        self._loop, self._context = loop, context
        # One worker gathers all that waits.
        self._hire()

    def pause(self) -> None:
        """See Lane. What was gathered waits again."""
        super().pause()
        self._scatter()

    def clear(self) -> list[T]:
        """See Lane."""
        self._scatter()
        return super().clear()

    def push(self, item: T) -> None:
        """See Lane."""
        self._waiting.append(item)
        if self._gatherer is None:
            self._hire()

    def look(self) -> None:
        """Handle what was gathered if there is haste. Safe from any thread."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._hire)

    async def settled(self) -> None:
        """Return when nothing is being handled; from now on no batch waits until it is full."""
        self._is_hurried = True
        self._hire()
        await super().settled()

    def _is_full(self) -> bool:
        return len(self._gathered) >= self._size or self._bytes >= MOST_BYTES

    def _may_begin(self) -> bool:
        """Tell whether the batch is complete, and it is its turn."""
        if not self._gathered or self._batches >= self.concurrency:
            return False
        return self._is_due or self._is_hurried or self._is_full() or self._haste.is_on

    def _hire(self) -> None:
        """Let a worker gather, and handle the batch if it is complete, if there is any need."""
        if self._loop is None or self._gatherer is not None:
            return
        if (self._waiting and not self._is_full()) or self._may_begin():
            worker = self._loop.create_task(self._work(), context=self._context.copy())
            self._gatherer = worker
            self._workers.add(worker)
            worker.add_done_callback(self._dismiss)

    def _dismiss(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if self._gatherer is worker:
            self._gatherer = None
        self._hire()
        if not (self._workers or len(self)):
            self._on_idle()

    async def _work(self) -> None:
        worker = asyncio.current_task()
        assert worker is not None  # noqa: S101
        while self._loop is not None:
            await self._gather()
            if self._loop is None or not self._may_begin():
                return
            await self._handle()
            # As in Lane.
            if worker.cancelling():
                return
            await asyncio.sleep(0)
            if self._gatherer is not None:
                return
            self._gatherer = worker

    async def _gather(self) -> None:
        """Admit what waits, until the batch is full."""
        if self._size_of is None and self._admits_all():
            self._gather_all()
            return
        done, until = 0, monotonic() + TURN
        while self._waiting and self._loop is not None and not self._is_full():
            item = self._waiting.popleft()
            try:
                belongs = self._admit(item)
                if type(belongs) is CoroutineType:
                    belongs = await self._rest_of(belongs)
            except BaseException as error:  # noqa: BLE001  # raised again, or said
                await self._put_back(item, error)
                belongs = False
            if belongs:
                self._add(item)
            done += 1
            if done >= BURST or monotonic() > until:
                await asyncio.sleep(0)
                done, until = 0, monotonic() + TURN

    def _gather_all(self) -> None:
        waiting, room = self._waiting, self._size - len(self._gathered)
        if room >= len(waiting):
            added = list(waiting)
            waiting.clear()
        else:
            added = [waiting.popleft() for _ in range(room)]
        if added:
            is_first = not self._gathered
            self._gathered += added
            if is_first:
                self._begin_to_wait()

    async def _rest_of(self, admitting: Coroutine[Any, Any, bool]) -> bool:
        """Await the rest of an item's admission."""
        self._in_hand += 1
        try:
            return await admitting
        finally:
            self._in_hand -= 1

    def _add(self, item: T) -> None:
        self._gathered.append(item)
        if self._size_of is not None:
            self._bytes += self._size_of(item)
        if len(self._gathered) == 1:
            self._begin_to_wait()

    def _begin_to_wait(self) -> None:
        """Let the batch be due `within` seconds after its first item, which has just come."""
        if self._within:
            self._timer = self._clock.call_later(self._within, self._end)
        else:
            self._is_due = True

    def _end(self) -> None:
        """Wait for no further items of this batch."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_due = None, True
        self._hire()

    def _take(self) -> list[T]:
        """Return what was gathered, and begin another batch."""
        if self._timer is not None:
            self._timer.cancel()
        gathered, self._gathered = self._gathered, []
        self._timer, self._is_due, self._bytes = None, False, 0
        return gathered

    def _scatter(self) -> None:
        """Put what was gathered back to the head."""
        self._waiting.extendleft(reversed(self._take()))

    async def _handle(self) -> None:
        items = self._take()
        in_hand = len(items)
        self._in_hand += in_hand
        self._batches += 1
        # Another worker may gather meanwhile.
        self._gatherer = None
        self._hire()
        try:
            await self._process_batch(items)
        except BaseException as error:  # noqa: BLE001  # raised again, or said
            self._in_hand, in_hand = self._in_hand - in_hand, 0
            await self._put_all_back(items, error)
        finally:
            self._in_hand -= in_hand
            self._batches -= 1

    async def _put_all_back(self, items: list[T], error: BaseException) -> None:
        """Keep the items of a batch that has no outcome, before what was gathered since."""
        self._scatter()
        first, *others = items
        self._waiting.extendleft(reversed(others))
        await self._put_back(first, error)
