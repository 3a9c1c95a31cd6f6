"""Acks: acknowledgements of one channel, sent together by the thread that owns the connection."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from amqp import Channel

from qt_events.rabbitmq.compat.acknowledgements import acknowledge
from qt_events.rabbitmq.connection.connections import LOST
from qt_events.rabbitmq.messages.envelope import Envelope

logger = logging.getLogger("qt_events")

#: Acknowledgements that may wait: the broker sends more while the rest is being handled.
MOST = 32


class Acks:
    """Delivery tags of one channel, and the acknowledgements that the broker has yet to get.

    One acknowledgement with `multiple` covers all tags up to its own. So it stops before the first
    message that is still held, and is not used if others take messages of the same channel.

    A channel that is gone has `ended`. py-amqp opens it again under the same number, where the old
    tags would mean other messages. The broker delivers again whatever was not acknowledged.

    Args:
        channel: the channel that the messages came by.
        soon: calls a function at the end of this turn of the event loop.
        on_unheard: called with each settled message whose acknowledgement the broker does not get.
    """

    def __init__(
        self,
        channel: Channel,
        soon: Callable[[Callable[[], None]], Any],
        on_unheard: Callable[[Envelope], None] = lambda _: None,
    ) -> None:
        self.channel, self._soon, self._on_unheard = channel, soon, on_unheard
        # Held messages, in order.
        self._open: dict[int, Envelope] = {}
        # Settled messages that are not acknowledged yet.
        self._done: dict[int, Envelope] = {}
        self._last = 0
        self._all_ours = True
        #: The tags must not be used any more.
        self.ended = False

    def take(self, tag: int, envelope: Envelope) -> None:
        """Hold a message that came."""
        if tag != self._last + 1:
            self._all_ours = False
        self._last = tag
        self._open[tag] = envelope

    def ack(self, tag: int) -> None:
        """Acknowledge a message soon."""
        if self.ended:
            return
        if not self._done:
            self._soon(self.flush)
        self._done[tag] = self._open.pop(tag)
        if len(self._done) >= MOST:
            self.flush()

    def ack_together(self, tags: Iterable[int]) -> None:
        """Acknowledge messages soon, however many there are: the broker has sent others by now."""
        if self.ended:
            return
        if not self._done:
            self._soon(self.flush)
        for tag in tags:
            self._done[tag] = self._open.pop(tag)

    def requeue(self, tag: int) -> None:
        """Have the broker deliver a message again. Raises what a lost connection raises."""
        if self.ended:
            return
        del self._open[tag]
        self.channel.basic_reject(tag, requeue=True)

    def without(self, tag: int) -> "Acks":
        """Hold a message no more that is delivered again anyway; return acks that have ended."""
        self._open.pop(tag, None)
        gone = Acks(self.channel, self._soon)
        gone.ended = True
        return gone

    def flush(self) -> None:
        """Acknowledge now what is settled. If that fails, the broker delivers it again."""
        if not self._done:
            return
        done, self._done = self._done, {}
        try:
            # After a blocked loop, for one. Writing would not fail.
            if self.channel.connection.frames.is_hung_up():
                raise ConnectionResetError("the broker has hung up")
            acknowledge(self.channel, self._tags(done))
        # AttributeError: py-amqp takes the connection away from a closed channel.
        except (*LOST, AttributeError) as error:
            message = "%d events that were handled are delivered again: their channel is gone (%s)"
            logger.info(message, len(done), error)
            self._tell_unheard(done)

    def end(self) -> None:
        """Use the tags no more: the channel is gone."""
        self.ended = True
        done, self._done = self._done, {}
        self._tell_unheard(done)

    def _tell_unheard(self, done: dict[int, Envelope]) -> None:
        for envelope in done.values():
            self._on_unheard(envelope)

    def _tags(self, done: Iterable[int]) -> Iterable[tuple[int, bool]]:
        limit = next(iter(self._open), math.inf) if self._all_ours else 0
        together = max((tag for tag in done if tag < limit), default=0)
        if together:
            yield together, True
        for tag in done:
            if tag > together:
                yield tag, False
