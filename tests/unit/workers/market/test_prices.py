from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.market.prices import PriceHistory, market_return, trend, volatility

MONDAY = date(2024, 1, 1)
returns = st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=50)


def history(*prices: float, limit: int = 10) -> PriceHistory:
    made = PriceHistory(limit)
    for index, price in enumerate(prices):
        made.add(MONDAY + timedelta(index), {"A": price})
    return made


def test_a_day_delivered_twice_counts_once() -> None:
    """Deliveries come at least once; days come once."""
    made = history(100, 110)
    made.add(MONDAY + timedelta(1), {"A": 500})
    made.add(MONDAY, {"A": 500})
    assert [closes["A"] for closes in made.closes] == [100, 110]
    assert made.market(2) == pytest.approx([0, 0.1])


def test_keeps_no_more_than_its_limit() -> None:
    """A year of days, whatever the length of the run."""
    made = history(1, 2, 3, 4, limit=2)
    assert (len(made), len(made.returns), [closes["A"] for closes in made.closes]) == (2, 2, [3, 4])


def test_looks_back_from_any_day() -> None:
    """`ago` moves the end of the range into the past."""
    made = history(1, 2, 3, 4, 5)
    assert [closes["A"] for closes in made.last(2)] == [4, 5]
    assert [closes["A"] for closes in made.last(2, ago=1)] == [3, 4]


def test_the_market_is_the_mean_of_its_symbols() -> None:
    """All symbols weigh the same; a choice of them is a market of its own."""
    before, after = {"A": 10, "B": 10}, {"A": 11, "B": 13}
    assert market_return(before, after) == pytest.approx(0.2)
    assert market_return(before, after, ["A"]) == pytest.approx(0.1)


@given(st.floats(-0.2, 0.2), st.integers(1, 50))
def test_a_steady_market_has_no_volatility(change: float, days: int) -> None:
    """Changes of pace alone are risk."""
    assert volatility([change] * days) == pytest.approx(0, abs=1e-9)


@given(returns)
def test_volatility_grows_with_the_moves(changes: list[float]) -> None:
    """Moves of double size, double the volatility."""
    assert volatility([2 * change for change in changes]) == pytest.approx(2 * volatility(changes))


@given(st.lists(st.floats(0.001, 0.2), min_size=1))
def test_a_rise_is_an_upward_trend(changes: list[float]) -> None:
    """The last level is above the mean where each was above the one before."""
    assert trend(changes) > 0
