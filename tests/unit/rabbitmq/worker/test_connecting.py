"""A worker is connected when it has its name, and says so then."""

import logging
from typing import Any
from unittest.mock import Mock

import pytest
from amqp.exceptions import ResourceLocked
from celery.worker.consumer import Consumer

from qt_events.rabbitmq.worker import connecting
from qt_events.rabbitmq.worker.connecting import ConnectingConsumer
from qt_events.shutdown import Shutdown

HELD = ResourceLocked("cannot obtain exclusive access")


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a consumer that has lost its connection, and connects without a broker."""
    monkeypatch.setattr(connecting, "_NAME_PAUSE", 0)
    monkeypatch.setattr(connecting, "_NAME_TRIES", 2)
    consumer: Any = ConnectingConsumer.__new__(ConnectingConsumer)
    consumer.app, consumer.hub, consumer.hostname = Mock(), Mock(), "worker@here"
    consumer._serving, consumer._shutdown = Mock(), Shutdown()  # noqa: SLF001
    consumer.restart_count = 1
    return consumer


def test_it_is_connected_again_once_the_broker_gives_it_its_name(
    consumer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What keeps it waiting is said once, and none of the connections before is left behind."""
    caplog.set_level(logging.INFO, "qt_events")
    made: list[Any] = []

    def connect(_: object) -> Any:
        made.append(Mock())
        declare = consumer.app.control.mailbox.get_queue.return_value.return_value.queue_declare
        declare.side_effect = HELD if len(made) < 3 else None
        made[-1].channel.return_value = Mock(__enter__=Mock(), __exit__=Mock(return_value=None))
        return made[-1]

    monkeypatch.setattr(Consumer, "connect", connect)
    consumer._on_connection_refused(Mock(), OSError("refused"), 0)  # noqa: SLF001
    assert consumer.connect() is made[2]
    away, held, again = (each.getMessage() for each in caplog.records)
    assert "no connection to" in away
    assert "still holds the name worker@here" in held
    assert "connected again after" in again
    assert [each.connection.close.called for each in made] == [True, True, False]
