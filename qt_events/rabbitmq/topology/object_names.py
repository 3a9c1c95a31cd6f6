"""Names: how every exchange and queue on the broker is called. Pure.

No other module makes such names. docs/wire.md shows them, under "On the broker".
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from qt_events.delivery.retry import MAX_DELAY
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import InvalidOptionError

FIRST_LEVEL = 100  # ms; the levels double from here
QUEUE_TYPES = ("quorum", "classic")
_PREFIX = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,39}")
# Words before the names that users give; after a prefix, each is the beginning of a queue's name.
_KINDS = {"sub", "dead", "quarantine", "retry", "start"}
#: End of the name of a broadcast's queue: its process. A regular expression.
INSTANCE = r"\.[0-9a-f]{12}"
_INSTANCE = re.compile(f"{INSTANCE}$")


@dataclass(frozen=True, slots=True)
class Names:
    """Names under one prefix."""

    prefix: str = "qt"
    queue_type: str = "quorum"

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

    @property
    def starting(self) -> str:
        """Topic exchange of old events for newcomers, and of requests for them."""
        return f"{self.prefix}.start"

    @property
    def starts(self) -> str:
        """Queue of requests for old events. The recorder of events takes them."""
        return f"{self.prefix}.starts"

    @property
    def starts_lock(self) -> str:
        """Queue that exists while a process declares a newcomer."""
        return f"{self.starts}.lock"

    def old(self, name: str) -> str:
        """Return the queue of old events: it stands while its subscription is in its past."""
        return f"{self.prefix}.start.{name}"

    @staticmethod
    def old_key(name: str, generation: str) -> str:
        """Return the routing key to that queue, as it was made by one start."""
        return f"{name}.{generation}"

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

    @staticmethod
    def ttls() -> Iterator[int]:
        """Yield the TTL of each delay level, in ms."""
        ttl = FIRST_LEVEL
        while ttl < 2 * MAX_DELAY * 1000:
            yield ttl
            ttl *= 2
