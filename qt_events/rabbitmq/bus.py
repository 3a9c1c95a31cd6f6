"""CeleryEventBus: the EventBus over RabbitMQ, its subscriptions served by Celery workers."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self

import celery
import kombu
from celery import signals

from qt_events.bus import refuse_in_handler, refuse_on_event_loop
from qt_events.codec import encode
from qt_events.dead_letters import DeadLetters
from qt_events.delivery import SLOW_AFTER, Outcome, Retry, SlowHandlerLog
from qt_events.errors import (
    BusStateError,
    ForeignConsumersError,
    InvalidHandlerError,
    InvalidUrlError,
    NotSupportedError,
    UnknownSubscriptionError,
    UnroutableError,
)
from qt_events.events import Event, checked_event, current_event
from qt_events.limits import positive_int, positive_seconds
from qt_events.rabbitmq.configuration import configure, new_app, pool_name
from qt_events.rabbitmq.connections import visiting
from qt_events.rabbitmq.consumer import EventConsumer
from qt_events.rabbitmq.dead_letters import RabbitMQDeadLetters
from qt_events.rabbitmq.declarations import Declarations
from qt_events.rabbitmq.eager import Eager
from qt_events.rabbitmq.envelope import Envelope
from qt_events.rabbitmq.orders import Declare, Publish
from qt_events.rabbitmq.outstanding import Outstanding
from qt_events.rabbitmq.pool import AsyncioPool
from qt_events.rabbitmq.publisher import Publisher
from qt_events.rabbitmq.queues import SubscriptionQueue
from qt_events.rabbitmq.tasks import task_for
from qt_events.rabbitmq.topology import Topology
from qt_events.rabbitmq.worker import InProcessWorker
from qt_events.retry import RetryPolicy
from qt_events.routing import RoutingIndex
from qt_events.stats import Stats
from qt_events.subscription import EventHandler, Predicate, Subscription, Subscriptions, name_of, pattern_of

logger = logging.getLogger("qt_events")

_PREFETCH = 100  # unacknowledged messages a consumer holds on the asyncio pool, at least


class CeleryEventBus:
    """An EventBus over RabbitMQ.

    `run_forever()` serves the subscriptions in this process, on the caller's event loop; `celery -A module worker`
    serves those that `module` makes at import time, in as many processes as one likes.

    Args:
        url: `amqp://user:password@host:port/vhost`; several joined by `;` for the nodes of a cluster.
        app: instead, a Celery app of your own, with its broker. The bus is `app.qt_events_bus` then.
        prefix: begins every name on the broker; buses of different prefixes do not meet.
        queue_type: "quorum", or "classic" for a broker without them.
        publish_timeout: seconds until a publish that is not confirmed ends in a named error.
        grace: seconds that stop() gives to what is held.
        max_queue_size: publishes in flight before `publish` waits.
        max_workers: threads for sync handlers.
        slow_after: seconds from which a handler is reported as slow.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        app: celery.Celery | None = None,
        prefix: str = "qt",
        queue_type: str = "quorum",
        publish_timeout: float = 30.0,
        grace: float = 30.0,
        max_queue_size: int = 10_000,
        max_workers: int = 4,
        slow_after: float = SLOW_AFTER,
    ) -> None:
        if (url is None) == (app is None):
            message = "CeleryEventBus takes either a URL or app=, a Celery app"
            raise InvalidUrlError(message)
        self.topology = Topology(prefix, queue_type)
        self.publish_timeout = positive_seconds("publish_timeout", publish_timeout)
        self.grace = positive_seconds("grace", grace)
        self.max_queue_size = positive_int("max_queue_size", max_queue_size)
        self.max_workers = positive_int("max_workers", max_workers)
        self.slow_after = positive_seconds("slow_after", slow_after)
        self.app: celery.Celery = app if app is not None else new_app(str(url))
        self._attach()

        self.stats = Stats()
        self.watch = SlowHandlerLog(self.stats)
        self.subscriptions = Subscriptions()
        self._index: RoutingIndex[Subscription] = RoutingIndex()
        self.outstanding = Outstanding()
        self._eager = Eager(self)
        self._broker_dead_letters = RabbitMQDeadLetters(self)
        self.publisher = Publisher(
            self._publisher_connection,
            timeout=self.publish_timeout,
            window=self.max_queue_size,
            slowest=self._slowest,
        )
        self.declarations = Declarations(self.topology, self.publisher, self._prefetch)
        self.pool_name = "asyncio"
        self.consumer: EventConsumer | None = None  # of the worker in this process
        self.serving_loop: asyncio.AbstractEventLoop | None = None
        self.stop_wanted = False
        self.hurry = False  #: stop at once: give back what is being handled
        self.last_refusal: BaseException | None = None
        self._worker: InProcessWorker | None = None
        self._runner: asyncio.Task[None] | None = None

    def _attach(self) -> None:
        """Make the Celery app this bus's."""
        if getattr(self.app, "qt_events_bus", None) is not None:
            message = f"{self.app!r} has a bus already, app.qt_events_bus: one bus an app"
            raise BusStateError(message)
        self.app.qt_events_bus = self
        configure(
            self.app,
            prefix=self.topology.prefix,
            classic=self.topology.queue_type == "classic",
            threads=self.max_workers,
        )
        signals.worker_init.connect(self._on_worker_init, weak=False)

    def _on_worker_init(self, sender: Any = None, **_: Any) -> None:
        if sender is not None and sender.app is self.app:
            self.pool_name = pool_name(sender.pool_cls)

    def must_work_on_pool(self) -> None:
        """NotSupportedError if a subscription cannot be served by this worker's pool."""
        for subscription in self.subscriptions:
            self._must_work_on_pool(subscription)

    def _must_work_on_pool(self, subscription: Subscription) -> None:
        if self.pool_name == "prefork" and subscription.broadcast:
            message = (
                f"subscription {subscription.name!r} is a broadcast: on prefork no process could own its queue; "
                "use the asyncio pool, threads or solo"
            )
            raise NotSupportedError(message)

    # Connections

    def connection(self) -> kombu.Connection:
        """A connection of its own for looking and managing, not connected yet."""
        return self.app.connection_for_write(connect_timeout=5)

    def _publisher_connection(
        self, on_blocked: Callable[[str], None], on_unblocked: Callable[[], None]
    ) -> kombu.Connection:
        connection = self.app.connection_for_write(heartbeat=self.app.conf.broker_heartbeat, connect_timeout=5)
        connection.transport_options = {
            **(connection.transport_options or {}),
            "confirm_publish": False,  # that would wait for each confirm alone; the session counts them itself
            "on_blocked": on_blocked,
            "on_unblocked": on_unblocked,
        }
        return connection

    def connection_refused(self, error: BaseException) -> None:
        """The worker could not connect; it tries again."""
        self.last_refusal = error

    @property
    def is_eager(self) -> bool:
        """Whether publish runs the handlers at once."""
        return bool(self.app.conf.task_always_eager)

    # Publish

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus. Returns when the broker has confirmed the event."""
        event = checked_event(event)
        subscriptions = self._index.match(event.type)
        if self.is_eager:
            self.publisher.must_be_open()
            self._count_published(event, mandatory=mandatory, routed=bool(subscriptions))
            await self._eager.publish(event, subscriptions)
            return
        with self._expecting(event, subscriptions):
            routed = await self.publisher.ask(self._order(event), wait_for_room=current_event() is None)
        self._count_published(event, mandatory=mandatory, routed=routed)

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus."""
        event = checked_event(event)
        refuse_on_event_loop()
        subscriptions = self._index.match(event.type)
        if self.is_eager:
            self.publisher.must_be_open()
            self._count_published(event, mandatory=mandatory, routed=bool(subscriptions))
            self._eager.publish_sync(event, subscriptions)
            return
        with self._expecting(event, subscriptions):
            routed = self.publisher.ask_blocking(self._order(event), wait_for_room=current_event() is None)
        self._count_published(event, mandatory=mandatory, routed=routed)

    def _order(self, event: Event[Any]) -> Publish:
        message = encode(event)
        return Publish(self.topology.events, event.type, message, first=self.declarations, must_route=False)

    def _prefetch(self, subscription: Subscription) -> int:
        """Unacknowledged messages that one consumer may hold."""
        match self.pool_name:
            case "asyncio":
                return max(_PREFETCH, 2 * subscription.concurrency)
            case "prefork":
                return max(4 * int(self.app.conf.worker_concurrency), subscription.concurrency)
            case _:  # such a pool takes whatever comes: only the broker can keep to the subscription's concurrency
                return subscription.concurrency

    @contextmanager
    def _expecting(self, event: Event[Any], subscriptions: tuple[Subscription, ...]) -> Iterator[None]:
        """join() waits for its outcomes; unless it is unknown whether it was published at all."""
        self.outstanding.published(event.id, (each.name for each in subscriptions))
        try:
            yield
        except BaseException:
            self.outstanding.forget(event.id)
            raise

    def _count_published(self, event: Event[Any], *, mandatory: bool, routed: bool) -> None:
        self.stats.published[event.type] += 1
        if routed:
            return
        self.stats.unroutable[event.type] += 1
        self.outstanding.forget(event.id)
        if mandatory:
            message = f"no queue is bound for {event.type!r}: subscribe first, or publish without mandatory"
            raise UnroutableError(message)

    def _slowest(self) -> str:
        name, waiting = self._pool.slowest() if self._pool else ("", 0)
        return f"the slowest subscription here is {name!r} with {waiting} events" if name else "the broker is slow"

    @property
    def _pool(self) -> AsyncioPool | None:
        pool = self.consumer.pool if self.consumer is not None else None
        return pool if isinstance(pool, AsyncioPool) else None

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
        """See EventBus. The queue is declared before the next publish of this process, or when a worker starts."""
        pattern = pattern_of(event_type)
        options = {"when": when, "retry": retry, "concurrency": concurrency, "broadcast": broadcast}
        subscription = self.subscriptions.add(pattern, handler, name or self._name_for(handler), **options)
        try:
            self._must_work_on_pool(subscription)
        except NotSupportedError:
            self.subscriptions.remove(subscription, pattern)
            raise
        self._index.add(pattern, subscription)
        self._register(subscription)
        return subscription

    def _name_for(self, handler: EventHandler) -> str:
        existing = self.subscriptions.of(handler)
        name = existing.name if existing else name_of(handler)
        if name is None:
            message = f"{handler!r} has no name of its own, and its queue needs one that lasts: give name=..."
            raise InvalidHandlerError(message)
        return name

    def _register(self, subscription: Subscription) -> None:
        self.declarations.want(subscription)
        if subscription.name not in self.app.tasks:
            self.app.register_task(task_for(subscription, self))
            for queue in self.declarations.queues(subscription):
                self.app.amqp.queues.select_add(queue)
        self._on_consumer(EventConsumer.take_up, subscription)

    def _on_consumer(
        self, act: Callable[[EventConsumer, list[SubscriptionQueue]], None], subscription: Subscription
    ) -> None:
        """Do it on the thread that owns the worker's connection, if a worker runs here."""
        if self.consumer is not None:
            self.consumer.call_soon(act, self.consumer, self.declarations.queues(subscription))

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """See EventBus. The queue stays on the broker and goes on collecting."""
        pattern = pattern_of(event_type)
        subscription = self.subscriptions.find(pattern, handler)
        if subscription is None:
            message = f"{handler!r} is not subscribed to {pattern!r}"
            raise UnknownSubscriptionError(message)
        self._index.remove(pattern, subscription)
        if self.subscriptions.remove(subscription, pattern):
            self._unregister(subscription)

    def _unregister(self, subscription: Subscription) -> None:
        self._on_consumer(EventConsumer.drop, subscription)
        self.declarations.drop(subscription)
        self.app.tasks.pop(subscription.name, None)
        for queue in self.declarations.queues(subscription):
            self.app.amqp.queues.deselect(queue.name)
            self.app.amqp.queues.pop(queue.name, None)

    # Deliver

    def wants(self, subscription: Subscription, event_type: str) -> bool:
        """Whether the subscription still has a pattern for it: old bindings stay on the broker."""
        return subscription in self._index.match(event_type)

    def concluded(self, envelope: Envelope, outcome: Outcome) -> None:
        """Count an attempt whose outcome is safe."""
        event_type = envelope.event_type
        self.stats.outcome(envelope.subscription, event_type, outcome)
        if isinstance(outcome, Retry):
            return
        names = (each.name for each in self._index.match(event_type))
        if self.outstanding.settled(envelope.event_id, envelope.subscription, names):
            self.stats.dispatched[event_type] += 1

    @contextmanager
    def redelivering(self, event_id: str, subscription: str) -> Iterator[None]:
        """A dead letter goes back: join() waits for it, if it is handled here, and unless that failed."""
        if self.subscriptions.get(subscription) is not None:
            self.outstanding.published(event_id, (subscription,))
        try:
            yield
        except BaseException:
            self.outstanding.forget(event_id)
            raise

    @property
    def dead_letters(self) -> DeadLetters:
        """See EventBus."""
        return self._eager.dead_letters if self.is_eager else self._broker_dead_letters

    async def run_forever(self) -> None:
        """See EventBus. Hosts a Celery worker in a thread; handlers run on this loop. Reconnects by itself.

        Raises:
            BrokerUnreachableError: there was no connection at all within `publish_timeout`.
            TopologyError: a queue stands on the broker with other arguments.
        """
        if self.serving_loop is not None:
            message = "this bus runs already: one run_forever() a bus"
            raise BusStateError(message)
        self.serving_loop = asyncio.get_running_loop()
        self.stop_wanted = self.hurry = False
        self.last_refusal = None
        try:
            await (self._wait_for_stop() if self.is_eager else self._serve())
        finally:
            self.serving_loop = None

    async def _wait_for_stop(self) -> None:
        self._eager_stop = asyncio.Event()
        await self._eager_stop.wait()

    async def _serve(self) -> None:
        self._worker = InProcessWorker(self)
        self.outstanding.serving = True
        try:
            await self._worker.serve()
        finally:
            self.outstanding.serving = False
            self._worker = self.consumer = None

    # Join and stop

    async def join(self, timeout: float | None = None) -> None:
        """See EventBus. Waits for the subscriptions that this process serves, and it alone."""
        refuse_in_handler()
        await asyncio.sleep(0)  # a run_forever() task made just before starts now
        if self.is_eager:
            return
        if len(self.outstanding) and self.serving_loop is None:
            message = f"join() on a bus that does not run: {len(self.outstanding)} events wait for run_forever()"
            raise BusStateError(message)
        await self._must_serve_alone()
        await self._until_idle(timeout)

    async def _must_serve_alone(self) -> None:
        if self._worker is None:
            return
        await self._worker.ready.wait()
        shared = [each.name for each in self.subscriptions if not each.broadcast]
        others = await asyncio.to_thread(self._served_elsewhere, shared)
        if others:
            message = f"join() cannot know: other processes serve {', '.join(others)} too"
            raise ForeignConsumersError(message)

    def _served_elsewhere(self, names: list[str]) -> list[str]:
        with visiting(self.connection()) as connection, connection.channel() as channel:
            return [name for name in names if self.topology.depth(channel, self.topology.queue(name))[1] > 1]

    async def _until_idle(self, timeout: float | None) -> None:
        loop = asyncio.get_running_loop()
        idle = asyncio.Event()
        self.outstanding.when_idle(partial(loop.call_soon_threadsafe, idle.set))
        try:
            async with asyncio.timeout(timeout):
                await idle.wait()
        except TimeoutError:
            message = f"after {timeout:g} s {len(self.outstanding)} events have no outcome"
            raise TimeoutError(message) from None

    def stop(self) -> None:
        """See EventBus. Nothing happens on a bus that does not run. Safe from any thread."""
        self.stop_wanted = True
        if self.is_eager and self.serving_loop is not None:
            self.serving_loop.call_soon_threadsafe(self._eager_stop.set)

    def close(self) -> None:
        """See EventBus."""
        self.publisher.close()

    async def __aenter__(self) -> Self:
        """Start delivering in the background; return when the worker consumes. Raises what run_forever raises."""
        self._runner = asyncio.create_task(self.run_forever())
        await asyncio.sleep(0)
        if self._worker is not None:
            ready = asyncio.create_task(self._worker.ready.wait())
            await asyncio.wait([ready, self._runner], return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        if self._runner.done():
            await self._runner
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wait for all outcomes, retries included, at most `grace` seconds; then stop."""
        assert self._runner is not None  # noqa: S101
        try:
            if error is None and not self._runner.done():
                await self.join(self.grace)
        except (TimeoutError, ForeignConsumersError) as late:
            logger.warning("left the bus with work unfinished: %s", late)
        finally:
            self.stop()
            await self._runner

    # Look and remove

    def get_stats(self) -> dict[str, Any]:
        """See EventBus; `queue_size` counts publishes in flight, events held here and events without an outcome."""
        patterns = {pattern for subscription in self.subscriptions for pattern in subscription.patterns}
        held = self._pool.held if self._pool is not None else 0
        return self.stats.snapshot(
            queue_size=max(self.publisher.in_flight + held, len(self.outstanding)),
            handler_types=len(patterns),
            total_handlers=len(self.subscriptions),
        )

    async def delete_topology(self) -> None:
        """Delete every exchange and queue of this bus's prefix and subscriptions, with what is in them."""
        subscriptions = list(self.subscriptions)
        await self.publisher.ask(Declare("all", lambda channel: self.declarations.remove(channel, subscriptions)))
