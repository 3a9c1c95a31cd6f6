"""A subscription as Celery's own pools run it."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Reject

from qt_events.errors import BrokerError, BusStateError
from qt_events.rabbitmq import tasks
from qt_events.rabbitmq.envelope import Envelope
from qt_events.subscription import Subscription


@pytest.fixture
def task() -> tasks.SubscriptionTask:
    bus: Any = SimpleNamespace(app=None)
    return tasks.task_for(Subscription("guard", print), bus)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError(), BrokerError(), BusStateError()])
def test_whatever_goes_wrong_around_an_attempt_the_event_goes_back(
    task: tasks.SubscriptionTask, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Celery acknowledges what raises anything but a Reject."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(type(task), "_outcome", fail)
    monkeypatch.setattr(tasks, "sleep", lambda _: None)
    with pytest.raises(Reject) as raised:
        task.run(Envelope("guard", "guard", b"{}", {"message_id": "1"}, {}, "e"))
    assert raised.value.requeue
