"""Flower, Celery's monitor, for a bus: it starts only where it can work, and shows every queue of the bus."""

import errno
import logging
import ssl
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any, NoReturn
from urllib.parse import quote

import celery

from qt_events.errors import (
    BrokerError,
    BusyError,
    InvalidOptionError,
    LoginRefusedError,
    NotSupportedError,
)
from qt_events.rabbitmq.app.command_line import app_with_bus, run_celery
from qt_events.rabbitmq.connection.connections import for_errands, visiting
from qt_events.rabbitmq.operating.management import ManagementApi, default_api

logger = logging.getLogger("qt_events")


def run_flower(name: str, arguments: Sequence[str], broker_api: str | None = None) -> NoReturn:
    """`celery -A name flower arguments`, in this process, so that no password shows in the list of processes.

    Ends as that does: SystemExit, 0 after SIGTERM and Ctrl-C. Without `broker_api` the management API is looked for on
    port 15672 of the broker's host; if it is not there, Flower shows no queues, and a warning says why.

    Raises:
        InvalidOptionError: there is no such app, or the management API that was named does not answer.
        NotSupportedError: it has no bus, or Flower is not installed.
        BrokerError: the broker does not answer.
        BusyError: somebody else has the port.
    """
    app = app_with_bus(name)
    connection = for_errands(app)
    with visiting(connection):
        api = broker_api or default_api(connection)
    management = ManagementApi(api, connection.virtual_host, app.conf.broker_use_ssl)
    if trouble := trouble_with(management):
        if broker_api:
            raise InvalidOptionError(f"--broker-api: {trouble}")
        logger.warning("Flower will show no queues: %s", trouble)
    show_every_queue(app, connection.virtual_host)
    try:
        run_celery("-A", name, "flower", f"--broker_api={management.url}", *arguments)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise BusyError("another program listens where Flower is to: give a free --port") from error


def trouble_with(management: ManagementApi) -> str:
    """Why the management API would not tell Flower of queues, without passwords; empty if it does."""
    try:
        management.check()
    except LoginRefusedError:
        return f"RabbitMQ's management API at {management.place} refuses the user: it needs the tag `management`"
    except BrokerError as error:
        return str(error)
    return ""


class _Everything:
    """A collection that has whatever it is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


def _tls_of_the_api(options: Any) -> dict[str, Any]:
    """For tornado, over https: as for the broker itself. Flower 2.2 reads only what Celery calls it with Redis."""
    given = options if isinstance(options, Mapping) else {}
    names = {"ca_certs": "ca_certs", "client_cert": "certfile", "client_key": "keyfile"}
    files = {name: given[key] for name, key in names.items() if given.get(key)}
    return {"validate_cert": given.get("cert_reqs") != ssl.CERT_NONE, **files}


def show_every_queue(app: celery.Celery, vhost: str) -> None:
    """Have Flower list all queues of the bus, dead letters too, beside those that it heard of from workers.

    Flower 2.2 alone asks for the queues of workers that have answered it, so not for one whose workers are away, and in
    the vhost `/` it is given the queues of all vhosts.

    Raises:
        NotSupportedError: Flower is not installed.
    """
    try:
        from flower.utils import broker  # noqa: PLC0415  # an extra, and a whole web server
    except ModuleNotFoundError as error:
        raise NotSupportedError(
            "Flower is not installed: pip install 'qt-events[flower]'"
        ) from error
    prefix, flowers_own = f"{app.qt_events_bus.topology.prefix}.", f"{app.conf.event_queue_prefix}."

    def is_shown(name: str, known: Collection[str]) -> bool:
        return name in known or (name.startswith(prefix) and not name.startswith(flowers_own))

    class BusQueues(broker.RabbitMQ):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.vhost = quote(vhost, safe="")

        async def queues(self, names: Collection[str]) -> list[dict[str, Any]]:
            listed = await super().queues(_Everything())
            return sorted(
                (each for each in listed if is_shown(each["name"], names)), key=itemgetter("name")
            )

        def _tls_kwargs(self) -> dict[str, Any]:
            return _tls_of_the_api(app.conf.broker_use_ssl)

    broker.RabbitMQ = BusQueues
