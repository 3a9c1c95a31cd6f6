from typing import TYPE_CHECKING, Any

import pytest

from qt_events import PolicyUpdatedEvent, RiskMode, Side
from workers.events import OrderApprovedEvent, OrderRefusedEvent, OrderRequestedEvent
from workers.risk_guard import RiskGuard

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

POLICY = PolicyUpdatedEvent.create(
    risk_mode=RiskMode.NORMAL,
    allowed_strategies=["momentum"],
    global_min_confidence=0.7,
    max_risk_per_trade=0.1,
    max_positions=5,
)


def order(**changes: Any) -> OrderRequestedEvent:
    return OrderRequestedEvent.create(
        **{
            "order_id": "20240102-A",
            "symbol": "A",
            "side": Side.BUY,
            "size": 100,
            "price": 10.0,
            "share": 0.1,
            "confidence": 0.7,
            "strategy_id": "momentum",
            "model": "XGBoost v1",
        }
        | changes
    )


@pytest.fixture(autouse=True)
def guard(scene: "Scene") -> RiskGuard:
    return RiskGuard(scene.bus)


async def test_an_order_at_the_limits_passes_unchanged(scene: "Scene") -> None:
    """The policy's limits are the last that is allowed."""
    request = order()
    await scene.say(POLICY)
    await scene.say(request)
    (approved,) = scene.heard(OrderApprovedEvent)
    assert approved.payload == request.payload
    assert approved.causation_id == request.id


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"confidence": 0.69}, "confidence 0.69 is under 0.7"), ({"share": 0.11}, "11.00% of equity is over 10.00%")],
)
async def test_an_order_beyond_a_limit_is_refused_with_the_reason(
    scene: "Scene", change: dict[str, float], reason: str
) -> None:
    """Too uncertain, or too large."""
    await scene.say(POLICY)
    await scene.say(order(**change))
    (refused,) = scene.heard(OrderRefusedEvent)
    assert refused.payload.reason == reason
    assert scene.heard(OrderApprovedEvent) == []


async def test_without_a_policy_nothing_is_bought(scene: "Scene") -> None:
    """Silence is no permission."""
    await scene.say(order())
    (refused,) = scene.heard(OrderRefusedEvent)
    assert refused.payload.reason == "there is no policy yet"


async def test_a_sale_always_passes(scene: "Scene") -> None:
    """Selling lowers the risk, whatever the policy says."""
    await scene.say(order(side=Side.SELL, share=0.9, confidence=0.0))
    assert len(scene.heard(OrderApprovedEvent)) == 1
