"""2. Two components of a trading system that do not know each other.

MSC AI, the meta-strategy controller, decides how much risk to take, and publishes it as a policy.
The Orchestrator decides which strategies may trade, and follows the policy.

Run it: python examples/02_msc_ai_to_orchestrator.py
"""

import asyncio

from qt_events import EventBus, InMemoryEventBus, PolicyUpdated, PolicyUpdatedEvent, RiskMode


class PolicyStore:
    """Keep the policy; a real system has a database here."""

    def __init__(self) -> None:
        self.risk_mode = RiskMode.NORMAL

    async def set_risk_mode(self, risk_mode: RiskMode) -> None:
        self.risk_mode = risk_mode


class MetaStrategyController:
    """MSC AI. Knows the bus, and none of its listeners."""

    def __init__(self, event_bus: EventBus, policy_store: PolicyStore) -> None:
        self.event_bus = event_bus
        self.policy_store = policy_store

    async def update_policy(self, risk_mode: RiskMode) -> None:
        await self.policy_store.set_risk_mode(risk_mode)
        event = PolicyUpdatedEvent.create(
            risk_mode=risk_mode,
            allowed_strategies=["momentum", "reversal"],
            global_min_confidence=0.7,
            max_risk_per_trade=0.02,
            max_positions=5,
        )
        await self.event_bus.publish(event)


class Orchestrator:
    """Follow the policy. Knows the bus, and none of its publishers."""

    def __init__(self, event_bus: EventBus) -> None:
        self.current_policy: PolicyUpdated | None = None
        event_bus.subscribe("policy.updated", self.on_policy_updated)

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.current_policy = event.payload
        # The payload is a pydantic model that also reads as a mapping.
        risk_mode, most = event.payload["risk_mode"], event.payload.max_positions
        print(f"policy updated: {risk_mode}, at most {most} positions")


async def main() -> None:
    bus = InMemoryEventBus()
    orchestrator = Orchestrator(bus)
    msc_ai = MetaStrategyController(bus, PolicyStore())
    async with bus:
        await msc_ai.update_policy(RiskMode.DEFENSIVE)
    assert orchestrator.current_policy is not None
    allowed = ", ".join(orchestrator.current_policy.allowed_strategies)
    print(f"the orchestrator allows {allowed}")


asyncio.run(main())
