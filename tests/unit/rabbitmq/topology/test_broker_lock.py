"""The lock on the broker: what happened while it was held is told as it is."""

from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import InternalError

from qt_events.rabbitmq.topology.broker_lock import broker_lock


def test_an_end_of_the_connection_meanwhile_is_told_as_that() -> None:
    """A channel forgets its connection then, and has nothing to unlock."""
    connection = SimpleNamespace(connected=True)
    channel: Any = SimpleNamespace(connection=connection, queue_declare=lambda *_, **__: None)

    def lose_connection() -> None:
        with broker_lock(channel, "lock"):
            channel.connection, connection.connected = None, False
            raise InternalError("nodedown")

    with pytest.raises(InternalError, match="nodedown"):
        lose_connection()
