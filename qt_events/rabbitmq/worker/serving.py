"""Serving: the delivering side of one bus in this process."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BusStateError, NotSupportedError
from qt_events.event_loop import running_loop
from qt_events.rabbitmq.app.configuration import is_eager
from qt_events.rabbitmq.app.selection import Selection
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import CELERYS_MULTIPLIER, pool_name
from qt_events.rabbitmq.pools.prefetch import Prefetch
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.worker.in_process import InProcessWorker, first_of
from qt_events.rabbitmq.worker.quarantines import Quarantines
from qt_events.rabbitmq.worker.sharing import look_for_others
from qt_events.shutdown import Shutdown, State, Trigger, stopped_by_signals

logger = logging.getLogger("qt_events")

Take = Callable[[str, int, Envelope], None]


class Consumer(Protocol):
    """Celery's consumer of the worker that runs here, an EventConsumer."""

    pool: Any
    controller: Any
    selection: Selection
    restart_count: int
    quarantines: Quarantines

    def call_soon(self, act: Callable[..., Any], *args: Any) -> Any:
        """Call a function on the thread that owns the worker's connection."""

    def taker(self, queue: SubscriptionQueue, channel: Any) -> Take | None: ...
    def take_up(self, queues: Sequence[SubscriptionQueue]) -> None: ...
    def drop(self, queues: Sequence[SubscriptionQueue]) -> None: ...


class Serving:
    """Deliveries of a bus in this process: in a worker, under run_forever(), or none at all."""

    def __init__(self, prefetch: int | None = None) -> None:
        self._pool_name = "asyncio"
        self._fixed = prefetch  # for subscriptions without one of their own
        self._prefetches: dict[str, Prefetch] = {}
        self.consumer: Consumer | None = None  #: of the worker in this process
        self.worker: InProcessWorker | None = None  #: hosted by run_forever()
        self.shutdown = Shutdown()  #: of this run, or of the next one while none is on
        # Process that serves, or is about to. A forked child does not.
        self._process = 0

    # run_forever

    async def run(self, runtime: Runtime, *, handle_signals: bool) -> None:
        """Serve until the shutdown ends. See CeleryEventBus.run_forever."""
        if runtime.loop is not None:
            raise BusStateError("this bus runs already: one run_forever() a bus")
        loop, shutdown = running_loop(), self.shutdown
        with stopped_by_signals(shutdown) if handle_signals else nullcontext():
            runtime.loop = loop
            self._process = os.getpid()
            runtime.declarations.serve()
            try:
                if is_eager(runtime.app):
                    await shutdown.until(State.FINISHING)
                else:
                    await self._host_worker(runtime)
            finally:
                runtime.loop, self._process = None, 0
                shutdown.tell(Trigger.DONE)
                self.shutdown = Shutdown()

    async def _host_worker(self, runtime: Runtime) -> None:
        self.worker = InProcessWorker(runtime, self.shutdown)
        runtime.outstanding.serve()
        looking = asyncio.create_task(look_for_others(runtime))
        try:
            await self.worker.serve()
        finally:
            looking.cancel()
            runtime.outstanding.end()
            self.worker = self.consumer = None

    def stop(self) -> None:
        """Have `run` finish and return. Safe from any thread."""
        self.shutdown.tell(Trigger.STOP)

    def forget_stop(self, runtime: Runtime) -> None:
        """Forget a stop() from before the run that is about to begin."""
        if runtime.loop is None:
            self.shutdown = Shutdown()

    async def ready(self) -> None:
        """Return when the worker that run_forever() hosts consumes, or has ended."""
        if self.worker is not None:
            await first_of(self.worker.ready.wait(), self.worker.ended.wait())

    async def until(self, done: Any) -> bool:
        """Await `done`. Return False if the worker ended first."""
        # Asked for only while the worker runs.
        assert self.worker is not None  # noqa: S101
        return await first_of(done, self.worker.ended.wait()) == 0

    # The worker of this process, hosted or not

    def take_part(self, consumer: Consumer) -> None:
        """Begin with a worker's consumer.

        Raises:
            NotSupportedError: its pool cannot serve one of the subscriptions.
        """
        self._pool_name = pool_name(type(consumer.pool))
        for subscription in consumer.selection:
            self.must_serve(
                subscription.name, broadcast=subscription.broadcast, batch=subscription.batch
            )
        self.consumer, self._process = consumer, os.getpid()
        if self._pool_name in {"threads", "solo"} and (
            self._fixed or any(each.prefetch for each in consumer.selection)
        ):
            message = "prefetch= has no effect on %s, which holds as many events as `concurrency`"
            logger.warning(message, self._pool_name)

    def note_refusal(self, error: BaseException) -> None:
        if self.worker is not None:
            self.worker.last_refusal = error

    def serves(self, subscription: Subscription) -> bool:
        """Return True if a worker in this process takes its events."""
        return self.consumer is not None and self.consumer.selection.takes(subscription.name)

    def will_serve(self, subscription: Subscription) -> bool:
        """Return True if this process takes its events, or is about to."""
        if self._process != os.getpid():
            return False
        return self.consumer is None or self.consumer.selection.takes(subscription.name)

    def must_serve(self, name: str, *, broadcast: bool, batch: int | None = None) -> None:
        """Raise NotSupportedError if the worker's pool cannot serve such a subscription."""
        left = self.consumer is not None and not self.consumer.selection.takes(name)
        if self._pool_name == "prefork" and broadcast and not left:
            raise NotSupportedError(
                f"subscription {name!r} is a broadcast: on prefork no process could own its queue; "
                "use the asyncio pool, threads or solo, or choose others with --subscriptions"
            )
        if batch is not None and self._pool_name != "asyncio" and not left:
            raise NotSupportedError(
                f"subscription {name!r} takes batches: {self._pool_name} hands out one event at a "
                "time; use the asyncio pool (-P asyncio), or choose others with --subscriptions"
            )

    def prefetch(self, subscription: Subscription) -> int:
        """Return how many unacknowledged messages one consumer may hold."""
        # Such a pool takes all that comes. Only the broker can keep to the concurrency.
        if self._pool_name not in {"asyncio", "prefork"}:
            return subscription.concurrency
        if (adapting := self.adapting(subscription)) is not None:
            return adapting.count
        chosen = subscription.prefetch or self._fixed or self._for_children()
        return max(chosen, subscription.at_a_time)

    def adapting(self, subscription: Subscription) -> Prefetch | None:
        """Return what finds out how many that should be, None if it was decided."""
        if self._pool_name != "asyncio" or subscription.prefetch or self._fixed:
            return None
        known = self._prefetches.get(subscription.name)
        # It may have been unsubscribed and subscribed again.
        about = (subscription.concurrency, subscription.batch)
        if known is None or (known.concurrency, known.batch) != about:
            known = self._prefetches[subscription.name] = Prefetch(*about)
        return known

    def taker(self, queue: SubscriptionQueue, channel: Any) -> Take | None:
        """Return the function that takes its messages past Celery; None on Celery's own pools."""
        return None if self.consumer is None else self.consumer.taker(queue, channel)

    def _for_children(self) -> int:
        worker = self.consumer.controller if self.consumer is not None else None
        children = getattr(worker, "max_concurrency", 0) or getattr(worker, "concurrency", 1)
        # 0 is Celery's word for no limit, which suits no queue of events.
        return int(children) * (getattr(worker, "prefetch_multiplier", 0) or CELERYS_MULTIPLIER)

    def take_up(self, subscription: Subscription, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from a subscription's queues if a worker here serves it."""
        if self.consumer is None:
            return
        if self.consumer.selection.takes(subscription.name):
            self.consumer.call_soon(self.consumer.take_up, queues)
        else:
            self.consumer.selection.leave(subscription)

    def take_up_quarantines(self) -> None:
        """Consume from the quarantines that are made by now if a worker runs here."""
        if self.consumer is not None and self._process == os.getpid():
            self.consumer.call_soon(self.consumer.quarantines.take_up)

    def drop(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Stop consuming from these queues if a worker runs here."""
        for queue in queues:
            # The next handler of that name may be another one.
            self._prefetches.pop(queue.subscription, None)
        if self.consumer is not None:
            self.consumer.call_soon(self.consumer.drop, queues)

    @property
    def _pool(self) -> AsyncioPool | None:
        pool = self.consumer.pool if self.consumer is not None else None
        return pool if isinstance(pool, AsyncioPool) else None

    @property
    def held(self) -> int:
        """Number of events that wait or are handled in this process, as far as is known."""
        return self._pool.held if self._pool is not None else 0

    def hasten(self) -> None:
        """Let no batch wait any more until it is full, if a worker runs here."""
        if self._pool is not None:
            self._pool.haste.leave()

    def slowest(self) -> str:
        """Describe the subscription that holds up others; empty if there is none."""
        name, waiting = self._pool.lanes.slowest() if self._pool is not None else ("", 0)
        return f"the slowest subscription here is {name!r} with {waiting} events" if name else ""
