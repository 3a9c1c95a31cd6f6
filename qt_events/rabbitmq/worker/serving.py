"""Serving: whether, on which pool and loop, and until when this process delivers."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qt_events.delivery.subscription import Subscription
from qt_events.errors import BusStateError, NotSupportedError
from qt_events.rabbitmq.handling.quarantine import SurvivedDeliveries
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.names import pool_name
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.worker.in_process import InProcessWorker

if TYPE_CHECKING:
    from qt_events.rabbitmq.bus import CeleryEventBus
    from qt_events.rabbitmq.handling.envelope import Envelope
    from qt_events.rabbitmq.worker.consumer import EventConsumer

_PREFETCH = 100  # unacknowledged messages a consumer holds on the asyncio pool, at least


class Serving:
    """The delivering side of a bus, in this process: in a worker process, under run_forever(), or not at all."""

    def __init__(self, bus: "CeleryEventBus") -> None:
        self._bus = bus
        self._pool_name = "asyncio"
        self.loop: asyncio.AbstractEventLoop | None = None  #: of run_forever()
        self.consumer: EventConsumer | None = None  #: of the worker in this process
        self.worker: InProcessWorker | None = None  #: that run_forever() hosts
        self.stop_wanted = False
        self.hurry = False  #: stop at once: give back what is being handled
        self.survived = SurvivedDeliveries()  #: of events that this process handled alone
        self.last_refusal: BaseException | None = None  #: why the worker has no connection
        self._eager_stop = asyncio.Event()

    # run_forever

    async def run(self) -> None:
        """See CeleryEventBus.run_forever."""
        if self.loop is not None:
            message = "this bus runs already: one run_forever() a bus"
            raise BusStateError(message)
        self.loop = asyncio.get_running_loop()
        self.last_refusal = None
        try:
            await (self._wait_for_stop() if self._bus.is_eager else self._host_worker())
        finally:
            self.loop = None
            self.stop_wanted = self.hurry = False

    async def _wait_for_stop(self) -> None:
        self._eager_stop = asyncio.Event()
        if not self.stop_wanted:
            await self._eager_stop.wait()

    async def _host_worker(self) -> None:
        self.worker = InProcessWorker(self._bus)
        self._bus.outstanding.serving = True
        try:
            await self.worker.serve()
        finally:
            self._bus.outstanding.serving = False
            self.worker = self.consumer = None

    def stop(self) -> None:
        """Have `run` finish and return. Safe from any thread."""
        self.stop_wanted = True
        if self._bus.is_eager and self.loop is not None:
            self.loop.call_soon_threadsafe(self._eager_stop.set)

    async def ready(self) -> None:
        """Return when the worker that run_forever() hosts consumes, or is over."""
        if self.worker is not None:
            await _first(self.worker.ready.wait(), self.worker.ended.wait())

    async def until(self, done: Any) -> bool:
        """Await `done` unless the worker ends first; whether it was done."""
        assert self.worker is not None  # noqa: S101  # asked for only while it runs
        return await _first(done, self.worker.ended.wait()) == 0

    # The worker of this process, hosted or not

    def take_part(self, consumer: "EventConsumer") -> None:
        """A worker begins here. NotSupportedError if its pool cannot serve one of the subscriptions."""
        self._pool_name = pool_name(type(consumer.pool))
        for subscription in consumer.selection:
            self.must_serve(subscription.name, broadcast=subscription.broadcast)
        self.consumer = consumer

    def serves(self, subscription: Subscription) -> bool:
        """Whether a worker in this process takes its events: nobody else sees that its queue hears them."""
        return self.consumer is not None and self.consumer.selection.takes(subscription.name)

    def must_serve(self, name: str, *, broadcast: bool) -> None:
        """NotSupportedError if the worker's pool cannot serve such a subscription."""
        left = self.consumer is not None and not self.consumer.selection.takes(name)
        if self._pool_name == "prefork" and broadcast and not left:
            message = (
                f"subscription {name!r} is a broadcast: on prefork no process could own its queue; "
                "use the asyncio pool, threads or solo, or choose others with --subscriptions"
            )
            raise NotSupportedError(message)

    def prefetch(self, subscription: Subscription) -> int:
        """Unacknowledged messages that one consumer may hold."""
        match self._pool_name:
            case "asyncio":
                return max(_PREFETCH, 2 * subscription.concurrency)
            case "prefork":
                return max(4 * self._most_children(), subscription.concurrency)
            case _:  # such a pool takes whatever comes: only the broker can keep to the subscription's concurrency
                return subscription.concurrency

    def taker(
        self, subscription: str, channel: Any
    ) -> "Callable[[str, int, Envelope], None] | None":
        """What takes its messages that come by this channel, on the asyncio pool; None where Celery does."""
        return None if self.consumer is None else self.consumer.taker(subscription, channel)

    def _most_children(self) -> int:
        controller = self.consumer.controller if self.consumer is not None else None
        return int(
            getattr(controller, "max_concurrency", 0) or getattr(controller, "concurrency", 1)
        )

    def tell(
        self,
        act: "Callable[[EventConsumer, list[SubscriptionQueue]], None]",
        queues: list[SubscriptionQueue],
    ) -> None:
        """Do it on the thread that owns the worker's connection, if a worker runs here."""
        if self.consumer is not None:
            self.consumer.call_soon(act, self.consumer, queues)

    @property
    def _pool(self) -> AsyncioPool | None:
        pool = self.consumer.pool if self.consumer is not None else None
        return pool if isinstance(pool, AsyncioPool) else None

    @property
    def held(self) -> int:
        """Events that wait or are being handled in this process, as far as its pool tells."""
        return self._pool.held if self._pool is not None else 0

    def slowest(self) -> str:
        """What holds others up, for the text of an error."""
        name, waiting = self._pool.slowest() if self._pool is not None else ("", 0)
        return (
            f"the slowest subscription here is {name!r} with {waiting} events"
            if name
            else "the broker is slow"
        )


async def _first(*awaitables: Any) -> int:
    """Which of them ended first; its error is raised, the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = next(index for index, task in enumerate(tasks) if task.done())
        tasks[ended].result()
        return ended
    finally:
        for task in tasks:
            task.cancel()
