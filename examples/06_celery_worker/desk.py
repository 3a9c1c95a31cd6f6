"""6a. A fleet: the subscriptions that `celery worker` serves, in as many processes as one starts.

In this folder, with RabbitMQ at hand:

export CELERY_BROKER_URL=amqp://guest:guest@localhost:5672//
celery -A desk worker --loglevel INFO --hostname desk-1@%h

`--hostname` gives each worker a name of its own; what handlers print appears in its log. The queues of subscriptions
made here, at import time, are declared when the worker starts, and keep their events while no worker runs.
"""

import os

import celery

from qt_events import CeleryEventBus, PolicyUpdatedEvent, RetryPolicy, TradeExecutedEvent

app = celery.Celery(
    "desk", broker=os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")
)
bus = CeleryEventBus(app=app)  # brings the asyncio pool, late acknowledgement and the queues


async def book(trade: TradeExecutedEvent) -> None:
    """Shared: of all workers, one books a trade. Its queue is `qt.sub.desk.book`."""
    print(f"booked {trade.payload.order_id}")


def archive(trade: TradeExecutedEvent) -> None:
    """Sync, in one of `worker_concurrency` threads."""
    print(f"archived {trade.payload.order_id}")


async def follow_policy(policy: PolicyUpdatedEvent) -> None:
    """Broadcast: each worker keeps the policy of its own process up to date."""
    print(f"follow {policy.payload.risk_mode}")


bus.subscribe(TradeExecutedEvent, book, concurrency=20)
bus.subscribe("trade.#", archive, retry=RetryPolicy(max_attempts=10, max_delay=60))
bus.subscribe(PolicyUpdatedEvent, follow_policy, broadcast=True)
