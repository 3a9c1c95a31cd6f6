"""CeleryEventBus: the EventBus over RabbitMQ, its subscriptions served by Celery workers."""

import asyncio
import logging
from functools import partial
from typing import Any

import celery
import kombu

from qt_events.bus import Hosted, refuse_in_handler, refuse_on_event_loop
from qt_events.dead_letters.operations import DeadLetters
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SLOW_AFTER, SlowHandlerLog, Stats
from qt_events.delivery.subscription import (
    EventHandler,
    Subscription,
    SubscriptionOptions,
    name_of,
    pattern_of,
)
from qt_events.delivery.subscriptions import Subscriptions
from qt_events.errors import (
    BusStateError,
    InvalidHandlerError,
    InvalidUrlError,
    UnroutableError,
)
from qt_events.event_loop import running_loop
from qt_events.events.current import checked_event, current_event
from qt_events.events.event import Event
from qt_events.limits import positive_int, positive_seconds
from qt_events.rabbitmq.app.configuration import configure, is_eager, new_app
from qt_events.rabbitmq.connection.connections import for_publishing
from qt_events.rabbitmq.dead_letters.operations import RabbitMQDeadLetters
from qt_events.rabbitmq.eager import Eager
from qt_events.rabbitmq.messages.properties import to_amqp
from qt_events.rabbitmq.pools.subscription_task import task_for
from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.publishing.publisher import Publisher
from qt_events.rabbitmq.publishing.requests import DeclareRequest, PublishRequest
from qt_events.rabbitmq.runtime import Runtime, Settings, runtime_of
from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.worker.serving import Serving
from qt_events.rabbitmq.worker.sharing import all_taken, must_serve_alone

logger = logging.getLogger("qt_events")


class CeleryEventBus(Hosted):
    """EventBus over RabbitMQ.

    `run_forever()` serves the subscriptions in this process, on the caller's event loop.
    `celery -A module worker` serves those that `module` makes when it is imported, in as many
    processes as you like.

    Args:
        url: `amqp://user:password@host:port/vhost`; several joined by `;` for the nodes of a
            cluster.
        app: instead, a Celery app of your own, with its broker. The bus is `app.qt_events_bus`
            then.
        prefix: begins every name on the broker; buses of different prefixes do not meet.
        queue_type: "quorum", or "classic" for a broker without quorum queues.
        publish_timeout: seconds until a publish that is not confirmed ends in a named error.
        grace: seconds that stop() gives to the events in hand.
        max_queue_size: publishes in flight before `publish` waits.
        max_workers: threads for sync handlers.
        slow_after: seconds from which a handler is reported as slow.
        retry: policy of the subscriptions made without one of their own.
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
        retry: RetryPolicy | None = None,
    ) -> None:
        if (url is None) == (app is None):
            raise InvalidUrlError("CeleryEventBus takes either a URL or app=, a Celery app")
        self.topology = Topology(prefix, queue_type)
        self.publish_timeout = positive_seconds("publish_timeout", publish_timeout)
        self.grace = positive_seconds("grace", grace)
        self.max_queue_size = positive_int("max_queue_size", max_queue_size)
        self.max_workers = positive_int("max_workers", max_workers)
        self.slow_after = positive_seconds("slow_after", slow_after)
        self.app: celery.Celery = app if app is not None else new_app(str(url))
        self._refuse_second_bus()
        configure(
            self.app,
            prefix=prefix,
            classic=self.topology.queue_type == "classic",
            threads=self.max_workers,
        )
        self.serving = Serving()
        self.runtime = self._new_runtime(app_is_users=app is not None, retry=retry)
        self.middleware = self.runtime.middleware
        self.stats, self.subscriptions = self.runtime.stats, self.runtime.subscriptions
        self.outstanding, self.publisher = self.runtime.outstanding, self.runtime.publisher
        self.declarations = self.runtime.declarations
        self._eager = Eager(self.runtime)
        self._broker_dead_letters = RabbitMQDeadLetters(self.runtime)
        # Objects that Celery makes by itself find them there. `qt_events_bus` is public.
        self.app.qt_events_bus, self.app.qt_events_runtime = self, self.runtime
        self.app.qt_events_serving = self.serving

    def _refuse_second_bus(self) -> None:
        if runtime_of(self.app) is not None:
            raise BusStateError(
                f"{self.app!r} has a bus already, app.qt_events_bus: one bus an app"
            )

    def _new_runtime(self, *, app_is_users: bool, retry: RetryPolicy | None) -> Runtime:
        serving, stats = self.serving, Stats()
        publisher = Publisher(
            self._connect_publisher,
            timeout=self.publish_timeout,
            window=self.max_queue_size,
            slowest=serving.slowest,
        )
        return Runtime(
            app=self.app,
            settings=Settings(
                publish_timeout=self.publish_timeout,
                grace=self.grace,
                slow_after=self.slow_after,
                max_workers=self.max_workers,
                app_is_users=app_is_users,
            ),
            topology=self.topology,
            subscriptions=Subscriptions(retry=retry),
            publisher=publisher,
            declarations=Declarations(
                self.topology, publisher, serving.prefetch, serving.serves, serving.taker
            ),
            outstanding=Outstanding(),
            stats=stats,
            watch=SlowHandlerLog(stats),
        )

    def _connect_publisher(self, *callbacks: Any) -> kombu.Connection:
        self.topology.forget_refusals()
        return for_publishing(self.app, *callbacks)

    @property
    def is_eager(self) -> bool:
        """True if publish runs the handlers at once."""
        return is_eager(self.app)

    # Publish

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus. Returns when the broker has confirmed the event."""
        event = checked_event(event)
        if self.middleware.around_publish:
            await self.middleware.publish(event, partial(self._publish, mandatory=mandatory))
        else:
            await self._publish(event, mandatory=mandatory)

    async def _publish(self, event: Event[Any], *, mandatory: bool) -> None:
        subscriptions = self.subscriptions.match(event.type)
        if is_eager(self.app):
            self.publisher.must_be_open()
            running_loop()
            self._count_published(event, mandatory=mandatory, routed=bool(subscriptions))
            await self._eager.publish(event, subscriptions)
            return
        with self.outstanding.expecting(event.id, subscriptions):
            routed = await self.publisher.ask(
                self._request(event), wait_for_room=current_event() is None
            )
        self._count_published(event, mandatory=mandatory, routed=routed)

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> None:
        """See EventBus."""
        event = checked_event(event)
        refuse_on_event_loop()
        if self.is_eager:
            publish = partial(self._publish, mandatory=mandatory)
            asyncio.run(self.middleware.publish(event, publish))
            return
        publish_blocking = partial(self._publish_blocking, mandatory=mandatory)
        self.middleware.publish_sync(event, publish_blocking)

    def _publish_blocking(self, event: Event[Any], *, mandatory: bool) -> None:
        subscriptions = self.subscriptions.match(event.type)
        with self.outstanding.expecting(event.id, subscriptions):
            routed = self.publisher.ask_blocking(
                self._request(event), wait_for_room=current_event() is None
            )
        self._count_published(event, mandatory=mandatory, routed=routed)

    def _request(self, event: Event[Any]) -> PublishRequest:
        content = to_amqp(event)
        return PublishRequest(
            self.topology.events, event.type, content, first=self.declarations, must_route=False
        )

    def _count_published(self, event: Event[Any], *, mandatory: bool, routed: bool) -> None:
        self.stats.count_published(event.type, routed=routed)
        if self.middleware.published:
            self.middleware.tell_published(event, self.subscriptions.match(event.type))
        if routed:
            return
        self.outstanding.forget(event.id)
        if mandatory:
            raise UnroutableError(
                f"no queue is bound for {event.type!r}: subscribe first, or publish without "
                "mandatory"
            )

    # Subscribe

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        """Subscribe. The queue is declared before the next publish, or at a worker's start."""
        known = self.subscriptions.of(handler)
        name = name or (known.name if known else _lasting_name(handler))
        self.serving.must_serve(name, broadcast=bool(options.broadcast))
        subscription = self.subscriptions.add(pattern, handler, name, options)
        task = task_for(subscription, self.runtime)
        self.declarations.want(subscription)
        queues = self.declarations.queues(subscription)
        if subscription.name not in self.app.tasks:
            self.app.register_task(task)
            for queue in queues:
                self.app.amqp.queues.select_add(queue)
        else:
            for queue in queues:
                # In Celery's banner.
                if queue.name in self.app.amqp.queues:
                    self.app.amqp.queues[queue.name].routing_key = queue.routing_key
        self.serving.take_up(subscription, queues)
        return subscription

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """See EventBus. The queue stays on the broker, bound as it is, and goes on collecting.

        Events that come by a removed pattern are acknowledged and counted as filtered.
        """
        subscription, gone = self.subscriptions.remove(pattern_of(event_type), handler)
        if not gone:
            return
        queues = self.declarations.queues(subscription)
        self.serving.drop(queues)
        self.declarations.drop(subscription)
        self.outstanding.drop(subscription)
        self.app.tasks.pop(subscription.name, None)
        for queue in queues:
            self.app.amqp.queues.deselect(queue.name)
            self.app.amqp.queues.pop(queue.name, None)

    # Deliver

    @property
    def dead_letters(self) -> DeadLetters:
        """See EventBus."""
        return self._eager.dead_letters if self.is_eager else self._broker_dead_letters

    async def run_forever(self, *, handle_signals: bool = False) -> None:
        """See EventBus. Its Celery worker reconnects by itself; handlers run on this loop.

        Raises:
            BrokerUnreachableError: there was no connection at all within `publish_timeout`.
            TopologyError: a queue exists on the broker with other arguments.
        """
        await self.serving.run(self.runtime, handle_signals=handle_signals)

    # Join and stop

    async def join(self, timeout: float | None = None) -> None:
        """See EventBus. Waits for the subscriptions that this process serves, and it alone."""
        refuse_in_handler()
        # A run_forever() task that was made just before starts now.
        await asyncio.sleep(0)
        if self.is_eager:
            return
        if self.runtime.loop is None:
            self._nothing_must_wait("join() on a bus that does not run")
            return
        try:
            async with asyncio.timeout(timeout):
                finished = await self.serving.until(self._all_settled())
        except TimeoutError:
            message = f"after {timeout:g} s {len(self.outstanding)} events have no outcome"
            raise TimeoutError(message) from None
        if not finished:
            self._nothing_must_wait("the bus stopped while join() waited")

    def _nothing_must_wait(self, what: str) -> None:
        if len(self.outstanding):
            raise BusStateError(
                f"{what}: {len(self.outstanding)} events have no outcome yet and wait for "
                "run_forever()"
            )

    async def _all_settled(self) -> None:
        await self.serving.ready()
        await self.declarations.made()
        await asyncio.to_thread(must_serve_alone, self.runtime)
        await self.outstanding.idle()
        if self.outstanding.shared:
            await asyncio.to_thread(must_serve_alone, self.runtime)
        if self.outstanding.overflowed:
            await all_taken(self.runtime, lambda: self.serving.held)

    def stop(self) -> None:
        """See EventBus. Safe from any thread."""
        self.serving.stop()

    def close(self) -> None:
        """See EventBus."""
        self.publisher.close()

    def _forget_stop(self) -> None:
        self.serving.forget_stop(self.runtime)

    async def _started(self) -> None:
        await self.serving.ready()

    # Look and remove

    def get_stats(self) -> dict[str, Any]:
        """See EventBus.

        `queue_size` counts publishes in flight and events held here, not those that wait on the
        broker, where another process may take them; `waiting` counts by cause the publishes that
        have waited for more than a second.
        """
        return self.stats.snapshot(
            queue_size=self.publisher.in_flight + self.serving.held,
            handler_types=len(self.subscriptions.patterns),
            total_handlers=len(self.subscriptions),
            waiting=self.publisher.waiting,
        )

    async def delete_topology(self) -> None:
        """Delete every exchange and queue of this bus's prefix and subscriptions, with all events.

        Processes with the same subscriptions declare them again when they next connect: end those
        first.
        """
        subscriptions = list(self.subscriptions)
        await self.publisher.ask(
            DeclareRequest("all", lambda channel: self.declarations.remove(channel, subscriptions))
        )


def _lasting_name(handler: EventHandler) -> str:
    """Return the handler's own name, for its queue. InvalidHandlerError if it has none."""
    name = name_of(handler)
    if name is None:
        raise InvalidHandlerError(
            f"{handler!r} has no name of its own, and its queue needs one that lasts: give name=..."
        )
    return name
