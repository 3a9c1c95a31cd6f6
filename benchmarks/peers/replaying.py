"""qt_events: a replay of a history on SQLite to one subscription."""

import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pace import spent, warm_up
from benchmarks.peers.ours import subscribed
from benchmarks.trade import fields
from qt_events import RawEvent, TradeExecutedEvent
from qt_events.history import EventFilter, History

_TYPE = "trade.executed"
_BATCH = 500


async def replay(count: int) -> dict[str, float]:
    """Replay all of a type since some time. Nobody takes the events from their queue."""
    with TemporaryDirectory() as folder:
        history, bus = History(f"sqlite:///{Path(folder)}/events.db"), subscribed()
        _record(history, warm_up(count))
        then = datetime.now(UTC)
        _record(history, count)
        await history.replay(bus, "bench.0", EventFilter(pattern=_TYPE, until=then))
        began, cpu = time.monotonic(), time.process_time()
        await history.replay(bus, "bench.0", EventFilter(pattern=_TYPE, since=then))
        result = spent(began, cpu, count)
        history.store.close()
        return result


def _record(history: History, count: int) -> None:
    for begin in range(0, count, _BATCH):
        numbers = range(begin, min(begin + _BATCH, count))
        history.store.append(
            [RawEvent.of(TradeExecutedEvent.create(**fields(number))) for number in numbers]
        )
