"""Start and stop of run_forever(), and the loop and threads of its handlers."""

import asyncio
import gc
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from qt_events.errors import BrokerUnreachableError, BusStateError, TopologyError
from qt_events.events.event import Event
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from tests.integration.run_forever.hosting import Handler, is_ready, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.waiting import until, until_told


async def test_async_handlers_run_on_the_callers_own_loop(make_bus: MakeBus) -> None:
    """A handler may use whatever the program has on its loop and thread."""
    bus, seen = make_bus(), []

    async def handler(event: Event[Any]) -> None:
        seen.append((asyncio.get_running_loop(), threading.get_ident()))

    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await publish(bus)
        await until(lambda: seen)
    assert seen == [(asyncio.get_running_loop(), threading.get_ident())]


async def test_sync_handlers_run_in_threads(make_bus: MakeBus) -> None:
    """One that blocks holds up neither the loop nor an async one."""
    bus, seen, gate, handler = make_bus(max_workers=2), [], threading.Event(), Handler()

    def blocking(event: Event[Any]) -> None:
        seen.append(threading.get_ident())
        assert gate.wait(20)

    bus.subscribe("happened", blocking, name="blocking")
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await publish(bus)
        await until(lambda: seen and handler.done)
        gate.set()
    assert threading.get_ident() not in seen


# Starting and stopping


def footprint(management: Management, vhost: str) -> dict[str, Any]:
    gc.collect()
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "connections": len(management.connections(vhost)),
        "socket timeout": socket.getdefaulttimeout(),
        "tasks": len(asyncio.all_tasks()),
    }


async def test_starting_and_stopping_leaves_nothing_behind(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Threads, descriptors, connections and tasks after many runs are those after the first."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    bus.subscribe("happened", lambda event: None, name="sync")
    first: dict[str, Any] = {}
    for round_ in range(8):
        if round_ % 2:
            task = asyncio.create_task(bus.run_forever())
            await until(lambda: is_ready(bus))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            async with running(bus):
                event = await publish(bus)
                await until(lambda event=event: event.id in handler.ids)  # type: ignore[misc]
        await until_told(
            lambda: len(management.connections(vhost)) == 1,
            what="only the publisher's connection is left",
        )
        await until(
            lambda: not any(t.name.startswith("qt_events-handler") for t in threading.enumerate())
        )
        first = first or footprint(management, vhost)
    assert footprint(management, vhost) == first


async def test_stop_finishes_what_it_holds(make_bus: MakeBus, amqp_url: str) -> None:
    """Every event in hand is handled once, and the queue is empty afterwards."""
    bus, handler = make_bus(prefetch=100), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(30)]
        await until(lambda: bus.serving.held == 30)
        bus.stop()
        handler.open.set()
    assert handler.ids == [event.id for event in events]
    assert await asyncio.to_thread(depth, amqp_url, "qt.sub.handler") == 0


async def test_stop_gives_back_what_its_grace_is_too_short_for(make_bus: MakeBus) -> None:
    """The next run gets the rest again after `grace` seconds."""
    bus, handler = make_bus(grace=0.3), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(5)]
        await until(lambda: handler.begun)
    handler.open.set()
    async with running(bus):
        await until(lambda: len(handler.done) >= 5)
    assert handler.ids == [event.id for event in events]


async def test_cancelling_gives_back_at_once(make_bus: MakeBus) -> None:
    """run_forever waits for no handler then. The next run gets what they held, in order."""
    bus, handler = make_bus(), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler")
    task = asyncio.create_task(bus.run_forever())
    events = [await publish(bus, n=n) for n in range(5)]
    await until(lambda: handler.begun)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 5
    handler.open.set()
    async with running(bus):
        await until(lambda: len(handler.done) >= 5)
    assert handler.ids == [event.id for event in events]


async def test_a_bus_runs_once_at_a_time(make_bus: MakeBus) -> None:
    """A second run_forever() is an error of the caller."""
    bus = make_bus()
    async with running(bus):
        with pytest.raises(BusStateError, match="runs already"):
            await bus.run_forever()


async def test_a_url_nobody_listens_on_is_a_named_error_in_time(make_bus: MakeBus) -> None:
    """run_forever and `async with` raise BrokerUnreachableError after about publish_timeout."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://guest:secret@127.0.0.1:{port}//", publish_timeout=1.0)
    for start in (bus.run_forever, bus.__aenter__):
        started = time.monotonic()
        with pytest.raises(BrokerUnreachableError, match="is RabbitMQ running there") as caught:
            await start()
        assert time.monotonic() - started < 4
        assert "secret" not in str(caught.value)


async def test_a_queue_of_other_arguments_ends_run_forever_by_name(make_bus: MakeBus) -> None:
    """TopologyError names the subscription, and nothing is tried again."""
    bus = make_bus()
    with bus.app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare(
            "qt.sub.handler", durable=True, auto_delete=False, arguments={"x-max-length": 5}
        )
    bus.subscribe("happened", Handler(), name="handler")
    with pytest.raises(TopologyError, match="'handler'"):
        await bus.run_forever()
