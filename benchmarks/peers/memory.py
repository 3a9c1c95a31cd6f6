"""Contenders in memory: qt_events' InMemoryEventBus, and a home-made bus of one asyncio.Queue."""

import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from statistics import median
from typing import Any

from benchmarks.pace import spent, warm_up
from benchmarks.trade import WAIT, PlainTrade, TradeExecuted, fields
from qt_events import Event, InMemoryEventBus, TradeExecutedEvent


class HomeMade:
    """Bus of one queue, one loop, and `gather` for the handlers of an event."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._handlers: defaultdict[type, list[Callable[[Any], Awaitable[None]]]] = defaultdict(
            list
        )

    def subscribe(self, event_type: type, handler: Callable[[Any], Awaitable[None]]) -> None:
        self._handlers[event_type].append(handler)

    async def publish(self, event: Any) -> None:
        await self._queue.put(event)

    async def run(self) -> None:
        while True:
            event = await self._queue.get()
            await asyncio.gather(*(handler(event) for handler in self._handlers[type(event)]))


class _Handled:
    """Counter that knows when all events have arrived."""

    def __init__(self) -> None:
        self._left, self.all = 0, asyncio.Event()

    def expect(self, count: int) -> None:
        self._left, self.all = count, asyncio.Event()

    async def handle(self, _event: Any) -> None:
        self._left -= 1
        if not self._left:
            self.all.set()


async def _throughput(
    publish: Callable[[int], Awaitable[object]], handled: _Handled, count: int
) -> dict[str, float]:
    """Make, publish and handle `count` events; return the rate.

    The publisher lets other tasks run after every hundred.
    """
    for each in (warm_up(count), count):
        handled.expect(each)
        gc.collect()
        began, cpu = time.monotonic(), time.process_time()
        for number in range(each):
            await publish(number)
            if not number % 100:
                await asyncio.sleep(0)
        await handled.all.wait()
    return spent(began, cpu, count)


async def throughput(count: int, unrelated: int = 0) -> dict[str, float]:
    """Measure ours, beside `unrelated` subscriptions to other events."""
    bus, handled = InMemoryEventBus(), _Handled()
    bus.subscribe(TradeExecutedEvent, handled.handle)
    for number in range(unrelated):
        bus.subscribe(f"other{number}.happened", _other(), name=f"other.{number}")
    async with bus:
        return await _throughput(
            lambda n: bus.publish(TradeExecutedEvent.create(**fields(n))), handled, count
        )


async def throughput_home_made(count: int) -> dict[str, float]:
    """Measure the home-made bus."""
    return await _throughput_home_made(TradeExecuted, count)


async def _throughput_home_made(event_type: Any, count: int) -> dict[str, float]:
    bus, handled = HomeMade(), _Handled()
    bus.subscribe(event_type, handled.handle)
    running = asyncio.create_task(bus.run())
    result = await _throughput(lambda n: bus.publish(event_type.new(n)), handled, count)
    running.cancel()
    return result


async def throughput_plain(count: int) -> dict[str, float]:
    """Measure ours with events of a type that has no class."""
    bus, handled = InMemoryEventBus(), _Handled()
    bus.subscribe("trade.noted", handled.handle)
    async with bus:
        return await _throughput(
            lambda n: bus.publish(Event("trade.noted", datetime.now(UTC), fields(n))),
            handled,
            count,
        )


async def throughput_plain_home_made(count: int) -> dict[str, float]:
    """Measure the home-made bus with a dataclass."""
    return await _throughput_home_made(PlainTrade, count)


async def handling(count: int, batch: int) -> dict[str, float]:
    """Measure ours from a bus that holds all events already; `batch` 0 is one by one."""
    await _handling(warm_up(count), batch)
    return await _handling(count, batch)


async def _handling(count: int, batch: int) -> dict[str, float]:
    bus = InMemoryEventBus(max_queue_size=count)

    async def handle(_events: Any) -> None: ...

    bus.subscribe(TradeExecutedEvent, handle, batch=batch or None)
    for number in range(count):
        await bus.publish(TradeExecutedEvent.create(**fields(number)))
    gc.collect()
    began, cpu = time.monotonic(), time.process_time()
    async with bus:
        await bus.join()
    return spent(began, cpu, count)


def _other() -> Callable[[Any], Awaitable[None]]:
    async def other(_event: Any) -> None: ...

    return other


class _Stopwatch:
    """Time from publish to handler, one event at a time."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._began = 0.0
        self._arrived = asyncio.Event()

    def arrived(self) -> None:
        self._lags.append(time.perf_counter() - self._began)
        self._arrived.set()

    async def handle(self, _event: Any) -> None:
        self.arrived()

    async def time(
        self, publish: Callable[[Any], Awaitable[object]], events: list[Any]
    ) -> dict[str, float]:
        for event in events:
            self._arrived.clear()
            self._began = time.perf_counter()
            await publish(event)
            await self._arrived.wait()
        return {"p50_us": median(self._lags) * 1e6}


async def latency(count: int) -> dict[str, float]:
    """Measure ours."""
    bus, watch = InMemoryEventBus(), _Stopwatch()
    bus.subscribe(TradeExecutedEvent, watch.handle)
    events = [TradeExecutedEvent.create(**fields(number)) for number in range(count)]
    async with bus:
        return await watch.time(bus.publish, events)


async def latency_bare_queue(count: int) -> dict[str, float]:
    """Measure an asyncio.Queue and one task that takes from it: no bus, no handlers, no gather."""
    queue: asyncio.Queue[TradeExecuted] = asyncio.Queue()
    watch = _Stopwatch()

    async def consume() -> None:
        while True:
            await queue.get()
            watch.arrived()

    consuming = asyncio.create_task(consume())
    result = await watch.time(queue.put, [TradeExecuted.new(number) for number in range(count)])
    consuming.cancel()
    return result


async def bare_waits(seconds: int) -> dict[str, float]:
    """Measure asyncio's cost of a 10 ms wait, 200 at a time, where nothing else is done."""
    waits, until = 0, time.monotonic() + seconds

    async def wait() -> None:
        nonlocal waits
        while time.monotonic() < until:
            await asyncio.sleep(WAIT)
            waits += 1

    cpu = time.process_time()
    await asyncio.gather(*(wait() for _ in range(200)))
    return {"cpu_us": (time.process_time() - cpu) / waits * 1e6}


async def idle(seconds: float) -> dict[str, float]:
    """Measure percent of a core that a bus with nothing to do takes."""
    bus = InMemoryEventBus()
    bus.subscribe(TradeExecutedEvent, _other())
    async with bus:
        began = time.process_time()
        await asyncio.sleep(seconds)
        return {"cpu_percent": (time.process_time() - began) / seconds * 100}
