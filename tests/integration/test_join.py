"""join() over RabbitMQ ends with the last outcome, with its timeout, or with the bus."""

import asyncio
import contextlib
import socket

import pytest

from qt_events import BrokerUnreachableError, BusStateError, CeleryEventBus, Event
from tests.support.waiting import until


async def hang(_: Event) -> None:
    await asyncio.Event().wait()


async def test_join_ends_with_the_bus(amqp_url: str) -> None:
    """A bus that stops with work unfinished says so to whoever joined it."""
    bus = CeleryEventBus(amqp_url, grace=0.2)
    bus.subscribe("happened", hang, name="hang")
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(Event("happened"))
    joining = asyncio.create_task(bus.join(30))
    await until(lambda: bus.serving.held, what="the handler to have it")
    bus.stop()
    with pytest.raises(BusStateError, match="stopped while"):
        await joining
    await running
    bus.close()


async def test_join_ends_where_the_bus_never_began() -> None:
    """run_forever() fails without a broker, and join() does not wait for what cannot come."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        bus = CeleryEventBus(f"amqp://127.0.0.1:{taken.getsockname()[1]}//", publish_timeout=0.5)
        bus.subscribe("happened", hang, name="hang")
        running = asyncio.create_task(bus.run_forever())
        async with asyncio.timeout(20):
            await bus.join()
        with pytest.raises(BrokerUnreachableError):
            await running
    bus.close()


async def test_a_join_that_timed_out_leaves_nothing_behind(amqp_url: str) -> None:
    """The next join is answered all the same, and the outcome is counted once."""
    bus, go = CeleryEventBus(amqp_url), asyncio.Event()

    async def wait(_: Event) -> None:
        await go.wait()

    bus.subscribe("happened", wait, name="wait")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(bus.close)
        await stack.enter_async_context(bus)
        await bus.publish(Event("happened"))
        with pytest.raises(TimeoutError, match="1 events have no outcome"):
            await bus.join(0.3)
        go.set()
        await bus.join(20)
        assert bus.get_stats()["by_subscription"]["wait"]["delivered"] == 1
