"""Portfolio: cash and positions, kept in whole cents, so that equal trades make equal books."""

from dataclasses import dataclass, field
from typing import NamedTuple

from qt_events import Side
from workers.prices import Closes

START_CENTS = 100_000_00
FEE_CENTS = 0.5  # a unit traded


class Position(NamedTuple):
    """What is held of one symbol."""

    size: int = 0  #: units
    cost: int = 0  #: cents paid for them, fees included


class Fill(NamedTuple):
    """An order that was carried out."""

    order_id: str
    symbol: str
    side: Side
    size: int  #: units
    price: float

    @property
    def value(self) -> int:
        """Cents paid for a buy, or received for a sale, fee included."""
        return settlement(self.side, self.size, self.price)


@dataclass
class Portfolio:
    """Books that a fill enters once, however often it is delivered."""

    cash: int = START_CENTS  #: cents
    positions: dict[str, Position] = field(default_factory=dict)  #: by symbol
    fills: dict[str, Fill] = field(default_factory=dict)  #: by order id

    def equity(self, closes: Closes) -> int:
        """Cents."""
        return self.cash + sum(self.value(symbol, closes) for symbol in self.positions)

    def value(self, symbol: str, closes: Closes) -> int:
        """Cents that the position in a symbol is worth."""
        return cents(self.positions[symbol].size * closes[symbol])

    def profit(self, fill: Fill) -> int:
        """Cents that a sale brings over what was paid for its units."""
        return fill.value - self._cost(fill)

    def enter(self, fill: Fill) -> None:
        """Move cash and units."""
        if fill.order_id in self.fills:
            return
        self.fills[fill.order_id] = fill
        held = self.positions.get(fill.symbol, Position())
        if fill.side is Side.BUY:
            self.cash -= fill.value
            left = Position(held.size + fill.size, held.cost + fill.value)
        else:
            self.cash += fill.value
            left = Position(held.size - fill.size, held.cost - self._cost(fill))
        self.positions[fill.symbol] = left
        if not left.size:
            del self.positions[fill.symbol]

    def _cost(self, fill: Fill) -> int:
        held = self.positions[fill.symbol]
        return round(held.cost * fill.size / held.size)


def settlement(side: Side, size: int, price: float) -> int:
    """Cents that a buy costs or a sale brings."""
    fee = round(size * FEE_CENTS)
    return cents(size * price) + (fee if side is Side.BUY else -fee)


def cents(amount: float) -> int:
    """An amount of money in whole cents."""
    return round(amount * 100)
