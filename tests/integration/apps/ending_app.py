"""Celery app whose handlers come to odd ends: `celery -A ending_app worker`."""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from struct import pack
from typing import Any

from amqp import spec
from amqp.transport import TCPTransport
from celery import Celery
from celery.worker.request import Request

from qt_events.delivery.retry import NO_RETRY
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import RecordedLog, nth_call, record
from tests.support.fleet.readiness import record_ready
from tests.support.fleet.serving import serves

STEP = 0.02  # seconds
FOR_EVER = 3600.0  # seconds
#: Environment variable: a method of AMQP, in whose first write SIGQUIT comes; or "begin"
STRUCK = "ENDING_STRUCK_IN"

app = Celery("ending_app", broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(app=app, grace=float(os.environ.get("FLEET_GRACE", "20")))
logging.getLogger("qt_events").addHandler(RecordedLog())

record_ready()


def strike_in(method: tuple[int, int]) -> None:
    """Have SIGQUIT come while this process writes a frame of that method for the first time."""
    write, begins = TCPTransport.write, pack(">HH", *method)

    def struck(transport: TCPTransport, frame: bytes) -> None:
        # Behind the frame's own header
        if bytes(frame[7:11]) == begins:
            TCPTransport.write = write
            os.kill(os.getpid(), signal.SIGQUIT)
        write(transport, frame)

    TCPTransport.write = struck


def strike_at_the_begin() -> None:
    """Have SIGQUIT come when Celery hears that a child has begun, before it has noted that."""
    accepted = Request.on_accepted

    def struck(request: Request, *args: Any) -> None:
        Request.on_accepted = accepted
        os.kill(os.getpid(), signal.SIGQUIT)
        accepted(request, *args)

    Request.on_accepted = struck


if os.environ.get(STRUCK) == "begin":
    strike_at_the_begin()
elif STRUCK in os.environ:
    strike_in(getattr(spec.Basic, os.environ[STRUCK]))


def threaded(event: Event[Any]) -> None:
    record("threaded.begun", event)
    time.sleep(STEP)
    record("threaded", event)


async def offloading(event: Event[Any]) -> None:
    """Use threads by itself: asyncio's own, which are shut down with its loop."""
    record("offloading.begun", event)
    for _ in range(10):
        await asyncio.to_thread(time.sleep, STEP)
    record("offloading", event)


async def publishing(event: Event[Any]) -> None:
    record("publishing.begun", event)
    for _ in range(10):
        await bus.publish(Event("published"))
        await asyncio.sleep(STEP)
    record("publishing", event)


def leave() -> None:
    """End the program, as a task in its background may."""
    sys.exit(0)


async def leave_later() -> None:
    leave()


async def _end(how: str) -> None:
    """Come to an end as the event says, and end the process or its loop with it."""
    loop = asyncio.get_running_loop()
    match how:
        case "interrupt":
            raise KeyboardInterrupt
        case "task":
            background.append(loop.create_task(leave_later()))
        case "callback":
            loop.call_soon(leave)
        case "stop":
            loop.stop()
    await asyncio.sleep(FOR_EVER)


background: list[asyncio.Task[None]] = []


async def ends(event: Event[Any]) -> None:
    if nth_call("ends", event) == 1:
        await _end(event.payload["how"])


def ends_in_thread(event: Event[Any]) -> None:
    if nth_call("ends_in_thread", event) == 1:
        raise KeyboardInterrupt


async def bystander(event: Event[Any]) -> None:
    """Be held while another handler ends the process."""
    if nth_call("bystander", event) == 1:
        await asyncio.sleep(FOR_EVER)


async def go_on() -> None:
    """Swallow every cancellation."""
    while True:
        try:
            await asyncio.sleep(FOR_EVER)
        except asyncio.CancelledError:
            logging.getLogger(__name__).info("a cancellation was swallowed")


async def stubborn(event: Event[Any]) -> None:
    if nth_call("stubborn", event) == 1:
        await go_on()


async def stubborn_child(event: Event[Any]) -> None:
    if nth_call("stubborn_child", event) == 1:
        await asyncio.create_task(go_on())


def stuck(event: Event[Any]) -> None:
    if nth_call("stuck", event) == 1:
        threading.Event().wait()


def subscribe(name: str, handler: EventHandler, **options: Any) -> None:
    if serves(name):
        bus.subscribe(name, handler, name=name, retry=NO_RETRY, **options)


subscribe("threaded", threaded, concurrency=8)
subscribe("offloading", offloading, concurrency=8)
subscribe("publishing", publishing, concurrency=8)
subscribe("ends", ends)
subscribe("ends_in_thread", ends_in_thread)
subscribe("bystander", bystander)
subscribe("stubborn", stubborn)
subscribe("stubborn_child", stubborn_child)
subscribe("stuck", stuck)
