"""Plain Celery: an event is a task."""

import os
import time

import celery
from kombu import Exchange, Queue

from benchmarks.pace import spent, warm_up
from benchmarks.tally import hit
from benchmarks.trade import PREFETCH, TradeExecuted

app = celery.Celery(
    "benchmarks.peers.celery", broker=os.environ.get("QT_BENCH_URL"), set_as_current=False
)
app.conf.update(
    task_queues=[
        Queue(
            "celery.trades",
            Exchange("celery.events", type="topic", durable=True),
            routing_key="trade.executed",
            queue_arguments={"x-queue-type": "quorum"},
        )
    ],
    task_default_queue="celery.trades",
    task_default_exchange="celery.events",
    task_default_exchange_type="topic",
    task_default_routing_key="trade.executed",
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=PREFETCH,
    worker_enable_remote_control=False,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)


@app.task(pydantic=True, name="trade.executed")
def handle(trade: TradeExecuted) -> None:  # noqa: ARG001
    """Count the event; Celery validates the model."""
    hit()


def _publish(number: int) -> None:
    handle.apply_async((TradeExecuted.new(number).model_dump(mode="json"),))


def publish(count: int) -> dict[str, float]:
    """Publish and wait for each confirm before the next publish: Celery has no other way."""
    for number in range(warm_up(count)):
        _publish(number)
    began, cpu = time.monotonic(), time.process_time()
    for number in range(count):
        _publish(number)
    return spent(began, cpu, count)


def preload(count: int) -> None:
    """Publish events that wait for a worker, then wait until the broker has all of them.

    Confirms are off here, because they take long.
    """
    app.conf.broker_transport_options = {}
    for number in range(count):
        _publish(number)
    with app.producer_or_acquire() as producer:
        while producer.channel.queue_declare("celery.trades", passive=True).message_count < count:
            time.sleep(0.05)
