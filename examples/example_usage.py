"""All six events of the library on one bus, with consumers of every kind.

The events are those of Quantum Trader, a trading system: docs/quantum-trader.md explains the names.
This is an integration check: it ends with exit code 0 and a table, or with an AssertionError.

Run it in memory, then over RabbitMQ under a prefix of its own that is deleted at the end:

python examples/example_usage.py
python examples/example_usage.py amqp://guest:guest@localhost:5672//
"""

import asyncio
import sys
import uuid
from collections import Counter
from threading import Lock
from typing import Any

from qt_events import (
    CeleryEventBus,
    Event,
    EventBus,
    HealthStatus,
    HealthStatusChangedEvent,
    InMemoryEventBus,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    PolicyUpdatedEvent,
    RiskMode,
    Side,
    Stage,
    StrategyPromotedEvent,
    TradeExecutedEvent,
)

EVENTS: list[Event[Any]] = [
    PolicyUpdatedEvent.create(
        risk_mode=RiskMode.DEFENSIVE,
        allowed_strategies=["strat1", "strat2"],
        global_min_confidence=0.7,
        max_risk_per_trade=0.02,
        max_positions=5,
    ),
    StrategyPromotedEvent.create(
        strategy_id="strat1", from_stage=Stage.SHADOW, to_stage=Stage.LIVE, reason="20 good days"
    ),
    ModelPromotedEvent.create(
        model_name="XGBoost", old_version="v1", new_version="v2", metrics={"auc": 0.71}
    ),
    HealthStatusChangedEvent.create(
        old_status=HealthStatus.HEALTHY,
        new_status=HealthStatus.CRITICAL,
        component="DrawdownGuard",
        reason="dd -6 %",
    ),
    OpportunitiesUpdatedEvent.create(
        top_symbols=["BTCUSDT", "ETHUSDT"], scores={"BTCUSDT": 0.9, "ETHUSDT": 0.8}
    ),
    TradeExecutedEvent.create(
        order_id="A-1",
        symbol="BTCUSDT",
        side=Side.BUY,
        size=0.5,
        price=60_000,
        strategy_id="strat1",
        model="XGBoost",
    ),
]

EXPECTED = {
    "orchestrator": 1,
    "dashboard": 2,
    "analytics": 2,
    "performance_tracker": 1,
    "discord": 1,
    "event_log": 6,
}


def is_critical(event: Event[Any]) -> bool:
    return bool(event.payload["new_status"] == "CRITICAL")


class Consumers:
    """Count the events that each consumer was given."""

    def __init__(self, bus: EventBus) -> None:
        self.seen: Counter[str] = Counter()
        self._lock = Lock()  # a sync handler runs in a thread
        # A script is called __main__, as every script is, so what it subscribes needs names.
        bus.subscribe(PolicyUpdatedEvent, self.orchestrator, name="orchestrator")
        bus.subscribe("*.updated", self.dashboard, name="dashboard", broadcast=True)
        bus.subscribe("*.promoted", self.analytics, name="analytics")
        bus.subscribe("trade.executed", self.performance_tracker, name="tracker", concurrency=10)
        bus.subscribe("health.#", self.discord, name="discord", when=is_critical)
        bus.subscribe("#", self.event_log, name="event_log")

    async def orchestrator(self, event: PolicyUpdatedEvent) -> None:
        assert event.payload.risk_mode is RiskMode.DEFENSIVE
        self._count("orchestrator")

    async def dashboard(self, event: Event) -> None:
        assert event.type in {"policy.updated", "opportunities.updated"}
        self._count("dashboard")

    async def analytics(self, event: Event) -> None:
        assert event.type in {"strategy.promoted", "model.promoted"}
        self._count("analytics")

    async def performance_tracker(self, event: TradeExecutedEvent) -> None:
        assert event.payload.pnl is None
        self._count("performance_tracker")

    async def discord(self, event: HealthStatusChangedEvent) -> None:
        assert event.payload.new_status is HealthStatus.CRITICAL
        self._count("discord")

    def event_log(self, event: Event) -> None:
        assert event.correlation_id == event.id, "nothing caused it"
        self._count("event_log")

    def _count(self, consumer: str) -> None:
        with self._lock:
            self.seen[consumer] += 1


async def use(bus: EventBus) -> Consumers:
    consumers = Consumers(bus)
    async with bus:
        for event in EVENTS:
            await bus.publish(event)
        await bus.join(timeout=60)
    return consumers


async def main(url: str | None) -> None:
    if url is None:
        bus: EventBus = InMemoryEventBus()
        consumers = await use(bus)
    else:
        broker_bus = bus = CeleryEventBus(url, prefix=f"example-{uuid.uuid4().hex[:8]}")
        try:
            consumers = await use(bus)
        finally:
            await broker_bus.delete_topology()  # this run's own queues

    assert consumers.seen == EXPECTED, consumers.seen
    for name, count in EXPECTED.items():
        print(f"{name:<20} {count}")
    stats = bus.get_stats()
    published, dispatched, errors = stats["published"], stats["dispatched"], stats["errors"]
    print(f"{published} published, {dispatched} dispatched, {errors} errors")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
