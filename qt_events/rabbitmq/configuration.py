"""How a Celery app is set up for a bus: what must be so, and what is only a better default."""

import os
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import celery
from celery import signals
from celery.utils.nodenames import default_nodename

from qt_events.errors import InvalidUrlError
from qt_events.rabbitmq.command_line import SubscriptionsOption
from qt_events.rabbitmq.logs import follow_celery

_SCHEMES = ("amqp", "amqps")

_REQUIRED = {
    "worker_consumer": "qt_events.rabbitmq.consumer:EventConsumer",
    "worker_detect_quorum_queues": True,
    "worker_enable_prefetch_count_reduction": False,  # each queue has its own prefetch
    "worker_cancel_long_running_tasks_on_connection_loss": False,  # a handler that runs is let finish
}
_DEFAULTS = {
    "worker_pool": "qt_events.rabbitmq.pool:AsyncioPool",
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # for ever
    "broker_heartbeat": 20,
    "task_ignore_result": True,
}


def new_app(url: str) -> celery.Celery:
    """A Celery app for a bus that nobody configures: no default queue, no remote control.

    Raises:
        InvalidUrlError: that is no AMQP URL.
    """
    for each in url.split(";"):
        _check(each)
    app = celery.Celery("qt_events", broker=url, set_as_current=False)
    app.conf.update(worker_enable_remote_control=False)
    return app


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        sane = parts.scheme in _SCHEMES and parts.hostname and (parts.port or True)
    except ValueError:
        sane = False
    if not sane:
        message = (
            "a bus over RabbitMQ needs a URL such as amqp://user:password@host:5672/vhost"  # theirs may hold a password
        )
        raise InvalidUrlError(message)


def configure(app: celery.Celery, *, prefix: str, classic: bool, threads: int) -> None:
    """Set what a bus needs of its Celery app; the app's own settings win over mere defaults."""
    app.conf.get("worker_pool")  # until something is read, app.conf only stands in for the configuration
    *given, _celerys_own = app.conf.maps  # changes, then what was configured by object, then Celery's defaults
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
    follow_celery()
    app.user_options["worker"].add(SubscriptionsOption())
    if classic:  # before RabbitMQ 4, Celery's prefetch would hold for all queues of a channel together
        app.conf.worker_prefetch_multiplier = 0


@signals.celeryd_init.connect(weak=False)
def _name_uniquely(sender: str, instance: Any, **_: Any) -> None:
    """`celery worker` without -n: two on one host would share a control queue, and Celery 5.7 refuses the second."""
    if getattr(instance.app, "qt_events_bus", None) is not None and sender == default_nodename(None):
        name, _at, host = sender.partition("@")
        instance.hostname = f"{name}-{os.getpid()}-{uuid4().hex[:4]}@{host}"
