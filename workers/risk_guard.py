"""Risk Guard: no order beyond the policy."""

from qt_events import EventBus, PolicyUpdatedEvent, Side
from workers.events import Order, OrderApprovedEvent, OrderRefusedEvent, OrderRequestedEvent


class RiskGuard:
    """Answers `order.requested` with `order.approved` or `order.refused`; sales lower the risk and always pass."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.policy: PolicyUpdatedEvent | None = None
        bus.subscribe(PolicyUpdatedEvent, self.on_policy_updated, broadcast=True)
        bus.subscribe(OrderRequestedEvent, self.on_order_requested)

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policy = event

    async def on_order_requested(self, event: OrderRequestedEvent) -> None:
        order = event.payload
        reason = None if order.side is Side.SELL else self._objection(order)
        if reason is None:
            await self.bus.publish(OrderApprovedEvent.create(**order))
        else:
            await self.bus.publish(OrderRefusedEvent.create(**order, reason=reason))

    def _objection(self, order: Order) -> str | None:
        if self.policy is None:
            return "there is no policy yet"
        policy = self.policy.payload
        if order.confidence < policy.global_min_confidence:
            return f"confidence {order.confidence} is under {policy.global_min_confidence}"
        if order.share > policy.max_risk_per_trade:
            return f"{order.share:.2%} of equity is over {policy.max_risk_per_trade:.2%}"
        return None
