"""Monitors are told of tasks, unless the broker takes no publishes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery

from qt_events.rabbitmq.connection.connections import NOBODY, BrokerConnection
from qt_events.rabbitmq.pools.task_events import TaskEvents


class Connected(BrokerConnection):
    """Connection that pretends to be connected."""

    connected = True

    def __init__(self) -> None:
        super().__init__("amqp://")
        self.raw = SimpleNamespace(
            on_blocked=None, on_unblocked=None, frames=SimpleNamespace(owner=NOBODY)
        )
        #: Callbacks for what the broker has said and nobody has read.
        self.said: list[Callable[[], None]] = []

    @property
    def connection(self) -> Any:
        return self.raw

    def drain_events(self, **_: Any) -> None:
        if not self.said:
            raise TimeoutError
        self.said.pop()()

    def _do_close_self(self) -> None:
        raise AssertionError("it waits for an answer")

    def collect(self, socket_timeout: float | None = None) -> None:
        """Send nothing to the broker."""


@pytest.fixture
def connection() -> Connected:
    return Connected()


@pytest.fixture
def events(connection: Connected) -> TaskEvents:
    dispatcher = TaskEvents(
        connection, app=Celery(set_as_current=False), buffer_group=["task"], buffer_limit=3
    )
    dispatcher.producer = Mock()
    return dispatcher


def published(events: TaskEvents) -> list[Any]:
    return [call.args[0] for call in events.producer.publish.call_args_list]


def test_what_cannot_be_told_is_counted_and_nobody_waits(
    connection: Connected, events: TaskEvents, caplog: pytest.LogCaptureFixture
) -> None:
    """Single events and groups are left out; at the end of the alarm they are sent again."""
    caplog.set_level("INFO", "qt_events")
    connection.raw.on_blocked("low on memory")
    events.send("worker-heartbeat")
    for _ in range(4):
        events.send("task-received")
    assert not published(events)
    assert "low on memory" in caplog.text
    connection.raw.on_unblocked()
    assert "task events are sent again; 4 were left out" in caplog.text
    events.send("worker-heartbeat")
    assert [event["type"] for event in published(events)] == ["worker-heartbeat"]


def test_the_end_of_an_alarm_is_heard_by_who_tells(
    connection: Connected, events: TaskEvents
) -> None:
    """Sending reads the connection, which nobody else does without heartbeats."""
    connection.raw.on_blocked("low on memory")
    events.send("worker-heartbeat")
    connection.said.append(connection.raw.on_unblocked)
    events.send("worker-online")
    assert [event["type"] for event in published(events)] == ["worker-online"]


def test_a_blocked_connection_is_closed_without_a_goodbye(
    connection: Connected, events: TaskEvents
) -> None:
    """The broker does not read it; one that does is told again."""
    connection.raw.on_blocked("low on disk")
    connection.close()
    connection.raw.on_unblocked()
    with pytest.raises(AssertionError, match="waits"):
        connection.close()


def test_a_retry_is_told_of_at_once_or_not_at_all(
    connection: Connected, events: TaskEvents
) -> None:
    """The next attempt may be over after reconnecting, and State would wait for ever."""
    events.producer.publish.side_effect = OSError
    for kind in ("task-started", "task-retried", "task-received"):
        events.send(kind)
    events.send("worker-heartbeat")
    successor = TaskEvents(connection, app=events.app)
    successor.producer = Mock()
    successor.extend_buffer(events)
    successor.flush()
    tasks, heartbeat = published(successor)
    assert [event["type"] for event in tasks] == ["task-started", "task-received"]
    assert heartbeat["type"] == "worker-heartbeat"


def test_what_waits_for_a_connection_is_bounded(events: TaskEvents) -> None:
    """The latest stays."""
    events.producer.publish.side_effect = OSError
    for _ in range(1500):
        events.send("worker-heartbeat")
    events.producer = Mock()
    events.flush()
    assert len(published(events)) == 1000
