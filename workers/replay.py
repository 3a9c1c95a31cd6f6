"""The main job: a market, day by day, through the trading system on any bus.

A day is three phases, each over when all that it set going has an outcome: prices come in and the analysts
decide; plans become trades; the day's result is told. Within a phase nobody depends on another's order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel

from qt_events import EventBus, HealthStatus, QtEventsError, RiskMode
from workers.events import TradingClosedEvent, TradingOpenedEvent
from workers.market import Close, MarketFeed
from workers.system import TradingSystem, build

PHASE_TIMEOUT = 120.0  # seconds: longer than all retries of a delivery by the default policy


class ReplayError(QtEventsError):
    """The replay cannot go on."""


class Summary(BaseModel):
    """What a replay came to: the same for the same prices, whatever the bus."""

    days: int
    events: dict[str, int]  #: published, by type
    deliveries: dict[str, int]  #: handled, by subscription
    trades: int
    final_equity: float  #: in the account's currency, to the cent
    largest_drawdown: float  #: share of the highest equity before: 0 to -1
    retries: int
    dead_letters: int


@dataclass(frozen=True)
class Progress:
    """How far a replay is, after each day."""

    day: date
    done: int  #: days
    total: int  #: days
    risk_mode: RiskMode | None
    health: HealthStatus
    equity: float
    drawdown: float
    trades: int
    events: dict[str, dict[str, int]]  #: by type: published, dispatched, errors


class Replay:
    """One run of a market over a bus that nobody else uses."""

    def __init__(self, bus: EventBus, market: Sequence[Close]) -> None:
        self.bus, self.market = bus, market
        self.system: TradingSystem = build(bus)
        self._feed = MarketFeed(bus)

    async def run(self, watch: Callable[[Progress], None] = lambda _: None) -> Summary:
        """Replay all days; `watch` is called after each.

        Raises:
            ReplayError: a phase did not end within two minutes.
        """
        async with self.bus:
            for done, close in enumerate(self.market, 1):
                await self._replay(close)
                watch(self._progress(close.day, done))
        return self._summary()

    async def _replay(self, close: Close) -> None:
        await self._feed.publish(close)
        await self._settle(close.day)
        for phase in (TradingOpenedEvent, TradingClosedEvent):
            await self.bus.publish(phase.create(day=close.day))
            await self._settle(close.day)

    async def _settle(self, day: date) -> None:
        try:
            await self.bus.join(PHASE_TIMEOUT)
        except TimeoutError as error:
            message = f"the replay stopped on {day}: {error}"
            raise ReplayError(message) from error

    def _progress(self, day: date, done: int) -> Progress:
        tracker = self.system.performance_tracker
        return Progress(
            day=day,
            done=done,
            total=len(self.market),
            risk_mode=self.system.msc_ai.risk_mode,
            health=self.system.health_monitor.status,
            equity=tracker.equity / 100,
            drawdown=tracker.drawdown,
            trades=tracker.trades,
            events=self.bus.get_stats()["by_type"],
        )

    def _summary(self) -> Summary:
        tracker, stats = self.system.performance_tracker, self.bus.get_stats()
        return Summary(
            days=len(self.market),
            events=_column(stats["by_type"], "published"),
            deliveries=_column(stats["by_subscription"], "delivered"),
            trades=tracker.trades,
            final_equity=tracker.equity / 100,
            largest_drawdown=tracker.largest_drawdown,
            retries=stats["retries"],
            dead_letters=stats["dead_letters"],
        )


def _column(table: dict[str, dict[str, Any]], name: str) -> dict[str, int]:
    return {row: cells[name] for row, cells in sorted(table.items()) if cells[name]}
