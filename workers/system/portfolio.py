"""Portfolio: cash and positions in whole cents, so that equal trades give equal books."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qt_events import Side
from workers.market.prices import Closes
from workers.store import Trade

START_CENTS = 100_000_00
#: Fee for each unit traded.
FEE_CENTS = 0.5


class Position(NamedTuple):
    """Units held of one symbol."""

    size: int = 0  #: units
    cost: int = 0  #: cents paid for them, fees included
    strategy_id: str = ""  #: that bought it
    model: str = ""  #: that the strategy's signal came from


@dataclass
class Portfolio:
    """Cash and positions after some trades."""

    cash: int = START_CENTS  #: cents
    positions: dict[str, Position] = field(default_factory=dict)  #: by symbol
    trades: int = 0  #: entered so far

    def copy(self) -> "Portfolio":
        return replace(self, positions=dict(self.positions))

    def equity(self, closes: Closes) -> int:
        """Return cash and positions in cents."""
        return self.cash + sum(self.value(symbol, closes) for symbol in self.positions)

    def value(self, symbol: str, closes: Closes) -> int:
        """Return the value of the position in a symbol, in cents."""
        return cents(self.positions[symbol].size * closes[symbol])

    def profit(self, symbol: str, size: int, price: float) -> int:
        """Return the profit in cents of selling `size` units at `price`."""
        return settlement(Side.SELL, size, price) - self._cost(symbol, size)

    def enter_all(self, trades: Iterable[Trade]) -> None:
        """Enter trades; sales of a day first, because purchases are paid from them."""
        for trade in sorted(trades, key=lambda trade: (trade.day, trade.side is Side.BUY)):
            self.enter(trade)

    def enter(self, trade: Trade) -> None:
        """Enter a trade."""
        self.trades += 1
        held = self.positions.get(trade.symbol, Position())
        value = settlement(trade.side, trade.size, trade.price)
        if trade.side is Side.BUY:
            self.cash -= value
            left = Position(
                held.size + trade.size, held.cost + value, trade.strategy_id, trade.model
            )
        else:
            self.cash += value
            left = held._replace(
                size=held.size - trade.size, cost=held.cost - self._cost(trade.symbol, trade.size)
            )
        self.positions[trade.symbol] = left
        if not left.size:
            del self.positions[trade.symbol]

    def _cost(self, symbol: str, size: int) -> int:
        held = self.positions[symbol]
        return round(held.cost * size / held.size)


def settlement(side: Side, size: int, price: float) -> int:
    """Return the cents that a purchase costs or a sale brings."""
    fee = round(size * FEE_CENTS)
    return cents(size * price) + (fee if side is Side.BUY else -fee)


def cents(amount: float) -> int:
    """Return an amount of money in whole cents."""
    return round(amount * 100)
