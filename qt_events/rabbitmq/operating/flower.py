"""Flower, Celery's monitor, on a bus: it starts only where it can work, and shows every queue."""

import errno
import logging
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from importlib.util import find_spec
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
from qt_events.rabbitmq.app.command_line import run_celery
from qt_events.rabbitmq.connection.connections import visiting
from qt_events.rabbitmq.connection.tls import context_of
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.rabbitmq.operating.target import find_target

logger = logging.getLogger("qt_events")


def run_flower(
    app: str | None,
    url: str | None,
    prefix: str | None,
    arguments: Sequence[str],
    *,
    management_url: str | None = None,
) -> NoReturn:
    """Run `celery flower arguments` on the broker of an app or of a URL, in this process.

    No password shows in the list of processes. The process ends with 0 after SIGTERM and Ctrl-C.
    Without `management_url` the management API is looked for on the broker's host. If it is
    not there, Flower shows no queues, and a warning says why.

    Raises:
        NotSupportedError: Flower is not installed, or the app has no bus.
        InvalidOptionError: no broker is named, or the management API that is named does not answer.
        BrokerError: the broker does not answer.
        BusyError: another program has the port.
    """
    if find_spec("flower") is None:
        raise NotSupportedError("Flower is not installed: pip install 'qt-events[flower]'")
    target = find_target(app, url, prefix)
    with visiting(target.connection()):
        management = target.management(management_url)
    if trouble := trouble_with(management):
        if management_url:
            raise InvalidOptionError(f"--management-url: {trouble}")
        logger.warning("Flower will show no queues: %s", trouble)
    show_every_queue(target.bus.app, target.connection().virtual_host)
    end_without_threads()
    try:
        run_celery(target.bus.app, "flower", f"--broker_api={management.url}", *arguments)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise BusyError("another program has the port: give a free --port") from error


def trouble_with(management: ManagementApi) -> str:
    """Say why the management API would not list queues, without passwords; empty if it does."""
    try:
        management.check()
    except LoginRefusedError:
        return (
            f"RabbitMQ's management API at {management.place} refuses the user: it needs the tag "
            "`management`"
        )
    except BrokerError as error:
        return str(error)
    return ""


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


def show_every_queue(app: celery.Celery, vhost: str) -> None:
    """Have Flower list all queues of the bus, dead letters too, beside those of workers.

    Flower 2.2 alone asks for the queues of workers that have answered it, so not for one whose
    workers are away, and in the vhost `/` it is given the queues of all vhosts.
    """
    from flower.utils import broker  # noqa: PLC0415  # an extra, and a whole web server

    prefix = f"{app.qt_events_bus.topology.prefix}."
    flowers_own = f"{app.conf.event_queue_prefix}."

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
            # Flower 2.2 reads the options by the names that Celery gives them with Redis only.
            return {"ssl_options": context_of(app.conf.broker_use_ssl)}

    broker.RabbitMQ = BusQueues


def end_without_threads() -> None:
    """Have Flower end the process when its loop ends, as a supervisor expects.

    At its exit Python waits for the threads of executors. One of Flower's that gives an order to
    workers while the broker is away tries for ever.
    """
    from flower import command  # noqa: PLC0415  # see above

    class EndingFlower(command.Flower):
        def start(self) -> None:
            with suppress(KeyboardInterrupt, SystemExit):
                super().start()
            # Flower leaves that to the interpreter's exit.
            self.stop()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(0)

    command.Flower = EndingFlower
