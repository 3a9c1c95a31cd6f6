"""InMemoryEventBus: the whole promise of the Protocol inside one process, without a broker."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count
from threading import get_ident
from typing import Any, Self

from qt_events.bus import Hosted, refuse_in_handler, refuse_on_event_loop
from qt_events.dead_letters.in_memory import DeadLetterStore
from qt_events.delivery.batching.in_memory import InMemoryBatches
from qt_events.delivery.bursts import Bursts, Delivery, OpenDeliveries
from qt_events.delivery.deliver import begin
from qt_events.delivery.middleware import Middleware
from qt_events.delivery.observed import ObservedAttempts
from qt_events.delivery.outcome import FIRST, HANDLED, SKIPPED, Outcome, consequences
from qt_events.delivery.publishing.published import CONFIRMED, Published
from qt_events.delivery.publishing.spooling import SPOOL_AFTER, SpoolOption, check_spool
from qt_events.delivery.redelivering import InMemoryRedelivery
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SLOW_AFTER, SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscription import (
    EventHandler,
    Subscription,
    SubscriptionOptions,
    pattern_of,
)
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.telling.local_fates import LocalFates
from qt_events.delivery.threads import DaemonThreads
from qt_events.delivery.transacting.outgoing import current_outgoing
from qt_events.delivery.waiting.capacity import Capacity
from qt_events.delivery.waiting.clock import Clock, LoopClock, RetryTimers
from qt_events.delivery.waiting.lanes import Lanes
from qt_events.delivery.waiting.newcomers import Newcomers
from qt_events.errors import BackpressureError, BusStateError, UnroutableError
from qt_events.event_loop import running_loop
from qt_events.events.current import checked_event, current_attempt
from qt_events.events.event import Event
from qt_events.limits import checked_prefetch, positive_int, positive_seconds
from qt_events.shutdown import Shutdown, State, Trigger, stopped_by_signals

logger = logging.getLogger("qt_events")

# Publishes after which the loop gets a turn, if none of them waited.
_BURST = 64


class InMemoryEventBus(Hosted):
    """EventBus for one process: tests, small set-ups, simulations.

    Each subscription has a queue of its own, so a slow one holds up no other. Async handlers run on
    the loop of `run_forever`, sync ones in `max_workers` threads. What it holds at its end is gone.

    Any thread and any event loop may publish, subscribe, unsubscribe, stop, close and look at what
    happened, at any time. `join` and `async with` belong to the loop that runs it.

    Args:
        max_queue_size: events held before `publish` waits; a handler's own are always admitted.
        max_workers: threads for sync handlers.
        publish_timeout: seconds that a publish waits for room.
        grace: seconds that stop() gives to what is queued.
        slow_after: seconds from which a handler is reported as slow.
        clock: when retries are due.
        retry: policy of the subscriptions made without one of their own.
        service: begins the names that subscriptions are given, as over RabbitMQ.
        prefetch, rollout, spool, spool_after: checked, without effect: there is no broker.
    """

    takes_batches = takes_inboxes = takes_starts = _tells_fates = True

    def __init__(
        self,
        max_queue_size: int = 10_000,
        max_workers: int = 4,
        *,
        publish_timeout: float = 30.0,
        grace: float = 30.0,
        slow_after: float = SLOW_AFTER,
        clock: Clock | None = None,
        retry: RetryPolicy | None = None,
        service: str | None = None,
        prefetch: int | None = None,
        rollout: float = 600.0,
        spool: SpoolOption = None,
        spool_after: float = SPOOL_AFTER,
    ) -> None:
        positive_seconds("rollout", rollout)
        check_spool(spool, spool_after)
        self.prefetch = checked_prefetch(prefetch)
        self.max_queue_size = positive_int("max_queue_size", max_queue_size)
        self.max_workers = positive_int("max_workers", max_workers)
        self.publish_timeout = positive_seconds("publish_timeout", publish_timeout)
        self.grace = positive_seconds("grace", grace)
        self.slow_after = positive_seconds("slow_after", slow_after)
        self.stats = Stats()
        self._tally = self.stats.tally  # of the loop's own thread
        self._publish_observers = self.middleware.published
        self._attempt_observers = self.middleware.concluded
        self._watching, self._observed = self.middleware.watching, ObservedAttempts(self.middleware)
        self._watch = SlowHandlerLog(self.stats)
        self._subscriptions = Subscriptions(retry=retry, service=service)
        self._match = self._subscriptions.match
        self._anonymous = count(1)
        self._capacity = Capacity(self.max_queue_size)
        self._take_free = self._capacity.take_free
        self._fates = LocalFates(self._subscriptions, self.middleware, self._capacity, self._take)
        self._redelivery = InMemoryRedelivery(self._subscriptions, self._take, self._hand)
        self.dead_letters = DeadLetterStore(self._redelivery.queue, self._fates.tell)
        # Publishes since the last that let the loop run. The very first one only looks for it.
        self._unbroken = math.inf
        # Guarded, a publish needs more than a place: the bus is closed, or there is middleware.
        self._closed = self._guarded = False
        self._lanes = self._make_lanes(clock or LoopClock())
        self._lane_of = self._lanes.lane_of
        self._capacity.slowest = self._lanes.describe_slowest
        self._newcomers = Newcomers(self._lanes, self._capacity, self._subscriptions.hears)
        self._executor: DaemonThreads | None = None
        self._shutdown = Shutdown()  # of this run, or of the next one while none is on

    def _make_lanes(self, clock: Clock) -> Lanes[Delivery]:
        about = (self._watch, self.slow_after)
        bursts = Bursts(self._capacity, self.middleware, self._tally, *about, self._conclude)
        told = (self._subscriptions, self._conclude, self._observed)
        self._batches = InMemoryBatches(*told, clock, about, (self._tally, self._capacity))
        self._haste = self._batches.haste
        self._haste.is_full, self._capacity.on_full = self._capacity.has_line, self._haste.tell
        self._retries = RetryTimers[Delivery](clock, lambda due: self._lanes.push(due[1], due))
        return Lanes(self._process, bursts.choose, self._batches.lane)

    @classmethod
    def from_url(cls, _url: str, **options: Any) -> Self:
        """Make the bus of `memory://`. There is nothing to connect to: the options say it all."""
        return cls(**options)

    # Publish

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """See EventBus. Now and then it lets the loop run, so that handlers keep up."""
        self._unbroken += 1
        if self._unbroken > _BURST:
            running_loop()
            # Before the event is taken: a cancelled publish has not published.
            if self._unbroken < math.inf:
                await asyncio.sleep(0)
            self._unbroken = 1.0
        if self._guarded or current_attempt() is not None or not isinstance(event, Event):
            event = self._checked(event)
            if self.middleware.around_publish or current_outgoing() is not None:
                admit = partial(self._admit, mandatory=mandatory)
                return await self.middleware.publish(event, admit)
        try:
            self._take_free()
        except IndexError:
            await self._enter()
        heard = self._match(event.type)
        # The commonest case by a shorter way, without a lock and without an OpenDeliveries.
        if len(heard) == 1 and self._lanes.thread == get_ident() and not self._publish_observers:
            self._tally.published[event.type] += 1
            self._lane_of(heard[0]).push((event, heard[0], None, FIRST))
        else:
            self._route(event, mandatory=mandatory)
        return CONFIRMED

    async def _admit(self, event: Event[Any], *, mandatory: bool) -> Published:
        """Publish an event that has come through the middleware."""
        await self._enter()
        return self._route(event, mandatory=mandatory)

    async def _enter(self) -> None:
        try:
            await self._capacity.enter(self.publish_timeout, anyway=current_attempt() is not None)
        except TimeoutError:
            raise self._backpressure(self.publish_timeout) from None

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """See EventBus. On a bus that does not run it does not wait for a place."""
        event = self._checked(event)
        refuse_on_event_loop()
        return self.middleware.publish_sync(event, partial(self._admit_sync, mandatory=mandatory))

    def _admit_sync(self, event: Event[Any], *, mandatory: bool) -> Published:
        patience = self.publish_timeout if self._lanes.running else 0.0
        try:
            self._capacity.enter_blocking(patience, anyway=current_attempt() is not None)
        except TimeoutError:
            raise self._backpressure(patience) from None
        return self._route(event, mandatory=mandatory)

    def _checked(self, event: Event[Any]) -> Event[Any]:
        if self._closed:
            raise BusStateError("this bus is closed: nothing more can be published on it")
        return checked_event(event)

    def _backpressure(self, waited: float) -> BackpressureError:
        why = f"no room for {waited:g} s" if waited else "the bus is full and not running"
        return BackpressureError(f"{why}: {self._capacity.describe()}")

    def _route(self, event: Event[Any], *, mandatory: bool) -> Published:
        """Hand an event that has a place to the subscriptions that hear it."""
        subscriptions = self._match(event.type)
        self.stats.count_published(event.type, routed=bool(subscriptions))
        if self._publish_observers:
            self.middleware.tell_published(event, subscriptions)
        if subscriptions:
            self._hold(event, subscriptions)
            return CONFIRMED
        self._capacity.leave()
        if mandatory:
            raise UnroutableError(f"nobody hears {event.type!r}: subscribe, or drop mandatory=True")
        return CONFIRMED

    def _hold(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        open_ = OpenDeliveries(len(subscriptions)) if len(subscriptions) > 1 else None
        for subscription in subscriptions:
            self._lanes.push(subscription, (event, subscription, open_, FIRST))

    def _take(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        self._capacity.enter_at_once(anyway=True)
        self._hold(event, subscriptions)

    async def _hand(self, event: Event[Any], subscription: Subscription) -> None:
        await self._enter()
        self._hold(event, (subscription,))

    # Subscribe

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        # Lambdas and local functions get a number.
        name = name or self._subscriptions.name_for(handler) or f"anonymous.{next(self._anonymous)}"
        subscription = self._subscriptions.add(pattern, handler, name, options)
        self._newcomers.begin(subscription, self._past)
        return self._fates.follow(subscription)

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """See EventBus. Events that wait by a removed pattern are dropped, counted as filtered."""
        subscription, gone = self._subscriptions.remove(pattern_of(event_type), handler)
        if gone:
            self._lanes.retire(subscription)

    # Deliver

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        """See EventBus. Cancelled, it gives what was being handled back to its queue."""
        if self._lanes.running:
            raise BusStateError("this bus runs already: one run_forever() a bus")
        shutdown = self._shutdown
        with stopped_by_signals(shutdown) if handle_signals else nullcontext():
            self._executor = self._batches.executor = DaemonThreads(self.max_workers)
            self._haste.is_leaving = False
            self._lanes.start()
            self._retries.start()
            try:
                async with self._newcomers.handing_out():
                    await shutdown.until(State.FINISHING)
                await shutdown.finish(self._lanes.drain(), self.grace)
                if queued := self._lanes.queued:
                    logger.warning("stopped: %d deliveries wait for the next run", queued)
            finally:
                await self._end()
                shutdown.tell(Trigger.DONE)
                self._shutdown = Shutdown()

    async def _end(self) -> None:
        await self._lanes.stop()
        self._retries.stop()
        assert self._executor is not None  # noqa: S101
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None
        self._capacity.stop_waiting()

    def _process(self, delivery: Delivery) -> Awaitable[None] | None:
        event, subscription, _, attempts = delivery
        if subscription.narrowed and self._subscriptions.is_unheard(subscription, event):
            self._conclude(delivery, SKIPPED)
            return None
        if self._watching:
            subscription = self._observed.begin(delivery, subscription, attempts, self._executor)
        outcome = begin(
            event, subscription, attempts.next, self._executor, self._watch, self.slow_after
        )
        if outcome is HANDLED or isinstance(outcome, Outcome):
            self._conclude(delivery, outcome)
            return None
        return self._conclude_later(delivery, outcome)

    async def _conclude_later(self, delivery: Delivery, outcome: Awaitable[Outcome]) -> None:
        self._conclude(delivery, await outcome)

    def _conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        event, subscription, open_, _ = delivery
        if outcome is HANDLED:
            self._tally.delivered[subscription.name] += 1
            if self._attempt_observers:
                self._observed.end(delivery, event, subscription, delivery[3], outcome)
        elif self._comes_again(delivery, outcome):
            return
        if open_ is not None:
            open_.left -= 1
            if open_.left:
                return
        self._tally.dispatched[event.type] += 1
        self._capacity.leave()

    def _comes_again(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Do what follows from an outcome; return True if that is another attempt."""
        event, subscription, open_, attempts = delivery
        self.stats.count_outcome(subscription.name, event.type, outcome)
        if self._attempt_observers:
            self._observed.end(delivery, event, subscription, attempts, outcome)
        follows = consequences(outcome)
        if follows.dead_letter is not None:
            self.dead_letters.add(event, subscription.name, follows.dead_letter, attempts)
        if follows.again_after is None:
            return False
        again = (event, subscription, open_, attempts.after(follows))
        self._retries.add(again, follows.again_after)
        return True

    # Join and stop

    async def join(self, timeout: float | None = None) -> None:
        """See EventBus.

        Raises:
            BusStateError: called inside a handler, which it would wait for; or the bus does not run
                or stopped meanwhile.
        """
        refuse_in_handler()
        # A run_forever() task made just before starts now.
        await asyncio.sleep(0)
        if (held := self._capacity.taken) and not self._lanes.running:
            raise BusStateError(f"join() on a bus that does not run: {held} wait for run_forever()")
        try:
            emptied = await self._capacity.emptied(timeout)
        except TimeoutError:
            late = f"after {timeout:g} s {self._capacity.taken} events have no outcome"
            raise TimeoutError(f"{late}; {len(self._retries)} wait for a retry") from None
        if not emptied:
            left = f"{self._capacity.taken} events have no outcome; run it again"
            raise BusStateError(f"the bus stopped while join() waited: {left}")

    def stop(self) -> None:
        """See EventBus. Safe from any thread."""
        self._shutdown.tell(Trigger.STOP)

    def _hasten(self) -> None:
        self._haste.leave()

    def _forget_stop(self) -> None:
        if not self._lanes.running:
            self._shutdown = Shutdown()

    def close(self) -> None:
        """See EventBus. Nothing is held open here; publishing is refused all the same."""
        self._closed = self._guarded = True

    def use(self, middleware: Middleware) -> None:
        """See EventBus."""
        super().use(middleware)
        self._guarded = self._closed or bool(self.middleware.around_publish)

    def get_stats(self) -> dict[str, Any]:
        """See EventBus; `queue_size` counts events held, those that wait for a retry included."""
        return self.stats.snapshot(
            queue_size=self._capacity.taken,
            waiting={"window": late} if (late := self._capacity.late) else {},
            handler_types=len(self._subscriptions.patterns),
            total_handlers=len(self._subscriptions),
        )
