"""InMemoryEventBus: the whole promise of the Protocol inside one process, without a broker."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self

from qt_events.bus import refuse_in_handler, refuse_on_event_loop
from qt_events.clock import Clock, LoopClock, Timer
from qt_events.dead_letters import DeadLetterStore, now
from qt_events.delivery import SLOW_AFTER, DeadLetter, Done, Outcome, Retry, SlowHandlerLog, deliver
from qt_events.errors import BackpressureError, BusStateError, UnknownSubscriptionError, UnroutableError
from qt_events.events import Event, checked_event, current_event
from qt_events.lane import Lane
from qt_events.limits import positive_int, positive_seconds
from qt_events.retry import RetryPolicy
from qt_events.routing import RoutingIndex
from qt_events.stats import Stats
from qt_events.subscription import EventHandler, Predicate, Subscription, Subscriptions, name_of, pattern_of

logger = logging.getLogger("qt_events")


class _Held:
    """An event this bus holds until each of its deliveries has an outcome."""

    __slots__ = ("event", "open")

    def __init__(self, event: Event[Any], deliveries: int) -> None:
        self.event, self.open = event, deliveries


class _Delivery:
    """One event on its way to one subscription."""

    __slots__ = ("attempt", "first_failed", "held", "subscription")

    def __init__(self, held: _Held, subscription: Subscription) -> None:
        self.held, self.subscription = held, subscription
        self.attempt = 1
        self.first_failed: datetime | None = None


class InMemoryEventBus:
    """An EventBus for one process: tests, small set-ups, simulations.

    Each subscription has a queue of its own, so a slow one holds up no other. Async handlers run on the
    loop of `run_forever`, sync handlers in `max_workers` threads. Safe to publish to from other threads
    and loops; what the process holds when it ends is gone.

    Args:
        max_queue_size: events held before `publish` waits; what handlers publish is always admitted.
        max_workers: threads for sync handlers.
        publish_timeout: seconds that a publish waits for room.
        grace: seconds that stop() gives to what is queued.
        slow_after: seconds from which a handler is reported as slow.
        clock: when retries are due.
    """

    def __init__(
        self,
        max_queue_size: int = 10_000,
        max_workers: int = 4,
        *,
        publish_timeout: float = 30.0,
        grace: float = 30.0,
        slow_after: float = SLOW_AFTER,
        clock: Clock | None = None,
    ) -> None:
        self.max_queue_size = positive_int("max_queue_size", max_queue_size)
        self.max_workers = positive_int("max_workers", max_workers)
        self.publish_timeout = positive_seconds("publish_timeout", publish_timeout)
        self.grace = positive_seconds("grace", grace)
        self.slow_after = positive_seconds("slow_after", slow_after)
        self.stats = Stats()
        self.dead_letters = DeadLetterStore(self.redeliver)
        self._clock = clock or LoopClock()
        self._watch = SlowHandlerLog(self.stats)
        self._subscriptions = Subscriptions()
        self._index: RoutingIndex[Subscription] = RoutingIndex()
        self._lanes: dict[str, Lane[_Delivery]] = {}
        self._anonymous = count(1)
        self._held = 0  # events
        self._queued = 0  # deliveries in lanes or being handled; the others of `_held` wait for their retry
        self._waiting_retries: dict[_Delivery, tuple[float, Timer | None]] = {}  # due time by the clock
        self._closed = False
        self._promised = 0  # places that publishers were promised who have not taken them yet
        self._room: deque[asyncio.Future[bool]] = deque()
        self._idle: list[asyncio.Future[bool]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._stop_wanted = asyncio.Event()
        self._drained = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None

    # Publish

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus."""
        event = checked_event(event)
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._admit(event, mandatory=mandatory), loop))
        else:
            await self._admit(event, mandatory=mandatory)

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus."""
        event = checked_event(event)
        refuse_on_event_loop()
        loop = self._loop
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._admit(event, mandatory=mandatory), loop).result()
        elif self._held < self.max_queue_size:
            self._route(event, mandatory=mandatory)
        else:
            raise self._backpressure("the bus is full and not running")

    async def _admit(self, event: Event[Any], *, mandatory: bool) -> None:
        if self._held + self._promised >= self.max_queue_size and current_event() is None:
            await self._wait_for_room()
        try:
            self._route(event, mandatory=mandatory)
        finally:
            self._give_room()  # an unroutable event has not taken what it was promised

    async def _wait_for_room(self) -> None:
        room: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._room.append(room)
        admitted = False
        try:
            async with asyncio.timeout(self.publish_timeout):
                admitted = await room
        except TimeoutError:
            raise self._backpressure(f"no room for {self.publish_timeout:g} s") from None
        finally:
            self._leave_line(room, admitted=admitted)

    def _leave_line(self, room: asyncio.Future[bool], *, admitted: bool) -> None:
        if room in self._room:
            self._room.remove(room)
            return
        self._promised -= 1
        if not admitted:
            self._give_room()

    def _give_room(self) -> None:
        """Promise what is free to those who wait, first come, first served: nobody may overtake them."""
        while self._room and self._held + self._promised < self.max_queue_size:
            self._promised += 1
            _wake(self._room.popleft(), value=True)

    def _backpressure(self, why: str) -> BackpressureError:
        slowest = max(self._lanes, key=lambda name: len(self._lanes[name]) + self._lanes[name].busy, default="")
        return BackpressureError(
            f"{why}: {self._held} events are held (max_queue_size={self.max_queue_size}); "
            f"the slowest subscription is {slowest!r} with {len(self._lanes[slowest])} events waiting"
        )

    def _route(self, event: Event[Any], *, mandatory: bool) -> None:
        if self._closed:
            message = "this bus is closed: nothing more can be published on it"
            raise BusStateError(message)
        subscriptions = self._index.match(event.type)
        if not subscriptions and mandatory:
            message = f"nobody is subscribed to {event.type!r}: subscribe first, or publish without mandatory"
            raise UnroutableError(message)
        self.stats.published[event.type] += 1
        if not subscriptions:
            self.stats.unroutable[event.type] += 1
            return
        self._hold(event, subscriptions)

    def _hold(self, event: Event[Any], subscriptions: Iterable[Subscription]) -> None:
        subscriptions = tuple(subscriptions)
        held = _Held(event, len(subscriptions))
        self._held += 1
        for subscription in subscriptions:
            self._enqueue(_Delivery(held, subscription))

    async def redeliver(self, event: Event[Any], subscription: Subscription) -> None:
        """Queue an event for whoever has the subscription's name now, and nobody else, as a first attempt."""
        self._hold(event, (self._subscriptions.served(subscription.name),))

    def _enqueue(self, delivery: _Delivery) -> None:
        self._queued += 1
        self._lanes[delivery.subscription.name].push(delivery)

    # Subscribe

    def subscribe(
        self,
        event_type: str | type[Event[Any]],
        handler: EventHandler,
        *,
        name: str | None = None,
        when: Predicate | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        broadcast: bool | None = None,
    ) -> Subscription:
        """See EventBus. Lambdas and local functions get a name with a number."""
        pattern = pattern_of(event_type)
        name = name or self._name_for(handler)
        options = {"when": when, "retry": retry, "concurrency": concurrency, "broadcast": broadcast}
        subscription = self._subscriptions.add(pattern, handler, name, **options)
        self._index.add(pattern, subscription)
        if name in self._lanes:
            self._lanes[name].concurrency = subscription.concurrency  # the name may have been another's before
        else:
            self._open_lane(subscription)
        return subscription

    def _name_for(self, handler: EventHandler) -> str:
        existing = self._subscriptions.of(handler)
        if existing is not None:
            return existing.name
        return name_of(handler) or f"anonymous.{next(self._anonymous)}"

    def _open_lane(self, subscription: Subscription) -> None:
        lane = self._lanes[subscription.name] = Lane(subscription.concurrency, self._process)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lane.start, self._loop, self._context)

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """See EventBus. What waits for a removed pattern is dropped and counted as filtered."""
        pattern = pattern_of(event_type)
        subscription = self._subscriptions.find(pattern, handler)
        if subscription is None:
            message = f"{handler!r} is not subscribed to {pattern!r}"
            raise UnknownSubscriptionError(message)
        self._index.remove(pattern, subscription)
        self._subscriptions.remove(subscription, pattern)

    # Deliver

    async def run_forever(self) -> None:
        """See EventBus. Cancelled, it gives what was being handled back to its queue."""
        if self._loop is not None:
            message = "this bus runs already: one run_forever() a bus"
            raise BusStateError(message)
        self._start()
        try:
            await self._stop_wanted.wait()
            await self._drain()
        finally:
            await self._end()

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._stop_wanted, self._drained = asyncio.Event(), asyncio.Event()
        self._executor = ThreadPoolExecutor(self.max_workers, thread_name_prefix="qt_events")
        for delivery, (due, _) in tuple(self._waiting_retries.items()):
            self._retry_at(delivery, due)
        for lane in self._lanes.values():
            lane.start(self._loop, self._context)

    async def _drain(self) -> None:
        if not self._queued:
            return
        self._drained.clear()
        try:
            async with asyncio.timeout(self.grace):
                await self._drained.wait()
        except TimeoutError:
            logger.warning("stopped after %g s of grace with %d deliveries unfinished", self.grace, self._queued)

    async def _end(self) -> None:
        for lane in self._lanes.values():
            lane.pause()
        for delivery, (due, timer) in self._waiting_retries.items():
            if timer is not None:
                timer.cancel()
            self._waiting_retries[delivery] = (due, None)
        await asyncio.gather(*(lane.cancel() for lane in self._lanes.values()))
        assert self._executor is not None  # noqa: S101
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._loop = self._executor = None
        self._end_joins(finished=False)

    async def _process(self, delivery: _Delivery) -> None:
        event, subscription = delivery.held.event, delivery.subscription
        if subscription in self._index.match(event.type):
            outcome = await deliver(
                event,
                subscription,
                delivery.attempt,
                executor=self._executor,
                watch=self._watch,
                slow_after=self.slow_after,
            )
        else:
            outcome = Done(handled=False)
        self._conclude(delivery, outcome)

    def _conclude(self, delivery: _Delivery, outcome: Outcome) -> None:
        self.stats.outcome(delivery.subscription.name, delivery.held.event.type, outcome)
        match outcome:
            case Retry(delay=delay):
                delivery.first_failed = delivery.first_failed or now()
                self._retry_at(delivery, self._clock.time() + delay)
            case DeadLetter():
                self.dead_letters.add(
                    delivery.held.event, delivery.subscription, outcome, delivery.attempt, delivery.first_failed
                )
                self._settle(delivery)
            case Done():
                self._settle(delivery)
        self._queued -= 1
        if not self._queued:
            self._drained.set()

    def _retry_at(self, delivery: _Delivery, due: float) -> None:
        timer = self._clock.call_later(max(0.0, due - self._clock.time()), partial(self._again, delivery))
        self._waiting_retries[delivery] = (due, timer)

    def _again(self, delivery: _Delivery) -> None:
        del self._waiting_retries[delivery]
        delivery.attempt += 1
        self._enqueue(delivery)

    def _settle(self, delivery: _Delivery) -> None:
        held = delivery.held
        held.open -= 1
        if held.open:
            return
        self.stats.dispatched[held.event.type] += 1
        self._held -= 1
        self._give_room()
        if not self._held:
            self._end_joins(finished=True)

    def _end_joins(self, *, finished: bool) -> None:
        while self._idle:
            _wake(self._idle.pop(), value=finished)

    # Join and stop

    async def join(self, timeout: float | None = None) -> None:
        """See EventBus. BusStateError inside a handler, which it would wait for, and on a bus that does not run."""
        refuse_in_handler()
        await asyncio.sleep(0)  # a run_forever() task made just before starts now
        if not self._held:
            return
        if self._loop is None:
            message = f"join() on a bus that does not run: {self._held} events wait for run_forever()"
            raise BusStateError(message)
        idle: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._idle.append(idle)
        try:
            async with asyncio.timeout(timeout):
                finished = await idle
        except TimeoutError:
            waiting = len(self._waiting_retries)
            message = f"after {timeout:g} s {self._held} events have no outcome; {waiting} wait for a retry"
            raise TimeoutError(message) from None
        if not finished:
            message = f"the bus stopped while join() waited: {self._held} events have no outcome yet; run it again"
            raise BusStateError(message)

    def stop(self) -> None:
        """See EventBus. Nothing happens on a bus that does not run. Safe from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop_wanted.set)

    def close(self) -> None:
        """See EventBus. Nothing is held open here; publishing is refused all the same."""
        self._closed = True

    async def __aenter__(self) -> Self:
        """Start delivering in the background."""
        self._runner = asyncio.create_task(self.run_forever())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wait for all outcomes, retries included, at most `grace` seconds; then stop."""
        assert self._runner is not None  # noqa: S101
        try:
            if error is None and not self._runner.done():
                await self.join(self.grace)
        except (TimeoutError, BusStateError) as late:
            logger.warning("left the bus with work unfinished: %s", late)
        finally:
            self.stop()
            await self._runner

    def get_stats(self) -> dict[str, Any]:
        """See EventBus; `queue_size` counts events held, those that wait for a retry included."""
        patterns = {pattern for subscription in self._subscriptions for pattern in subscription.patterns}
        return self.stats.snapshot(
            queue_size=self._held, handler_types=len(patterns), total_handlers=len(self._subscriptions)
        )


def _wake(waiter: asyncio.Future[bool], *, value: bool) -> None:
    if not waiter.done():
        waiter.get_loop().call_soon_threadsafe(_finish, waiter, value)


def _finish(waiter: asyncio.Future[bool], value: bool) -> None:  # noqa: FBT001  # call_soon passes no names
    if not waiter.done():
        waiter.set_result(value)
