"""The market's history, as far as a process has read it from the database."""

import threading
from datetime import date

from workers.market.prices import PriceHistory
from workers.store.errors import StoreError
from workers.store.prices import Prices


class NoPricesError(StoreError):
    """A day was told of, and its prices are not in the database."""


class MarketHistory:
    """Closes that the feed kept before it told of them, each day read once. Several threads may ask."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._read = PriceHistory()
        self._reading = threading.Lock()

    async def at(self, day: date) -> PriceHistory | None:
        """All closes up to this day, to be looked at now: it grows. None if this process has already gone on.

        Raises:
            NoPricesError: the feed has not kept this day's.
        """
        last = self._read.days[-1] if self._read.days else None
        if last is None or last < day:
            closes = await self._prices.between(last, day)
            with self._reading:
                for close in closes:
                    self._read.add(close.day, close.closes)
        if not self._read.days or self._read.days[-1] < day:
            message = f"the database has no prices of {day}: do feed and workers have the same QT_DATABASE_URL?"
            raise NoPricesError(message)
        return self._read if self._read.days[-1] == day else None

    async def is_past(self, day: date) -> bool:
        """Whether the market has moved on. To be asked before anything is changed for a day's sake.

        Then whatever asks for this day's work is delivered once more, long after it was done.
        """
        return bool(await self._prices.between(day, date.max))
