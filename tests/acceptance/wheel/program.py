"""A program as a user writes it, which type checkers have to find clean."""
# pyright: strict
# ruff: noqa: T201

import asyncio
from datetime import UTC, datetime
from typing import Any, assert_type

from qt_events import (
    NO_RETRY,
    BatchFailed,
    CeleryEventBus,
    Component,
    DeadLetterRecord,
    Event,
    EventBus,
    InMemoryEventBus,
    Payload,
    PolicyUpdated,
    PolicyUpdatedEvent,
    QtEventsError,
    Reject,
    RetryLater,
    RetryPolicy,
    RiskMode,
    Side,
    Subscription,
    TradeExecutedEvent,
    configure_logging,
    create_event_bus,
    current_event,
)


class PriceAlert(Payload):
    symbol: str
    price: float


class PriceAlertEvent(Event[PriceAlert], type="price.alert", source="desk"): ...


class Desk:
    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.policy: PolicyUpdated | None = None
        bus.subscribe("policy.updated", self.on_policy_updated)
        bus.subscribe(PriceAlertEvent, self.on_price_alert, retry=RetryPolicy(max_attempts=3))

        bus.subscribe(PriceAlertEvent, self.on_price_alerts, name="many", batch=100, within=0.1)

    def on_price_alerts(self, events: list[PriceAlertEvent]) -> None:
        assert_type(events[0].payload.price, float)
        bad = [event for event in events if event.payload.price < 0]
        raise BatchFailed({event.id: Reject("no price") for event in bad})

    async def on_policy_updated(self, event: Event[Any]) -> None:
        print(event.payload["risk_mode"])

    async def on_price_alert(self, event: PriceAlertEvent) -> None:
        assert_type(event.payload, PriceAlert)
        assert_type(event.payload.price, float)
        if event.payload.price < 0:
            raise Reject("no price")
        if event.payload.symbol == "":
            raise RetryLater(5.0)
        await self.bus.publish(
            TradeExecutedEvent.create(
                order_id="1",
                symbol=event.payload.symbol,
                side=Side.BUY,
                size=1,
                price=event.payload.price,
                strategy_id="s",
                model="m",
            )
        )


def on_trade(event: TradeExecutedEvent) -> None:
    assert_type(event.payload.side, Side)
    print(event.payload.order_id, event.payload["price"], event.timestamp, event.correlation_id)


async def main() -> None:
    bus = InMemoryEventBus(max_queue_size=100, max_workers=2)
    Desk(bus)
    subscription = bus.subscribe(TradeExecutedEvent, on_trade, name="desk.on_trade", retry=NO_RETRY)
    assert_type(subscription, Subscription)
    bus.subscribe("trade.#", print, when=lambda event: event.payload["price"] > 1)
    async with bus:
        await bus.publish(PriceAlertEvent.create(symbol="X", price=2.5))
        await bus.publish(Event("my.event", datetime.now(UTC), {"data": 1}))
        policy = PolicyUpdatedEvent.create(
            risk_mode=RiskMode.DEFENSIVE,
            allowed_strategies=["s"],
            global_min_confidence=0.5,
            max_risk_per_trade=0.02,
            max_positions=5,
        )
        assert_type(policy.payload.risk_mode, RiskMode)
        await bus.publish(policy)
        await bus.join(10)
    letters: list[DeadLetterRecord] = list(await bus.dead_letters.list())
    print(letters, bus.get_stats()["published"], current_event())


def over_rabbitmq(url: str) -> None:
    configure_logging()
    try:
        bus = create_event_bus(url, service="desk")
    except QtEventsError as error:
        raise SystemExit(str(error)) from error
    assert_type(bus, EventBus)
    desk = Desk(bus)
    on_price = CeleryEventBus(url).subscribe("price.*", desk.on_price_alert, name="desk.on_price")
    print(Component("desk", ("trade.executed",), (on_price,)))


asyncio.run(main())
