from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import OpportunitiesUpdatedEvent, Side, TradeExecutedEvent
from tests.unit.workers.harness import MONDAY, Harness, order
from workers.events import Order, OrdersApproved, OrdersApprovedEvent, TradingClosedEvent
from workers.store import Trade
from workers.system.portfolio import START_CENTS, Portfolio
from workers.system.trading.executor import Executor, executed, fill, in_turn

TUESDAY = MONDAY + timedelta(1)


@pytest.fixture(autouse=True)
async def executor(harness: Harness) -> Executor:
    executor = Executor(harness.bus, harness.store)
    await harness.announce(OpportunitiesUpdatedEvent, top_symbols=["C", "B", "A"], scores={})
    return executor


async def approve(harness: Harness, *orders: Order, day: int = 0) -> None:
    today = MONDAY + timedelta(day)
    await harness.store.prices.add(today, {"A": 10.0, "B": 10.0, "C": 10.0})
    step = OrdersApprovedEvent.create(
        day=today, rests_on=await harness.rests_on(), orders=list(orders), refused={}
    )
    await harness.publish(step)


def trades(harness: Harness) -> list[tuple[str, Side]]:
    return [
        (event.payload.symbol, event.payload.side)
        for event in harness.published(TradeExecutedEvent)
    ]


async def test_tells_each_trade_and_then_the_end_of_trading(
    harness: Harness, executor: Executor
) -> None:
    """Price and order id are those approved, and the books hold the trade."""
    await approve(harness, order("A"))
    assert harness.last_payload(TradeExecutedEvent) == {
        "order_id": "20240101-A",
        "symbol": "A",
        "side": Side.BUY,
        "size": 100.0,
        "price": 10.0,
        "strategy_id": "momentum",
        "model": "XGBoost v1",
        "pnl": None,
    }
    assert harness.last_payload(TradingClosedEvent) == {"day": MONDAY, "trades": 1}
    assert isinstance(harness.events[-1], TradingClosedEvent)
    portfolio, _ = await executor.account.at(TUESDAY)
    assert (portfolio.cash, portfolio.positions["A"].size) == (START_CENTS - 1000_50, 100)


async def test_a_day_without_orders_ends_too(harness: Harness) -> None:
    await approve(harness)
    assert (trades(harness), harness.last_payload(TradingClosedEvent).trades) == ([], 0)


async def test_sales_come_first_then_purchases_by_rank(harness: Harness) -> None:
    """The best opportunity comes first, because the cash may not be enough for all."""
    await approve(harness, order("B"))
    await approve(
        harness,
        order("A", day=TUESDAY),
        order("C", day=TUESDAY),
        order("B", Side.SELL, day=TUESDAY),
        day=1,
    )
    assert trades(harness)[1:] == [("B", Side.SELL), ("C", Side.BUY), ("A", Side.BUY)]


def test_what_is_not_ranked_comes_last() -> None:
    """Orders for unranked symbols keep the order of the request."""
    turns = in_turn([order("X"), order("A"), order("Y"), order("Z", Side.SELL)], ["B", "A"])
    assert [each.symbol for each in turns] == ["Z", "A", "X", "Y"]


async def test_nothing_is_bought_beyond_the_cash(harness: Harness, executor: Executor) -> None:
    """A smaller order may still pass after one that was left out."""
    await approve(harness, order("C", size=9000), order("B", size=2000), order("A", size=500))
    assert trades(harness) == [("C", Side.BUY), ("A", Side.BUY)]
    assert harness.last_payload(TradingClosedEvent).trades == 2
    portfolio, _ = await executor.account.at(TUESDAY)
    assert portfolio.cash >= 0


async def test_what_sales_bring_may_be_spent_on_the_same_day(harness: Harness) -> None:
    """Sales are executed first."""
    await approve(harness, order("A", size=9900))
    await approve(
        harness,
        order("B", size=9000, day=TUESDAY),
        order("A", Side.SELL, size=9900, day=TUESDAY),
        day=1,
    )
    assert trades(harness) == [("A", Side.BUY), ("A", Side.SELL), ("B", Side.BUY)]


async def test_a_sale_tells_its_profit(harness: Harness) -> None:
    """Both fees are included."""
    await approve(harness, order("A"))
    await approve(harness, order("A", Side.SELL, day=TUESDAY, price=11.0), day=1)
    assert harness.last_payload(TradeExecutedEvent).pnl == 100 * 1.0 - 2 * 0.5


async def test_delivered_again_it_trades_nothing_twice(
    harness: Harness, other: Harness, executor: Executor
) -> None:
    """Events have the same ids in any process, and the books hold each trade once."""
    asked = [order("A"), order("B")]
    await approve(harness, *asked)
    await approve(harness, *asked)
    Executor(other.bus, other.store)
    await approve(other, *asked)
    told = [
        event
        for event in harness.events + other.events
        if isinstance(event, TradeExecutedEvent | TradingClosedEvent)
    ]
    assert len(told) == 9
    assert len({event.id for event in told}) == 3
    portfolio, today = await executor.account.at(MONDAY)
    assert (portfolio, len(today)) == (Portfolio(), 2)


async def test_a_process_that_ends_half_way_is_continued_by_another(
    harness: Harness, other: Harness, executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first trades are published again, the rest for the first time."""
    entered = 0

    async def crash_at_second(trade: Trade) -> None:
        nonlocal entered
        entered += 1
        if entered == 2:
            raise OSError("crash")
        await executor.account.trades.add("executor", trade)

    monkeypatch.setattr(executor.account, "enter", crash_at_second)
    step = OrdersApprovedEvent.create(
        day=MONDAY, rests_on={}, orders=[order("A"), order("B"), order("C")], refused={}
    )
    await harness.store.prices.add(MONDAY, {"A": 10.0})
    with pytest.raises(OSError, match="crash"):
        await executor.on_orders_approved(step)
    await harness.bus.join()
    continued = Executor(other.bus, other.store)
    await other.publish(step)
    first, again = (
        [event.id for event in each.published(TradeExecutedEvent)] for each in (harness, other)
    )
    assert (len(first), len(again)) == (2, 3)
    assert set(first) < set(again)
    assert (
        other.last_payload(TradingClosedEvent).trades
        == len((await continued.account.at(MONDAY))[1])
        == 3
    )


async def test_a_day_long_past_is_ignored(harness: Harness) -> None:
    await harness.store.prices.add(TUESDAY, {"A": 10.0})
    await approve(harness, order("A"))
    assert [type(event) for event in harness.events] == [
        OpportunitiesUpdatedEvent,
        OrdersApprovedEvent,
    ]


def test_a_trades_id_says_which_trade_it_is() -> None:
    """The order's id alone makes it."""
    one = Trade("20240101-A", MONDAY, "A", Side.BUY, 100, 10.0, "momentum", "XGBoost v1", None)
    assert (
        executed(one).id
        == executed(one._replace(size=99)).id
        != executed(one._replace(order_id="20240102-A")).id
    )


wishes = st.lists(
    st.tuples(st.sampled_from("ABCDEF"), st.integers(1, 20_000), st.integers(1, 100_000)),
    unique_by=lambda wish: wish[0],
)


@given(wishes, st.permutations("ABCDEF"))
def test_the_account_is_never_overdrawn(
    wanted: list[tuple[str, int, int]], ranking: list[str]
) -> None:
    """Any orders and rankings are tried."""
    portfolio = Portfolio()
    orders = [order(symbol, size=size, price=mills / 1000) for symbol, size, mills in wanted]
    approved = OrdersApproved(day=MONDAY, rests_on={}, orders=orders, refused={})
    done = list(_filled(approved, ranking, portfolio))
    assert portfolio.cash >= 0
    assert len(done) == len(portfolio.positions) == portfolio.trades


def _filled(approved: OrdersApproved, ranking: list[str], portfolio: Portfolio) -> Iterator[Any]:
    return fill(approved, in_turn(approved.orders, ranking), portfolio)
