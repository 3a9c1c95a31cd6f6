"""Parts of one CeleryEventBus, each made with those that it needs."""

from functools import partial

import celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.rabbitmq.connection.connections import for_errands, for_publishing
from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.publishing.publisher import Publisher
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
    window: int,
    service: str | None,
    retry: RetryPolicy | None,
) -> Runtime:
    """Return the parts of a bus. For `window`, see Publisher; for the rest, CeleryEventBus."""
    stats, connect = Stats(), partial(for_errands, app)
    newcomers = Newcomers(topology, connect)
    publisher = Publisher(
        partial(for_publishing, app),
        timeout=settings.publish_timeout,
        window=window,
        slowest=serving.slowest,
    )
    return Runtime(
        app=app,
        settings=settings,
        topology=topology,
        subscriptions=Subscriptions(retry=retry),
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
