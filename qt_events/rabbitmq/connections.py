"""Connecting: the hosts that a connection can be made to, and by what it can be lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import celery
import kombu
from amqp import Connection as RawConnection
from amqp.exceptions import ChannelError
from amqp.exceptions import ConnectionError as AmqpConnectionError

from qt_events.errors import BrokerUnreachableError, QtEventsError

LOST = (OSError, AmqpConnectionError)  #: what a connection raises when it is no more, or cannot be made
_CONNECT_TIMEOUT = 5  # seconds
ANSWER_TIMEOUT = 10.0  #: seconds for the broker's answer to a declaration or a look


def for_errands(app: celery.Celery) -> kombu.Connection:
    """A connection of its own for looking and managing, not connected yet."""
    return app.connection_for_write(connect_timeout=_CONNECT_TIMEOUT)


def for_publishing(
    app: celery.Celery, on_blocked: Callable[[str], None], on_unblocked: Callable[[], None]
) -> kombu.Connection:
    """A publisher's connection, not connected yet; the callbacks tell of a broker that takes no publishes."""
    connection = app.connection_for_write(heartbeat=app.conf.broker_heartbeat, connect_timeout=_CONNECT_TIMEOUT)
    connection.transport_options = {
        **(connection.transport_options or {}),
        "confirm_publish": False,  # that would wait for each confirm alone; the session counts them itself
        "on_blocked": on_blocked,
        "on_unblocked": on_unblocked,
    }
    return connection


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
