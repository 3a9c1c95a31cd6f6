"""Books: a portfolio made of the trades that one component keeps in the database."""

import threading
from datetime import date, timedelta

from workers.store import Trade, Trades
from workers.system.portfolio import Portfolio

ACCOUNT = "executor"  # the owner of the books that are the account: what was really traded


class Books:
    """One component's. Trades of a past day never change, so a process reads each of them once."""

    def __init__(self, trades: Trades, owner: str) -> None:
        self.trades, self.owner = trades, owner
        self._portfolio = Portfolio()
        self._through: date | None = None
        self._reading = threading.Lock()

    async def enter(self, trade: Trade) -> None:
        """Keep a trade; once, however often it is told."""
        await self.trades.add(self.owner, trade)

    async def at(self, day: date) -> tuple[Portfolio, list[Trade]]:
        """The portfolio as the day began, a copy; and the trades that the day has brought so far.

        The days before must be over.
        """
        trades = await self.trades.between(self.owner, self._through, day)
        with self._reading:
            past = [
                trade for trade in trades if trade.day < day and (self._through is None or trade.day > self._through)
            ]
            self._portfolio.enter_all(past)
            self._through = max(self._through or date.min, day - timedelta(1))
            return self._portfolio.copy(), [trade for trade in trades if trade.day == day]
