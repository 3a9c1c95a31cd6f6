"""TaskEvents: task events for monitors such as Flower (`-E`)."""

import logging
from contextlib import suppress
from threading import get_ident
from typing import Any

from amqp.exceptions import ChannelError

from qt_events.rabbitmq.compat.event_dispatcher import EventDispatcher
from qt_events.rabbitmq.connection.connections import LOST, BrokerConnection

logger = logging.getLogger("qt_events")


class TaskEvents(EventDispatcher):
    """Celery's dispatcher, which leaves out all events during an alarm of the broker.

    RabbitMQ stops reading from a connection that publishes during an alarm, and says so. A busy
    worker would fill the buffers in between within seconds. The next write would block the event
    loop, fail, and end the worker's connection, again and again until the alarm is over. Monitors
    can do without: events that are left out are counted, and logged once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._is_blocked, self._untold = False, 0
        super().__init__(*args, **kwargs)

    def enable(self) -> None:
        """Listen for alarms. Celery calls it when the connection is made."""
        super().enable()
        if isinstance(self.connection, BrokerConnection) and self.connection.connected:
            raw = self.connection.connection
            raw.on_blocked, raw.on_unblocked = self._block, self._unblock

    def flush(self, *args: Any, **kwargs: Any) -> None:
        """Send what waits, or have the thread do it that owns the connection.

        Celery flushes wherever a batch is full: in a thread that runs a plain task, for one.
        """
        if self._is_anothers():
            self.on_send_buffered()
        else:
            super().flush(*args, **kwargs)

    def _is_anothers(self) -> bool:
        connection = self.connection
        if not (isinstance(connection, BrokerConnection) and connection.connected):
            return False
        owner = connection.connection.frames.owner
        return bool(owner and owner != get_ident() and self.on_send_buffered)

    def extend_buffer(self, other: "TaskEvents") -> None:
        """Take over the unsent events of another dispatcher, but no retries.

        The attempt after a retry may be over by now.
        """
        kept = ((_less_retries(event), key) for event, key in other.unsent)
        self.keep((event, key) for event, key in kept if event)

    def _block(self, reason: str) -> None:
        """Begin to leave events out. py-amqp reads the broker's notices before each publish."""
        self._is_blocked, self._untold = True, 0
        self.connection.is_deaf = True
        logger.warning("no task events are sent: the broker takes no publishes (%s)", reason)

    def _unblock(self) -> None:
        self._is_blocked = self.connection.is_deaf = False
        logger.info("task events are sent again; %d were left out", self._untold)

    def may_send(self, event: Any) -> bool:
        """Return False during an alarm, and count what is left out."""
        if self._is_blocked:
            # Without heartbeats nobody else reads what the broker says. TimeoutError: nothing.
            with suppress(*LOST, ChannelError):
                self.connection.drain_events(timeout=0)
        if self._is_blocked:
            self._untold += len(event) if isinstance(event, list) else 1
        return not self._is_blocked


def _less_retries(event: Any) -> Any:
    """Return the event without retries: Celery sends a list of several events together."""
    if not isinstance(event, list):
        return event
    return [each for each in event if each["type"] != "task-retried"]
