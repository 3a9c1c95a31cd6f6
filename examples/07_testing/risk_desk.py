"""7. Code to be tested: an Orchestrator that passes each policy on, and an app for `celery worker`.

A policy says how much risk the system may take. The gateway is the way to the stock exchange.
"""

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
    """Tell the gateway each new limit.

    The gateway is closed at night, so a retry waits for an hour or two.
    """

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


BROKER = os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")
app = celery.Celery("risk_desk", broker=BROKER)
bus = CeleryEventBus(app=app)


async def book(trade: TradeExecutedEvent) -> None:
    print(f"booked {trade.payload.order_id}.")


bus.subscribe(TradeExecutedEvent, book, concurrency=20)
