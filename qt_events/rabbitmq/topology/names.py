"""Topology: arguments and bindings of every exchange and queue on the broker.

docs/wire.md shows them, under "On the broker". All are durable, and a second declaration changes
nothing.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError, NotFound

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.topics import spellings
from qt_events.rabbitmq.connection.refusals import is_about_a_publish, topology_error
from qt_events.rabbitmq.topology.batches import NEW, batches
from qt_events.rabbitmq.topology.declare import Declarer
from qt_events.rabbitmq.topology.object_names import Names
from qt_events.rabbitmq.topology.pipeline import Pipeline
from qt_events.rabbitmq.topology.turns import turn_to_bind

# The broker counts returns of what was merely prefetched, too. On 3.10, -1 deletes messages.
NO_DELIVERY_LIMIT = 1_000_000
#: Routing key of requests for old events.
REQUEST = "request"
INSTANCE_EXPIRES = 30 * 60 * 1000  # ms that a broadcast queue outlives its process

_ONE_AT_A_TIME = {"x-single-active-consumer": True}


@dataclass(frozen=True, slots=True)
class Topology(Names):
    """Names and declarations under one prefix."""

    # See Declarer.
    _refused: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def declare_base(self, channel: Channel) -> None:
        """Declare what a publisher needs: the exchange. TopologyError: it is another one there."""
        try:
            self._declarer(channel).exchange(self.events, "topic")
        except ChannelError as error:
            raise topology_error(error, f"exchange {self.events!r}") from error

    def has_base(self, channel: Channel) -> bool:
        """Return True if a bus has declared all that its subscriptions share."""
        try:
            channel.exchange_declare(self.quarantined, "topic", passive=True)
        except NotFound:
            return False
        return True

    def forget_refusals(self) -> None:
        """Try again what this user was refused: it may be allowed by now."""
        self._refused.clear()

    def turn_to_bind(self, channel: Channel) -> AbstractContextManager[None]:
        """Return what holds other processes off while bindings are made or removed."""
        return turn_to_bind(channel, self.binding_lock, self._refused)

    def declare_subscription(
        self,
        channel: Channel,
        subscription: Subscription,
        key: str,
        *,
        served: bool = True,
        lasting: bool = True,
        shared: bool = True,
    ) -> None:
        """Declare the queue of a subscription and all that belongs to it.

        If this user may not declare, everything must exist already. It must be allowed to bind the
        queue only if this process serves it.

        Args:
            channel: on which to declare.
            subscription: whose queue it is.
            key: its name, for a broadcast with its instance.
            served: a worker in this process takes its events.
            lasting: declare its dead letters and its quarantine, too.
            shared: declare what all subscriptions share, too.

        Raises:
            TopologyError: something exists on the broker with other arguments, or is missing and
                may not be declared.
        """
        declarer = self._declarer(channel)
        try:
            if shared:
                self._declare_shared(declarer)
            self._declare_subscription(declarer, subscription, key, served=served, lasting=lasting)
        except ChannelError as error:
            raise topology_error(error, f"subscription {subscription.name!r}") from error

    def declare_at_once(
        self,
        channel: Channel,
        wanted: Iterable[tuple[Subscription, str, bool, bool]],
        *,
        shared: bool,
    ) -> bool:
        """Declare several subscriptions (with key, `served`, `lasting`) in one round trip.

        Return False if the broker refuses something. It does not say which subscription that was
        for: declare one by one then.
        """

        def declare(declarer: Declarer) -> None:
            if shared:
                self._declare_shared(declarer)
            for subscription, key, served, whole in wanted:
                self._declare_subscription(
                    declarer, subscription, key, served=served, lasting=whole
                )

        return self._at_once(channel, declare)

    def _at_once(self, channel: Channel, declare: Callable[[Declarer], None]) -> bool:
        """Return False if the broker refuses something."""
        pipeline = Pipeline(channel)
        try:
            declare(self._declarer(pipeline))
            pipeline.confirm()
        except ChannelError as error:
            if is_about_a_publish(error):
                raise
            return False
        return True

    def _declare_subscription(
        self,
        declarer: Declarer,
        subscription: Subscription,
        key: str,
        *,
        served: bool,
        lasting: bool,
    ) -> None:
        if lasting:
            self._declare_dead_letters(declarer, subscription.name)
            if self.has_quarantine(subscription):
                self._declare_quarantine(declarer, subscription.name)
        # An event with a TTL of its producer expires as a dead letter. Until it has somewhere to
        # go, a quorum queue keeps it.
        arguments = self._to_dead_letters(subscription.name)
        if subscription.broadcast:
            arguments["x-expires"] = INSTANCE_EXPIRES
        declarer.queue(self.queue(key), **self._queue(**arguments))
        declarer.bind(self.queue(key), self.redeliver, key, served=served)
        if subscription.hears_fates:
            declarer.exchange(self.fates, "topic")
            declarer.bind(self.queue(key), self.fates, "#", served=served)
        for pattern in subscription.patterns:
            declarer.bind(self.queue(key), self.events, pattern, served=served)

    def declare_for_others(self, channel: Channel, subscriptions: Iterable[Subscription]) -> None:
        """Declare what these subscriptions need, for components that may not declare it.

        A broadcast's processes make their queues themselves. All delay levels are declared, because
        a handler may ask for any delay. TopologyError: see `declare_subscription`.
        """
        broadcasts = [each.name for each in subscriptions if each.broadcast]
        wanted = [(each, each.name, True, True) for each in subscriptions if not each.broadcast]

        def declare(declarer: Declarer) -> None:
            self._declare_shared(declarer)
            declarer.exchange(self.fates, "topic")
            for ttl in self.ttls():
                self._declare_level(declarer, ttl)
            for name in broadcasts:
                self._declare_dead_letters(declarer, name)

        self._declare(channel, declare, f"prefix {self.prefix!r}")
        for batch in batches(wanted, NEW):
            if not self.declare_at_once(channel, batch, shared=False):
                for subscription, key, *_ in batch:
                    self.declare_subscription(channel, subscription, key, shared=False)
            channel.connection.heartbeat_tick()

    def _declare(self, channel: Channel, declare: Callable[[Declarer], None], about: str) -> None:
        """Declare in one round trip, or, if something is refused, one after the other."""
        try:
            if not self._at_once(channel, declare):
                declare(self._declarer(channel))
        except ChannelError as error:
            raise topology_error(error, about) from error

    def declare_register(self, channel: Channel) -> None:
        lasting = {"durable": True, "auto_delete": False, "exclusive": False}
        channel.queue_declare(self.register, **lasting, arguments=self._queue())

    def declare_starts(self, channel: Channel) -> None:
        """Declare what a recorder needs to serve newcomers. TopologyError: see above."""
        self._declare(channel, self._declare_starts, f"queue {self.starts!r}")

    def declare_old(self, channel: Channel, name: str, generation: str) -> None:
        """Declare a newcomer's queue of old events; `generation` tells it from an earlier one.

        One worker at a time takes them. So it knows when all are handled.
        """
        queue = self.old(name)

        def declare(declarer: Declarer) -> None:
            self._declare_starts(declarer)
            declarer.queue(queue, **self._queue(**_ONE_AT_A_TIME))
            declarer.bind(queue, self.starting, self.old_key(name, generation))

        self._declare(channel, declare, f"queue {queue!r}")

    def unbind(self, channel: Channel, key: str, pattern: str) -> None:
        """Remove the binding of a queue, however it is spelled.

        It is no error if there is none, or no queue.
        """
        for each in spellings(pattern):
            self._declarer(channel).unbind(self.queue(key), self.events, each)

    def declare_level(self, channel: Channel, delay: float) -> None:
        """Declare the delay level for `delay` seconds. Expired events come back by `redeliver`."""
        name, ttl = self.level(delay)

        def declare(declarer: Declarer) -> None:
            self._declare_shared(declarer)
            self._declare_level(declarer, ttl)

        self._declare(channel, declare, f"delay level {name!r}")

    def declare_dead_letters(self, channel: Channel, name: str) -> None:
        """Declare the dead letters of a subscription. TopologyError: see above."""

        def declare(declarer: Declarer) -> None:
            self._declare_shared(declarer)
            self._declare_dead_letters(declarer, name)

        self._declare(channel, declare, f"dead letters of {name!r}")

    def declare_quarantine(self, channel: Channel, name: str) -> None:
        """Declare its quarantine, and its dead letters, where the broker may put what is there."""
        self.declare_dead_letters(channel, name)
        self._declare(
            channel,
            lambda declarer: self._declare_quarantine(declarer, name),
            f"quarantine of {name!r}",
        )

    def _declarer(self, channel: Channel | Pipeline) -> Declarer:
        return Declarer(channel, self._refused)

    def _declare_shared(self, declarer: Declarer) -> None:
        declarer.exchange(self.events, "topic")
        declarer.exchange(self.lost, "fanout")
        if declarer.queue(self.lost, **self._queue()):
            declarer.bind(self.lost, self.lost, "")
        # Not direct: RabbitMQ asks who may use a key only for topic exchanges.
        declarer.exchange(self.redeliver, "topic", **{"alternate-exchange": self.lost})
        # Without an alternate exchange: a worker whose copy reaches no queue must keep the event.
        for exchange in (self.dead_letters, self.quarantined):
            declarer.exchange(exchange, "topic")

    def _declare_dead_letters(self, declarer: Declarer, name: str) -> None:
        if declarer.queue(self.dead(name), **self._queue()):
            declarer.bind(self.dead(name), self.dead_letters, name)

    def _declare_quarantine(self, declarer: Declarer, name: str) -> None:
        alone = {**_ONE_AT_A_TIME, **self._to_dead_letters(name)}
        if declarer.queue(self.quarantine(name), **self._queue(**alone)):
            declarer.bind(self.quarantine(name), self.quarantined, name)

    def _declare_starts(self, declarer: Declarer) -> None:
        declarer.exchange(self.starting, "topic")
        if declarer.queue(self.starts, **self._queue(**_ONE_AT_A_TIME)):
            declarer.bind(self.starts, self.starting, REQUEST)

    def _declare_level(self, declarer: Declarer, ttl: int) -> None:
        name = self._level(ttl)
        declarer.exchange(name, "topic")
        back = {"x-message-ttl": ttl, "x-dead-letter-exchange": self.redeliver}
        if declarer.queue(name, **self._queue(**back, **self._at_least_once())):
            declarer.bind(name, name, "#")

    def _to_dead_letters(self, name: str) -> dict[str, Any]:
        """Make a message that the broker drops a dead letter, whatever limits a policy sets."""
        return {
            "x-dead-letter-exchange": self.dead_letters,
            "x-dead-letter-routing-key": name,
            **self._at_least_once(),
        }

    def _at_least_once(self) -> dict[str, Any]:
        if self.queue_type == "classic":
            # Classic queues dead-letter at most once, whatever one asks (RabbitMQ, Dead Lettering).
            return {}
        return {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}

    def _queue(self, **arguments: Any) -> dict[str, Any]:
        limit = {"x-delivery-limit": NO_DELIVERY_LIMIT} if self.queue_type == "quorum" else {}
        return {"x-queue-type": self.queue_type, **limit, **arguments}

    # Look and remove

    def depth(self, channel: Channel, queue: str) -> tuple[int, int]:
        """Return the numbers of ready messages and consumers. NotFound (amqp): no such queue."""
        answer = channel.queue_declare(queue, passive=True)
        return answer.message_count, answer.consumer_count

    def delete(self, channel: Channel, subscriptions: Iterable[tuple[str, str]]) -> None:
        """Delete everything, with the queues of these subscriptions (name, key).

        It is no error if something does not exist.
        """
        for name, key in subscriptions:
            for queue in (self.queue(key), self.old(name), self.dead(name), self.quarantine(name)):
                channel.queue_delete(queue)
        for queue in (self.register, self.starts):
            channel.queue_delete(queue)
        for name in (*self.levels(), self.lost, self.fates, self.starting):
            channel.queue_delete(name)
            channel.exchange_delete(name)
        for exchange in (self.redeliver, self.dead_letters, self.quarantined, self.events):
            channel.exchange_delete(exchange)
