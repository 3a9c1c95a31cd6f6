"""How Celery's consumer finds what takes a subscription's messages."""

from types import SimpleNamespace
from typing import Any

import pytest

from qt_events import CeleryEventBus, Event
from qt_events.rabbitmq.consumer import _Strategies


def handle(_: Event) -> None: ...


def test_a_task_that_came_after_the_connection_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """subscribe() may run between Celery's look at the tasks and its first message: that must not be unknown then."""
    bus = CeleryEventBus("amqp://localhost//")
    strategies: Any = _Strategies(SimpleNamespace(app=bus.app, hostname="here"))  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        strategies["late"]
    bus.subscribe("happened", handle, name="late")
    made = object()
    monkeypatch.setattr(bus.app.tasks["late"], "start_strategy", lambda *_: made)
    assert strategies["late"] is made
    assert strategies["late"] is made
