"""7. What is tested here: an orchestrator that passes policies on to a gateway, and an app for `celery worker`."""

import os
from typing import Protocol

import celery

from qt_events import (
    CeleryEventBus,
    EventBus,
    PolicyUpdatedEvent,
    Reject,
    RetryPolicy,
    TradeExecutedEvent,
)


class Gateway(Protocol):
    async def limit(self, max_positions: int) -> None: ...


class Orchestrator:
    """Tells the gateway each new limit; an hour between attempts, for the gateway is closed at night."""

    def __init__(self, bus: EventBus, gateway: Gateway) -> None:
        self._gateway = gateway
        bus.subscribe(
            PolicyUpdatedEvent,
            self.on_policy_updated,
            retry=RetryPolicy(max_attempts=3, initial=3600, max_delay=7200, jitter=0),
        )

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        if event.payload.max_positions == 0:
            raise Reject("no positions at all is for the safety governor")
        await self._gateway.limit(event.payload.max_positions)


app = celery.Celery(
    "risk_desk", broker=os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")
)
bus = CeleryEventBus(app=app)


async def book(trade: TradeExecutedEvent) -> None:
    print(f"booked {trade.payload.order_id}.")


bus.subscribe(TradeExecutedEvent, book, concurrency=20)
