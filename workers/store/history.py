"""Market history, as far as a process has read it from the database."""

import threading
from datetime import date

from workers.market.prices import PriceHistory
from workers.store.errors import StoreError
from workers.store.prices import Prices


class NoPricesError(StoreError):
    """The database has no prices of a day that was published."""


class MarketHistory:
    """Closes that the feed has stored, each day read once by a process. Threads may share it."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._read = PriceHistory()
        self._reading = threading.Lock()

    async def at(self, day: date) -> PriceHistory | None:
        """Return all closes up to a day; None if this process has gone on to a later one.

        The object is live: later days are added to it.

        Raises:
            NoPricesError: the feed has not stored this day's closes.
        """
        last = self._read.days[-1] if self._read.days else None
        if last is None or last < day:
            closes = await self._prices.between(last, day)
            with self._reading:
                for close in closes:
                    self._read.add(close.day, close.closes)
        if not self._read.days or self._read.days[-1] < day:
            raise NoPricesError(
                f"the database has no prices of {day}: "
                "do feed and workers have the same QT_DATABASE_URL?"
            )
        return self._read if self._read.days[-1] == day else None

    async def is_past(self, day: date) -> bool:
        """Return True if the market has a later day.

        Components ask before they change anything for a day: a redelivered event of a past
        day must change nothing.
        """
        return bool(await self._prices.between(day, date.max))
