"""Market Feed: publishes the market a trading day at a time, at the pace of those who trade on it.

A day has two halves. The feed tells the closes, and hears from each analyst that it is done; it opens trading, and
hears from the Health Monitor what the day came to. Only then comes the next day. So it needs no `join()`, which could
not see into other processes, and a day is the same day whether one process trades it or ten.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import date
from typing import Any

from qt_events import BrokerError, Event, EventBus, QtEventsError, Reject
from workers.events import (
    ANALYZED,
    AnalyzedEvent,
    HealthChecked,
    HealthCheckedEvent,
    MarketClosedEvent,
    TradingOpenedEvent,
    once,
)
from workers.market.price_file import Close
from workers.store import Prices
from workers.store.retry import until_available

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT = 300.0  # seconds for each half of a day: longer than all retries of a delivery
PAUSE = 1.0  # seconds before another try, where the broker has not taken it
ASK_AGAIN = 10.0  # seconds without an answer: the workers may have come up only now
_NAMED = 3  # announcements in an error's text


class SilenceError(QtEventsError):
    """The feed has waited too long for a word from the others."""


class NotItsOwnError(Reject):
    """A word to the feed names what others announce: a dead letter at once, for no attempt makes it better."""


class MarketFeed:
    """One for a trading system, in one process: it sets the pace.

    Args:
        bus: that the system is on.
        prices: where each day's closes are kept before anybody hears of them.
        timeout: seconds to wait for each half of a day.
    """

    def __init__(self, bus: EventBus, prices: Prices, *, timeout: float = ANSWER_TIMEOUT) -> None:
        self.bus, self._prices, self._timeout = bus, prices, timeout
        self._day = date.min
        self._missing: set[type[AnalyzedEvent]] = set()  # analysts' words not yet heard today
        self._rests_on: dict[str, str] = {}
        self._over: HealthChecked | None = None
        self._news = asyncio.Condition()
        for each in ANALYZED.values():
            bus.subscribe(each, self.on_market_analyzed)
        bus.subscribe(HealthCheckedEvent, self.on_health_checked)

    async def trade(self, close: Close) -> HealthChecked:
        """Have one day traded; what it came to.

        Raises:
            SilenceError: somebody did not answer; the text says who.
        """
        self._day, self._missing, self._over = close.day, set(ANALYZED.values()), None
        await until_available(lambda: self._prices.add(close.day, close.closes), self._timeout)
        await self._ask(MarketClosedEvent.create(day=close.day, closes=close.closes), lambda: not self._missing)
        await self._ask(TradingOpenedEvent.create(day=close.day, rests_on=self._rests_on), lambda: self._over)
        assert self._over is not None  # noqa: S101  # what was waited for
        return self._over

    async def on_market_analyzed(self, event: AnalyzedEvent) -> None:
        rests_on = its_own(event)
        async with self._news:
            if event.payload.day == self._day:
                self._rests_on = merged(self._rests_on, rests_on)
                self._missing.discard(type(event))
                self._news.notify_all()

    async def on_health_checked(self, event: HealthCheckedEvent) -> None:
        rests_on = its_own(event)
        async with self._news:
            if event.payload.day == self._day:
                self._rests_on = merged(self._rests_on, rests_on)
                self._over = event.payload
                self._news.notify_all()

    async def _ask(self, step: Event[Any], answered: Callable[[], object]) -> None:
        """Publish until there is an answer. The same event again: those who have answered it answer the same.

        Raises:
            SilenceError: there is none.
            BrokerError: the broker is still away after all that time.
        """
        loop = asyncio.get_running_loop()
        step, deadline = once(step, self._day), loop.time() + self._timeout
        while not answered():
            try:
                await self.bus.publish(step)
            except BrokerError as error:
                if loop.time() > deadline:
                    raise
                logger.warning("%s: %s; again in %g s", self._day, error, PAUSE)
                await asyncio.sleep(PAUSE)
                continue
            await self._listen(answered)
            if not answered() and loop.time() > deadline:
                raise self._silence()

    async def _listen(self, answered: Callable[[], object]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(ASK_AGAIN, self._timeout)), self._news:
                await self._news.wait_for(answered)

    def _silence(self) -> SilenceError:
        who = ", ".join(sorted(each.event_source for each in self._missing)) or "nobody"
        what = "did not report" if self._missing else "reported the end of trading"
        return SilenceError(
            f"{self._day}: {who} {what} within {self._timeout:g} s; is every subscription served by a worker, "
            "with the same broker and QT_DATABASE_URL, and are there dead letters?"
        )


def its_own(event: AnalyzedEvent | HealthCheckedEvent) -> Mapping[str, str]:
    """The announcements that it rests on.

    The broker says who may publish its type, and nothing of its payload: OppRank could name an old policy. What names
    too much is refused as a whole, and its day waits: better no trade than one on somebody's word in another's name.

    Raises:
        NotItsOwnError: some are not of the type that its producer announces.
    """
    own, rests_on = f"{event.announces.event_type}/", event.payload.rests_on
    if foreign := sorted(name for name in rests_on if not name.startswith(own)):
        named = ", ".join(f"{name!r:.80}" for name in foreign[:_NAMED]) + (", ..." if foreign[_NAMED:] else "")
        message = f"{event.type} of {event.payload.day} may name what is {own}..., and names {named}"
        raise NotItsOwnError(message)
    return rests_on


def merged(known: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """Announcements known so far and those just told of, which take the place of older ones; sorted by name."""
    return dict(sorted({**known, **told}.items()))
