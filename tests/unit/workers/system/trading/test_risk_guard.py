from typing import Any

import pytest

from qt_events import PolicyUpdated, PolicyUpdatedEvent, Side
from tests.unit.workers.harness import MONDAY, Harness, order, policy
from workers.events import Order, OrdersApproved, OrdersApprovedEvent, OrdersRequestedEvent
from workers.system.trading.risk_guard import REFUSED, RiskGuard, objection


@pytest.fixture(autouse=True)
def _guard(harness: Harness) -> None:
    RiskGuard(harness.bus, harness.store)


async def answer(harness: Harness, *orders: Order) -> OrdersApproved:
    step = OrdersRequestedEvent.create(
        day=MONDAY, rests_on=await harness.rests_on(), orders=list(orders)
    )
    await harness.publish(step)
    approved: OrdersApproved = harness.last_payload(OrdersApprovedEvent)
    return approved


async def test_an_order_at_the_limits_passes_unchanged(harness: Harness) -> None:
    """Limits are inclusive."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    asked = order(confidence=0.7, share=0.1)
    approved = await answer(harness, asked)
    assert (approved.orders, approved.refused, approved.day) == ([asked], {}, MONDAY)
    assert approved.rests_on == await harness.rests_on()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"confidence": 0.69}, "confidence 0.69 is under 0.7"),
        ({"share": 0.11}, "11.00% of equity is over 10.00%"),
    ],
)
def test_an_order_beyond_a_limit_is_objected_to_with_the_reason(
    change: dict[str, Any], reason: str
) -> None:
    """Limits are those of confidence and size."""
    assert objection(order(**change), PolicyUpdated(**policy())) == reason


def test_without_a_policy_nothing_is_bought() -> None:
    assert objection(order(), None) == "there is no policy yet"


@pytest.mark.parametrize("known", [None, PolicyUpdated(**policy())])
def test_a_sale_always_passes(known: PolicyUpdated | None) -> None:
    """Selling lowers the risk, whatever the policy says."""
    assert objection(order(side=Side.SELL, share=0.9, confidence=0.0), known) is None


async def test_what_is_refused_holds_up_nothing_else(harness: Harness) -> None:
    """Other orders pass, in their order."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    sale, doubtful, good = order("A", Side.SELL), order("B", confidence=0.1), order("C")
    approved = await answer(harness, sale, doubtful, good)
    assert approved.orders == [sale, good]
    assert approved.refused == {doubtful.order_id: "confidence 0.1 is under 0.7"}


async def test_each_refused_order_is_kept_once_with_the_reason(harness: Harness) -> None:
    """A redelivery adds nothing."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    asked = [order("A"), order("B", share=0.5)]
    await answer(harness, *asked)
    await answer(harness, *asked)
    refused = await harness.store.documents.all(REFUSED)
    assert refused.keys() == {"20240101-B"}
    assert refused["20240101-B"]["reason"] == "50.00% of equity is over 10.00%"
    assert refused["20240101-B"]["strategy_id"] == "momentum"


async def test_a_day_without_orders_is_answered_too(harness: Harness) -> None:
    """The answer lets the day end; a second answer is the same event."""
    assert (await answer(harness)).orders == []
    await answer(harness)
    first, second = harness.published(OrdersApprovedEvent)
    assert first.id == second.id


async def test_a_younger_process_judges_by_the_same_policy(
    harness: Harness, other: Harness
) -> None:
    """The policy is in the database."""
    await harness.announce(PolicyUpdatedEvent, **policy())
    RiskGuard(other.bus, other.store)
    assert (await answer(other, order())).orders == [order()]
