"""A subscription that is removed while its retries wait: for a moment, a program of its own."""

import asyncio
from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from tests.faults.rig import Rig, delayed, running
from tests.support.channels import channel_to, depth
from tests.support.waiting import until, until_told

# Subscription and type
NAME = "leaving"
# Seconds until a retry, and where it waits: nobody else's retries do.
DELAY, LEVEL = 3.0, "qt.retry.3200"
WAITING = 20


async def leave_retries_behind(rig: Rig) -> None:
    """Let events fail, remove their subscription, and see them all in qt.lost.

    The load's ledger knows nothing of them. An AssertionError if one is missing.
    """
    bus, failed = rig.bus(), set()

    async def fail(event: Event[Any]) -> None:
        failed.add(event.id)
        raise OSError("it is tried again")

    retry = RetryPolicy(max_attempts=2, initial=DELAY, jitter=0)
    bus.subscribe(NAME, fail, name=NAME, concurrency=WAITING, retry=retry)
    before = await asyncio.to_thread(depth, rig.url, "qt.lost")
    async with running(bus):
        await asyncio.gather(*(bus.publish(Event(NAME)) for _ in range(WAITING)))
        await until(lambda: len(failed) == WAITING, what="all have failed once")
        await until_told(
            lambda: delayed(rig.url, LEVEL) == WAITING, what="all wait for their retries"
        )
    await asyncio.to_thread(remove, rig.url)
    await until_told(
        lambda: depth(rig.url, "qt.lost") == before + WAITING, what="they are in qt.lost"
    )


def remove(url: str) -> None:
    with channel_to(url) as channel:
        channel.queue_delete(f"qt.sub.{NAME}")
