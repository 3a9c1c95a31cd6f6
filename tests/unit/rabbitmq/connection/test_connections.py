"""Connections that are lost, and how their places are written."""

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


def test_an_ipv6_host_is_written_as_in_a_url() -> None:
    """In logs, errors and Celery's banner; kombu would write %3A%3A1."""
    one = BrokerConnection("amqp://guest:secret@[::1]:5673//")
    assert one.as_uri() == one.places == "amqp://guest:**@[::1]:5673//"
    several = BrokerConnection("amqp://u:p@[fe80::1]:1/v;amqp://u:p@host:2/v")
    assert several.places == "amqp://u:**@[fe80::1]:1/v or amqp://u:**@host:2/v"
    assert one.as_uri(include_password=True) == "amqp://guest:secret@[::1]:5673//"
