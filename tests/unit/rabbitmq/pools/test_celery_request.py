"""Requests of subscriptions on Celery's own pools."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.base import BasePool
from celery.exceptions import InvalidTaskError

from qt_events.rabbitmq.messages.survived import SurvivedDeliveries
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents
from qt_events.rabbitmq.pools.celery_request import EventRequest, strategy


def test_celery_itself_revokes_and_terminates_nothing() -> None:
    """Celery's own methods would acknowledge the event without an outcome."""
    assert EventRequest.revoked is not EventRequest.__mro__[1].revoked
    assert EventRequest.terminate is not EventRequest.__mro__[1].terminate


def test_a_plain_task_message_for_a_subscription_is_refused() -> None:
    """Celery logs and rejects a message from another queue, and the worker goes on."""
    consumer = SimpleNamespace(
        pool=BasePool(), event_dispatcher=None, on_task_request=print, hostname="h", app=None,
        connection_errors=(), channel_errors=(),
    )  # fmt: skip
    runtime = SimpleNamespace(survived=SurvivedDeliveries(), unacknowledged=UnacknowledgedEvents())
    task: Any = SimpleNamespace(
        name="audit", acks_late=True, runtime=runtime, time_limit=None, soft_time_limit=None
    )
    handle = strategy(task, Celery(set_as_current=False), consumer)
    message: Any = SimpleNamespace(headers={"task": "audit", "id": "x"})
    with pytest.raises(InvalidTaskError, match="publish an event"):
        handle(message, None, None, None, [])
