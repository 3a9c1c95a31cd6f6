"""On the asyncio pool nothing waits on the event loop for the broker's answer.

Handlers go on while consumers come, go and are replaced, however far away the broker is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.proxy import Proxy
from tests.faults.loop_lag import LoopLag
from tests.integration.run_forever.hosting import Handler, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until

ROUND_TRIP = 2.0  # seconds: long beside the work of a busy machine
FIRST, LAST = 0, 300  # events at which the handler waits
MANY = 5  # subscriptions beside the one that something happens to


class Program:
    """A bus on the test's own loop, behind a line that can become slow."""

    def __init__(self, bus: CeleryEventBus, proxy: Proxy, url: str) -> None:
        self.bus, self.proxy, self.url = bus, proxy, url
        bus.app.conf.worker_enable_remote_control = True
        self.gate, self.handled = asyncio.Event(), Handler()
        self.others = [Handler() for _ in range(MANY)]
        for number, other in enumerate(self.others):
            bus.subscribe(f"other_{number}.happened", other, name=f"other_{number}")
        self.subscription = bus.subscribe("happened", self.handle, name="handle")

    async def handle(self, event: Event[Any]) -> None:
        if event.payload.get("n") in {FIRST, LAST}:
            await self.gate.wait()
            self.gate.clear()
        await self.handled(event)

    @asynccontextmanager
    async def slow(self) -> AsyncIterator[None]:
        """Make the line slow for the block, in which the loop must not stop."""
        self.proxy.delay(ROUND_TRIP / 2)
        async with LoopLag() as lag:
            yield
        self.proxy.heal()
        assert lag.worst.own < ROUND_TRIP / 2, str(lag.worst)

    async def hears(self) -> None:
        """Return when an event is handled that another subscription gets now."""
        event = await publish(self.bus, "other_0.happened")
        await until(lambda: event.id in self.others[0].ids, what="handled")


async def another_prefetch(program: Program) -> None:
    for n in range(LAST + 200):
        await publish(program.bus, n=n)
    program.gate.set()
    prefetch: Any = program.bus.serving.adapting(program.subscription)
    # A hundred, unless the machine is busy.
    await until(lambda: program.bus.serving.held == prefetch.count > 20)
    async with program.slow():
        await until(lambda: prefetch.count == 2)
        await program.hears()
    program.gate.set()
    await until(lambda: len(program.handled.done) == LAST + 200)


async def cancelled_by_the_broker(program: Program) -> None:
    """As by the consumer timeout of RabbitMQ 4.3, and its queue is gone as well."""
    async with program.slow():
        await asyncio.to_thread(_delete, program.url, "qt.sub.handle")
        # What is published before the queue is there again reaches nobody.
        while not program.handled.done:
            await publish(program.bus)


def _delete(url: str, queue: str) -> None:
    with channel_to(url) as channel:
        channel.queue_delete(queue)


async def subscribed(program: Program) -> None:
    handler = Handler()
    async with program.slow():
        program.bus.subscribe("new.happened", handler, name="new")
        event = await publish(program.bus, "new.happened")
        await until(lambda: event.id in handler.ids)


async def unsubscribed(program: Program) -> None:
    async with program.slow():
        for number, other in enumerate(program.others[1:], start=1):
            program.bus.unsubscribe(f"other_{number}.happened", other)
        await program.hears()


async def told_by_remote_control(program: Program) -> None:
    operator = CeleryEventBus(program.url)
    ask = partial(operator.app.control.broadcast, reply=True, timeout=60, limit=1)
    queue = {"queue": "qt.sub.handle"}
    async with program.slow():
        for command, about in (("cancel_consumer", queue), ("add_consumer", queue), ("ping", {})):
            ((answer,),) = (each.values() for each in await asyncio.to_thread(ask, command, about))
            assert "ok" in answer
        await program.hears()
    operator.close()


@pytest.mark.parametrize(
    "act",
    [another_prefetch, cancelled_by_the_broker, subscribed, unsubscribed, told_by_remote_control],
)
async def test_handlers_go_on(
    act: Callable[[Program], Awaitable[None]], make_bus: MakeBus, proxy: Proxy, amqp_url: str
) -> None:
    """While a consumer is replaced or removed, or an operator asks something."""
    program = Program(make_bus(proxy.url_for(amqp_url)), proxy, amqp_url)
    async with running(program.bus):
        await program.hears()
        await act(program)


async def test_handlers_finish_while_the_worker_stops(
    make_bus: MakeBus, proxy: Proxy, amqp_url: str
) -> None:
    """Each consumer is cancelled: the loop waits for none of them."""
    program = Program(make_bus(proxy.url_for(amqp_url)), proxy, amqp_url)
    async with running(program.bus):
        await publish(program.bus, n=LAST)
        await until(lambda: program.bus.serving.held == 1)
        async with program.slow():
            program.bus.stop()
            await asyncio.sleep(ROUND_TRIP)
            program.gate.set()
            await until(lambda: not program.bus.serving.held)
