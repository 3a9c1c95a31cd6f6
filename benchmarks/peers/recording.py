"""qt_events with a history: publishers whose bus has one attached, and a worker that records."""

import os
from collections.abc import Awaitable, Callable, Sequence

from benchmarks.pace import counted, in_bursts, warm_up, windowed
from benchmarks.tally import hit
from benchmarks.trade import IN_FLIGHT, fields
from qt_events import CeleryEventBus, RawEvent, TradeExecutedEvent
from qt_events.history import History
from qt_events.history.recorder import Recorder


class _CountedRecorder(Recorder):
    """Recorder that counts events once they are committed."""

    async def record(self, events: Sequence[RawEvent]) -> None:
        await super().record(events)
        for _ in events:
            hit()


def _attached(history: History) -> CeleryEventBus:
    bus = CeleryEventBus(os.environ["QT_BENCH_URL"])
    history.attach(bus)
    return bus


# The worker: QT_BENCH_SERVE is the URL of its database.
app = None
if url := os.environ.get("QT_BENCH_SERVE"):
    recorded = History(url)
    recorded.recorder = _CountedRecorder(recorded.store)
    app = _attached(recorded).app


async def preload(count: int) -> None:
    """Publish events that wait for a recorder."""
    await windowed(_one(_attached(History())), count, 1000)


async def publish_in_bursts(count: int, rate: int) -> dict[str, float]:
    """Do what `ours.publish_in_bursts` does, with a history attached."""
    one = _one(_subscribed())
    await in_bursts(one, warm_up(count), IN_FLIGHT, rate)
    return await in_bursts(one, count, IN_FLIGHT, rate)


async def publish_counted(count: int) -> dict[str, float]:
    """Do what `ours.publish_counted` does, with a history attached."""
    return await counted(_one(_subscribed()), count)


def _subscribed() -> CeleryEventBus:
    async def handle(_event: TradeExecutedEvent) -> None: ...

    bus = _attached(History())
    bus.subscribe(TradeExecutedEvent, handle, name="bench.0")
    return bus


def _one(bus: CeleryEventBus) -> Callable[[int], Awaitable[object]]:
    return lambda number: bus.publish(TradeExecutedEvent.create(**fields(number)))
