"""Books: the trades of one component in the database, as a portfolio."""

import threading
from datetime import date, timedelta

from workers.store import Trade, Trades
from workers.system.portfolio import Portfolio

#: Owner of the books with the executed trades: the account.
ACCOUNT = "executor"


class Books:
    """Books of one component. Trades of a past day never change, so a process reads each once."""

    def __init__(self, trades: Trades, owner: str) -> None:
        self.trades, self.owner = trades, owner
        self._portfolio = Portfolio()
        self._through: date | None = None
        self._reading = threading.Lock()

    async def enter(self, trade: Trade) -> None:
        """Keep a trade, once for its order id."""
        await self.trades.add(self.owner, trade)

    async def at(self, day: date) -> tuple[Portfolio, list[Trade]]:
        """Return a copy of the portfolio at the start of the day, and the day's trades so far.

        All earlier days must be over.
        """
        trades = await self.trades.between(self.owner, self._through, day)
        with self._reading:
            past = [
                trade
                for trade in trades
                if trade.day < day and (self._through is None or trade.day > self._through)
            ]
            self._portfolio.enter_all(past)
            self._through = max(self._through or date.min, day - timedelta(1))
            return self._portfolio.copy(), [trade for trade in trades if trade.day == day]
