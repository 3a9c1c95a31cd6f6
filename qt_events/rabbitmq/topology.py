"""Every exchange and queue on the broker: its name, its arguments, its bindings. Nobody else makes names.

Shown in docs/wire.md, "On the broker". All is durable; declaring again what stands already changes nothing.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from amqp import Channel, spec
from amqp.exceptions import ChannelError, NotFound

from qt_events.errors import InvalidOptionError, TopologyError
from qt_events.retry import MAX_DELAY
from qt_events.subscription import Subscription

FIRST_LEVEL = 100  # ms; the levels double from here
NO_DELIVERY_LIMIT = 1_000_000  # the broker counts returns of what was merely prefetched; -1 deletes on 3.10
INSTANCE_EXPIRES = 30 * 60 * 1000  # ms that a broadcast queue outlives its process
QUEUE_TYPES = ("quorum", "classic")
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,39}")
_INSTANCE = re.compile(r"\.[0-9a-f]{12}$")  # which process a broadcast's queue belongs to


@dataclass(frozen=True, slots=True)
class Topology:
    """Names and declarations under one prefix."""

    prefix: str = "qt"
    queue_type: str = "quorum"

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not _PREFIX.fullmatch(self.prefix):
            message = f"prefix={self.prefix!r} must be 1 to 40 letters, digits, '_', '.' or '-'"
            raise InvalidOptionError(message)
        if self.queue_type not in QUEUE_TYPES:
            message = f"queue_type={self.queue_type!r} must be one of {', '.join(QUEUE_TYPES)}"
            raise InvalidOptionError(message)

    # Names

    @property
    def events(self) -> str:
        """The topic exchange that every event goes to."""
        return f"{self.prefix}.events"

    @property
    def redeliver(self) -> str:
        """The direct exchange through which an event comes back to one subscription."""
        return f"{self.prefix}.redeliver"

    @property
    def lost(self) -> str:
        """Exchange and queue of what came back to a subscription that is gone."""
        return f"{self.prefix}.lost"

    def queue(self, key: str) -> str:
        """The queue of a subscription, or of its instance in one process: the key that brings events back to it."""
        return f"{self.prefix}.sub.{key}"

    def dead(self, name: str) -> str:
        """The queue of a subscription's dead letters."""
        return f"{self.prefix}.dead.{name}"

    def quarantine(self, name: str) -> str:
        """The queue of what came back again and again without an outcome."""
        return f"{self.prefix}.quarantine.{name}"

    def subscription_of(self, queue: str) -> str | None:
        """Whose queue it is, for a broadcast without the instance; None for dead letters and all that is no `queue`."""
        prefix = self.queue("")
        return _INSTANCE.sub("", queue.removeprefix(prefix)) if queue.startswith(prefix) else None

    def holds_dead_letters(self, queue: str) -> bool:
        """Whether it is a `dead` queue; what is in quarantine is none yet."""
        return queue.startswith(self.dead(""))

    def level(self, delay: float) -> tuple[str, int]:
        """Exchange and TTL (ms) of the smallest delay level that holds `delay` seconds."""
        ttl = next(ttl for ttl in self._ttls() if ttl >= delay * 1000)
        return f"{self.prefix}.retry.{ttl}", ttl

    @staticmethod
    def expiration(delay: float) -> str:
        """The AMQP `expiration` of a delayed message: whole ms, never early."""
        return str(max(1, math.ceil(delay * 1000)))

    def has_quarantine(self, subscription: Subscription) -> bool:
        """Only quorum queues count returns (RabbitMQ, Poison Message Handling); a broadcast's queue ends by itself."""
        return self.queue_type == "quorum" and not subscription.broadcast

    # Declarations

    def declare_base(self, channel: Channel) -> None:
        """What a publisher needs: the exchange."""
        channel.exchange_declare(self.events, "topic", durable=True, auto_delete=False)

    def declare_subscription(self, channel: Channel, subscription: Subscription, key: str) -> None:
        """The queue of a subscription (`key` is its name, for a broadcast its instance), and all that belongs to it.

        Raises:
            TopologyError: something stands on the broker with other arguments.
        """
        try:
            self._declare_redelivery(channel)
            self._queue(channel, self.dead(subscription.name))
            if subscription.broadcast:
                arguments = {**self._dead_lettering(self.dead(subscription.name)), "x-expires": INSTANCE_EXPIRES}
                self._queue(channel, self.queue(key), **arguments)
            else:
                self._queue(channel, self.queue(key), **self._dead_lettering(self.dead(subscription.name)))
                if self.has_quarantine(subscription):
                    self._queue(channel, self.quarantine(subscription.name), **{"x-single-active-consumer": True})
            channel.queue_bind(self.queue(key), self.redeliver, key)
            self.bind(channel, key, subscription.patterns)
        except ChannelError as error:
            raise topology_error(error, f"subscription {subscription.name!r}") from error

    def bind(self, channel: Channel, key: str, patterns: Iterable[str]) -> None:
        """Let events that match go to the subscription's queue."""
        for pattern in patterns:
            channel.queue_bind(self.queue(key), self.events, pattern)

    def declare_level(self, channel: Channel, delay: float) -> None:
        """The delay level for `delay` seconds: what expires in it comes back by `redeliver`."""
        self._declare_redelivery(channel)
        name, ttl = self.level(delay)
        channel.exchange_declare(name, "topic", durable=True, auto_delete=False)
        self._queue(
            channel,
            name,
            **{"x-message-ttl": ttl, "x-dead-letter-exchange": self.redeliver},
            **self._at_least_once(),
        )
        channel.queue_bind(name, name, "#")

    def _declare_redelivery(self, channel: Channel) -> None:
        self.declare_base(channel)
        channel.exchange_declare(self.lost, "fanout", durable=True, auto_delete=False)
        self._queue(channel, self.lost)
        channel.queue_bind(self.lost, self.lost, "")
        channel.exchange_declare(
            self.redeliver, "direct", durable=True, auto_delete=False, arguments={"alternate-exchange": self.lost}
        )

    def _dead_lettering(self, dead: str) -> dict[str, Any]:
        """What a producer's own TTL expires in the queue becomes a dead letter too."""
        return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, **self._at_least_once()}

    def _at_least_once(self) -> dict[str, Any]:
        if self.queue_type == "classic":
            return {}  # classic queues dead-letter at most once, whatever one asks (RabbitMQ, Dead Lettering)
        return {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}

    def _queue(self, channel: Channel, name: str, **arguments: Any) -> None:
        arguments["x-queue-type"] = self.queue_type
        if self.queue_type == "quorum":
            arguments["x-delivery-limit"] = NO_DELIVERY_LIMIT
        channel.queue_declare(name, durable=True, auto_delete=False, exclusive=False, arguments=arguments)

    # Looking and removing

    def depth(self, channel: Channel, queue: str) -> tuple[int, int]:
        """Ready messages and consumers of a queue. NotFound (amqp) if it does not stand."""
        answer = channel.queue_declare(queue, passive=True)
        return answer.message_count, answer.consumer_count

    def delete(self, channel: Channel, subscriptions: Iterable[tuple[str, str]]) -> None:
        """Delete all of it, with the queues of these subscriptions (name, key); what there is not is no error."""
        for name, key in subscriptions:
            for queue in (self.queue(key), self.dead(name), self.quarantine(name)):
                channel.queue_delete(queue)
        levels = [f"{self.prefix}.retry.{ttl}" for ttl in self._ttls()]
        for name in (*levels, self.lost):
            channel.queue_delete(name)
            channel.exchange_delete(name)
        for exchange in (self.redeliver, self.events):
            channel.exchange_delete(exchange)

    @staticmethod
    def _ttls() -> Iterator[int]:
        ttl = FIRST_LEVEL
        while ttl < 2 * MAX_DELAY * 1000:
            yield ttl
            ttl *= 2


def topology_error(error: ChannelError, about: str) -> TopologyError:
    """The broker's refusal, which names what differs, in terms of what was being declared."""
    if isinstance(error, NotFound):
        what = "something it needs is missing on the broker"
    else:
        what = "the broker refused its declaration"
    return TopologyError(
        f"{about}: {what}: {error.reply_text}; if it stands with other arguments, "
        "drain and delete it, or use another prefix"
    )


def is_about_a_publish(error: BaseException | None) -> bool:
    """Whether the broker closed a channel over a publish, not over a declaration."""
    return isinstance(error, ChannelError) and error.method_sig == spec.Basic.Publish
