"""Connecting: the hosts that a connection can be made to, and by what it can be lost."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import kombu
from amqp import Connection as RawConnection
from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AmqpConnectionError

from qt_events.errors import BrokerUnreachableError, QtEventsError

LOST = (OSError, AmqpConnectionError)  #: what a connection raises when it is no more, or cannot be made
ANSWER_TIMEOUT = 10.0  #: seconds for the broker's answer to a declaration or a look


def connect(connection: kombu.Connection) -> RawConnection:
    """Open a connection to the first host that takes it, once round all of them; without kombu's pauses in between.

    Raises:
        OSError, amqp.exceptions.ConnectionError: of the last host.
    """
    for _ in range(len(connection.alt) - 1):
        with suppress(*LOST):
            return _connect(connection)
        connection.maybe_switch_next()
    return _connect(connection)


def _connect(connection: kombu.Connection) -> RawConnection:
    try:
        return connection.transport.establish_connection()
    except ChannelError as error:  # a refused login: py-amqp sorts errors by their code
        raise ConnectionRefusedError(str(error)) from error


@contextmanager
def visiting(connection: kombu.Connection) -> Iterator[RawConnection]:
    """A connection for a look or an errand, closed afterwards.

    Raises:
        BrokerUnreachableError: there is none, or it was lost, or the broker fell silent.
    """
    try:
        raw = connect(connection)
        raw.sock.settimeout(ANSWER_TIMEOUT)
        try:
            yield raw
        finally:
            leave(raw)
    except QtEventsError:  # some are OSErrors too
        raise
    except LOST as error:
        message = f"no answer from {connection.as_uri()} ({error}): is RabbitMQ running there?"
        raise BrokerUnreachableError(message) from error


def leave(raw: RawConnection) -> None:
    """Say goodbye if the broker still listens, and close the socket."""
    with suppress(*LOST, ChannelError):
        raw.close()
    raw.collect()
