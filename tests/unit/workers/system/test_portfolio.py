import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import Side
from tests.unit.workers.harness import trade
from workers.store import Trade
from workers.system.portfolio import START_CENTS, Portfolio, Position, settlement

sizes = st.integers(1, 10_000)
prices = st.integers(1, 1_000_000).map(lambda mills: mills / 1000)


def buy(size: int, price: float) -> Trade:
    return trade("A", Side.BUY, size, price)


def sell(size: int, price: float) -> Trade:
    return trade("A", Side.SELL, size, price, strategy_id="core", model="LightGBM v1")


@pytest.fixture
def held() -> Portfolio:
    """A portfolio with a hundred units bought at 10."""
    portfolio = Portfolio()
    portfolio.enter(buy(100, 10.0))
    return portfolio


def test_a_trade_costs_half_a_cent_a_unit() -> None:
    """Buyers pay it on top, sellers get it less."""
    assert settlement(Side.BUY, 100, 1.0) == 100_50
    assert settlement(Side.SELL, 100, 1.0) == 99_50


def test_a_purchase_turns_cash_into_a_position(held: Portfolio) -> None:
    """Equity falls by the fee alone; the position knows who bought it."""
    assert held.cash == START_CENTS - 1000_50
    assert held.positions == {"A": Position(100, 1000_50, "momentum", "XGBoost v1")}
    assert held.equity({"A": 10.0}) == START_CENTS - 50


def test_a_sale_brings_its_profit_over_the_cost(held: Portfolio) -> None:
    """Half of a position carries half of its cost, and stays whose it was."""
    assert held.profit("A", 50, 12.0) == 600_00 - 25 - 500_25
    held.enter(sell(50, 12.0))
    assert held.positions == {"A": Position(50, 500_25, "momentum", "XGBoost v1")}


def test_what_is_sold_out_is_held_no_more(held: Portfolio) -> None:
    held.enter(sell(100, 10.0))
    assert held.positions == {}


def test_a_copy_goes_its_own_way(held: Portfolio) -> None:
    """A trade entered into a copy does not change the original."""
    copy = held.copy()
    copy.enter(sell(100, 10.0))
    assert (held.cash, list(held.positions)) == (START_CENTS - 1000_50, ["A"])


def test_equity_follows_the_prices(held: Portfolio) -> None:
    """A position is worth what it closes at."""
    assert held.equity({"A": 11.0}) - held.equity({"A": 10.0}) == 100_00


def test_of_a_days_trades_sales_come_first() -> None:
    """Purchases are paid from sales, and a position bought on a day is sold on a later one."""
    portfolio = Portfolio(positions={"A": Position(100, 1000_50, "core", "v1")})
    portfolio.enter_all([buy(10, 20.0), sell(100, 10.0)])
    assert portfolio.positions == {
        "A": Position(10, settlement(Side.BUY, 10, 20.0), "momentum", "XGBoost v1")
    }


@given(st.lists(st.tuples(sizes, prices), min_size=1, max_size=20), prices)
def test_no_cent_is_lost(buys: list[tuple[int, float]], price: float) -> None:
    """Cash is the start and the profits after all is sold."""
    portfolio = Portfolio()
    for size, paid in buys:
        portfolio.enter(buy(size, paid))
    size = portfolio.positions["A"].size
    profit = portfolio.profit("A", size, price)
    portfolio.enter(sell(size, price))
    assert portfolio.cash == START_CENTS + profit


@given(sizes, prices, st.lists(st.tuples(st.integers(1, 5), prices), max_size=20))
def test_profits_of_parts_sum_up_to_the_profit_of_all(
    size: int, paid: float, parts: list[tuple[int, float]]
) -> None:
    """A position's cost is charged once, to the cent."""
    portfolio = Portfolio()
    portfolio.enter(buy(size, paid))
    earned = 0
    for part, price in [*parts, (size, paid)]:
        if held := portfolio.positions.get("A"):
            units = min(part, held.size)
            earned += portfolio.profit("A", units, price)
            portfolio.enter(sell(units, price))
    assert portfolio.positions == {}
    assert portfolio.cash == START_CENTS + earned
