"""Publishes from threads, event loops, forked children, and from a program that exits."""

import asyncio
import atexit
import multiprocessing
import os
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger

# From 3.12 on, of a fork beside threads
warnings.simplefilter("ignore", DeprecationWarning)
bus = CeleryEventBus(
    os.environ["LOAD_URL"], publish_timeout=float(os.environ["LOAD_PUBLISH_TIMEOUT"])
)
ledger = Ledger.current()
# Seconds between two events of one place
PAUSE = 0.2


def begun() -> Event[Any]:
    return Event("odd.begun", payload={})


def go_on() -> bool:
    return not (ledger.folder / "stop").exists()


def publish() -> None:
    ledger.publish_sync(bus, begun())


def in_thread() -> None:
    while go_on():
        publish()
        time.sleep(PAUSE)


def on_loop() -> None:
    async def several() -> None:
        while go_on():
            await asyncio.gather(*(ledger.publish(bus, begun()) for _ in range(3)))
            await asyncio.sleep(3 * PAUSE)

    asyncio.run(several())


def in_child() -> None:
    """Publish in forked children with the parent's bus, which the parent goes on using."""
    while go_on():
        if (child := os.fork()) == 0:
            with suppress(BaseException):
                for _ in range(3):
                    publish()
                bus.close()
            os._exit(0)
        os.waitpid(child, 0)
        process = multiprocessing.get_context("fork").Process(target=publish)
        process.start()
        process.join()
        time.sleep(PAUSE)


def for_ever() -> None:
    """Publish from a daemon thread, which the interpreter's end interrupts anywhere."""
    while True:
        publish()
        time.sleep(PAUSE)


async def cancelled() -> None:
    """Publish when asyncio.run cancels what still runs."""
    try:
        await asyncio.sleep(3600)
    finally:
        await ledger.publish(bus, begun())


async def main() -> None:
    threading.Thread(target=for_ever, daemon=True).start()
    last_words = [asyncio.create_task(cancelled()) for _ in range(3)]
    places: list[Callable[[], None]] = [in_thread, in_thread, on_loop, on_loop, in_child]
    await asyncio.gather(*(asyncio.to_thread(place) for place in places))
    assert not any(task.done() for task in last_words)


class Finalized:
    """Object that lives until the interpreter clears its modules, and publishes then."""

    def __del__(self) -> None:
        publish()


if __name__ == "__main__":
    atexit.register(publish)
    finalized = Finalized()
    asyncio.run(main())
    (ledger.folder / f"exits-{os.getpid()}").touch()
