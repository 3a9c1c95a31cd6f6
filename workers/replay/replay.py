"""Replay: the days of a market through the trading system, wherever its components run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from time import monotonic
from typing import Any

from pydantic import BaseModel

from qt_events import EventBus, HealthStatus, RiskMode
from workers.events import HealthChecked
from workers.market.price_file import Close
from workers.replay.done_days import keep
from workers.replay.equity import DayEquity
from workers.replay.feed import ANSWER_TIMEOUT, MarketFeed
from workers.replay.figures import Figures, figures
from workers.store import Store
from workers.store.retry import until_available


class Result(BaseModel):
    """Result of a replay.

    It depends on the prices alone, not on the bus or the number of processes.
    """

    days: int
    trades: int
    final_equity: float  #: in the account's currency, to the cent
    largest_drawdown: float  #: share of the highest equity before: 0 to -1
    components: Figures  #: what each came to


class Summary(Result):
    """Result of a replay on one bus, with the statistics of that bus."""

    events: dict[str, int]  #: published, by type
    deliveries: dict[str, int]  #: handled, by subscription
    retries: int
    dead_letters: int
    unfinished: (
        int  #: events without an outcome, such as an alert to a webhook that does not answer
    )


@dataclass(frozen=True)
class Progress:
    """State of a replay after a day."""

    day: date
    done: int  #: days
    total: int  #: days
    risk_mode: RiskMode | None
    health: HealthStatus
    equity: float
    drawdown: float
    trades: int
    events: dict[
        str, dict[str, int]
    ]  #: of this process's bus, by type: published, dispatched, errors


class Replay:
    """One run of a market, on an empty store or after the days that are `done` on it."""

    def __init__(
        self,
        bus: EventBus,
        store: Store,
        market: Sequence[Close],
        done: Sequence[HealthChecked] = (),
    ) -> None:
        self.bus, self.store, self.market = bus, store, market
        #: of the days so far
        self._results = [*done]
        self.seconds = 0.0  #: that the days took, without the bus's start and end
        self._feed = MarketFeed(bus, store.prices)
        for each in done[-1:]:
            self._feed.go_on_after(each)

    @property
    def curve(self) -> list[DayEquity]:
        """Equity of the days so far."""
        return [DayEquity(each.day, each.equity) for each in self._results]

    async def run(self, watch: Callable[[Progress], None] = lambda _: None) -> Result:
        """Replay all days that are not done, and call `watch` after each.

        Raises:
            NoAnswerError: a day did not end.
            ListenersBehindError: some trades were not heard of at the end.
        """
        async with self.bus:
            started = monotonic()
            for close in self.market[len(self._results) :]:
                result = await self._feed.trade(close)
                await until_available(partial(keep, self.store, result), ANSWER_TIMEOUT)
                mode = await until_available(self.store.policies.risk_mode, ANSWER_TIMEOUT)
                self._results.append(result)
                watch(self._progress(mode))
            self.seconds = monotonic() - started
            over = self._results[-1]
            return Result(
                days=len(self.market),
                trades=over.trades,
                final_equity=over.equity,
                largest_drawdown=over.largest_drawdown,
                components=await until_available(lambda: figures(self.store), ANSWER_TIMEOUT),
            )

    def _progress(self, risk_mode: RiskMode | None) -> Progress:
        over = self._results[-1]
        return Progress(
            day=over.day,
            done=len(self._results),
            total=len(self.market),
            risk_mode=risk_mode,
            health=over.status,
            equity=over.equity,
            drawdown=over.drawdown,
            trades=over.trades,
            events=self.bus.get_stats()["by_type"],
        )


def summary(result: Result, stats: dict[str, Any]) -> Summary:
    """Return the result with the statistics of the bus, which has stopped."""
    return Summary(
        **dict(result),
        events=_column(stats["by_type"], "published"),
        deliveries=_column(stats["by_subscription"], "delivered"),
        retries=stats["retries"],
        dead_letters=stats["dead_letters"],
        unfinished=stats["queue_size"],
    )


def _column(table: dict[str, dict[str, Any]], name: str) -> dict[str, int]:
    return {row: cells[name] for row, cells in sorted(table.items()) if cells[name]}
