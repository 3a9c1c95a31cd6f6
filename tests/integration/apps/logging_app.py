"""Celery app of the tests about logs: its handlers log, warn and print."""

import asyncio
import logging
import os
import signal
import sys
import warnings
from typing import Any

from celery import Celery, signals
from celery.utils.log import get_task_logger

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.logs.configure import configure_logging
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import nth_call, record
from tests.support.fleet.readiness import record_ready
from tests.support.fleet.serving import serves

logger = logging.getLogger("my.app")

app = Celery("logging_app", broker=os.environ["FLEET_URL"], set_as_current=False)
# It has a task of its own: without this its pool would be Celery's.
app.conf.worker_pool = "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"
bus = CeleryEventBus(app=app, slow_after=60)  # a busy machine is no subject of these tests

match os.environ.get("LOGGING_APP"):
    case "program":
        configure_logging(format="json")
    case "own receiver":

        @signals.setup_logging.connect(weak=False)
        def set_up(loglevel: int, **_: Any) -> None:
            logging.basicConfig(level=loglevel, format="mine %(message)s", stream=sys.stderr)

    case "own handler":
        app.conf.worker_hijack_root_logger = False
        logging.basicConfig(format="mine %(message)s", stream=sys.stderr)

record_ready()


@app.task(name="plain")
def plain(number: int) -> None:
    get_task_logger("my.task").info("plain task %d", number)


def say(name: str, event: Event[Any]) -> int:
    attempt = nth_call(f"{name}.begun", event)
    logger.info("%s handles attempt %d", name, attempt)
    return attempt


async def retried(event: Event[Any]) -> None:
    """Fail at first, and at the second attempt spawn a task that logs."""
    if say("retried", event) == 1:
        message = "not yet\nsaid the handler"
        raise OSError(message)
    await asyncio.create_task(spawned())
    record("retried", event)


async def spawned() -> None:
    logger.info("from a task of the handler")


def in_thread(event: Event[Any]) -> None:
    say("in_thread", event)
    warnings.warn("a warning of the handler", UserWarning, stacklevel=1)
    print("printed by the handler")  # noqa: T201  # to see where it goes
    record("in_thread", event)


def hopeless(event: Event[Any]) -> None:
    record("hopeless", event)
    message = "it never works"
    raise ValueError(message)


def killing(event: Event[Any]) -> None:
    """End the process, the first time."""
    if nth_call("killing.begun", event) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    record("killing", event)


def quiet(event: Event[Any]) -> None:
    record("quiet", event)


def subscribe(pattern: str, handler: EventHandler, *, name: str, **options: Any) -> None:
    if serves(name):
        bus.subscribe(pattern, handler, name=name, **options)


subscribe(
    "order.placed",
    retried,
    name="retried",
    retry=RetryPolicy(max_attempts=2, initial=0.1, jitter=0),
)
subscribe("order.placed", in_thread, name="in_thread")
subscribe("order.refused", hopeless, name="hopeless", retry=RetryPolicy(max_attempts=1))
subscribe("order.killing", killing, name="killing")
subscribe("order.quiet", quiet, name="quiet")
