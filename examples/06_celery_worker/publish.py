"""6b. The publisher of the desk: a plain script without an event loop.

Run it: CELERY_BROKER_URL=amqp://guest:guest@localhost:5672// python publish.py
"""

import os
from typing import Any

from qt_events import CeleryEventBus, Event, PolicyUpdatedEvent, TradeExecutedEvent, UnroutableError

BROKER = os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")
bus = CeleryEventBus(BROKER)


def trade(order_id: str) -> TradeExecutedEvent:
    return TradeExecutedEvent.create(
        order_id=order_id,
        symbol="BTCUSDT",
        side="BUY",
        size=1,
        price=60_000,
        strategy_id="momentum",
        model="XGBoost",
    )


policy = PolicyUpdatedEvent.create(
    risk_mode="DEFENSIVE",
    allowed_strategies=["momentum"],
    global_min_confidence=0.8,
    max_risk_per_trade=0.01,
    max_positions=3,
)
events: list[Event[Any]] = [policy, trade("A-1"), trade("A-2"), trade("A-3")]
try:
    for event in events:
        # Returns when the broker has the event. `mandatory` makes it an error if nobody subscribed.
        bus.publish_sync(event, mandatory=True)
        print(f"published {event.type}")
except UnroutableError as error:
    raise SystemExit(f"{error} (has a worker of desk.py ever been started?)") from error
finally:
    bus.close()
