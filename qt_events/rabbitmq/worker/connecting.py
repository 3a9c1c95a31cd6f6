"""ConnectingConsumer: a worker's login, its further tries, and the claim to its name."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import kombu
from amqp.exceptions import AccessRefused, NotAllowed, ResourceLocked
from celery.exceptions import CPendingDeprecationWarning, WorkerShutdown
from celery.platforms import EX_FAILURE
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.common import QoS

from qt_events.errors import BusStateError, LoginRefusedError
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, frames_of, leave, own
from qt_events.rabbitmq.connection.defaults import chosen
from qt_events.rabbitmq.connection.outage import Outage
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask
from qt_events.rabbitmq.runtime import Runtime
from qt_events.rabbitmq.worker.celery_flags import raise_if_stopping
from qt_events.rabbitmq.worker.serving import Serving
from qt_events.shutdown import Shutdown

logger = logging.getLogger("qt_events")

_REFUSED_PAUSE = 2.0  # seconds before another try to log in
_POLL = 0.2  # seconds between two checks whether the worker is to stop meanwhile

# A worker that had the name may be ending just now.
_NAME_TRIES = 10
_NAME_PAUSE = 0.3  # seconds between two tries


class ConnectingConsumer(Consumer):
    """Connecting side of EventConsumer."""

    runtime: Runtime
    _serving: Serving
    _shutdown: Shutdown
    _qos: QoS | None = None

    @property
    def qos(self) -> QoS | None:
        """Prefetch of Celery's own tasks, which it changes for those with an eta.

        Celery's thread and those of its pools do so, while the connection may belong to the event
        loop: only the owner sends it.
        """
        return self._qos

    @qos.setter
    def qos(self, qos: QoS | None) -> None:
        if qos is not None:
            qos.callback = partial(self._send_prefetch, qos.callback)
            # Celery has just sent it. Else its loop would again, and handlers would wait for it.
            qos.prev = qos.value
        self._qos = qos

    def _send_prefetch(self, send: Callable[..., object], prefetch_count: int) -> None:
        # Else it would hold for no consumer there is, and for the next one in place of its own.
        if self.qos_global:
            self.call_soon(send, prefetch_count=prefetch_count)

    def frames(self) -> list[Any]:
        """Return what reads and writes the connections of this worker."""
        dispatcher = self.event_dispatcher
        return frames_of(self.connection, dispatcher and dispatcher.connection)

    @cached_property
    def _outage(self) -> Outage:
        return Outage()

    def connect(self) -> kombu.Connection:
        """Connect, and claim the worker's name where remote control is on.

        Raises:
            LoginRefusedError: the very first login. A later one is retried: it may be allowed
                again.
        """
        while (connection := self._logged_in()) is None or not self._has_name(connection):
            pass
        if (seconds := self._outage.end(time.monotonic())) is not None:
            logger.info("worker: connected again after %.0f s", seconds)
        return connection

    def _has_name(self, connection: kombu.Connection) -> bool:
        """Claim the name where it takes one; without it, leave the connection."""
        if not self.app.conf.worker_enable_remote_control:
            return True
        raw, is_claimed = connection.connection, False
        try:
            is_claimed = self._claim_name(connection)
        finally:
            if not is_claimed:
                # Celery does not know of it yet, and would leave it open.
                raw.frames.leave(self.hub)
                leave(raw)
        return is_claimed

    def _logged_in(self) -> kombu.Connection | None:
        """Return a connection; None, after a pause, if a later login than the first is refused."""
        try:
            return super().connect()
        except (AccessRefused, NotAllowed) as error:
            where = self.conninfo.as_uri()
            if not self.restart_count:
                raise LoginRefusedError(
                    f"{where} refused the login ({error.reply_text}): check user, password and "
                    "virtual host"
                ) from error
            self._tell_refusal("%s refused the login (%s)", where, error.reply_text)
            self._pause()
            return None

    def _tell_refusal(self, what: str, *about: object) -> None:
        """Log that there is no connection, if that is news."""
        now = time.monotonic()
        if self._outage.note(what % about, now):
            message = f"worker: {what}, trying until there is a connection; away for %.0f s"
            logger.warning(message, *about, self._outage.lasts(now))

    def _pause(self) -> None:
        until = time.monotonic() + _REFUSED_PAUSE
        while time.monotonic() < until:
            raise_if_stopping(self._shutdown)
            time.sleep(_POLL)

    def _claim_name(self, connection: kombu.Connection) -> bool:
        """Declare the node's control queue before any event is taken; tell whether that is done.

        The queue is exclusive, so a refusal means that another worker has this name, at first; or
        our own lost connection, until the broker misses its heartbeat.
        """
        for _ in range(_NAME_TRIES):
            try:
                with connection.channel() as channel:
                    self.app.control.mailbox.get_queue(self.hostname)(channel).queue_declare()
                return True
            except ResourceLocked as error:
                refusal = error
            time.sleep(_NAME_PAUSE)
            raise_if_stopping(self._shutdown)
        if self.restart_count:
            what = "the broker still holds the name %s (%s)"
            self._tell_refusal(what, self.hostname, refusal.reply_text)
            return False
        taken = BusStateError(
            f"a worker named {self.hostname} is running already: give this one a name of its own, "
            f"such as -n {self.hostname.partition('@')[0]}2@%h, or none, and it gets a unique one"
        )
        logger.critical("%s: %s", type(taken).__name__, taken)
        raise WorkerShutdown(EX_FAILURE) from taken

    def ensure_connected(self, conn: kombu.Connection) -> kombu.Connection:
        """Try, with short pauses, until there is a connection or the worker is to stop."""
        connected = conn.ensure_connection(
            partial(self._on_connection_refused, conn),
            chosen(self.app, "broker_connection_max_retries"),
            interval_start=0.2,
            interval_step=0.4,
            interval_max=2.0,
            callback=partial(raise_if_stopping, self._shutdown),
        )
        self.first_connection_attempt = False
        connected.stays_lost = True
        own(frames_of(connected))
        # Nobody looks at heartbeats until all is set up.
        connected.connection.sock.settimeout(ANSWER_TIMEOUT)
        return connected

    def _on_connection_refused(
        self, conn: kombu.Connection, error: Exception, _interval: float
    ) -> None:
        self._serving.note_refusal(error)
        self._tell_refusal("no connection to %s (%s)", conn.as_uri(), error)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Do as Celery does for plain tasks, without its warning of another default in Celery 6.

        Handlers that run may finish, and each queue of a subscription has its own prefetch.
        """
        self.qos_global = False
        with warnings.catch_warnings(), _plain_tasks_alone():
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            super().on_connection_error_after_connected(exc)
        if self.event_dispatcher is not None and self.event_dispatcher.connection is not None:
            # Celery would say goodbye, and wait for an answer without end.
            self.event_dispatcher.connection.collect()


@contextmanager
def _plain_tasks_alone() -> Iterator[None]:
    """Hide events from Celery, which may cancel tasks that are acknowledged late."""
    active = state.active_requests
    events = [each for each in tuple(active) if isinstance(each.task, SubscriptionTask)]
    active.difference_update(events)
    try:
        yield
    finally:
        active.update(events)
