"""Configuration of a Celery app for a bus: one that the bus makes, or one of a user's."""

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
from qt_events.rabbitmq.connection.defaults import DEFAULTS
from qt_events.rabbitmq.runtime import runtime_of

_PICKLE = {"pickle", "application/x-python-serialize"}

EAGER = "task_always_eager"

_CONSUMER = "qt_events.rabbitmq.worker.consumer:EventConsumer"
# Of apps that a bus makes. Those of a user have what their author set, and Celery's defaults.
_OWN = {
    **DEFAULTS,
    "worker_pool": "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool",
    "worker_enable_remote_control": False,
    # Each queue has its own prefetch.
    "worker_enable_prefetch_count_reduction": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_timeout": 5,
    "task_ignore_result": True,
}


class _OwnApp(celery.Celery):
    """Connects to the URL that it was given. In plain apps, Celery has CELERY_BROKER_URL win."""

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


def new_app(url: str, *, prefix: str, threads: int) -> celery.Celery:
    """Return a Celery app for a bus alone: without remote control, its queue under the prefix.

    Raises:
        InvalidUrlError: `url` is no AMQP URL.
        InvalidOptionError: a certificate or a key that it names cannot be used.
    """
    settings = urls.settings(urls.listed(url))
    app = _OwnApp("qt_events", broker=urls.bare(url), set_as_current=False)
    app.own_url = urls.bare(url)
    # Else it would share the queue `celery` with every app of the broker.
    names = {"task_default_queue": f"{prefix}.tasks"}
    app.conf.update({**_OWN, **names, "worker_concurrency": threads, **settings})
    return app


def _take_over(app: celery.Celery) -> None:
    """Check the URLs that the app's author gave, and turn their parameters into settings."""
    conf = app.conf
    # These two are from the environment, too.
    given = (conf.broker_read_url, conf.broker_write_url)
    listed = [each for found in given if _is_amqp(found) for each in urls.listed(found)]
    settings = urls.settings(listed) if listed else {}
    if "broker_use_ssl" in settings and conf.broker_use_ssl:
        raise InvalidOptionError(
            "TLS is configured twice: in the broker's URL, and in broker_use_ssl; choose one"
        )
    conf.update(settings)
    urls.checked_tls(conf.broker_use_ssl)
    for name in ("broker_url", "broker_read_url", "broker_write_url"):
        # Celery reads them for its reports, and knows no parameters.
        if _is_amqp(found := conf.get(name)):
            conf[name] = urls.bare(found if isinstance(found, str) else ";".join(found))


def _is_amqp(found: Any) -> bool:
    """Return False for other transports, such as memory:// in tests: Celery knows them better."""
    return bool(found) and "amqp" in "".join(found).partition("://")[0]


def must_not_unpickle(app: celery.Celery) -> None:
    """Refuse pickle, by which whoever may write to a queue, or to remote control, runs code here.

    Raises:
        InvalidOptionError: a setting allows it.
    """
    for name in ("accept_content", "result_accept_content", "event_serializer"):
        given = app.conf.get(name) or ()
        if not _PICKLE.isdisjoint([given] if isinstance(given, str) else given):
            raise InvalidOptionError(
                f"{name} allows pickle, by which a message runs code: leave it at json"
            )


def configure(app: celery.Celery) -> None:
    """Have an app's workers serve its bus. All else stays as the app's author set it: ADR 30."""
    _configure(app)
    # Its author may configure it anew after that.
    app.on_after_configure.connect(_configure, weak=False)
    app.amqp.Connection = BrokerConnection
    app.user_options["worker"].add(SubscriptionsOption())
    follow_celery()


def _configure(sender: celery.Celery, **_: Any) -> None:
    app = sender
    app.conf.worker_consumer = _CONSUMER
    # Wherever it was, it is now among the changes.
    app.conf[EAGER] = app.conf[EAGER]
    must_not_unpickle(app)
    if not isinstance(app, _OwnApp):
        _take_over(app)


def is_eager(app: celery.Celery) -> bool:
    """Return True if publish runs the handlers at once.

    Every publish asks. Celery's own way to read a setting takes 4 µs, this one a tenth.
    """
    changed = app.conf.maps[0].get(EAGER)
    return bool(app.conf[EAGER] if changed is None else changed)


@signals.celeryd_init.connect(weak=False)
def _name_uniquely(sender: str, instance: Any, **_: Any) -> None:
    """Give `celery worker` without -n a unique name.

    Two on one host would share a control queue, and Celery 5.7 refuses the second.
    """
    if runtime_of(instance.app) is not None and sender == default_nodename(None):
        name, _at, host = sender.partition("@")
        instance.hostname = f"{name}-{os.getpid()}-{uuid4().hex[:4]}@{host}"
