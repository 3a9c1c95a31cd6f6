"""The caller's event loop goes on without a pause above 50 ms, whatever breaks."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from qt_events.errors import BrokerUnreachableError
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.ledger import Load
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy import Proxy
from tests.faults.loop_lag import smoothest
from tests.faults.rig import PREFETCH, Rig
from tests.support.waiting import until

# Each fault may strike three times.
pytestmark = pytest.mark.timeout(240)

SMOOTH = 0.05  # seconds
HEARTBEAT = 2  # seconds
IN_FLIGHT = 50  # publishes


class Program:
    """A bus that publishes and handles on the test's own loop, through a proxy."""

    def __init__(self, rig: Rig, proxy: Proxy) -> None:
        self.rig, self.proxy, self.handled = rig, proxy, 0
        self.bus = rig.bus(proxy.url_for(rig.url))
        self.bus.app.conf.broker_heartbeat = HEARTBEAT
        rig.subscriptions = {"on_loop": "load.#", "in_thread": "load.#"}
        self.bus.subscribe(
            "load.#", rig.ledger.keeping("on_loop", self.on_loop), name="on_loop", concurrency=10
        )
        self.bus.subscribe(
            "load.#",
            rig.ledger.keeping("in_thread", self.in_thread),
            name="in_thread",
            concurrency=4,
        )

    async def on_loop(self, _: Event[Any]) -> None:
        self.handled += 1

    def in_thread(self, _: Event[Any]) -> None:
        pass

    @property
    def connections(self) -> int:
        """Return the number of connections that the worker has had so far."""
        return (
            self.bus.serving.consumer.restart_count if self.bus.serving.consumer is not None else 0
        )

    @asynccontextmanager
    async def running(self) -> Any:
        task = asyncio.create_task(self.bus.run_forever())
        await until(
            lambda: self.bus.serving.worker is not None and self.bus.serving.worker.ready.is_set()
        )
        try:
            yield
        finally:
            self.bus.stop()
            await task

    async def goes_on(self, load: Load) -> None:
        """Wait until publishing and handling go on."""
        before = self.handled
        await load.more(60)
        await until(lambda: self.handled > before + 60, what="events are handled")


@pytest.fixture
def program(rig: Rig) -> Iterator[Program]:
    place = urlsplit(rig.url)
    with Proxy(place.hostname or "", place.port or 0) as proxy:
        yield Program(rig, proxy)


Fault = Callable[[Program], Awaitable[None]]


async def reset(program: Program) -> None:
    for _ in range(3):
        await asyncio.sleep(0.2)
        program.proxy.reset()


async def refused(program: Program) -> None:
    program.proxy.refuse()
    program.proxy.reset()
    await asyncio.sleep(1.5)


async def black_hole(program: Program) -> None:
    before = program.connections
    program.proxy.black_hole()
    await until(lambda: program.connections > before, what="the worker has noticed")
    # While it tries to reconnect
    await asyncio.sleep(1.0)


async def forgotten(program: Program) -> None:
    before = program.connections
    program.proxy.forget()
    await until(lambda: program.connections > before, what="the worker has noticed")


async def half_frames(program: Program) -> None:
    program.proxy.stutter(0.2)
    await asyncio.sleep(1.5)


async def cut_frames(program: Program) -> None:
    for _ in range(2):
        before = program.proxy.traffic.cuts
        program.proxy.cut("from_target")
        await until(lambda before=before: program.proxy.traffic.cuts > before)  # type: ignore[misc]


async def slow_reconnect(program: Program) -> None:
    program.proxy.delay(0.1)
    program.proxy.reset()
    await asyncio.sleep(2.0)


FAULTS: list[Fault] = [
    reset,
    refused,
    half_frames,
    cut_frames,
    slow_reconnect,
    black_hole,
    forgotten,
]


async def test_a_bad_network_never_stalls_the_callers_loop(rig: Rig, program: Program) -> None:
    """Connecting, waiting and tearing down happen elsewhere."""
    worst: dict[str, str] = {}
    async with (
        program.running(),
        Load(program.bus, rig.ledger, in_flight=IN_FLIGHT, rate=150) as load,
    ):
        await program.goes_on(load)
        for fault in FAULTS:

            async def struck(fault: Fault = fault) -> None:
                rig.ledger.fault(fault.__name__)
                await fault(program)
                program.proxy.heal()
                await program.goes_on(load)

            lag = await smoothest(struck, SMOOTH)
            rig.figures[fault.__name__] = lag.summary
            if lag.worst.own > SMOOTH:
                worst[fault.__name__] = str(lag.worst)
        await load.stop()
        account = await rig.account()
    assert not worst, "\n".join(f"{name}: {stall}" for name, stall in worst.items())
    # A fault cuts connections up to three times, most of them once.
    account.verify(duplicates=2 * account.total.struck * 2 * (PREFETCH + IN_FLIGHT))
    assert not load.failed


async def test_a_killed_broker_never_stalls_the_callers_loop(
    rig: Rig, program: Program, harmed: PrivateBroker
) -> None:
    """A broker that boots beside it does not stall it either."""
    async with (
        program.running(),
        Load(program.bus, rig.ledger, in_flight=IN_FLIGHT, rate=150) as load,
    ):
        await program.goes_on(load)
        await asyncio.to_thread(harmed.settle)

        async def struck() -> None:
            rig.ledger.fault("broker killed")
            await asyncio.to_thread(harmed.kill)
            await asyncio.to_thread(harmed.restart)
            await program.goes_on(load)

        lag = await smoothest(struck, SMOOTH)
        await load.stop()
        account = await rig.account()
    rig.figures["broker killed"] = lag.summary
    assert lag.worst.own < SMOOTH, str(lag.worst)
    account.verify(duplicates=account.total.struck * 2 * (PREFETCH + IN_FLIGHT))
    assert not load.failed


async def test_thousands_of_publishes_that_fail_together_never_stall_the_callers_loop() -> None:
    """Each ends by name at about the same moment; the loop's other tasks run in between."""
    (port,) = free_ports(1)
    bus = CeleryEventBus(f"amqp://guest:guest@127.0.0.1:{port}//", publish_timeout=2.0)
    errors: Counter[type] = Counter()
    times = 0

    async def publish(number: int) -> None:
        try:
            await bus.publish(Event("load.numbered", payload={"n": number}))
        except BrokerUnreachableError as error:
            errors[type(error)] += 1

    async def all_together() -> None:
        nonlocal times
        times += 1
        async with asyncio.TaskGroup() as group:
            for number in range(3000):
                group.create_task(publish(number))
                if number % 20 == 0:
                    # Making them is the caller's own work
                    await asyncio.sleep(0.001)

    lag = await smoothest(all_together, SMOOTH)
    bus.close()
    assert errors == {BrokerUnreachableError: 3000 * times}
    assert lag.worst.own < SMOOTH, str(lag.worst)
