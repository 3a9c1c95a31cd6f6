"""TaskEvents: what a worker tells monitors such as Flower (`-E`), unless the broker takes no publishes."""

import logging
from contextlib import suppress
from typing import Any

from amqp.exceptions import ChannelError

from qt_events.rabbitmq.compat.event_dispatcher import EventDispatcher
from qt_events.rabbitmq.connection.connections import LOST, BrokerConnection

logger = logging.getLogger("qt_events")


class TaskEvents(EventDispatcher):
    """Celery's dispatcher, that holds its tongue while an alarm of the broker lasts.

    RabbitMQ reads no more from a connection that has published during an alarm, and says so. What is written to it all
    the same fills the buffers on the way within a second or two of a busy worker; the next write then blocks the event
    loop, fails, and takes the worker's connection along, again and again until the alarm is over. What a monitor is not
    told it can do without: it is counted, and logged once.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._is_blocked, self._untold = False, 0
        super().__init__(*args, **kwargs)

    def enable(self) -> None:
        """Celery calls it with the connection made."""
        super().enable()
        if isinstance(self.connection, BrokerConnection) and self.connection.connected:
            raw = self.connection.connection
            raw.on_blocked, raw.on_unblocked = self._block, self._unblock

    def extend_buffer(self, other: "TaskEvents") -> None:
        """What its predecessor could not tell, less the retries: an attempt after them may be over by now."""
        kept = ((_less_retries(event), key) for event, key in other.unsent)
        self.keep((event, key) for event, key in kept if event)

    def _block(self, reason: str) -> None:
        """py-amqp looks for the broker's word before each publish."""
        self._is_blocked, self._untold = True, 0
        self.connection.is_deaf = True
        logger.warning("monitors are told nothing: the broker takes no publishes (%s)", reason)

    def _unblock(self) -> None:
        self._is_blocked = self.connection.is_deaf = False
        logger.info("monitors are told again; %d task events were left out", self._untold)

    def may_send(self, event: Any) -> bool:
        """Return False during an alarm, and count what is left out."""
        if self._is_blocked:
            # Without heartbeats nobody else reads what the broker says. TimeoutError: it says nothing.
            with suppress(*LOST, ChannelError):
                self.connection.drain_events(timeout=0)
        if self._is_blocked:
            self._untold += len(event) if isinstance(event, list) else 1
        return not self._is_blocked


def _less_retries(event: Any) -> Any:
    """Of several together; Celery keeps those of one task together with others."""
    return (
        [each for each in event if each["type"] != "task-retried"]
        if isinstance(event, list)
        else event
    )
