from hypothesis import given
from hypothesis import strategies as st

from qt_events import Side
from tests.unit.workers.harness import trade
from workers.system.portfolio import Portfolio
from workers.system.trading.rebalancing import Step, rebalance

CLOSES = {"A": 10.0, "B": 20.0, "C": 40.0}


def holding(**sizes: int) -> Portfolio:
    books = Portfolio()
    for symbol, size in sizes.items():
        books.enter(trade(symbol, Side.BUY, size, CLOSES[symbol]))
    return books


def test_buys_what_is_missing_at_its_share_of_equity() -> None:
    """A tenth of 100,000 is 999 units at 10 and their fees."""
    assert rebalance(Portfolio(), CLOSES, ["A"], 0.1) == [Step("A", Side.BUY, 999)]


def test_sells_what_is_not_wanted_first() -> None:
    """Sales make the cash that buys need."""
    steps = rebalance(holding(A=500), CLOSES, ["B"], 0.1)
    assert steps[0] == Step("A", Side.SELL, 500)
    assert [(step.symbol, step.side) for step in steps[1:]] == [("B", Side.BUY)]


def test_leaves_alone_what_is_about_its_size() -> None:
    """A position slightly over its share causes no fees."""
    assert rebalance(holding(A=1200), CLOSES, ["A"], 0.1) == []


def test_cuts_what_outgrew_its_share() -> None:
    (step,) = rebalance(holding(A=3000), CLOSES, ["A"], 0.1)
    assert (step.symbol, step.side) == ("A", Side.SELL)
    assert 3000 - step.size in range(990, 1001)


def test_wanting_nothing_sells_everything() -> None:
    """Sales come in the order of names."""
    assert [step.symbol for step in rebalance(holding(B=10, A=10), CLOSES, [], 0.1)] == ["A", "B"]


@given(
    st.dictionaries(st.sampled_from("ABC"), st.integers(1, 800)),
    st.lists(st.sampled_from("ABC"), unique=True),
    st.floats(0, 1),
)
def test_never_spends_more_cash_than_there_is(
    held: dict[str, int], wanted: list[str], share: float
) -> None:
    """The account is not overdrawn, and no order is empty."""
    books = holding(**held)
    for step in rebalance(books, CLOSES, wanted, share):
        assert step.size > 0
        books.enter(trade(step.symbol, step.side, step.size, CLOSES[step.symbol]))
    assert books.cash >= 0
