import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import Side
from workers.portfolio import START_CENTS, Fill, Portfolio, Position, settlement

sizes = st.integers(1, 10_000)
prices = st.integers(1, 1_000_000).map(lambda mills: mills / 1000)


def buy(symbol: str, size: int, price: float, order_id: str = "1") -> Fill:
    return Fill(order_id, symbol, Side.BUY, size, price)


def sell(symbol: str, size: int, price: float, order_id: str = "2") -> Fill:
    return Fill(order_id, symbol, Side.SELL, size, price)


def test_a_trade_costs_half_a_cent_a_unit() -> None:
    """Buyers pay it on top, sellers get it less."""
    assert settlement(Side.BUY, 100, 1.0) == 100_50
    assert settlement(Side.SELL, 100, 1.0) == 99_50


def test_a_buy_turns_cash_into_a_position() -> None:
    """Equity falls by the fee alone."""
    books = Portfolio()
    books.enter(buy("A", 100, 10.0))
    assert (books.cash, books.positions) == (START_CENTS - 1000_50, {"A": Position(100, 1000_50)})
    assert books.equity({"A": 10.0}) == START_CENTS - 50


def test_a_sale_brings_its_profit_over_the_cost() -> None:
    """Half of a position carries half of its cost."""
    books = Portfolio()
    books.enter(buy("A", 100, 10.0))
    sale = sell("A", 50, 12.0)
    assert books.profit(sale) == 600_00 - 25 - 500_25
    books.enter(sale)
    assert books.positions == {"A": Position(50, 500_25)}


def test_what_is_sold_out_is_held_no_more() -> None:
    """No empty positions."""
    books = Portfolio()
    books.enter(buy("A", 100, 10.0))
    books.enter(sell("A", 100, 10.0))
    assert books.positions == {}


@given(sizes, prices)
def test_a_fill_is_entered_once_however_often_it_comes(size: int, price: float) -> None:
    """At-least-once delivery leaves the books as they are."""
    once, twice = Portfolio(), Portfolio()
    once.enter(buy("A", size, price))
    twice.enter(buy("A", size, price))
    twice.enter(buy("A", size, price))
    assert once == twice


@given(st.lists(st.tuples(sizes, prices), min_size=1, max_size=20), prices)
def test_no_cent_is_lost(buys: list[tuple[int, float]], price: float) -> None:
    """Sold out, the cash is what it was, plus what the sale made over its cost."""
    books = Portfolio()
    for number, (size, paid) in enumerate(buys):
        books.enter(buy("A", size, paid, f"buy-{number}"))
    sale = sell("A", books.positions["A"].size, price)
    profit = books.profit(sale)
    books.enter(sale)
    assert books.cash == START_CENTS + profit


def test_equity_follows_the_prices() -> None:
    """A position is worth what it closes at."""
    books = Portfolio()
    books.enter(buy("A", 100, 10.0))
    assert books.equity({"A": 11.0}) - books.equity({"A": 10.0}) == pytest.approx(100_00)
