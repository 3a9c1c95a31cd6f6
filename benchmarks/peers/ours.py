"""qt_events with its default settings."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from benchmarks.pace import Pace, counted, singly, steadily, warm_up, windowed
from benchmarks.tally import hit
from benchmarks.trade import IN_FLIGHT, WAIT, fields, number_of
from qt_events import CeleryEventBus, TradeExecutedEvent


def new_bus() -> CeleryEventBus:
    """On the broker that the benchmark started."""
    return CeleryEventBus(os.environ["QT_BENCH_URL"])


def counting() -> Callable[[TradeExecutedEvent], Awaitable[None]]:
    """An async handler that does nothing but count; another one each time."""

    async def handle(_event: TradeExecutedEvent) -> None:
        hit()

    return handle


async def waiting(_event: TradeExecutedEvent) -> None:
    """As if another system were asked."""
    await asyncio.sleep(WAIT)
    hit()


def handle_sync(_event: TradeExecutedEvent) -> None:
    """For prefork."""
    hit()


# What a worker is to serve; the variable says which, for `celery -A benchmarks.peers.ours` is always this module.
app = None
if serve := os.environ.get("QT_BENCH_SERVE"):
    bus = new_bus()
    app = bus.app
    match serve.partition(":")[::2]:
        case ("noop", _):
            bus.subscribe(TradeExecutedEvent, counting(), name="bench.0")
        case ("waits", concurrency):
            bus.subscribe(TradeExecutedEvent, waiting, name="bench.0", concurrency=int(concurrency))
        case ("sync", _):
            bus.subscribe(TradeExecutedEvent, handle_sync, name="bench.0")
        case ("fanout", times):
            for number in range(int(times)):
                bus.subscribe(TradeExecutedEvent, counting(), name=f"bench.{number}")


def _subscribed(times: int = 1) -> CeleryEventBus:
    """With so many queues bound to the event, which nobody serves in this process."""
    bus = new_bus()
    for number in range(times):
        bus.subscribe(TradeExecutedEvent, counting(), name=f"bench.{number}")
    return bus


def _one(bus: CeleryEventBus) -> Callable[[int], Awaitable[None]]:
    return lambda number: bus.publish(TradeExecutedEvent.create(**fields(number)))


async def publish(count: int) -> dict[str, float]:
    """Confirmed, 100 in flight."""
    one = _one(_subscribed())
    await windowed(one, warm_up(count), IN_FLIGHT)
    return await windowed(one, count, IN_FLIGHT)


async def publish_singly(count: int) -> dict[str, float]:
    """Confirmed, one at a time."""
    one = _one(_subscribed())
    await singly(one, warm_up(count))
    return await singly(one, count)


async def publish_counted(count: int, subscriptions: int) -> dict[str, float]:
    """What a publish does, whatever time it takes; the bus begins its thread while bytecodes are counted."""
    return await counted(_one(_subscribed(subscriptions)), count)


async def publish_steadily(count: int, subscriptions: int, rate: int) -> dict[str, float]:
    """What CPU it takes at a pace that broker and publisher keep up with easily."""
    one = _one(_subscribed(subscriptions))
    await singly(one, warm_up(count))
    return await steadily(one, count, rate)


async def preload(count: int, subscriptions: int = 1) -> None:
    """Events for a worker to come."""
    await windowed(_one(_subscribed(subscriptions)), count, 1000)


async def end_to_end(rate: int, seconds: float) -> dict[str, float]:
    """Publisher and worker in this process."""
    bus, pace = new_bus(), Pace(rate, seconds)

    async def arrived(event: TradeExecutedEvent) -> None:
        pace.arrived(number_of(event.payload.order_id))

    bus.subscribe(TradeExecutedEvent, arrived, name="bench.0")
    async with bus:
        return await pace.run(_one(bus))
