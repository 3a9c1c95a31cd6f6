"""6a. A trading desk as a fleet: subscriptions that any number of `celery worker` processes serve.

Run it in this folder, with a RabbitMQ:

export CELERY_BROKER_URL=amqp://guest:guest@localhost:5672//
celery -A desk worker --loglevel INFO --hostname desk-1@%h

`--hostname` names a worker; its log shows what the handlers print. The queues of the subscriptions
below are declared when a worker starts, and keep their events while no worker runs.
"""

import os

import celery

from qt_events import CeleryEventBus, PolicyUpdatedEvent, RetryPolicy, TradeExecutedEvent

BROKER = os.environ.get("CELERY_BROKER_URL", "amqp://guest:guest@localhost:5672//")
app = celery.Celery("desk", broker=BROKER)
bus = CeleryEventBus(app=app)  # its workers have the asyncio pool, and the queues


async def book(trade: TradeExecutedEvent) -> None:
    """Book a trade. One of all workers gets it, from the queue `qt.sub.desk.book`."""
    print(f"booked {trade.payload.order_id}")


def archive(trade: TradeExecutedEvent) -> None:
    """Archive a trade. A sync handler runs in one of `worker_concurrency` threads."""
    print(f"archived {trade.payload.order_id}")


async def follow_policy(policy: PolicyUpdatedEvent) -> None:
    """Keep the policy of this process up to date. Every worker gets a broadcast."""
    print(f"follow {policy.payload.risk_mode}")


bus.subscribe(TradeExecutedEvent, book, concurrency=20)
bus.subscribe("trade.#", archive, retry=RetryPolicy(max_attempts=10, max_delay=60))
bus.subscribe(PolicyUpdatedEvent, follow_policy, broadcast=True)
