"""Assembly: the parts of one bus in this process, put together."""

from functools import partial

import celery

from qt_events.delivery.publishing.spooling import SpooledEvent, SpoolOption, spool_of
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.events.cloudevents import parse
from qt_events.events.raw import RawEvent
from qt_events.rabbitmq.connection.connections import for_errands, for_publishing
from qt_events.rabbitmq.messages.properties import raw_to_amqp
from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.publishing.publisher import Publisher
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.rabbitmq.publishing.spooling.spooling import Spooling
from qt_events.rabbitmq.runtime import Runtime, Settings
from qt_events.rabbitmq.starting.newcomers import Newcomers
from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.registration import Registration
from qt_events.rabbitmq.worker.serving import Serving


def new_runtime(
    app: celery.Celery,
    settings: Settings,
    topology: Topology,
    serving: Serving,
    *,
    subscriptions: Subscriptions,
    service: str | None,
    spool: SpoolOption,
) -> Runtime:
    """Put the parts of a bus together; nothing is connected or opened yet."""
    stats, connect = Stats(), partial(for_errands, app)
    newcomers = Newcomers(topology, connect)
    relayed = _SpooledEvents()
    publisher = Publisher(
        partial(for_publishing, app),
        timeout=settings.publish_timeout,
        window=settings.max_queue_size,
        slowest=serving.slowest,
        spooling=_spooling(spool, settings, relayed),
    )
    runtime = relayed.runtime = Runtime(
        app=app,
        settings=settings,
        topology=topology,
        subscriptions=subscriptions,
        publisher=publisher,
        declarations=Declarations(
            topology,
            publisher,
            serving.prefetch,
            serving.serves,
            Registration.at(topology, connect, service),
            taker=serving.taker,
            will_serve=serving.will_serve,
            on_quarantine=serving.take_up_quarantines,
            newcomers=newcomers,
        ),
        newcomers=newcomers,
        outstanding=Outstanding(),
        stats=stats,
        watch=SlowHandlerLog(stats),
    )
    return runtime


def _spooling(spool: SpoolOption, settings: Settings, relayed: "_SpooledEvents") -> Spooling | None:
    found = spool_of(spool)
    if found is None:
        return None
    # Before `publish_timeout`: with a spool no publish has to end in that error.
    return Spooling(found, settings.spool_after, settings.publish_timeout / 2, relayed)


class _SpooledEvents:
    """Part of the bus in sending what was spooled."""

    runtime: Runtime

    def request(self, event: SpooledEvent) -> PublishRequest:
        runtime = self.runtime
        raw = RawEvent.of_cloud_event(parse(event.body), event.body, event.type)
        return PublishRequest(
            runtime.topology.events,
            event.type,
            raw_to_amqp(raw),
            first=runtime.declarations,
            must_route=False,
        )

    def unheard(self, event: SpooledEvent) -> None:
        self.runtime.stats.count_unroutable(event.type)
        self.runtime.outstanding.forget(event.id)

    def forgotten(self, event_id: str) -> None:
        self.runtime.outstanding.forget(event_id)
