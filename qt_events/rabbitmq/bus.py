"""CeleryEventBus: the EventBus over RabbitMQ, its subscriptions served by Celery workers."""

import asyncio
import logging
from functools import partial
from typing import Any

import celery

from qt_events.bus import Hosted, refuse_in_handler, refuse_on_event_loop
from qt_events.dead_letters.operations import DeadLetters
from qt_events.delivery.publishing.published import CONFIRMED, SPOOLED, Published
from qt_events.delivery.publishing.spooling import SPOOL_AFTER, SpoolOption
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SLOW_AFTER
from qt_events.delivery.subscribing.handler_names import lasting_name_of, service_of
from qt_events.delivery.subscribing.starting import PastEvents, RecordedEvents
from qt_events.delivery.subscribing.subscription import (
    EventHandler,
    Subscription,
    SubscriptionOptions,
    pattern_of,
)
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.transacting.outgoing import current_outgoing
from qt_events.errors import BusStateError, InvalidUrlError, UnroutableError
from qt_events.event_loop import running_loop
from qt_events.events.current import checked_event, current_attempt
from qt_events.events.event import Event
from qt_events.limits import checked_prefetch, positive_int, positive_seconds
from qt_events.rabbitmq.app import task_registration
from qt_events.rabbitmq.app.configuration import configure, is_eager, new_app
from qt_events.rabbitmq.assembly import new_runtime
from qt_events.rabbitmq.dead_letters.operations import RabbitMQDeadLetters
from qt_events.rabbitmq.eager import Eager
from qt_events.rabbitmq.forwarding import Forwarding
from qt_events.rabbitmq.handling.giving_back import ROLLOUT
from qt_events.rabbitmq.messages.properties import to_amqp
from qt_events.rabbitmq.publishing.requests import (
    DeclareRequest,
    PublishRequest,
    SpoolablePublish,
)
from qt_events.rabbitmq.redelivering import Redelivery
from qt_events.rabbitmq.runtime import Settings, leave_at_exit, runtime_of
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
        rollout: seconds that a rolling release may take. For so long an event that only a newer
            release can read, or has a binding for, is given back to its queue.
        retry: policy of the subscriptions made without one of their own.
        service: name of the program that these subscriptions belong to, by default that of `app`.
            It begins their default names, and tells the broker whose they are.
        prefetch: events of one subscription that a worker takes before they have an outcome, at
            least its concurrency; about a second of work if left out. See docs/pools.md.
        spool: path of a file, or a Spool, where events wait while the broker is away; `publish`
            returns Published.SPOOLED then. None if left out. See docs/spool.md.
        spool_after: seconds that a publish waits before it goes there.
    """

    takes_batches = takes_inboxes = takes_starts = _tells_fates = True
    _needs_past = False

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
        rollout: float = ROLLOUT,
        retry: RetryPolicy | None = None,
        service: str | None = None,
        prefetch: int | None = None,
        spool: SpoolOption = None,
        spool_after: float = SPOOL_AFTER,
    ) -> None:
        if (url is None) == (app is None):
            raise InvalidUrlError("CeleryEventBus takes either a URL or app=, a Celery app")
        self.topology = Topology(prefix, queue_type)
        self.publish_timeout = positive_seconds("publish_timeout", publish_timeout)
        self.grace = positive_seconds("grace", grace)
        self.max_queue_size = positive_int("max_queue_size", max_queue_size)
        self.max_workers = positive_int("max_workers", max_workers)
        self.slow_after = positive_seconds("slow_after", slow_after)
        self.rollout = positive_seconds("rollout", rollout)
        self.app: celery.Celery = (
            app if app is not None else new_app(str(url), prefix=prefix, threads=self.max_workers)
        )
        self.service = service_of(service, app and app.main)
        self._refuse_second_bus()
        configure(self.app)
        self.prefetch = checked_prefetch(prefetch)
        self.spool_after = positive_seconds("spool_after", spool_after)
        self.serving = Serving(self.prefetch)
        self.runtime = new_runtime(
            self.app,
            self._settings(app_is_users=app is not None),
            self.topology,
            self.serving,
            subscriptions=Subscriptions(retry=retry),
            service=self.service,
            spool=spool,
        )
        self.middleware = self.runtime.middleware
        self.stats, self.subscriptions = self.runtime.stats, self.runtime.subscriptions
        self.outstanding, self.publisher = self.runtime.outstanding, self.runtime.publisher
        self.declarations = self.runtime.declarations
        self._eager = Eager(self.runtime)
        self._broker_dead_letters = RabbitMQDeadLetters(self.runtime)
        self._redelivery = Redelivery(self.runtime, self._eager)
        self._forwarding = Forwarding(self.runtime)
        # Objects that Celery makes by itself find them there. `qt_events_bus` is public.
        self.app.qt_events_bus, self.app.qt_events_runtime = self, self.runtime
        self.app.qt_events_serving = self.serving
        task_registration.register_when_finalized(self.runtime)

    def _refuse_second_bus(self) -> None:
        if runtime_of(self.app) is not None:
            raise BusStateError(f"{self.app!r} has a bus already, app.qt_events_bus: one an app")

    def _settings(self, *, app_is_users: bool) -> Settings:
        return Settings(
            publish_timeout=self.publish_timeout,
            grace=self.grace,
            slow_after=self.slow_after,
            rollout=self.rollout,
            max_workers=self.max_workers,
            max_queue_size=self.max_queue_size,
            spool_after=self.spool_after,
            app_is_users=app_is_users,
        )

    @property
    def is_eager(self) -> bool:
        """True if publish runs the handlers at once."""
        return is_eager(self.app)

    # Publish

    async def publish(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """See EventBus. Returns when the broker has confirmed the event, or it is in the spool."""
        event = checked_event(event)
        if self.middleware.around_publish or current_outgoing() is not None:
            return await self.middleware.publish(event, partial(self._publish, mandatory=mandatory))
        return await self._publish(event, mandatory=mandatory)

    async def _publish(self, event: Event[Any], *, mandatory: bool) -> Published:
        subscriptions = self.subscriptions.match(event.type)
        if is_eager(self.app):
            self.publisher.must_be_open()
            running_loop()
            self._count_published(event, mandatory=mandatory, routed=bool(subscriptions))
            await self._eager.publish(event, subscriptions)
            return CONFIRMED
        if self.declarations.unserved:
            # A run_forever() task that was made just before starts now.
            await asyncio.sleep(0)
            subscriptions = self.declarations.heard(subscriptions)
        request = self._request(event)
        with self.outstanding.expecting(event.id, subscriptions):
            routed = await self.publisher.ask(request, wait_for_room=current_attempt() is None)
        self._count_published(event, mandatory=mandatory, routed=routed)
        return SPOOLED if request.spooled else CONFIRMED

    def publish_sync(self, event: Event[Any], *, mandatory: bool = False) -> Published:
        """See EventBus."""
        event = checked_event(event)
        refuse_on_event_loop()
        if self.is_eager:
            publish = partial(self._publish, mandatory=mandatory)
            return asyncio.run(self.middleware.publish(event, publish))
        publish_blocking = partial(self._publish_blocking, mandatory=mandatory)
        return self.middleware.publish_sync(event, publish_blocking)

    def _publish_blocking(self, event: Event[Any], *, mandatory: bool) -> Published:
        subscriptions = self.declarations.heard(self.subscriptions.match(event.type))
        request = self._request(event)
        with self.outstanding.expecting(event.id, subscriptions):
            routed = self.publisher.ask_blocking(request, wait_for_room=current_attempt() is None)
        self._count_published(event, mandatory=mandatory, routed=routed)
        return SPOOLED if request.spooled else CONFIRMED

    def _request(self, event: Event[Any]) -> PublishRequest:
        topology, content, first = self.topology, to_amqp(event), self.declarations
        make = PublishRequest if self.publisher.spooling is None else SpoolablePublish
        return make(topology.events, event.type, content, first=first, must_route=False)

    def _count_published(self, event: Event[Any], *, mandatory: bool, routed: bool) -> None:
        self.stats.count_published(event.type, routed=routed)
        if self.middleware.published:
            self.middleware.tell_published(event, self.subscriptions.match(event.type))
        if routed:
            return
        self.outstanding.forget(event.id)
        if mandatory:
            advice = "subscribe first, or publish without mandatory"
            raise UnroutableError(f"no queue is bound for {event.type!r}: {advice}")

    # Subscribe

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        """Subscribe. The queue is declared before the next publish, or at a worker's start."""
        known = self.subscriptions.of(handler)
        name = name or (known.name if known else lasting_name_of(handler, self.service))
        self.serving.must_serve(name, broadcast=bool(options.broadcast), batch=options.batch)
        task_registration.must_be_no_task(name, self.app)
        subscription = self.subscriptions.add(pattern, handler, name, options)
        self.declarations.want(subscription)
        task_registration.register(subscription, self.runtime)
        self.serving.take_up(subscription, self.declarations.queues(subscription))
        return subscription

    def remember(self, past: PastEvents) -> None:
        """See RemembersEvents. A worker that records serves newcomers of every process."""
        self.runtime.feeder.past = past if isinstance(past, RecordedEvents) else None
        if self.serving.consumer is not None:
            self.runtime.feeder.begin(self.serving.consumer.selection)

    def unsubscribe(self, event_type: str | type[Event[Any]], handler: EventHandler) -> None:
        """See EventBus. With the last pattern, the queue stays as it is bound, and collects.

        Before that, the queue is unbound from the pattern for every process that serves it. Events
        that came by it are acknowledged and counted as filtered.
        """
        pattern = pattern_of(event_type)
        subscription, gone = self.subscriptions.remove(pattern, handler)
        if not gone:
            self.declarations.unbind(subscription, pattern)
            return
        queues = self.declarations.queues(subscription)
        self.serving.drop(queues)
        task_registration.unregister(subscription, self.runtime)
        self.declarations.drop(subscription)
        self.outstanding.drop(subscription)

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
        try:
            await self.serving.run(self.runtime, handle_signals=handle_signals)
        finally:
            leave_at_exit(self.runtime)

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
        if self.serving.consumer is None:
            self.runtime.leave()

    def _hasten(self) -> None:
        self.serving.hasten()

    def _forget_stop(self) -> None:
        self.serving.forget_stop(self.runtime)

    async def _started(self) -> None:
        await self.serving.ready()

    # Look and remove

    def get_stats(self) -> dict[str, Any]:
        """See EventBus.

        `queue_size` counts publishes in flight and events held here, not those that wait on the
        broker, where another process may take them; `waiting` counts by cause the publishes that
        have waited for more than a second; `spool` has state and size of the spool, if any.
        """
        return self.stats.snapshot(
            queue_size=self.publisher.in_flight + self.serving.held,
            handler_types=len(self.subscriptions.patterns),
            total_handlers=len(self.subscriptions),
            waiting=self.publisher.waiting,
            spool=self.publisher.spool,
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
