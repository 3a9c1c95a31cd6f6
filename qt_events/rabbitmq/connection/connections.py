"""Connecting to the first host that answers, and the errors that end a connection."""

# Modules that connecting needs later are imported here. A child that is forked while the
# publisher's thread imports one would wait for the end of that import for ever.
import encodings.idna  # noqa: F401
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import get_ident
from typing import Any
from urllib.parse import quote

import celery
import celery.backends.base
import kombu
import kombu.transport.pyamqp
from amqp import Connection as RawConnection
from amqp.exceptions import ChannelError, RecoverableConnectionError
from amqp.exceptions import ConnectionError as AmqpConnectionError

from qt_events.errors import BrokerUnreachableError, QtEventsError
from qt_events.rabbitmq.compat.frames import PyAmqpFrames, attach
from qt_events.rabbitmq.compat.kombu_connection import KombuConnection
from qt_events.rabbitmq.compat.unreadable import guard
from qt_events.rabbitmq.connection.amqp_urls import bare
from qt_events.rabbitmq.connection.defaults import chosen
from qt_events.rabbitmq.connection.tls import describe, verified

#: Errors of a connection that is lost or cannot be made.
LOST = (OSError, AmqpConnectionError)
NOBODY = 0  #: owner of a connection that goes from thread to thread
ANSWER_TIMEOUT = 10.0  #: seconds for the broker's answer to a declaration or a question

guard()  # here, because a bus connects in no other way


class BrokerConnection(KombuConnection):
    """kombu's Connection, which over TLS verifies the host, and reads each of several URLs alone.

    kombu 5.7 checks no host's name, and takes the parameters of a URL for its own arguments. Here
    they have become Celery's settings before.
    """

    #: Set once it is connected. kombu would connect again wherever it is used, on an event loop for
    #: example, and wait.
    stays_lost = False
    #: Set while the broker reads nothing from it, and so would not hear a goodbye.
    is_deaf = False

    def __init__(self, hostname: Any = "localhost", *args: Any, **kwargs: Any) -> None:
        urls = hostname if isinstance(hostname, str | None) else ";".join(hostname)
        super().__init__(urls and bare(urls), *args, **kwargs)

    def tls_for(self, host: str, ssl: Any, transport: Any) -> Any:
        """Return the app's TLS options with the host's name, which the certificate must have."""
        self._asked_for = host
        self.is_tls = bool(ssl) or transport == "amqps"
        return verified(ssl, host) if self.is_tls else ssl

    def establish(self) -> RawConnection:
        """Return a new connection to the present host, apart from kombu's own.

        Raises:
            OSError: nobody answers there, or TLS refuses; the text says what to do.
        """
        try:
            raw = self.transport.establish_connection()
        except OSError as error:
            if (text := describe(error, tls=self.is_tls)) != str(error):
                raise ConnectionRefusedError(text) from error
            raise
        finally:
            # kombu makes 127.0.0.1 of localhost, which a certificate may not say.
            self.hostname = self._asked_for
        attach(raw, self.transport)
        return raw

    def must_be_usable(self) -> None:
        if self.stays_lost and not self.connected:
            raise RecoverableConnectionError("the connection was lost")

    def hears_goodbye(self) -> bool:
        return not self.is_deaf

    def as_uri(self, *args: Any, **kwargs: Any) -> str:
        """Return its URL without the password; kombu writes [::1] as %3A%3A1."""
        uri, host = str(super().as_uri(*args, **kwargs)), self.hostname or ""
        return uri.replace(quote(host, safe=""), f"[{host}]", 1) if ":" in host else uri

    @property
    def places(self) -> str:
        """Addresses that it connects to, for logs and errors, without passwords."""
        others = (type(self)(each).as_uri() for each in self.alt)
        return " or ".join(others) or str(self.as_uri())


def for_errands(app: celery.Celery) -> kombu.Connection:
    """Return a connection for an errand, not connected yet."""
    return app.connection_for_write()


def for_long_errands(app: celery.Celery) -> kombu.Connection:
    """Return a connection for an errand that lasts, with heartbeats, not connected yet."""
    return app.connection_for_write(heartbeat=chosen(app, "broker_heartbeat"))


def for_publishing(
    app: celery.Celery, on_blocked: Callable[[str], None], on_unblocked: Callable[[], None]
) -> kombu.Connection:
    """Return a publisher's connection, not connected yet.

    The callbacks are called when the broker takes no publishes, and when it does again.
    """
    connection = app.connection_for_write(heartbeat=chosen(app, "broker_heartbeat"))
    connection.transport_options = {
        **(connection.transport_options or {}),
        # kombu would wait for each confirm alone. The session counts them itself.
        "confirm_publish": False,
        "on_blocked": on_blocked,
        "on_unblocked": on_unblocked,
    }
    return connection


def connect(connection: BrokerConnection) -> RawConnection:
    """Open a connection to the first host that takes it, once round all, without kombu's pauses.

    Raises:
        OSError, amqp.exceptions.ConnectionError: the host's error; of several, all their texts.
    """
    refusals = []
    for _ in range(len(connection.alt) - 1):
        try:
            return _connect(connection)
        except LOST as error:
            refusals.append(f"{connection.as_uri()}: {error}")
        connection.maybe_switch_next()
    try:
        return _connect(connection)
    except LOST as error:
        if not refusals:
            raise
        last = f"{connection.as_uri()}: {error}"
        raise ConnectionRefusedError("; ".join([*refusals, last])) from error


def _connect(connection: BrokerConnection) -> RawConnection:
    try:
        return connection.establish()
    # A refused login: py-amqp sorts errors by their code.
    except ChannelError as error:
        raise ConnectionRefusedError(str(error)) from error


def frames_of(*connections: kombu.Connection | None) -> list[PyAmqpFrames]:
    """Return what reads and writes the frames of those that are connected."""
    return [each.connection.frames for each in connections if each is not None and each.connected]


def own(frames: Iterable[PyAmqpFrames], thread: int | None = None) -> None:
    """Let only this thread, or another one, use these connections from now on.

    py-amqp is not safe for two. Tests assert it: see compat/one_thread.py.
    """
    for each in frames:
        each.owner = get_ident() if thread is None else thread


@contextmanager
def visiting(connection: kombu.Connection) -> Iterator[RawConnection]:
    """Open a connection for an errand, and close it afterwards.

    Raises:
        BrokerUnreachableError: there is none, or it was lost, or the broker fell silent.
    """
    try:
        raw = connect(connection)
        own([raw.frames])
        raw.sock.settimeout(ANSWER_TIMEOUT)
        try:
            yield raw
        finally:
            leave(raw)
    # Some are OSErrors too.
    except QtEventsError:
        raise
    except LOST as error:
        message = f"no answer from {connection.places} ({error}): is RabbitMQ running there?"
        raise BrokerUnreachableError(message) from error


def leave(raw: RawConnection) -> None:
    """Say goodbye if the broker still listens, and close the socket."""
    with suppress(*LOST, ChannelError):
        raw.close()
    raw.collect()
