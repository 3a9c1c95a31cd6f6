"""Rebalancing: steps from the positions held to the symbols wanted."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qt_events import Side
from workers.market.prices import Closes
from workers.system.portfolio import FEE_CENTS, Portfolio, settlement

#: A position of more than this many times its share is cut down to its share.
MAX_RELATIVE_SIZE = 1.5


class Step(NamedTuple):
    """One order to place."""

    symbol: str
    side: Side
    size: int  #: units


def rebalance(
    portfolio: Portfolio, closes: Closes, wanted: Sequence[str], share: float
) -> list[Step]:
    """Return the steps: sell unwanted symbols, cut oversized positions, buy missing symbols."""
    target = int(portfolio.equity(closes) * share)
    sales = list(_sales(portfolio, closes, wanted, target))
    cash = portfolio.cash + sum(
        settlement(Side.SELL, sale.size, closes[sale.symbol]) for sale in sales
    )
    missing = [symbol for symbol in wanted if symbol not in portfolio.positions]
    return sales + list(_buys(missing, closes, target, cash))


def _sales(
    portfolio: Portfolio, closes: Closes, wanted: Sequence[str], target: int
) -> Iterator[Step]:
    for symbol, position in sorted(portfolio.positions.items()):
        value = portfolio.value(symbol, closes)
        if symbol not in wanted:
            yield Step(symbol, Side.SELL, position.size)
        elif value > target * MAX_RELATIVE_SIZE:
            yield Step(symbol, Side.SELL, position.size - _units(target, closes[symbol]))


def _buys(symbols: Sequence[str], closes: Closes, target: int, cash: int) -> Iterator[Step]:
    for symbol in symbols:
        size = _units(min(target, cash), closes[symbol])
        if size:
            cash -= settlement(Side.BUY, size, closes[symbol])
            yield Step(symbol, Side.BUY, size)


def _units(value: int, price: float) -> int:
    return int(value / (price * 100 + FEE_CENTS))
