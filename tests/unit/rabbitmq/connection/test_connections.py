"""Connections that are lost."""

import pytest
from amqp.exceptions import RecoverableConnectionError

from qt_events.rabbitmq.connection.connections import BrokerConnection
from qt_events.testing.ports import free_ports


def test_a_connection_that_stays_lost_does_not_connect_again_by_itself() -> None:
    """An event loop that uses it has an error at once. kombu would connect, and wait."""
    (port,) = free_ports(1)
    connection = BrokerConnection(f"amqp://guest:guest@127.0.0.1:{port}//")
    connection.stays_lost = True
    with pytest.raises(RecoverableConnectionError, match="was lost"):
        connection.heartbeat_check()
    with pytest.raises(RecoverableConnectionError, match="was lost"):
        connection.default_channel  # noqa: B018
