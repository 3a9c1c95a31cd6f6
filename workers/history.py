"""The market's history, as far as a process has read it from the database."""

import threading
from datetime import date

from workers.prices import PriceHistory
from workers.store import Prices


class MarketHistory:
    """Closes that the feed kept before it told of them. Several threads may ask."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._read = PriceHistory()
        self._reading = threading.Lock()

    async def at(self, day: date) -> PriceHistory | None:
        """All closes up to this day; None if the market has moved on since.

        Then whatever asks for this day's work is delivered once more, long after it was done.
        """
        last = self._read.days[-1] if self._read.days else None
        closes = await self._prices.between(last, date.max)
        with self._reading:
            for close in closes:
                self._read.add(close.day, close.closes)
        return self._read if self._read.days[-1] == day else None
