"""How a Celery app is set up for a bus: what must be so, and what is only a better default."""

import os
from typing import Any
from uuid import uuid4

import celery
from celery import signals
from celery.utils.nodenames import default_nodename

from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.app.command_line import SubscriptionsOption
from qt_events.rabbitmq.app.logs import follow_celery
from qt_events.rabbitmq.connection import amqp_urls as urls
from qt_events.rabbitmq.connection.connections import BrokerConnection
from qt_events.rabbitmq.runtime import runtime_of

_PICKLE = {"pickle", "application/x-python-serialize"}

EAGER = "task_always_eager"

_REQUIRED = {
    "worker_consumer": "qt_events.rabbitmq.worker.consumer:EventConsumer",
    "worker_detect_quorum_queues": True,
    "worker_enable_prefetch_count_reduction": False,  # each queue has its own prefetch
    "worker_cancel_long_running_tasks_on_connection_loss": False,  # a handler that runs is let finish
}
_DEFAULTS = {
    "worker_pool": "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool",
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # for ever
    "broker_heartbeat": 20,
    "broker_connection_timeout": 5,
    "task_ignore_result": True,
}


class _OwnApp(celery.Celery):
    """Connects to the URL that it was given: in plain apps, Celery has CELERY_BROKER_URL win."""

    own_url: str

    def connection(self, hostname: str | None = None, **options: Any) -> BrokerConnection:
        made: BrokerConnection = super().connection(hostname or self.own_url, **options)
        return made

    def connection_for_read(self, url: str | None = None, **options: Any) -> BrokerConnection:
        made: BrokerConnection = super().connection_for_read(url or self.own_url, **options)
        return made

    def connection_for_write(self, url: str | None = None, **options: Any) -> BrokerConnection:
        made: BrokerConnection = super().connection_for_write(url or self.own_url, **options)
        return made


def new_app(url: str) -> celery.Celery:
    """A Celery app for a bus that nobody configures: no default queue, no remote control.

    Raises:
        InvalidUrlError: that is no AMQP URL.
        InvalidOptionError: a certificate or a key that it names cannot be used.
    """
    settings = urls.settings(urls.listed(url))
    app = _OwnApp("qt_events", broker=urls.bare(url), set_as_current=False)
    app.own_url = urls.bare(url)
    app.conf.update(worker_enable_remote_control=False, **settings)
    return app


def _take_over(app: celery.Celery) -> None:
    """Check the URLs that the app's author gave, and make settings of their parameters."""
    conf = app.conf
    given = {
        "read": conf.broker_read_url,
        "write": conf.broker_write_url,
    }  # from the environment, too
    listed = [each for found in given.values() if _is_amqp(found) for each in urls.listed(found)]
    settings = urls.settings(listed) if listed else {}
    if "broker_use_ssl" in settings and conf.broker_use_ssl:
        raise InvalidOptionError(
            "TLS is configured twice: in the broker's URL, and in broker_use_ssl; choose one"
        )
    conf.update(settings)
    urls.checked_tls(conf.broker_use_ssl)
    for name in ("broker_url", "broker_read_url", "broker_write_url"):
        if _is_amqp(
            found := conf.get(name)
        ):  # Celery reads them for its reports, and knows no parameters
            conf[name] = urls.bare(found if isinstance(found, str) else ";".join(found))


def _is_amqp(found: Any) -> bool:
    """Not what other transports take, such as memory:// in tests, which Celery knows better."""
    return bool(found) and "amqp" in "".join(found).partition("://")[0]


def _must_not_unpickle(app: celery.Celery) -> None:
    """Whoever may write to a queue, or to the exchange of remote control, could run code of his own."""
    for name in ("accept_content", "result_accept_content", "event_serializer"):
        given = app.conf.get(name) or ()
        if not _PICKLE.isdisjoint([given] if isinstance(given, str) else given):
            raise InvalidOptionError(
                f"{name} allows pickle, by which a message runs code: leave it at json"
            )


def configure(app: celery.Celery, *, prefix: str, classic: bool, threads: int) -> None:
    """Set what a bus needs of its Celery app; the app's own settings win over mere defaults."""
    app.conf.get(
        "worker_pool"
    )  # until something is read, app.conf only stands in for the configuration
    *given, _celerys_own = (
        app.conf.maps
    )  # changes, then what was configured by object, then Celery's defaults
    defaults: dict[str, Any] = {
        **_DEFAULTS,
        "worker_concurrency": threads,
        "control_exchange": prefix,  # remote control and events stay under the prefix too
        "event_exchange": f"{prefix}.celeryev",
        "event_queue_prefix": f"{prefix}.celeryev",
    }
    for name, value in defaults.items():
        if not any(name in each for each in given):
            app.conf[name] = value
    app.conf.update(_REQUIRED)
    app.conf[EAGER] = app.conf[EAGER]  # among the changes, from wherever it was
    _must_not_unpickle(app)
    if not isinstance(app, _OwnApp):
        _take_over(app)
    app.amqp.Connection = BrokerConnection
    app.events.dispatcher_cls = "qt_events.rabbitmq.pools.task_events:TaskEvents"
    follow_celery()
    app.user_options["worker"].add(SubscriptionsOption())
    if (
        classic
    ):  # before RabbitMQ 4, Celery's prefetch would hold for all queues of a channel together
        app.conf.worker_prefetch_multiplier = 0


def is_eager(app: celery.Celery) -> bool:
    """Whether publish runs the handlers at once. Asked for each publish: Celery's own look takes 4 µs, this a tenth."""
    changed = app.conf.maps[0].get(EAGER)
    return bool(app.conf[EAGER] if changed is None else changed)


@signals.celeryd_init.connect(weak=False)
def _name_uniquely(sender: str, instance: Any, **_: Any) -> None:
    """`celery worker` without -n: two on one host would share a control queue, and Celery 5.7 refuses the second."""
    if runtime_of(instance.app) is not None and sender == default_nodename(None):
        name, _at, host = sender.partition("@")
        instance.hostname = f"{name}-{os.getpid()}-{uuid4().hex[:4]}@{host}"
