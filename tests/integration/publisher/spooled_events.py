"""Spooling buses of a test, and what their events look like on the queue."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qt_events import Published
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.publisher.numbered_events import event, keeping
from tests.support.buses import MakeBus

AFTER = 0.3  #: seconds of spool_after
MakeSpooling = Callable[..., CeleryEventBus]


def making(make_bus: MakeBus, url: str, path: Path) -> MakeSpooling:
    """Return what makes buses with the spool at `path`, whose subscription keeps every event."""

    def make(spool: Any = path, **options: Any) -> CeleryEventBus:
        return keeping(make_bus(url, spool=spool, spool_after=AFTER, **options))

    return make


def first_of_each(numbers: Iterable[int]) -> list[int]:
    """Return numbers in the order in which each came first."""
    return list(dict.fromkeys(numbers))


def is_direct(bus: CeleryEventBus) -> bool:
    return bool(bus.get_stats()["spool"]["state"] == "direct")


async def publish_until_confirmed(bus: CeleryEventBus, number: int) -> int:
    """Publish numbered events until one is confirmed at once; return the next number."""
    async with asyncio.timeout(40):
        while await bus.publish(event(number)) is not Published.CONFIRMED:
            number += 1
    return number + 1
