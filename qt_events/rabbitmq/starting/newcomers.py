"""Newcomers: whether a subscription begins with old events is decided when its queue is made.

Until then there is no queue of its own; from then on it collects live events. A queue of old events
is made before it, and while that stands, its workers consume no other.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from uuid import uuid4

import kombu
from amqp import Channel
from amqp.basic_message import Message as RawMessage
from amqp.exceptions import AccessRefused, ChannelError, MessageNacked, NotFound

from qt_events.delivery.subscribing.starting import NOW, RECORDER, since_of
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import NoRecorderError, TopologyError
from qt_events.rabbitmq.connection.connections import ANSWER_TIMEOUT, visiting
from qt_events.rabbitmq.connection.refusals import is_about_a_publish
from qt_events.rabbitmq.starting.requests import StartRequest, message
from qt_events.rabbitmq.topology.broker_lock import LockedError, broker_lock
from qt_events.rabbitmq.topology.names import REQUEST, Topology
from qt_events.rabbitmq.topology.queues import Arrived, SubscriptionQueue

logger = logging.getLogger("qt_events")


class Newcomers:
    """Newcomers of one bus, as far as this process has declared or looked at them. Thread-safe.

    `connect` returns a connection that is not connected yet, for requests: an alarm of the broker
    stops one that publishes, and a worker's must go on.
    """

    def __init__(self, topology: Topology, connect: Callable[[], kombu.Connection]) -> None:
        self._topology, self._connect = topology, connect
        # Names of those in their past.
        self._in_past = set[str]()
        #: See SubscriptionQueue.consume_old. A worker sets it.
        self.worker: Callable[[SubscriptionQueue, Arrived], Arrived | None] | None = None

    def consume(self, queue: SubscriptionQueue, arrived: Arrived) -> Arrived | None:
        """Consume old events for now instead, if a worker runs here; see SubscriptionQueue."""
        return arrived if self.worker is None else self.worker(queue, arrived)

    def is_in_past(self, name: str) -> bool:
        """Return True if its old events are not over, as far as is known."""
        return name in self._in_past

    def is_over(self, name: str) -> None:
        """Note that its old events are over."""
        self._in_past.discard(name)

    @contextmanager
    def beginning(self, channel: Channel, subscriptions: Sequence[Subscription]) -> Iterator[None]:
        """Make queues of old events for those that do not stand, before they are declared.

        Raises:
            NoRecorderError: nobody takes requests for old events.
            TopologyError: one does not stand, and this user may not declare it; or another process
                has been declaring newcomers for too long.
        """
        newcomers = [each for each in subscriptions if each.start != NOW]
        if not newcomers:
            yield
            return
        with ExitStack() as turn:
            if not all(self._stands(channel, each) for each in newcomers):
                self._take_turn(turn, channel)
                is_recorded = any(each.name == RECORDER for each in subscriptions)
                for each in newcomers:
                    # Another process may have been faster.
                    if not self._stands(channel, each):
                        self._begin(channel, each, is_recorded=is_recorded)
            yield
        for each in newcomers:
            self._look(channel, each.name)

    def look_again(self, channel: Channel) -> None:
        """Look which of those that were in their past are no more; with each new connection."""
        for name in tuple(self._in_past):
            self._look(channel, name)

    def _look(self, channel: Channel, name: str) -> None:
        if self._is_there(channel, self._topology.old(name)):
            self._in_past.add(name)
        else:
            self._in_past.discard(name)

    def _stands(self, channel: Channel, subscription: Subscription) -> bool:
        return self._is_there(channel, self._topology.queue(subscription.name))

    def _is_there(self, channel: Channel, queue: str) -> bool:
        """Tell whether a queue exists; True if this user may not look (RabbitMQ 4.3)."""
        try:
            self._topology.depth(channel, queue)
        except NotFound:
            return False
        except AccessRefused as error:
            # The publisher's own channel may end meanwhile.
            if is_about_a_publish(error):
                raise
        return True

    def _take_turn(self, turn: ExitStack, channel: Channel) -> None:
        lock = self._topology.starts_lock
        try:
            turn.enter_context(broker_lock(channel, lock))
        except LockedError as error:
            raise TopologyError(f"{lock!r}: {error}; try again") from error
        except AccessRefused as error:
            if is_about_a_publish(error):
                raise
            raise TopologyError(
                "a new subscription with start= is missing on the broker, and this user may not "
                "declare it: run `qt-events topology declare` as an administrator"
            ) from error

    def _begin(self, channel: Channel, subscription: Subscription, *, is_recorded: bool) -> None:
        name = subscription.name
        own = () if is_recorded else (self._topology.queue(RECORDER),)
        for queue in (self._topology.starts, *own):
            if not self._is_there(channel, queue):
                raise NoRecorderError(
                    f"{name!r} is to start with old events, and no history records any on this "
                    f"broker (there is no queue {queue!r}): start `qt-events history record` "
                    "first, or leave start= out"
                )
        request = StartRequest(
            name, uuid4().hex, subscription.patterns, since_of(subscription.start)
        )
        # Of a process that died here before it made the subscription's own.
        channel.queue_delete(self._topology.old(name))
        self._topology.declare_old(channel, name, request.generation)
        self._send(request)
        logger.info("%s: its old events were asked for", name)

    def _send(self, request: StartRequest) -> None:
        content = message(request)
        raw = RawMessage(content.body, **content.properties)
        try:
            with visiting(self._connect()) as connection:
                connection.channel().basic_publish_confirm(
                    raw, self._topology.starting, REQUEST, confirm_timeout=ANSWER_TIMEOUT
                )
        except (ChannelError, MessageNacked) as error:
            raise TopologyError(
                f"old events for {request.subscription!r} cannot be asked for: {error}"
            ) from error
