"""Acks: what is acknowledged on one channel, told to the broker together. On the thread that owns the connection."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from amqp import Channel

from qt_events.rabbitmq.compat.acknowledgements import acknowledge
from qt_events.rabbitmq.connection.connections import LOST

logger = logging.getLogger("qt_events")

#: Flushed when there are so many, so that the broker sends more while the rest of what it sent is being handled.
MOST = 32


class Acks:
    """The delivery tags of one channel: which were taken, which are done with, and what the broker is yet to hear.

    An acknowledgement of several at once says `multiple`: all up to this tag. So it goes no further than what is not
    done with, and is not used where somebody else takes messages of the same channel.

    A channel that is gone has `ended`: py-amqp opens one that the broker closed again, under the same number, and the
    old tags would be somebody else's there. The broker delivers again what it did not hear of.

    Args:
        channel: that the messages came by.
        soon: calls a function at the end of this turn of the event loop.
    """

    def __init__(self, channel: Channel, soon: Callable[[Callable[[], None]], Any]) -> None:
        self.channel, self._soon = channel, soon
        self._open: dict[int, None] = {}  # taken and not done with, in order
        self._done: list[int] = []  # the broker has not heard of it
        self._last = 0
        self._all_ours = True
        self.ended = False  #: nothing more is said of these tags

    def take(self, tag: int) -> None:
        """A message came."""
        if tag != self._last + 1:
            self._all_ours = False
        self._last = tag
        self._open[tag] = None

    def ack(self, tag: int) -> None:
        """It is done with."""
        if self.ended:
            return
        del self._open[tag]
        if not self._done:
            self._soon(self.flush)
        self._done.append(tag)
        if len(self._done) >= MOST:
            self.flush()

    def requeue(self, tag: int) -> None:
        """The broker is to deliver it again. Raises what a lost connection raises."""
        if self.ended:
            return
        del self._open[tag]
        self.channel.basic_reject(tag, requeue=True)

    def flush(self) -> None:
        """Tell the broker now. What it does not hear any more it delivers again."""
        if not self._done:
            return
        done, self._done = self._done, []
        try:
            acknowledge(self.channel, self._tags(done))
        except (
            *LOST,
            AttributeError,
        ) as error:  # py-amqp takes the connection of a closed channel away
            logger.info(
                "%d events that were handled are delivered again: their channel is gone (%s)",
                len(done),
                error,
            )

    def end(self) -> None:
        """The channel is gone."""
        self.ended = True
        self._done = []

    def _tags(self, done: list[int]) -> Iterable[tuple[int, bool]]:
        limit = next(iter(self._open), math.inf) if self._all_ours else 0
        together = max((tag for tag in done if tag < limit), default=0)
        if together:
            yield together, True
        for tag in done:
            if tag > together:
                yield tag, False
