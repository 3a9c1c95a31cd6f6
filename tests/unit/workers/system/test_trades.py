from hypothesis import given
from hypothesis import strategies as st

from qt_events import Side
from tests.unit.workers.harness import MONDAY, trade
from workers.events import day_of, order_id
from workers.system.trades import trade_of
from workers.system.trading.executor import executed


@given(
    st.sampled_from(Side),
    st.integers(1, 10**6),
    st.integers(1, 10**6).map(lambda mills: mills / 1000),
    st.none() | st.integers(-(10**9), 10**9),
)
def test_what_is_told_of_a_trade_is_what_was_traded(
    side: Side, size: int, price: float, cents: int | None
) -> None:
    """Executor's trade and the one read from the event are equal; the day is in the order id."""
    done = trade("A", side, size, price, pnl_cents=cents)
    assert trade_of(executed(done)) == done


def test_an_order_id_tells_its_day() -> None:
    """The symbol's name does not matter."""
    assert order_id(MONDAY, "BRK-B") == "20240101-BRK-B"
    assert day_of("20240101-BRK-B") == MONDAY


def test_a_trade_told_again_has_the_same_id() -> None:
    """The event after a crash is the same; another order has another id."""
    assert executed(trade("A")).id == executed(trade("A")).id != executed(trade("B")).id
