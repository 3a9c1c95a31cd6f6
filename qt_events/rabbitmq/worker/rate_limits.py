"""Rate limits of remote control: requests that wait until their task's token bucket lets them go."""

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.utils.limits import TokenBucket


def wait_in(bucket: TokenBucket, request: Any, consumer: Consumer) -> None:
    """Give the request to the pool when its turn comes, at once if there is a token."""
    bucket.add((request, 1))
    _let_go(bucket, consumer)


def hand_over(request: Any, consumer: Consumer) -> None:
    """Give the request to the pool now."""
    state.task_reserved(request)
    consumer.on_task_request(request)


def _let_go(bucket: TokenBucket, consumer: Consumer) -> None:
    while bucket.contents:
        if not bucket.can_consume():
            consumer.timer.call_after(bucket.expected_time(), _let_go, (bucket, consumer))
            return
        request, _tokens = bucket.pop()
        hand_over(request, consumer)
