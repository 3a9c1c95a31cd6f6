"""Topology: names, arguments and bindings of every exchange and queue on the broker.

No other module makes such names. docs/wire.md shows them, under "On the broker". All are durable,
and a second declaration changes nothing.
"""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from amqp import Channel
from amqp.exceptions import ChannelError

from qt_events.delivery.retry import MAX_DELAY
from qt_events.delivery.subscription import Subscription
from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.connection.refusals import is_about_a_publish, topology_error
from qt_events.rabbitmq.topology.declare import Declarer
from qt_events.rabbitmq.topology.pipeline import Pipeline
from qt_events.rabbitmq.topology.turns import turn_to_bind

FIRST_LEVEL = 100  # ms; the levels double from here
# The broker counts returns of what was merely prefetched, too. On 3.10, -1 deletes messages.
NO_DELIVERY_LIMIT = 1_000_000
INSTANCE_EXPIRES = 30 * 60 * 1000  # ms that a broadcast queue outlives its process
QUEUE_TYPES = ("quorum", "classic")
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,39}")
# Words before the names that users give; after a prefix, each is the beginning of a queue's name.
_KINDS = {"sub", "dead", "quarantine", "retry"}
#: End of the name of a broadcast's queue: its process. A regular expression.
INSTANCE = r"\.[0-9a-f]{12}"
_INSTANCE = re.compile(f"{INSTANCE}$")


@dataclass(frozen=True, slots=True)
class Topology:
    """Names and declarations under one prefix."""

    prefix: str = "qt"
    queue_type: str = "quorum"
    # See Declarer.
    _refused: dict[str, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            message = f"prefix={self.prefix!r} must be 1 to 40 letters, digits, '_', '.' or '-'"
            raise InvalidOptionError(message)
        if not _KINDS.isdisjoint(self.prefix.split(".")[1:]):
            message = (
                f"prefix={self.prefix!r} would begin names that the prefix "
                f"{self.prefix.split('.')[0]!r} has: use none of {', '.join(sorted(_KINDS))} in it"
            )
            raise InvalidOptionError(message)
        if self.queue_type not in QUEUE_TYPES:
            message = f"queue_type={self.queue_type!r} must be one of {', '.join(QUEUE_TYPES)}"
            raise InvalidOptionError(message)

    # Names

    @property
    def events(self) -> str:
        """Topic exchange that every event goes to."""
        return f"{self.prefix}.events"

    @property
    def redeliver(self) -> str:
        """Exchange through which an event comes back to one subscription."""
        return f"{self.prefix}.redeliver"

    @property
    def dead_letters(self) -> str:
        """Exchange through which an event goes to its subscription's dead letters."""
        return f"{self.prefix}.dead"

    @property
    def quarantined(self) -> str:
        """Exchange through which an event goes into its subscription's quarantine."""
        return f"{self.prefix}.quarantine"

    @property
    def fates(self) -> str:
        """Topic exchange that tells what became of events. Nobody needs it but its listeners."""
        return f"{self.prefix}.fates"

    @property
    def lost(self) -> str:
        """Exchange and queue of events that came back to a subscription that is gone."""
        return f"{self.prefix}.lost"

    @property
    def register(self) -> str:
        """Queue of one message: what is known of the subscriptions. See register.py."""
        return f"{self.prefix}.register"

    @property
    def register_lock(self) -> str:
        """Queue that exists while a process changes the register."""
        return f"{self.register}.lock"

    @property
    def binding_lock(self) -> str:
        """Queue that exists while a process binds, on some brokers. See turns.py."""
        return f"{self.prefix}.binding.lock"

    def queue(self, key: str) -> str:
        """Return the queue of a subscription, or of its instance in one process.

        `key` is the routing key that brings events back to it.
        """
        return f"{self.prefix}.sub.{key}"

    def dead(self, name: str) -> str:
        return f"{self.prefix}.dead.{name}"

    def quarantine(self, name: str) -> str:
        """Return the queue of events that came back repeatedly without an outcome."""
        return f"{self.prefix}.quarantine.{name}"

    def subscription_of(self, queue: str) -> str | None:
        """Return the name of the subscription that this queue belongs to, without the instance.

        None for dead letters, and for whatever is no `queue`.
        """
        prefix = self.queue("")
        return _INSTANCE.sub("", queue.removeprefix(prefix)) if queue.startswith(prefix) else None

    def holds_dead_letters(self, queue: str) -> bool:
        """Return True for a `dead` queue. What is in quarantine is no dead letter yet."""
        return queue.startswith(self.dead(""))

    def level(self, delay: float) -> tuple[str, int]:
        """Return exchange and TTL (ms) of the smallest delay level that holds `delay` seconds."""
        ttl = next(ttl for ttl in self.ttls() if ttl >= delay * 1000)
        return self._level(ttl), ttl

    def levels(self) -> list[str]:
        return [self._level(ttl) for ttl in self.ttls()]

    def _level(self, ttl: int) -> str:
        return f"{self.level_prefix}{ttl}"

    @property
    def level_prefix(self) -> str:
        return f"{self.prefix}.retry."

    @staticmethod
    def expiration(delay: float) -> str:
        """Return the AMQP `expiration` of a delayed message: whole ms, never early."""
        return str(max(1, math.ceil(delay * 1000)))

    def has_quarantine(self, subscription: Subscription) -> bool:
        """Return True if the subscription has a quarantine.

        Only quorum queues count returns (RabbitMQ, Poison Message Handling), and a broadcast's
        queue ends by itself.
        """
        return self.queue_type == "quorum" and not subscription.broadcast

    # Declarations

    def declare_base(self, channel: Channel) -> None:
        """Declare what a publisher needs: the exchange. TopologyError: it is another one there."""
        try:
            self._declarer(channel).exchange(self.events, "topic")
        except ChannelError as error:
            raise topology_error(error, f"exchange {self.events!r}") from error

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
            shared: declare what all subscriptions share, too.

        Raises:
            TopologyError: something exists on the broker with other arguments, or is missing and
                may not be declared.
        """
        declarer = self._declarer(channel)
        try:
            if shared:
                self._declare_shared(declarer)
            self._declare_subscription(declarer, subscription, key, served=served)
        except ChannelError as error:
            raise topology_error(error, f"subscription {subscription.name!r}") from error

    def declare_at_once(
        self, channel: Channel, wanted: Iterable[tuple[Subscription, str, bool]], *, shared: bool
    ) -> bool:
        """Declare several subscriptions (with key and `served`) in one round trip.

        Return False if the broker refuses something. It does not say which subscription that was
        for: declare one by one then.
        """
        pipeline = Pipeline(channel)
        declarer = self._declarer(pipeline)
        try:
            if shared:
                self._declare_shared(declarer)
            for subscription, key, served in wanted:
                self._declare_subscription(declarer, subscription, key, served=served)
            pipeline.confirm()
        except ChannelError as error:
            if is_about_a_publish(error):
                raise
            return False
        return True

    def _declare_subscription(
        self, declarer: Declarer, subscription: Subscription, key: str, *, served: bool
    ) -> None:
        self._declare_lasting(declarer, subscription)
        # An event with a TTL of its producer expires as a dead letter.
        arguments = self._to_dead_letters(subscription)
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
        declarer = self._declarer(channel)
        try:
            self._declare_shared(declarer)
            declarer.exchange(self.fates, "topic")
            for ttl in self.ttls():
                self._declare_level(declarer, ttl)
            for subscription in subscriptions:
                if subscription.broadcast:
                    self._declare_lasting(declarer, subscription)
        except ChannelError as error:
            raise topology_error(error, f"prefix {self.prefix!r}") from error
        for subscription in subscriptions:
            if not subscription.broadcast:
                self.declare_subscription(channel, subscription, subscription.name, shared=False)

    def declare_register(self, channel: Channel) -> None:
        lasting = {"durable": True, "auto_delete": False, "exclusive": False}
        channel.queue_declare(self.register, **lasting, arguments=self._queue())

    def unbind(self, channel: Channel, key: str, pattern: str) -> None:
        """Remove the binding of a queue. It is no error if there is none, or no queue."""
        self._declarer(channel).unbind(self.queue(key), self.events, pattern)

    def declare_level(self, channel: Channel, delay: float) -> None:
        """Declare the delay level for `delay` seconds. Expired events come back by `redeliver`."""
        declarer = self._declarer(channel)
        self._declare_shared(declarer)
        self._declare_level(declarer, self.level(delay)[1])

    def declare_lasting(self, channel: Channel, subscription: Subscription) -> None:
        """Declare dead letters and quarantine of a subscription. TopologyError: see above."""
        declarer = self._declarer(channel)
        try:
            self._declare_shared(declarer)
            self._declare_lasting(declarer, subscription)
        except ChannelError as error:
            raise topology_error(error, f"subscription {subscription.name!r}") from error

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

    def _declare_lasting(self, declarer: Declarer, subscription: Subscription) -> None:
        """Declare what all processes of a subscription share, beside its queue."""
        name = subscription.name
        if declarer.queue(self.dead(name), **self._queue()):
            declarer.bind(self.dead(name), self.dead_letters, name)
        alone = {"x-single-active-consumer": True, **self._to_dead_letters(subscription)}
        if self.has_quarantine(subscription) and declarer.queue(
            self.quarantine(name), **self._queue(**alone)
        ):
            declarer.bind(self.quarantine(name), self.quarantined, name)

    def _declare_level(self, declarer: Declarer, ttl: int) -> None:
        name = self._level(ttl)
        declarer.exchange(name, "topic")
        back = {"x-message-ttl": ttl, "x-dead-letter-exchange": self.redeliver}
        if declarer.queue(name, **self._queue(**back, **self._at_least_once())):
            declarer.bind(name, name, "#")

    def _to_dead_letters(self, subscription: Subscription) -> dict[str, Any]:
        """Make a message that the broker drops a dead letter, whatever limits a policy sets."""
        return {
            "x-dead-letter-exchange": self.dead_letters,
            "x-dead-letter-routing-key": subscription.name,
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
            for queue in (self.queue(key), self.dead(name), self.quarantine(name)):
                channel.queue_delete(queue)
        channel.queue_delete(self.register)
        for name in (*self.levels(), self.lost, self.fates):
            channel.queue_delete(name)
            channel.exchange_delete(name)
        for exchange in (self.redeliver, self.dead_letters, self.quarantined, self.events):
            channel.exchange_delete(exchange)

    @staticmethod
    def ttls() -> Iterator[int]:
        """Yield the TTL of each delay level, in ms."""
        ttl = FIRST_LEVEL
        while ttl < 2 * MAX_DELAY * 1000:
            yield ttl
            ttl *= 2
