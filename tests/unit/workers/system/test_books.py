import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import Side
from tests.unit.workers.harness import MONDAY, Harness, trade
from workers.store import Trade
from workers.system.books import Books
from workers.system.portfolio import START_CENTS, Portfolio, settlement

TUESDAY, WEDNESDAY = MONDAY + timedelta(1), MONDAY + timedelta(2)


@pytest.fixture
def books(harness: Harness) -> Books:
    return Books(harness.store.trades, "mine")


async def test_begin_with_the_same_cash_and_nothing_else(books: Books) -> None:
    assert await books.at(MONDAY) == (Portfolio(cash=START_CENTS), [])


async def test_a_day_begins_with_what_the_days_before_brought(books: Books) -> None:
    """Trades of the day itself are returned apart."""
    first, second = trade("A"), trade("B", day=TUESDAY)
    await books.enter(first)
    await books.enter(second)
    portfolio, today = await books.at(TUESDAY)
    assert (list(portfolio.positions), portfolio.trades, today) == (["A"], 1, [second])
    portfolio, today = await books.at(WEDNESDAY)
    assert (list(portfolio.positions), portfolio.trades, today) == (["A", "B"], 2, [])


async def test_a_trade_told_twice_is_entered_once(books: Books) -> None:
    """The order id identifies it."""
    await books.enter(trade("A"))
    await books.enter(trade("A", size=500))
    portfolio, _ = await books.at(TUESDAY)
    assert (portfolio.positions["A"].size, portfolio.trades) == (100, 1)


async def test_asking_does_not_change_them(books: Books) -> None:
    """The portfolio is a copy, and a second call returns the same."""
    await books.enter(trade("A"))
    await books.enter(trade("B", day=TUESDAY))
    (portfolio, today) = await books.at(TUESDAY)
    portfolio.enter(trade("A", Side.SELL))
    again, same = await books.at(TUESDAY)
    assert (again.positions["A"].size, same) == (100, today)


async def test_each_component_has_books_of_its_own(books: Books, harness: Harness) -> None:
    """Books of two components share a table, and no trade."""
    await books.enter(trade("A"))
    assert await Books(harness.store.trades, "others").at(MONDAY) == (Portfolio(), [])


async def test_two_processes_have_the_same_books(harness: Harness, other: Harness) -> None:
    """A process reads the trades that another has entered."""
    ours, theirs = Books(harness.store.trades, "mine"), Books(other.store.trades, "mine")
    for index, books in enumerate((ours, theirs, ours, theirs)):
        day = MONDAY + timedelta(index)
        await books.enter(trade("ABCD"[index], day=day))
        assert await ours.at(day) == await theirs.at(day)
    assert len((await theirs.at(MONDAY + timedelta(4)))[0].positions) == 4


async def test_days_without_trades_are_days_too(books: Books) -> None:
    """A long pause is no gap, and after it all is as if each day had been asked for."""
    await books.enter(trade("A"))
    await books.at(MONDAY)
    portfolio, today = await books.at(MONDAY + timedelta(400))
    assert (portfolio.positions["A"].size, today) == (100, [])


async def test_those_who_ask_at_once_read_each_trade_once(books: Books) -> None:
    """Threads of a process may call at the same time."""
    for day in range(5):
        await books.enter(trade("A", day=MONDAY + timedelta(day)))
    asked = await asyncio.gather(*[books.at(MONDAY + timedelta(5)) for _ in range(8)])
    assert {portfolio.positions["A"].size for portfolio, _ in asked} == {500}


sizes, prices = st.integers(1, 1000), st.integers(1, 100_000).map(lambda mills: mills / 1000)


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), sizes, prices), max_size=8),
    st.permutations(range(8)),
)
def test_the_order_of_a_days_trades_does_not_matter(
    traded: list[tuple[str, int, float]], order: list[int]
) -> None:
    """Trades may be heard in any order."""
    trades: list[Trade] = []
    for index, (symbol, size, price) in enumerate(traded):
        trades.append(
            trade(symbol, size=size, price=price, day=MONDAY)._replace(order_id=str(index))
        )
    shuffled = [trades[index] for index in order if index < len(trades)]
    first, second = Portfolio(), Portfolio()
    first.enter_all(trades)
    second.enter_all(shuffled)
    assert (first.cash, first.positions) == (second.cash, second.positions)


@given(st.lists(st.tuples(st.sampled_from("ABC"), sizes, prices, prices), max_size=8))
def test_no_money_is_made_or_lost_by_entering(traded: list[tuple[str, int, float, float]]) -> None:
    """Cash changes by costs and proceeds, to the cent; a sold position leaves nothing."""
    trades = []
    for index, (symbol, size, paid, got) in enumerate(traded):
        trades.append(trade(symbol, size=size, price=paid)._replace(order_id=f"{index}b"))
        trades.append(
            trade(symbol, Side.SELL, size, got, day=TUESDAY)._replace(order_id=f"{index}s")
        )
    portfolio = Portfolio()
    portfolio.enter_all(trades)
    moved = [
        settlement(each.side, each.size, each.price) * (1 if each.side is Side.SELL else -1)
        for each in trades
    ]
    assert (portfolio.cash, portfolio.positions) == (START_CENTS + sum(moved), {})
