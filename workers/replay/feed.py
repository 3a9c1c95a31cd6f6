"""Market feed: publishes one trading day at a time, at the pace of the components.

A day has two halves. The feed publishes the closes and waits until each analyst has reported. Then
it opens trading and waits for System Health Monitor's result; the next day follows. So it needs no
`join()`, which cannot see other processes, and a day is the same in one process or ten.
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
    with_fixed_id,
)
from workers.market.price_file import Close
from workers.store import Prices
from workers.store.retry import until_available

logger = logging.getLogger(__name__)

#: Seconds for each half of a day: longer than all retries of a delivery.
ANSWER_TIMEOUT = 300.0
#: Seconds before another attempt when the broker has not taken the event.
PAUSE = 1.0
#: Seconds without an answer. Workers that have started since then have not heard the event.
REPUBLISH_AFTER = 10.0
#: Announcements in an error's text.
_MAX_NAMED = 3


class NoAnswerError(QtEventsError):
    """The components have not answered the feed in time."""


class ForeignAnnouncementError(Reject):
    """A report names announcements of other producers.

    It becomes a dead letter at once: another attempt would fail too.
    """


class MarketFeed:
    """Feed of one trading system: it sets the pace, so there is one in all processes.

    Args:
        bus: the bus of the system.
        prices: table that gets each day's closes before they are published.
        timeout: seconds to wait for each half of a day.
    """

    publishes = (MarketClosedEvent, TradingOpenedEvent)

    def __init__(self, bus: EventBus, prices: Prices, *, timeout: float = ANSWER_TIMEOUT) -> None:
        self.bus, self._prices, self._timeout = bus, prices, timeout
        self._day = date.min
        #: Reports that are still to come today.
        self._missing: set[type[AnalyzedEvent]] = set()
        self._rests_on: dict[str, str] = {}
        self._result: HealthChecked | None = None
        self._changed = asyncio.Condition()
        for each in ANALYZED.values():
            bus.subscribe(each, self.on_market_analyzed, name="market_feed.on_market_analyzed")
        bus.subscribe(
            HealthCheckedEvent, self.on_health_checked, name="market_feed.on_health_checked"
        )

    def go_on_after(self, result: HealthChecked) -> None:
        """Rest the next day on what the last one of another feed came to."""
        self._rests_on = merged({}, result.rests_on)

    async def trade(self, close: Close) -> HealthChecked:
        """Have one day traded, and return its result.

        Raises:
            NoAnswerError: a component did not answer; the text says which.
        """
        self._day, self._missing, self._result = close.day, set(ANALYZED.values()), None
        await until_available(lambda: self._prices.add(close.day, close.closes), self._timeout)
        closed = with_fixed_id(
            MarketClosedEvent.create(day=close.day, closes=close.closes), close.day
        )
        await self._publish_until_answered(closed, lambda: not self._missing)
        opened = with_fixed_id(
            TradingOpenedEvent.create(day=close.day, rests_on=self._rests_on), close.day
        )
        # The feed publishes outside of any handler, so the bus cannot know this cause.
        await self._publish_until_answered(opened.caused_by(closed), lambda: self._result)
        # The wait above ends with a result.
        assert self._result is not None  # noqa: S101
        return self._result

    async def on_market_analyzed(self, event: AnalyzedEvent) -> None:
        rests_on = own_announcements(event)
        async with self._changed:
            if event.payload.day == self._day:
                self._rests_on = merged(self._rests_on, rests_on)
                self._missing.discard(type(event))
                self._changed.notify_all()

    async def on_health_checked(self, event: HealthCheckedEvent) -> None:
        rests_on = own_announcements(event)
        async with self._changed:
            if event.payload.day == self._day:
                self._rests_on = merged(self._rests_on, rests_on)
                self._result = event.payload
                self._changed.notify_all()

    async def _publish_until_answered(
        self, step: Event[Any], answered: Callable[[], object]
    ) -> None:
        """Publish an event, and publish it again until there is an answer.

        Components that have answered it already answer the same again.

        Raises:
            NoAnswerError: there is no answer in time.
            BrokerError: the broker is still away then.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        while not answered():
            try:
                await self.bus.publish(step)
            except BrokerError as error:
                if loop.time() > deadline:
                    raise
                logger.warning("%s: %s; again in %g s", self._day, error, PAUSE)
                await asyncio.sleep(PAUSE)
                continue
            await self._wait_for_answer(answered)
            if not answered() and loop.time() > deadline:
                raise self._no_answer()

    async def _wait_for_answer(self, answered: Callable[[], object]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(min(REPUBLISH_AFTER, self._timeout)), self._changed:
                await self._changed.wait_for(answered)

    def _no_answer(self) -> NoAnswerError:
        who = ", ".join(sorted(each.event_source for each in self._missing)) or "nobody"
        what = "did not report" if self._missing else "reported the end of trading"
        return NoAnswerError(
            f"{self._day}: {who} {what} within {self._timeout:g} s; is every subscription served "
            "by a worker, with the same broker and QT_DATABASE_URL, and are there dead letters?"
        )


def own_announcements(event: AnalyzedEvent | HealthCheckedEvent) -> Mapping[str, str]:
    """Return the announcements that a report rests on.

    The broker restricts who may publish the type, but not the payload: OppRank could name an
    old policy. Such a report is refused as a whole and its day waits, because no trade may rest
    on it.

    Raises:
        ForeignAnnouncementError: some are not of the type that the producer announces.
    """
    own, rests_on = f"{event.announces.event_type}/", event.payload.rests_on
    if foreign := sorted(name for name in rests_on if not name.startswith(own)):
        named = ", ".join(f"{name!r:.80}" for name in foreign[:_MAX_NAMED]) + (
            ", ..." if foreign[_MAX_NAMED:] else ""
        )
        message = (
            f"{event.type} of {event.payload.day} may name what is {own}..., and names {named}"
        )
        raise ForeignAnnouncementError(message)
    return rests_on


def merged(known: Mapping[str, str], newer: Mapping[str, str]) -> dict[str, str]:
    """Return known and newer announcements, sorted by name. Newer ones replace older ones."""
    return dict(sorted({**known, **newer}.items()))
