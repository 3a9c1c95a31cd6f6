"""Risk Guard: refuses orders beyond the policy."""

from qt_events import EventBus, PolicyUpdated, PolicyUpdatedEvent, Side
from workers.events import Order, OrdersApprovedEvent, OrdersRequestedEvent, as_json, with_fixed_id
from workers.store import Store
from workers.system.announcements import Announcements, KnownAnnouncements

#: Kind of the documents, one for each refused order.
REFUSED = "risk_guard.refused"


class RiskGuard:
    """Answers `orders.requested` with `orders.approved`. Sales lower the risk and always pass."""

    publishes = (OrdersApprovedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.policies = KnownAnnouncements(Announcements(store.documents, PolicyUpdatedEvent))
        bus.subscribe(
            PolicyUpdatedEvent,
            self.on_policy_updated,
            name="risk_guard.on_policy_updated",
            broadcast=True,
        )
        bus.subscribe(
            OrdersRequestedEvent, self.on_orders_requested, name="risk_guard.on_orders_requested"
        )

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policies.remember(event)

    async def on_orders_requested(self, event: OrdersRequestedEvent) -> None:
        step = event.payload
        policy = await self.policies.single(step.rests_on)
        refused = {
            order.order_id: reason for order in step.orders if (reason := objection(order, policy))
        }
        for order in step.orders:
            if order.order_id in refused:
                await self._documents.put(
                    REFUSED, order.order_id, {**as_json(order), "reason": refused[order.order_id]}
                )
        approved = OrdersApprovedEvent.create(
            day=step.day,
            rests_on=step.rests_on,
            orders=[order for order in step.orders if order.order_id not in refused],
            refused=refused,
        )
        await self.bus.publish(with_fixed_id(approved, step.day))


def objection(order: Order, policy: PolicyUpdated | None) -> str | None:
    """Return the reason why the policy forbids the order; None if it does not."""
    if order.side is Side.SELL:
        return None
    if policy is None:
        return "there is no policy yet"
    if order.confidence < policy.global_min_confidence:
        return f"confidence {order.confidence} is under {policy.global_min_confidence}"
    if order.share > policy.max_risk_per_trade:
        return f"{order.share:.2%} of equity is over {policy.max_risk_per_trade:.2%}"
    return None
