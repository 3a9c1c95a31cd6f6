from datetime import timedelta
from typing import Any

import pytest

from qt_events import PolicyUpdatedEvent, Side
from tests.unit.workers.harness import MONDAY, Harness, policy, trade
from workers.events import Order, OrdersRequestedEvent, TradingClearedEvent
from workers.system.books import ACCOUNT
from workers.system.trading.portfolio_balancer import REBALANCED, PortfolioBalancer

FLAT = {"A": [10.0] * 5, "B": [20.0] * 5, "C": [40.0] * 5}
PLAN = {
    "strategy_id": "momentum",
    "model": "XGBoost v1",
    "confidence": {"A": 0.9, "B": 0.8, "C": 0.7},
    "halted": False,
}


@pytest.fixture(autouse=True)
async def _balancer(harness: Harness) -> None:
    PortfolioBalancer(harness.bus, harness.store)
    await harness.announce(PolicyUpdatedEvent, **policy())


async def begin(harness: Harness, day: int) -> None:
    """Close days number 0 to `day`."""
    await harness.store.prices.add(
        MONDAY + timedelta(day), {symbol: path[day] for symbol, path in FLAT.items()}
    )


async def orders(harness: Harness, day: int = 0, **changes: Any) -> list[Order]:
    """Return the orders of a day, by this plan."""
    await begin(harness, day)
    cleared = TradingClearedEvent.create(
        day=MONDAY + timedelta(day), rests_on=await harness.rests_on(), **(PLAN | changes)
    )
    await harness.publish(cleared)
    requested: list[Order] = harness.last_payload(OrdersRequestedEvent).orders
    return requested


async def enter(harness: Harness, requested: list[Order], day: int = 0) -> None:
    """Execute orders."""
    for each in requested:
        done = trade(each.symbol, each.side, each.size, each.price, day=MONDAY + timedelta(day))
        await harness.store.trades.add(
            ACCOUNT, done._replace(strategy_id=each.strategy_id, model=each.model)
        )


async def test_buys_the_first_of_the_plan_within_the_policy(harness: Harness) -> None:
    """The policy limits number and size; the plan gives confidence, strategy and model."""
    first, second = await orders(harness)
    assert first == {
        "order_id": "20240101-A",
        "symbol": "A",
        "side": Side.BUY,
        "size": 999,
        "price": 10.0,
        "share": 0.0999,
        "confidence": 0.9,
        "strategy_id": "momentum",
        "model": "XGBoost v1",
    }
    assert (second.symbol, second.size, second.confidence) == ("B", 499, 0.8)


async def test_asks_for_nothing_where_nothing_has_changed(harness: Harness) -> None:
    """An order costs a fee; the day goes on without one."""
    await enter(harness, await orders(harness))
    assert await orders(harness, 1) == []
    assert (
        await orders(harness, 2, model="LightGBM v2", confidence={"A": 0.8, "B": 0.7, "C": 0.1})
        == []
    )


@pytest.mark.parametrize(
    "change",
    [{"confidence": {"C": 0.9, "A": 0.8}}, {"strategy_id": "core"}, {"halted": True}],
    ids=["symbols", "strategy", "halt"],
)
async def test_looks_at_the_account_again_when_what_is_wanted_changes(
    harness: Harness, change: dict[str, Any]
) -> None:
    """Changes are those of symbols, strategy and halt."""
    # None of them is executed.
    assert len(await orders(harness)) == 2
    asked = await orders(harness, 1, **change)
    confidence: dict[str, float] = (PLAN | change)["confidence"]  # type: ignore[assignment]
    wanted = [] if "halted" in change else list(confidence)[:2]
    assert [each.symbol for each in asked] == wanted


async def test_a_new_policy_is_a_change(harness: Harness) -> None:
    """Size and number of positions count."""
    await enter(harness, await orders(harness))
    await harness.announce(PolicyUpdatedEvent, MONDAY + timedelta(1), **policy(max_positions=1))
    (sale,) = await orders(harness, 1)
    assert (sale.symbol, sale.side, sale.size) == ("B", Side.SELL, 499)


async def test_the_same_day_again_asks_for_the_same(harness: Harness, other: Harness) -> None:
    """The day's own trades do not count yet, in any process."""
    first = await orders(harness)
    await enter(harness, first[:1])
    PortfolioBalancer(other.bus, other.store)
    assert await orders(harness) == await orders(other) == first
    assert {event.id for event in other.published(OrdersRequestedEvent)} == {
        event.id for event in harness.published(OrdersRequestedEvent)
    }


async def test_two_processes_know_what_was_last_traded_for(
    harness: Harness, other: Harness
) -> None:
    """Two processes take days in turn, and the second has no new orders."""
    PortfolioBalancer(other.bus, other.store)
    await enter(harness, await orders(harness))
    assert await orders(other, 1) == []
    assert await orders(harness, 2) == []


async def test_while_halted_it_only_sells(harness: Harness) -> None:
    """Unwanted positions are sold; purchases come after the halt."""
    await enter(harness, await orders(harness))
    changed = {"confidence": {"C": 0.9, "A": 0.8}}
    (sale,) = await orders(harness, 1, **changed, halted=True)
    assert (sale.symbol, sale.side) == ("B", Side.SELL)
    await enter(harness, [sale], 1)
    assert await orders(harness, 2, **changed, halted=True) == []
    (purchase,) = await orders(harness, 3, **changed)
    assert (purchase.symbol, purchase.side) == ("C", Side.BUY)


async def test_a_sale_is_on_the_account_of_the_strategy_and_model_that_bought(
    harness: Harness,
) -> None:
    """Profits go to them, and the sale has full confidence."""
    await enter(harness, await orders(harness))
    sales = await orders(harness, 1, strategy_id=None, confidence={}, model="PatchTST v3")
    assert [(each.symbol, each.side) for each in sales] == [("A", Side.SELL), ("B", Side.SELL)]
    assert {(each.strategy_id, each.model, each.confidence) for each in sales} == {
        ("momentum", "XGBoost v1", 1.0)
    }


async def test_without_a_policy_it_asks_for_nothing(harness: Harness) -> None:
    """The day goes on."""
    await begin(harness, 0)
    await harness.publish(TradingClearedEvent.create(day=MONDAY, rests_on={}, **PLAN))
    assert harness.last_payload(OrdersRequestedEvent).orders == []


async def test_a_day_long_past_is_ignored(harness: Harness) -> None:
    """Prices and books are those of a later day."""
    await orders(harness)
    await orders(harness, 1, strategy_id="core")
    told = len(harness.published(OrdersRequestedEvent))
    await harness.publish(
        TradingClearedEvent.create(day=MONDAY, rests_on=await harness.rests_on(), **PLAN)
    )
    assert len(harness.published(OrdersRequestedEvent)) == told


async def test_a_day_long_past_does_not_change_what_today_is_traded_for(
    harness: Harness, other: Harness
) -> None:
    """Redelivered to a process that has not gone on, it leaves today's orders as they are."""
    PortfolioBalancer(other.bus, other.store)
    late = TradingClearedEvent.create(day=MONDAY, rests_on=await harness.rests_on(), **PLAN)
    await enter(harness, await orders(harness))
    changed = {"confidence": {"C": 0.9, "A": 0.8}}
    today = await orders(harness, 1, **changed)
    await other.publish(late)
    assert await orders(harness, 1, **changed) == today != []


async def test_counts_the_days_with_orders(harness: Harness) -> None:
    await enter(harness, await orders(harness))
    await orders(harness)
    await orders(harness, 1)
    assert await harness.store.documents.all(REBALANCED) == {"2024-01-01": {"orders": 2}}


async def test_a_process_that_ends_before_it_asked_asks_the_next_time(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A basis that was kept does not mean that the orders were published."""
    balancer = PortfolioBalancer(Harness(harness.store).bus, harness.store)
    await begin(harness, 0)
    step = TradingClearedEvent.create(day=MONDAY, rests_on=await harness.rests_on(), **PLAN)

    async def crash(event: Any) -> None:
        raise OSError("crash")

    monkeypatch.setattr(balancer.bus, "publish", crash)
    with pytest.raises(OSError, match="crash"):
        await balancer.on_trading_cleared(step)
    assert len(await orders(harness)) == 2
