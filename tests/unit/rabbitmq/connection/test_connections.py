"""Connections that are lost, and frames that come in parts."""

import socket
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError
from amqp.transport import TCPTransport

from qt_events.rabbitmq.connection.connections import BrokerConnection, _keep_half_frames
from qt_events.testing.ports import free_ports


def test_a_connection_that_stays_lost_does_not_connect_again_by_itself() -> None:
    """Whoever uses it, on an event loop for example, is told at once; kombu would try to connect, and wait."""
    (port,) = free_ports(1)
    connection = BrokerConnection(f"amqp://guest:guest@127.0.0.1:{port}//")
    connection.stays_lost = True
    with pytest.raises(RecoverableConnectionError, match="was lost"):
        connection.heartbeat_check()
    with pytest.raises(RecoverableConnectionError, match="was lost"):
        connection.default_channel  # noqa: B018


@pytest.mark.parametrize("first", range(1, 17))
def test_the_beginning_of_a_frame_is_kept_until_its_rest_has_come(first: int) -> None:
    """Read without waiting, half a frame is a TimeoutError, wherever it ends; the next read finds it whole."""
    frame = struct.pack(">BHI9sB", 1, 7, 9, b"a payload", 0xCE)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = reading(ours)
        theirs.sendall(frame[:first])
        for _ in range(2):
            with pytest.raises(TimeoutError), transport.having_timeout(0):
                transport.read_frame()
        theirs.sendall(frame[first:] + frame)
        with transport.having_timeout(0):
            assert transport.read_frame() == (1, 7, b"a payload")
            assert transport.read_frame() == (1, 7, b"a payload")


def reading(sock: socket.socket) -> Any:
    """py-amqp's transport on it, as the bus sets it up."""
    transport = TCPTransport("127.0.0.1")
    transport.sock = sock
    transport._setup_transport()  # noqa: SLF001
    _keep_half_frames(SimpleNamespace(transport=transport))
    return transport
