"""EventConsumer: strategies of late subscriptions, and the flush of events for monitors."""

import asyncio
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from qt_events import CeleryEventBus, Event
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.pool_lanes import PoolLanes
from qt_events.rabbitmq.worker.consumer import EventConsumer, Strategies


def handle(_: Event) -> None: ...


def test_a_task_that_came_after_the_connection_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """subscribe() may run after Celery has looked at the tasks, and before its first message."""
    bus = CeleryEventBus("amqp://localhost//")
    strategies: Any = Strategies(SimpleNamespace(app=bus.app, hostname="here"))
    with pytest.raises(KeyError):
        strategies["late"]
    bus.subscribe("happened", handle, name="late")
    made = object()
    monkeypatch.setattr(bus.app.tasks["late"], "start_strategy", lambda *_: made)
    assert strategies["late"] is made
    assert strategies["late"] is made


async def test_monitors_of_the_asyncio_pool_are_told_at_the_end_of_the_turn() -> None:
    """Monitors are told once of all that happened in it. From another thread Celery's way holds."""
    told: list[str] = []
    consumer: Any = EventConsumer.__new__(EventConsumer)
    consumer.pool = AsyncioPool.__new__(AsyncioPool)
    consumer.pool.loop, consumer.pool.lanes = asyncio.get_running_loop(), PoolLanes(Mock())
    consumer.pool._context = copy_context()  # noqa: SLF001
    consumer.pool.redeliveries = Mock(lanes={})
    consumer.pool.resume()
    consumer.event_dispatcher = SimpleNamespace(flush=lambda: told.append("flushed"))
    consumer.hub, consumer._flush_events_promise = Mock(), "flush"  # noqa: SLF001
    for turn in (1, 2):
        for _ in range(3):
            consumer.on_send_event_buffered()
        await asyncio.sleep(0)
        assert told == ["flushed"] * turn
    await asyncio.to_thread(consumer.on_send_event_buffered)
    consumer.hub.call_soon.assert_called_once_with("flush")
