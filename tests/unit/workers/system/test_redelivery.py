"""Redelivery: an event of a past day changes no figure of any day."""

from datetime import timedelta

from qt_events import (
    HealthStatusChangedEvent,
    ModelPromoted,
    ModelPromotedEvent,
    PolicyUpdatedEvent,
)
from tests.unit.workers.harness import MONDAY, Harness, order, policy
from workers.events import (
    OrdersRequestedEvent,
    Signal,
    SignalsScoredEvent,
    TradingClearedEvent,
    TradingPlannedEvent,
)
from workers.market.price_file import read_market
from workers.system.analysts.clm import ContinuousLearningManager
from workers.system.planning.orchestrator import PLANS, Orchestrator
from workers.system.planning.safety_governor import HALTED_DAYS, SafetyGovernor
from workers.system.trading.portfolio_balancer import REBALANCED, PortfolioBalancer
from workers.system.trading.risk_guard import REFUSED, RiskGuard

TUESDAY = MONDAY + timedelta(1)


async def test_a_plan_of_yesterday_does_not_halt_yesterday(harness: Harness) -> None:
    """The health has changed since then."""
    SafetyGovernor(harness.bus, harness.store)
    await harness.announce(
        HealthStatusChangedEvent,
        MONDAY,
        old_status="HEALTHY",
        new_status="DEGRADED",
        component="G",
        reason="r",
    )
    plan = TradingPlannedEvent.create(
        day=TUESDAY, rests_on=await harness.rests_on(), strategy_id="core", model="m", confidence={}
    )
    await harness.publish(plan)
    await harness.announce(
        HealthStatusChangedEvent,
        TUESDAY,
        old_status="DEGRADED",
        new_status="CRITICAL",
        component="G",
        reason="r",
    )
    await harness.store.prices.add(TUESDAY, {"A": 1.0})
    await harness.store.prices.add(TUESDAY + timedelta(1), {"A": 1.0})
    await harness.publish(plan)
    assert await harness.store.documents.count(HALTED_DAYS) == 0


async def test_orders_of_yesterday_are_not_refused_by_todays_policy(harness: Harness) -> None:
    """A step rests on the policy of its own day."""
    RiskGuard(harness.bus, harness.store)
    await harness.announce(PolicyUpdatedEvent, MONDAY, **policy())
    asked = OrdersRequestedEvent.create(
        day=MONDAY, rests_on=await harness.rests_on(), orders=[order("A")]
    )
    await harness.publish(asked)
    await harness.announce(PolicyUpdatedEvent, TUESDAY, **policy(global_min_confidence=0.9))
    await harness.store.prices.add(MONDAY, {"A": 1.0})
    await harness.store.prices.add(TUESDAY, {"A": 1.0})
    await harness.publish(asked)
    assert await harness.store.documents.count(REFUSED) == 0


async def test_a_plan_noted_for_yesterday_stays(harness: Harness) -> None:
    """Today's policy does not matter."""
    Orchestrator(harness.bus, harness.store)
    await harness.announce(PolicyUpdatedEvent, MONDAY, **policy(allowed_strategies=["core"]))
    step = SignalsScoredEvent.create(
        day=MONDAY,
        rests_on=await harness.rests_on(),
        model="m",
        signals=[Signal(strategy_id=s, confidence={}) for s in ("core", "momentum")],
    )
    await harness.publish(step)
    await harness.announce(PolicyUpdatedEvent, TUESDAY, **policy(allowed_strategies=["momentum"]))
    await harness.store.prices.add(MONDAY, {"A": 1.0})
    await harness.store.prices.add(TUESDAY, {"A": 1.0})
    await harness.publish(step)
    plan = await harness.store.documents.get(PLANS, MONDAY.isoformat())
    assert plan is not None
    assert plan["strategy_id"] == "core"


async def test_a_past_day_leaves_the_balancers_figures_alone(
    harness: Harness, other: Harness
) -> None:
    """A day without orders keeps none, even in a process that has not gone on."""
    PortfolioBalancer(harness.bus, harness.store)
    PortfolioBalancer(other.bus, other.store)
    await harness.announce(PolicyUpdatedEvent, **policy())
    plan = {"strategy_id": "momentum", "model": "m", "confidence": {"A": 0.9}, "halted": False}
    for day in range(3):
        await harness.store.prices.add(MONDAY + timedelta(day), {"A": 10.0, "B": 10.0})
        changed = plan if day < 2 else plan | {"confidence": {"B": 0.9}}
        await harness.publish(
            TradingClearedEvent.create(
                day=MONDAY + timedelta(day), rests_on=await harness.rests_on(), **changed
            )
        )
    assert len(await harness.store.documents.all(REBALANCED)) == 2
    await other.publish(
        TradingClearedEvent.create(
            day=MONDAY + timedelta(1), rests_on=await harness.rests_on(), **plan
        )
    )
    assert len(await harness.store.documents.all(REBALANCED)) == 2
    assert [e.payload.orders for e in other.published(OrdersRequestedEvent)] in ([], [[]])


async def test_clm_told_of_a_day_twice_promotes_nothing_twice(harness: Harness) -> None:
    """An id stands for one payload, even for the first day that a process hears."""
    ContinuousLearningManager(harness.bus, harness.store)
    for close in read_market()[260:333]:
        await harness.store.prices.add(close.day, close.closes)
    for close in read_market()[334:345]:
        await harness.close_day(close.day, **close.closes)
        await harness.close_day(close.day, **close.closes)
    told: dict[str, ModelPromoted] = {}
    for e in harness.published(ModelPromotedEvent):
        assert told.setdefault(e.id, e.payload) == e.payload
