"""qt_events with its default settings."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.pace import Pace, counted, in_bursts, singly, steadily, warm_up, windowed
from benchmarks.tally import hit
from benchmarks.trade import IN_FLIGHT, WAIT, fields, number_of
from qt_events import CeleryEventBus, TradeExecutedEvent


def new_bus(**options: Any) -> CeleryEventBus:
    """Make a bus on the broker that the benchmark started."""
    return CeleryEventBus(os.environ["QT_BENCH_URL"], **options)


def counting() -> Callable[[TradeExecutedEvent], Awaitable[None]]:
    """Make an async handler that only counts; every call returns a new one."""

    async def handle(_event: TradeExecutedEvent) -> None:
        hit()

    return handle


async def handle_batch(events: list[TradeExecutedEvent]) -> None:
    """Count the events of a batch."""
    for _ in events:
        hit()


async def waiting(_event: TradeExecutedEvent) -> None:
    """Wait, like a handler that asks another system."""
    await asyncio.sleep(WAIT)
    hit()


def handle_sync(_event: TradeExecutedEvent) -> None:
    """Count the event: the handler of the prefork case."""
    hit()


# Subscriptions of a worker. The variable selects them, because `celery -A benchmarks.peers.ours`
# always imports this module.
app = None
if serve := os.environ.get("QT_BENCH_SERVE"):
    bus = new_bus()
    app = bus.app
    match serve.partition(":")[::2]:
        case ("noop", _):
            bus.subscribe(TradeExecutedEvent, counting(), name="bench.0")
        case ("waits", concurrency):
            bus.subscribe(TradeExecutedEvent, waiting, name="bench.0", concurrency=int(concurrency))
        case ("batch", size):
            bus.subscribe(TradeExecutedEvent, handle_batch, name="bench.0", batch=int(size))
        case ("sync", _):
            bus.subscribe(TradeExecutedEvent, handle_sync, name="bench.0")
        case ("fanout", times):
            for number in range(int(times)):
                bus.subscribe(TradeExecutedEvent, counting(), name=f"bench.{number}")


def subscribed(times: int = 1, **options: Any) -> CeleryEventBus:
    """Make a bus with `times` queues bound to the event; nobody serves them in this process."""
    bus = new_bus(**options)
    for number in range(times):
        bus.subscribe(TradeExecutedEvent, counting(), name=f"bench.{number}")
    return bus


def _one(bus: CeleryEventBus) -> Callable[[int], Awaitable[object]]:
    return lambda number: bus.publish(TradeExecutedEvent.create(**fields(number)))


async def publish(count: int) -> dict[str, float]:
    """Publish with confirms, 100 in flight."""
    one = _one(subscribed())
    await windowed(one, warm_up(count), IN_FLIGHT)
    return await windowed(one, count, IN_FLIGHT)


async def publish_singly(count: int) -> dict[str, float]:
    """Publish with confirms, one at a time."""
    one = _one(subscribed())
    await singly(one, warm_up(count))
    return await singly(one, count)


async def publish_counted(count: int, subscriptions: int) -> dict[str, float]:
    """Count bytecodes of a publish. The bus starts its thread while bytecodes are counted."""
    return await counted(_one(subscribed(subscriptions)), count)


async def publish_spoolable_counted(count: int) -> dict[str, float]:
    """Count bytecodes of a publish whose bus has a spool, which it does not need."""
    with TemporaryDirectory() as folder:
        bus = subscribed(spool=f"{folder}/spool.db")
        found = await counted(_one(bus), count)
        bus.close()
    return found


async def publish_steadily(count: int, subscriptions: int, rate: int) -> dict[str, float]:
    """Measure CPU at a rate that broker and publisher keep up with easily."""
    one = _one(subscribed(subscriptions))
    await singly(one, warm_up(count))
    return await steadily(one, count, rate)


async def publish_in_bursts(count: int, rate: int) -> dict[str, float]:
    """Measure CPU at a rate that leaves the machine time for others, 100 at once."""
    one = _one(subscribed())
    await in_bursts(one, warm_up(count), IN_FLIGHT, rate)
    return await in_bursts(one, count, IN_FLIGHT, rate)


async def preload(count: int, subscriptions: int = 1) -> None:
    """Publish events that wait for a worker."""
    await windowed(_one(subscribed(subscriptions)), count, 1000)


async def preload_told(count: int) -> None:
    """Do the same, with a queue that collects the fates. Nobody takes them from it."""
    bus = subscribed()
    bus.listen_to_fates(len, name="bench.fates")
    await windowed(_one(bus), count, 1000)


async def end_to_end(rate: int, seconds: float) -> dict[str, float]:
    """Run publisher and worker in this process."""
    bus, pace = new_bus(), Pace(rate, seconds)

    async def arrived(event: TradeExecutedEvent) -> None:
        pace.arrived(number_of(event.payload.order_id))

    bus.subscribe(TradeExecutedEvent, arrived, name="bench.0")
    async with bus:
        return await pace.run(_one(bus))
