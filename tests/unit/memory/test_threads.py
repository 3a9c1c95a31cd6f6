"""Threads and loops: publishing from other ones, and the place where handlers run."""

import asyncio
import threading
import time
from contextvars import ContextVar
from typing import Any

import pytest

from qt_events.errors import BackpressureError, UnroutableError
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from tests.unit.memory.gate import Gate, end, event, run


async def test_publishing_from_another_loop() -> None:
    """publish() works on any loop; the handler runs on the bus's own."""
    bus, threads = InMemoryEventBus(), []

    async def handler(event: Event[Any]) -> None:
        threads.append(threading.get_ident())

    bus.subscribe("unit.memory", handler, name="handler")
    async with bus:
        await asyncio.to_thread(lambda: asyncio.run(bus.publish(event())))
        await bus.join(40)
    assert threads == [threading.get_ident()]


async def test_errors_of_a_publish_from_another_loop_come_back_to_it() -> None:
    """UnroutableError reaches the thread that published."""
    async with InMemoryEventBus() as bus:
        with pytest.raises(UnroutableError):
            await asyncio.to_thread(lambda: asyncio.run(bus.publish(event(), mandatory=True)))
        with pytest.raises(UnroutableError):
            await asyncio.to_thread(bus.publish_sync, event(), mandatory=True)


def test_threads_publish_while_the_bus_starts_and_stops() -> None:
    """Events of other threads, before, during and after a run, are neither lost nor doubled."""
    bus, heard = InMemoryEventBus(), list[int]()
    bus.subscribe("unit.memory", lambda event: heard.append(event.payload["n"]), name="handler")

    def publish(first: int) -> None:
        for n in range(first, first + 100):
            bus.publish_sync(event(n))

    async def start_and_stop() -> None:
        for _ in range(5):
            await end(bus, await run(bus))
        task = await run(bus)
        await asyncio.gather(*publishing)
        await bus.join(20)
        await end(bus, task)

    async def begin() -> None:
        publishing.extend(
            asyncio.create_task(asyncio.to_thread(publish, 1000 * thread)) for thread in range(4)
        )
        await start_and_stop()

    publishing: list[asyncio.Task[None]] = []
    publish(9000)
    asyncio.run(begin())
    assert sorted(heard) == [1000 * thread + n for thread in (0, 1, 2, 3, 9) for n in range(100)]
    for thread in (0, 1, 2, 3, 9):  # each publisher's in order
        assert [n for n in heard if n // 1000 == thread] == sorted(
            n for n in heard if n // 1000 == thread
        )
    stats = bus.get_stats()
    assert (stats["published"], stats["dispatched"], stats["queue_size"]) == (500, 500, 0)


async def test_a_thread_waits_for_room_like_everybody() -> None:
    """publish_sync() on a full bus that runs waits in line, at most publish_timeout."""
    bus, gate = InMemoryEventBus(1, publish_timeout=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        await bus.publish(event(0))
        await gate.reaches(began=1)
        with pytest.raises(BackpressureError, match=r"no room for 0\.05 s.*'gate'"):
            await asyncio.to_thread(bus.publish_sync, event(1))
        bus.publish_timeout = 5
        publishing = asyncio.create_task(asyncio.to_thread(bus.publish_sync, event(2)))
        gate.open()
        await publishing
    assert gate.ended == [0, 2]


async def test_sync_handlers_share_max_workers_threads() -> None:
    """As many sync handlers run at a time as there are workers."""
    bus = InMemoryEventBus(max_workers=2)
    running, most, lock = 0, 0, threading.Lock()

    def handler(event: Event[Any]) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    bus.subscribe("unit.memory", handler, name="sync", concurrency=10)
    async with bus:
        for n in range(10):
            await bus.publish(event(n))
    assert most == 2


variable: ContextVar[str] = ContextVar("variable", default="unset")


async def test_handlers_see_the_context_of_run_forever() -> None:
    """Context variables set before run_forever() are seen by handlers; the publisher's are not."""
    bus, seen = InMemoryEventBus(), []

    async def handler(event: Event[Any]) -> None:
        seen.append(variable.get())

    bus.subscribe("unit.memory", handler, name="handler")
    variable.set("of the bus")
    async with bus:
        variable.set("of the publisher")
        await bus.publish(event())
    assert seen == ["of the bus"]
